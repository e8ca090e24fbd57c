"""Reports for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dify_cdk.report.output.sections import Grid, Line, Report, Row, Section, Style
from dify_cdk.report.phrases import clean

if TYPE_CHECKING:  # the terminal library is an extra: other formats must work without it
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_INDENT = "  "
_NUMBERS, _NAME = 40, 10  # columns of a terminal: for all names above numbers, and for one at least
_MARKS = " /_-."
_STYLES = {
    Style.TOTAL: "bold",
    Style.DIFFERENT: "yellow",
    Style.GOOD: "green",
    Style.WARNING: "yellow",
    Style.ERROR: "bold red",
}


def to_table(report: Report, *, width: int = 100, colour: bool = False, details: bool = False) -> str:
    """The report for a terminal of this many columns.

    Args:
        report: What to show.
        width: Columns of the terminal.
        colour: Whether it shows colours.
        details: Whether to show what is folded.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    return _printed(_parts(report, details=details), width=width, colour=colour)


def _printed(parts: Iterable[RenderableType], *, width: int, colour: bool) -> str:
    from rich.console import Console

    output = io.StringIO()
    console = Console(
        file=output, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    for part in parts:
        console.print(part, soft_wrap=False)
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").split("\n")) + "\n"


def _parts(report: Report, *, details: bool) -> Iterator[RenderableType]:
    from rich.rule import Rule

    yield Rule(_text(report.title, "bold cyan"), align="left", style="cyan")
    yield _text(report.lead.text, _STYLES.get(report.lead.style, ""))
    for section in report.sections:
        if section.is_open or details:
            yield _title(section.title)
            yield from _content(section, details=details)
    for grid in (grid for section in report.sections for grid in section.grids if grid.reasons):
        yield from _footnotes(grid)
    folded = [section.title for section in report.sections if section.folded]
    if folded and not details:
        yield _text("")
        yield _text(f"More with --details: {', '.join(folded)}", "dim")


def _title(words: str) -> Text:
    return _text(f"\n{words}", "bold")


def _content(section: Section, *, details: bool) -> Iterator[RenderableType]:
    if section.text:
        yield _text(section.text, "dim" if section.grids else "")
    for number, grid in enumerate(section.grids):
        if grid.caption:
            yield _text(("\n" if number else "") + grid.caption, "italic")
        yield _table(grid)
        if any(column.roomy for column in grid.columns):
            left_out = ", ".join(column.name for column in grid.columns if column.roomy)
            yield _text(f"Not shown here: {left_out}; --format markdown has room for it", "dim")
    if section.grids and section.notes:
        yield _text("")
    for note in section.notes:
        yield _line(note)
    for one in section.folded if details else ():
        yield _text(f"\n{one.title}", "bold cyan")
        yield from _content(one, details=details)


def _footnotes(grid: Grid) -> Iterator[RenderableType]:
    """What the numbers in the cells refer to, where it parts no table from the next one."""
    yield _title(grid.reasons)
    for number, line in enumerate(grid.footnotes(), 1):
        yield _labelled(f"[{number}]", line.text, "dim")
    yield _text("The pages that prove these values: --format markdown or json", "dim")


def _line(line: Line) -> Table:
    source = f" ({line.source})" if line.source else ""
    return _labelled(line.label or "-", line.text + source, _STYLES.get(line.style, "bold"))


def _labelled(label: str, words: str, style: str) -> Table:
    """A long line whose continuation is indented below its text, not below its label."""
    from rich.table import Table

    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(_text(label, style), _text(words))
    return line


def _table(grid: Grid) -> Table:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown = [number for number, column in enumerate(grid.columns) if not column.roomy]
    for number in shown:
        column = grid.columns[number]
        drawn.add_column(
            _head(grid, number),
            justify="right" if column.right else "left",
            no_wrap=column.right,
            overflow="fold",
        )
    numbers = grid.numbers()
    for row in grid.rows:
        drawn.add_row(*(_cell(row, number, numbers) for number in shown))
    return drawn


def _cell(row: Row, column: int, numbers: dict[tuple[int, Line], int]) -> Text:
    cell = row.cells[column]
    marks = "".join(f"[{numbers[column, reason]}]" for reason in dict.fromkeys(cell.reasons))
    text = f"{cell.text} {marks}" if marks else cell.text
    if column:
        return _text(text, _STYLES.get(row.style, ""))
    return _text(
        _INDENT * row.level + text, "bold" if row.style is Style.NAMED else _STYLES.get(row.style, "")
    )


def _head(grid: Grid, number: int) -> Text:
    """The name of a column; above numbers a long one is broken, for the sake of the first column."""
    column = grid.columns[number]
    if not column.right:
        return _text(column.name)
    columns = sum(one.right for one in grid.columns)
    numbers = max((len(row.cells[number].text) for row in grid.rows), default=0)
    lines = _pieces(clean(column.name), max(_NUMBERS // columns, _NAME, numbers))
    return _text("").append("\n".join(lines))


def _pieces(name: str, width: int) -> Iterator[str]:
    """A name in lines, broken behind a mark where it has one."""
    while len(name) > width:
        cut = max(name.rfind(mark, 0, width) for mark in _MARKS) + 1 or width
        yield name[:cut]
        name = name[cut:]
    yield name


def _text(value: str, style: str = "") -> Text:
    """Text that the terminal prints as it is: a template may hold control characters and markup."""
    from rich.text import Text

    return Text("\n".join(map(clean, value.split("\n"))) if value.startswith("\n") else clean(value), style)
