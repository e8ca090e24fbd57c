"""How sections look in a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dify_cdk.report.output.grid import Grid, Style
from dify_cdk.report.output.words import clean

if TYPE_CHECKING:  # the terminal library is an extra: other formats must work without it
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_INDENT = "  "
_NUMBERS, _NAME = 40, 10  # columns of a terminal: for all names above numbers, and for one at least
_MARKS = " /_-."


def printed(parts: Iterable[RenderableType], *, width: int, colour: bool) -> str:
    """What a terminal of this many columns shows.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    from rich.console import Console

    output = io.StringIO()
    console = Console(
        file=output, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    for part in parts:
        console.print(part, soft_wrap=False)
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").split("\n")) + "\n"


def heading(words: str) -> RenderableType:
    """The line that a subject begins with."""
    from rich.rule import Rule
    from rich.text import Text

    return Rule(Text(clean(words), style="bold cyan"), align="left", style="cyan")


def grid(section: Grid) -> Iterator[RenderableType]:
    """A grid and the notes below it."""
    yield table(section)
    yield text("")
    for note in section.notes:
        yield text(note, "dim")


def table(section: Grid) -> Table:
    """A grid without its notes."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for number, column in enumerate(section.columns):
        drawn.add_column(
            _head(section, number),
            justify="right" if column.right else "left",
            no_wrap=column.right,
            overflow="fold",
        )
    for row in section.rows:
        style = "" if row.style is Style.NAMED else row.style
        first = "bold" if row.style is Style.NAMED else style
        head, *others = row.cells
        drawn.add_row(text(_INDENT * row.level + head, first), *(text(cell, style) for cell in others))
    return drawn


def _head(section: Grid, number: int) -> Text:
    """The name of a column; above numbers a long one is broken, for the sake of the first column."""
    from rich.text import Text

    column = section.columns[number]
    name = clean(column.name)
    if not column.right:
        return Text(name)
    columns = sum(one.right for one in section.columns)
    numbers = max((len(row.cells[number]) for row in section.rows), default=0)
    return Text("\n".join(_pieces(name, max(_NUMBERS // columns, _NAME, numbers))))


def _pieces(name: str, width: int) -> Iterator[str]:
    """A name in lines, broken behind a mark where it has one."""
    while len(name) > width:
        cut = max(name.rfind(mark, 0, width) for mark in _MARKS) + 1 or width
        yield name[:cut]
        name = name[cut:]
    yield name


def labelled(label: str, words: str, style: str = "") -> Table:
    """A long line whose continuation is indented below its text, not below its label."""
    from rich.table import Table

    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(text(label, style), text(words))
    return line


def title(words: str) -> RenderableType:
    """The head of a section."""
    return text(f"\n{words}", "bold")


def text(value: str, style: str = "") -> Text:
    """Text that the terminal prints as it is: a template may hold control characters and markup."""
    from rich.text import Text

    return Text("\n".join(map(clean, value.split("\n"))) if value.startswith("\n") else clean(value), style)
