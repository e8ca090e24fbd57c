"""Plans for a terminal and as Markdown: what holds data first, then what is in the way, then the rest.

The JSON document is described in :mod:`.plan_document`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dify_cdk.report.output import markdown_text as page
from dify_cdk.report.output import terminal
from dify_cdk.report.output.grid import Column, Grid, Row, Style
from dify_cdk.report.phrases import plural
from dify_cdk.report.plan.plan import Action, Plan, Reason, ResourceChange, Step

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence.

    Attributes:
        label: What stands before it: a number, a dash, or words.
        text: The sentence.
        source: A page that proves it; empty if there is none.
    """

    label: str
    text: str
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a plan with a head of its own.

    Attributes:
        title: The head.
        grid: A table; None if there is none.
        lines: Sentences below the table.
    """

    title: str
    grid: Grid | None = None
    lines: tuple[Line, ...] = ()


def to_table(plan: Plan, *, width: int = 100, colour: bool = False) -> str:
    """The plan for a terminal of this many columns.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    return terminal.printed(_drawn(plan), width=width, colour=colour)


def to_markdown(plan: Plan) -> str:
    """The plan as sections with a heading of the third level each."""
    return "\n\n".join(_written(plan)) + "\n"


def _drawn(plan: Plan) -> Iterator[RenderableType]:
    yield terminal.heading(heading(plan))
    yield terminal.text(verdict(plan), "bold red" if plan.is_finding else "green")
    for section in sections(plan):
        yield terminal.title(section.title)
        if section.grid is not None:
            yield terminal.table(section.grid)
            if section.lines:
                yield terminal.text("")
        for line in section.lines:
            source = f" ({line.source})" if line.source else ""
            yield terminal.labelled(line.label, line.text + source, "bold")


def _written(plan: Plan) -> Iterator[str]:
    yield f"### {page.escaped(heading(plan))}"
    yield f"**{page.escaped(verdict(plan))}**"
    for section in sections(plan):
        yield f"#### {section.title}"
        if section.grid is not None:
            yield page.table(section.grid)
        if section.lines:
            yield "\n".join(map(_item, section.lines))


def _item(line: Line) -> str:
    """An item of a list; numbers and dashes are those of Markdown itself."""
    label = line.label if line.label.rstrip(".").isdecimal() or line.label == _DASH else f"- **{line.label}**"
    source = f" ([page]({line.source}))" if line.source else ""
    return f"{label} {page.escaped(line.text)}{source}"


_DASH = "-"
_HASHES = re.compile(r"(?<=[a-z0-9])[0-9A-F]{8}\b")

# --- what is said ---------------------------------------------------------------------------------------


def heading(plan: Plan) -> str:
    """Both names."""
    return f"{plan.before} to {plan.after}"


def verdict(plan: Plan) -> str:
    """Whether anything speaks against it, in a sentence."""
    lost, conflicts = len(plan.lost), len(plan.conflicts)
    if not plan.is_finding:
        nothing = "everything is kept" if not plan.in_place else "nothing that holds data is lost"
        return f"Fine: {nothing}, and nothing is in the way"
    parts = (
        f"{plural(lost, 'resource')} with data replaced or lost" if lost else "",
        plural(conflicts, "conflict") if conflicts else "",
    )
    return f"Do not deploy this as it is: {', '.join(filter(None, parts))}"


def sections(plan: Plan) -> Iterator[Section]:
    """Everything but the verdict; what there is nothing to say about is left out."""
    found = (
        _data(plan),
        _conflicts(plan),
        _changes(plan),
        Section(title="In place, in one deployment", lines=_numbered(plan.in_place)),
        Section(title="Or with both doors side by side", lines=_numbered(plan.two_doors)),
        _left_behind(plan),
        Section(title="Good to know", lines=tuple(Line(_DASH, note) for note in plan.notes)),
    )
    return (one for one in found if one.grid is not None or one.lines)


def _numbered(steps: Sequence[Step]) -> tuple[Line, ...]:
    return tuple(Line(f"{number}.", f"{step.who} {step.text}") for number, step in enumerate(steps, 1))


# --- data -----------------------------------------------------------------------------------------------

_COLUMNS = tuple(Column(name=name) for name in ("what happens", "type", "resource", "why"))


def _data(plan: Plan) -> Section:
    """Resources that hold data, losses first; those that are only kept in one line."""
    held = [one for one in plan.resources if one.is_stateful]
    kept = [one for one in held if one.action is Action.KEPT]
    rows = tuple(_row(plan, one) for one in held if one.action is not Action.KEPT)
    lines = []
    if kept:
        lines.append(Line("kept", f"{len(kept)}: {_types(kept)}"))
    minor = Counter(one.action.value for one in plan.resources if one.holds and not one.is_stateful)
    minor.pop(Action.KEPT.value, None)
    if minor:
        amounts = ", ".join(f"{count} {action}" for action, count in minor.items())
        lines.append(Line("not counted", f"logs, and what its policy calls disposable: {amounts}"))
    grid = Grid(columns=_COLUMNS, rows=rows) if rows else None
    return Section(title="What holds data", grid=grid, lines=tuple(lines))


def _row(plan: Plan, one: ResourceChange) -> Row:
    why = [f"lost: {one.holds}" if one.is_lost else one.holds, *map(_reason, one.reasons)]
    if one.keeps:
        why.append(f"the {'old one' if one.keeps == 'resource' else 'last snapshot'} stays outside the stack")
    cells = (one.action.value, _type(one.type), _name(plan, one), "; ".join(filter(None, why)))
    return Row(cells=cells, style=Style.DIFFERENT if one.is_lost else Style.PLAIN)


def _reason(reason: Reason) -> str:
    because = _HASHES.sub("", reason.because)
    return f"{reason.property} ({because})" if because and reason.property else reason.property or because


def _name(plan: Plan, one: ResourceChange) -> str:
    """A logical id without the hash that the CDK appends, for tables have little room; JSON has it all."""
    main = plan.stacks[0].name if plan.stacks else one.stack
    id = _HASHES.sub("", one.logical_id)
    return id if one.stack == main else f"{one.stack}/{id}"


def _type(type: str) -> str:
    return type.removeprefix("AWS::").replace("::", " ") or "no type"


def _types(resources: Iterable[ResourceChange]) -> str:
    """``ECS Service 2, S3 Bucket``."""
    counts = Counter(_type(one.type) for one in resources)
    return ", ".join(f"{name} {count}" if count > 1 else name for name, count in sorted(counts.items()))


# --- the rest -------------------------------------------------------------------------------------------


def _conflicts(plan: Plan) -> Section:
    lines = (
        Line(f"{number}.", f"{one.text}. Remedy: {one.remedy}", one.source)
        for number, one in enumerate(plan.conflicts, 1)
    )
    return Section(title="Conflicts: the deployment fails and rolls back", lines=tuple(lines))


def _changes(plan: Plan) -> Section:
    """What stays and changes one by one, the rest by type."""
    one_by_one = (Action.REPLACED, Action.MAY_BE_REPLACED, Action.UPDATED)
    rows = tuple(
        _row(plan, one) for one in plan.resources if one.action in one_by_one and not one.is_stateful
    )
    lines = []
    for action in (Action.ADDED, Action.REMOVED, Action.LEFT_BEHIND, Action.KEPT):
        found = [one for one in plan.resources if one.action is action]
        if found and (rows or action is not Action.KEPT):
            types = "" if action is Action.KEPT else f": {_types(found)}"
            lines.append(Line(action.value, f"{len(found)}{types}"))
    grid = Grid(columns=_COLUMNS, rows=rows) if rows else None
    return Section(title="What changes", grid=grid, lines=tuple(lines))


def _left_behind(plan: Plan) -> Section:
    lines = []
    for one in plan.left_behind:
        name = f"{one.stack}/{one.logical_id}" if one.logical_id else f"stack {one.stack}"
        lines.append(Line(_DASH, f"{name}: {one.why}; to get rid of it: {one.how}"))
    return Section(title="Left behind", lines=tuple(lines))
