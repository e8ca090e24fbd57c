"""How sections look in Markdown with the tables of GitHub."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from dify_cdk.report.output.grid import Grid, Row, Style
from dify_cdk.report.output.words import clean

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
_MARKS = re.compile(r" ((?:\[\d+\])+)$")

UNFOLDED = "</details>"
"""The end of what ``folded`` begins."""


def folded(summary: str) -> str:
    """The beginning of what GitHub shows only when somebody opens it."""
    return f"<details><summary>{html.escape(clean(summary))}</summary>"


def listed(lines: Iterable[str]) -> str:
    """A list of sentences."""
    return "\n".join(f"- {escaped(line)}" for line in lines)


def table(grid: Grid) -> str:
    """A table of GitHub, without the notes of the grid."""
    heads = " | ".join(escaped(column.name) for column in grid.columns)
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
        return escaped(text)
    numbers = match[1].strip("[]").replace("][", ", ")
    return f"{escaped(text[: match.start()])} <sup>{numbers}</sup>"


def escaped(text: str) -> str:
    """Text that shows as it is written."""
    return _SPECIAL.sub(r"\\\1", html.escape(clean(text), quote=False))
