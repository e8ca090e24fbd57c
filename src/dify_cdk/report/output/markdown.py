"""Reports as Markdown with the tables of GitHub, for a README or a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from dify_cdk.report.output.sections import Cell, Grid, Line, Report, Row, Section, Style, numbered
from dify_cdk.report.phrases import clean

_LEVEL = 3
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def to_markdown(report: Report) -> str:
    """The report below a heading of the third level."""
    lead = _escaped(report.lead.text)
    head = f"{'#' * _LEVEL} {_escaped(report.title)}"
    strong = lead if report.lead.style is Style.PLAIN else f"**{lead}**"
    return f"{head}\n\n{strong}\n\n{sections_to_markdown(report.sections, _LEVEL + 1)}"


def sections_to_markdown(sections: Sequence[Section], level: int) -> str:
    """Sections with headings of this level."""
    return "\n\n".join(part for one in sections for part in _section(one, level)) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {_escaped(section.title)}"
    yield from _content(section)


def _content(section: Section) -> Iterator[str]:
    if section.text:
        yield _escaped(section.text)
    for grid in section.grids:
        if grid.caption:
            yield _escaped(f"{grid.caption}:")
        yield _table(grid)
        if grid.reasons:
            yield from _folded(Section(title=grid.reasons, notes=numbered(grid.footnotes())))
    if section.notes:
        yield "\n".join(map(_item, section.notes))
    for one in section.folded:
        yield from _folded(one)


def _folded(section: Section) -> Iterator[str]:
    """What GitHub shows only when somebody opens it."""
    yield f"<details><summary>{html.escape(clean(section.title))}</summary>"
    yield from _content(section)
    yield "</details>"


def _item(line: Line) -> str:
    """An item of a list; numbers are those of Markdown itself."""
    label = f"{line.label} " if line.is_numbered else f"- **{_escaped(line.label)}** " if line.label else "- "
    return f"{label}{_linked(line.text, line.source, 'page')}"


def _linked(text: str, source: str, name: str) -> str:
    if not source.startswith(("https://", "http://")):
        return _escaped(text)
    return f"{_escaped(text)} ([{name}]({source}))"


def _table(grid: Grid) -> str:
    numbers = grid.numbers()
    heads = " | ".join(_escaped(column.name) for column in grid.columns)
    rules = " | ".join("---:" if column.right else "---" for column in grid.columns)
    return "\n".join((f"| {heads} |", f"| {rules} |", *(_row(row, numbers) for row in grid.rows)))


def _row(row: Row, numbers: dict[tuple[int, Line], int]) -> str:
    cells = []
    for column, cell in enumerate(row.cells):
        marks = ", ".join(str(numbers[column, reason]) for reason in dict.fromkeys(cell.reasons))
        text = f"{_value(cell)} <sup>{marks}</sup>" if marks else _value(cell)
        cells.append(f"**{text}**" if row.style is Style.TOTAL and text else text)
    indent = "&nbsp;&nbsp;" * row.level
    return f"| {indent}{' | '.join(cells)} |"


def _value(cell: Cell) -> str:
    return _linked(cell.text, cell.source, "page")


def _escaped(text: str) -> str:
    """Text that shows as it is written."""
    return _SPECIAL.sub(r"\\\1", html.escape(clean(text), quote=False))
