"""The sections of a plan: what holds data first, then what is in the way, then the rest.

A new section is a function and a line in ``SECTIONS``; what there is nothing to say about is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from dify_cdk.report.output.sections import Column, Grid, Line, Report, Row, Section, Style, numbered, row
from dify_cdk.report.phrases import plural
from dify_cdk.report.plan.plan import Action, Plan, Reason, ResourceChange, Step

_HASHES = re.compile(r"(?<=[a-z0-9])[0-9A-F]{8}\b")


def report(plan: Plan) -> Report:
    """Everything that is shown of a plan."""
    return Report(
        title=f"{plan.before} to {plan.after}",
        lead=Line(text=_verdict(plan), style=Style.ERROR if plan.is_finding else Style.GOOD),
        command="dify-cdk plan",
        sections=tuple(one for section in SECTIONS if (one := section(plan)).is_open),
    )


def _verdict(plan: Plan) -> str:
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


# --- data -----------------------------------------------------------------------------------------------

_COLUMNS = tuple(Column(name=name) for name in ("what happens", "type", "resource", "why"))


def _data(plan: Plan) -> Section:
    """Resources that hold data, losses first; those that are only kept in one line."""
    held = [one for one in plan.resources if one.is_stateful]
    kept = [one for one in held if one.action is Action.KEPT]
    rows = tuple(_row(plan, one) for one in held if one.action is not Action.KEPT)
    lines = []
    if kept:
        lines.append(Line(label="kept", text=f"{len(kept)}: {_types(kept)}"))
    minor = Counter(one.action.value for one in plan.resources if one.holds and not one.is_stateful)
    minor.pop(Action.KEPT.value, None)
    if minor:
        amounts = ", ".join(f"{count} {action}" for action, count in minor.items())
        text = f"logs, and what its policy calls disposable: {amounts}"
        lines.append(Line(label="not counted", text=text))
    return Section(title="What holds data", grids=_grids(rows), notes=tuple(lines))


def _grids(rows: tuple[Row, ...]) -> tuple[Grid, ...]:
    return (Grid(columns=_COLUMNS, rows=rows),) if rows else ()


def _row(plan: Plan, one: ResourceChange) -> Row:
    why = [f"lost: {one.holds}" if one.is_lost else one.holds, *map(_reason, one.reasons)]
    if one.keeps:
        why.append(f"the {'old one' if one.keeps == 'resource' else 'last snapshot'} stays outside the stack")
    cells = (one.action.value, _type(one.type), _name(plan, one), "; ".join(filter(None, why)))
    return row(*cells, style=Style.DIFFERENT if one.is_lost else Style.PLAIN)


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
    lines = [Line(text=f"{one.text}. Remedy: {one.remedy}", source=one.source) for one in plan.conflicts]
    return Section(title="Conflicts: the deployment fails and rolls back", notes=numbered(lines))


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
            lines.append(Line(label=action.value, text=f"{len(found)}{types}"))
    return Section(title="What changes", grids=_grids(rows), notes=tuple(lines))


def _in_place(plan: Plan) -> Section:
    return Section(title="In place, in one deployment", notes=_steps(plan.in_place))


def _side_by_side(plan: Plan) -> Section:
    return Section(title="Or with both entry points side by side", notes=_steps(plan.side_by_side))


def _steps(steps: Sequence[Step]) -> tuple[Line, ...]:
    return numbered([Line(text=f"{step.who} {step.text}") for step in steps])


def _left_behind(plan: Plan) -> Section:
    lines = []
    for one in plan.left_behind:
        name = f"{one.stack}/{one.logical_id}" if one.logical_id else f"stack {one.stack}"
        lines.append(Line(text=f"{name}: {one.why}; to get rid of it: {one.how}"))
    return Section(title="Left behind", notes=tuple(lines))


def _good_to_know(plan: Plan) -> Section:
    return Section(title="Good to know", notes=tuple(Line(text=note) for note in plan.notes))


SECTIONS: tuple[Callable[[Plan], Section], ...] = (
    _data,
    _conflicts,
    _changes,
    _in_place,
    _side_by_side,
    _left_behind,
    _good_to_know,
)
"""In the order in which every format shows them."""
