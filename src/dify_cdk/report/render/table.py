"""Comparisons for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.inventory import Inventory
from dify_cdk.report.render import containers, costs, limits, resources, routes
from dify_cdk.report.render.grid import Grid, Style
from dify_cdk.report.render.words import clean

if TYPE_CHECKING:  # the terminal library is an extra: other formats must work without it
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_INDENT = "  "


def to_table(comparison: Comparison, *, width: int = 100, colour: bool = False) -> str:
    """The comparison for a terminal of this many columns.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    from rich.console import Console

    output = io.StringIO()
    console = Console(
        file=output, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    for part in _parts(comparison):
        console.print(part, soft_wrap=False)
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").split("\n")) + "\n"


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    compared = comparison.compared
    if len(compared) > 1:
        yield from _side_by_side([one.whole for one in compared])
        yield from _together(comparison)
    for one in compared:
        yield from _one(one, comparison, alone=len(compared) == 1)


def _together(comparison: Comparison) -> Iterator[RenderableType]:
    """Limits and costs of all subjects."""
    yield _title("Effective limits")
    yield from _limits(comparison)
    if costs.is_needed(comparison.compared):
        yield _title("Monthly cost")
        if costs.is_known(comparison.compared):
            yield from _grid(costs.by_service(comparison))
        else:
            yield _text(costs.NO_REGION)
    yield _text("")


def _one(one: Compared, comparison: Comparison, *, alone: bool) -> Iterator[RenderableType]:
    from rich.rule import Rule
    from rich.text import Text

    inventory = one.whole
    yield Rule(Text(clean(one.name), style="bold cyan"), align="left", style="cyan")
    yield _text(resources.summary(one))
    if alone and inventory.types:
        yield _title("Resources")
        yield _table(resources.by_service(inventory))
    yield _title("Containers")
    if inventory.roles:
        yield from _grid(containers.containers(inventory.roles))
    else:
        yield _text(containers.NONE)
    yield _title("Routes")
    yield from _routes(inventory)
    if alone:
        yield from _together(comparison)
    if costs.is_known([one]):
        yield _title("Cost line by line")
        yield _table(costs.items(one.cost))
    if inventory.messages:
        mild = all(message.level == "warning" for message in inventory.messages)
        yield _title("Warnings" if mild else "Errors and warnings")
        yield from _messages(inventory)
    yield _text("")


def _side_by_side(inventories: list[Inventory]) -> Iterator[RenderableType]:
    yield _title("Resources side by side")
    yield _table(resources.side_by_side(inventories))
    yield _text("")
    for label, text in resources.alone(inventories):
        yield _labelled(label, text, "bold")


def _limits(comparison: Comparison) -> Iterator[RenderableType]:
    if not any(one.limits for one in comparison.compared):
        yield _text(limits.NONE)
        return
    found = limits.limits(comparison.compared)
    yield _table(found.grid)
    yield _text("")
    for reason in found.reasons:
        yield _labelled(limits.mark(reason.number), reason.text, "dim")
    yield _text("The pages that prove these limits: --format markdown or json", "dim")


def _routes(inventory: Inventory) -> Iterator[RenderableType]:
    if not inventory.listeners:
        yield _text(routes.NONE)
    for number, listener in enumerate(inventory.listeners):
        yield _text(("\n" if number else "") + routes.caption(listener), "italic")
        yield _table(routes.routes(listener))
    if inventory.other_doors:
        yield _text("")
        yield _text(routes.also_public(inventory.other_doors), "yellow")


def _messages(inventory: Inventory) -> Iterator[RenderableType]:
    for message in inventory.messages:
        style = "red" if message.level == "error" else "yellow"
        yield _labelled(f"{message.level}:", f"{message.path}: {message.text}", style)


# --- small things ---------------------------------------------------------------------------------------


def _grid(grid: Grid) -> Iterator[RenderableType]:
    """A table and the notes below it."""
    yield _table(grid)
    yield _text("")
    for note in grid.notes:
        yield _text(note, "dim")


def _table(grid: Grid) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in grid.columns:
        table.add_column(
            _text(column.name),
            justify="right" if column.right else "left",
            no_wrap=column.right,
            overflow="fold",
        )
    for row in grid.rows:
        style = "" if row.style is Style.NAMED else row.style
        first = "bold" if row.style is Style.NAMED else style
        head, *others = row.cells
        table.add_row(_text(_INDENT * row.level + head, first), *(_text(cell, style) for cell in others))
    return table


def _labelled(label: str, text: str, style: str) -> Table:
    """A long line whose continuation is indented below its text, not below its label."""
    from rich.table import Table

    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(_text(label, style), _text(text))
    return line


def _title(text: str) -> RenderableType:
    return _text(f"\n{text}", "bold")


def _text(value: str, style: str = "") -> Text:
    """Text that the terminal prints as it is: a template may hold control characters and markup."""
    from rich.text import Text

    return Text("\n".join(map(clean, value.split("\n"))) if value.startswith("\n") else clean(value), style)
