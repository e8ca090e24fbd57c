"""A section's table before anybody draws it: columns, rows of text, and notes below."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Style(StrEnum):
    """What a row is among the others."""

    PLAIN = ""
    TOTAL = "bold"
    """Sums up others, or is above them."""
    DIFFERENT = "yellow"
    """Columns differ here."""
    NAMED = "named"
    """Its first cell names something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Its head.
        right: Whether its cells are numbers.
    """

    name: str
    right: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row.

    Attributes:
        cells: One text per column.
        style: What it is among the others.
        level: How far its first cell is indented.
    """

    cells: tuple[str, ...]
    style: Style = Style.PLAIN
    level: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table.

    Attributes:
        columns: Its columns.
        rows: Its rows.
        notes: Sentences below it.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
