"""What a report says before anybody draws it: sections of text, tables, sentences and drawings.

Every section is built once, and the terminal, Markdown and HTML show all of it; none of them knows a section
by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dify_cdk.report.diagram.model import Graph


class Style(StrEnum):
    """What a row or a sentence is among the others."""

    PLAIN = "plain"
    TOTAL = "total"
    """Sums up others, or is above them."""
    DIFFERENT = "different"
    """Columns differ here."""
    NAMED = "named"
    """Its first cell names something."""
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A sentence.

    Attributes:
        text: The sentence.
        label: What stands before it: words, or a number with a full stop. Default: what lists begin with.
        source: Page that proves it, or empty.
        style: What it is among the others.
    """

    text: str
    label: str = ""
    source: str = ""
    style: Style = Style.PLAIN

    @property
    def is_numbered(self) -> bool:
        """Whether it is one of several that follow one another."""
        return self.label.rstrip(".").isdecimal()


def numbered(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Sentences that follow one another."""
    return tuple(replace(line, label=f"{number}.") for number, line in enumerate(lines, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Its head.
        right: Whether its cells are numbers.
        roomy: Whether a terminal has no room for it.
    """

    name: str
    right: bool = False
    roomy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A value that says where it comes from.

    Attributes:
        text: The value.
        reasons: What sets it.
        source: Page that proves it, or empty.
    """

    text: str
    reasons: tuple[Line, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row.

    Attributes:
        cells: One per column.
        style: What it is among the others.
        level: How far its first cell is indented.
        colour: Number of its colour in the drawing of the section, from 1; 0 for none.
    """

    cells: tuple[Cell, ...]
    style: Style = Style.PLAIN
    level: int = 0
    colour: int = 0


def row(*cells: Cell | str, style: Style = Style.PLAIN, level: int = 0, colour: int = 0) -> Row:
    """A row of values most of which are plain text."""
    values = tuple(Cell(text=cell) if isinstance(cell, str) else cell for cell in cells)
    return Row(cells=values, style=style, level=level, colour=colour)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table.

    Attributes:
        columns: Its columns; the first one names the rows.
        rows: Its rows.
        caption: What it shows. Default: what the title of its section says.
        reasons: Head of the list of what sets the values of its cells.
        cards: Whether each column is one thing, shown as a card of its own where there is room.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    reasons: str = ""
    cards: bool = False

    def numbers(self) -> dict[tuple[int, Line], int]:
        """A number for each reason of each column, in the order of the cells."""
        found: dict[tuple[int, Line], int] = {}
        for one in self.rows:
            for column, cell in enumerate(one.cells):
                for reason in cell.reasons:
                    found.setdefault((column, reason), len(found) + 1)
        return found

    def footnotes(self) -> tuple[Line, ...]:
        """Every reason in the order of its number, behind the name of its column if there are several."""
        _, *values = self.columns
        names = [f"{one.name}: " if len(values) > 1 else "" for one in self.columns]
        return tuple(replace(line, text=f"{names[column]}{line.text}") for column, line in self.numbers())


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagram:
    """What a subject's templates connect.

    Attributes:
        name: The subject.
        graph: What is drawn.
    """

    name: str
    graph: Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A piece of a bar.

    Attributes:
        text: What it is.
        size: How long it is, not negative; the longest bar of a section is as wide as its place.
        colour: Number of its colour, from 1.
    """

    text: str
    size: float
    colour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """An amount and what it consists of.

    Attributes:
        name: Whose it is.
        amount: The amount.
        what: What it is the amount of.
        pieces: Pieces of one colour stand together and are drawn as one.
    """

    name: str
    amount: str
    what: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a report with a head of its own.

    Attributes:
        title: The head, unique in its report.
        text: What is said first, or instead of a table.
        diagrams: Drawings, where the format has some.
        bars: Likewise.
        grids: Tables.
        notes: Sentences below.
        folded: What is shown to those who ask for it.
    """

    title: str
    text: str = ""
    diagrams: tuple[Diagram, ...] = ()
    bars: tuple[Bar, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[Line, ...] = ()
    folded: tuple[Section, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it says anything to those who ask for no more."""
        return bool(self.text or self.grids or self.notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that is shown.

    Attributes:
        title: What it is about.
        lead: The sentence that everybody should read.
        command: What the reader types to get it.
        sections: In the order in which they are read.
    """

    title: str
    lead: Line
    command: str
    sections: tuple[Section, ...]
