"""Comparisons as Markdown with the tables of GitHub, for a README or a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.render import containers, costs, limits, resources, routes
from dify_cdk.report.render.grid import Grid, Row, Style
from dify_cdk.report.render.words import clean

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
_MARKS = re.compile(r" ((?:\[\d+\])+)$")


def to_markdown(comparison: Comparison) -> str:
    """The comparison as sections with a heading of the third level each."""
    return "\n\n".join(_sections(comparison)) + "\n"


def _sections(comparison: Comparison) -> Iterator[str]:
    compared = comparison.compared
    inventories = [one.whole for one in compared]
    yield "### Effective limits"
    yield from _limits(comparison)
    if costs.is_needed(compared):
        yield "### Monthly cost"
        yield from _costs(comparison)
    yield "### Resources"
    if len(compared) > 1:
        yield _list(f"{label} {text}" for label, text in resources.alone(inventories))
        yield _folded("All types side by side")
        yield _table(resources.side_by_side(inventories))
        yield _UNFOLDED
    for one in compared:
        yield from _details(one, with_resources=len(compared) == 1)


def _limits(comparison: Comparison) -> Iterator[str]:
    if not any(one.limits for one in comparison.compared):
        yield limits.NONE
        return
    table = limits.limits(comparison.compared)
    yield _table(table.grid)
    yield _folded("What sets these limits, and the pages that prove them")
    yield "\n".join(
        f"{reason.number}. {_escaped(reason.text)}" + (f" ([page]({reason.source}))" if reason.source else "")
        for reason in table.reasons
    )
    yield _UNFOLDED


def _costs(comparison: Comparison) -> Iterator[str]:
    if not costs.is_known(comparison.compared):
        yield costs.NO_REGION
        return
    grid = costs.by_service(comparison)
    yield _table(grid)
    yield _list(grid.notes)


def _details(one: Compared, *, with_resources: bool) -> Iterator[str]:
    """What is about one subject only, folded."""
    inventory = one.whole
    yield _folded(f"{one.name}: {resources.summary(one)}")
    if with_resources and inventory.types:
        yield _table(resources.by_service(inventory))
    grid = containers.containers(inventory.roles)
    yield "#### Containers"
    yield _table(grid) if inventory.roles else containers.NONE
    if grid.notes:
        yield _list(grid.notes)
    yield "#### Routes"
    if not inventory.listeners:
        yield routes.NONE
    for listener in inventory.listeners:
        yield _escaped(f"{routes.caption(listener)}:")
        yield _table(routes.routes(listener))
    if inventory.other_doors:
        yield _escaped(routes.also_public(inventory.other_doors))
    if costs.is_known([one]):
        yield "#### Cost"
        yield _table(costs.items(one.cost, formulas=True))
    if inventory.messages:
        yield "#### Warnings"
        yield _list(f"{message.level}: {message.path}: {message.text}" for message in inventory.messages)
    yield _UNFOLDED


_UNFOLDED = "</details>"


def _folded(summary: str) -> str:
    """The beginning of what GitHub shows only when somebody opens it."""
    return f"<details><summary>{html.escape(clean(summary))}</summary>"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _table(grid: Grid) -> str:
    heads = " | ".join(_escaped(column.name) for column in grid.columns)
    rules = " | ".join("---:" if column.right else "---" for column in grid.columns)
    return "\n".join((f"| {heads} |", f"| {rules} |", *(_row(row) for row in grid.rows)))


def _row(row: Row) -> str:
    cells = [_cell(cell) for cell in row.cells]
    if row.style is Style.TOTAL:
        cells = [f"**{cell}**" if cell else "" for cell in cells]
    if row.level:
        cells[0] = f"&nbsp;&nbsp;{cells[0]}"
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text with the numbers of its reasons raised."""
    match = _MARKS.search(text)
    if match is None:
        return _escaped(text)
    numbers = match[1].strip("[]").replace("][", ", ")
    return f"{_escaped(text[: match.start()])} <sup>{numbers}</sup>"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", html.escape(clean(text), quote=False))
