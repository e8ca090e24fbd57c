"""Tables of reports in HTML, legible on a phone and for screen readers."""

from __future__ import annotations

from collections.abc import Sequence

from dify_cdk.report.output.html_text import Content, Html, el, link
from dify_cdk.report.output.sections import Cell, Column, Grid, Row, Style

_FEW, _SHORT = 4, 8  # columns and letters that fit a phone
_SMALL_LABEL, _USUAL_LABEL = 4, 12


def table(grid: Grid, title: str) -> Html:
    """A table whose first column names the rows.

    With the class ``stack`` every row becomes a block with the column's name beside each value where there is
    no room; the roles keep it a table for screen readers there.

    Args:
        grid: The table.
        title: What its section is called; only a screen reader hears it twice.
    """
    heads = (el("th", one.name, scope="col", role="columnheader", class_=_side(one)) for one in grid.columns)
    return el(
        "table",
        el("caption", grid.caption or title, class_=None if grid.caption else "unseen"),
        el("thead", el("tr", heads, role="row"), role="rowgroup"),
        el("tbody", (_row(grid.columns, one) for one in grid.rows), role="rowgroup"),
        class_=_looks(grid),
        role="table",
    )


def _looks(grid: Grid) -> str:
    """Classes by what the columns hold and how much room it takes."""
    columns = grid.columns[1:]
    numbers = all(one.right for one in columns)
    texts = [one.name for one in columns] + [cell.text for row in grid.rows for cell in row.cells[1:]]
    is_few = numbers and len(columns) <= _FEW and max(map(len, texts), default=0) <= _SHORT
    label = max((len(one.name) for one in columns), default=0)
    looks = (
        "few" if is_few else "stack",
        "numbers" if numbers else "",
        "reasons" if grid.reasons else "",
        "small-labels" if label <= _SMALL_LABEL else "long-labels" if label > _USUAL_LABEL else "",
    )
    return " ".join(filter(None, looks))


def _side(column: Column) -> str | None:
    return "right" if column.right else None


def _row(columns: Sequence[Column], row: Row) -> Html:
    swatch = el("span", str(row.colour), class_=f"swatch c{row.colour}", aria_hidden="true")
    first, *others = (_value(cell, row.style) for cell in row.cells)
    values = (
        el("td", el("span", value, class_="cell"), role="cell", data_label=column.name, class_=_side(column))
        for column, value in zip(columns[1:], others, strict=True)
    )
    look = "level" if row.level else _side(columns[0])
    name = el("th", swatch if row.colour else None, first, scope="row", role="rowheader", class_=look)
    return el("tr", name, values, role="row", class_="different" if row.style is Style.DIFFERENT else None)


def _value(cell: Cell, style: Style) -> Content:
    """The value, what sets it below, and the pages that prove it."""
    if cell.source:
        return link(cell.text, cell.source)
    value = el("strong", cell.text) if cell.reasons or style is Style.TOTAL else cell.text
    reasons = (
        el("small", one.text, [", ", link("source", one.source)] if one.source else None, class_="hop")
        for one in cell.reasons
    )
    return [value, reasons]


def cards(grid: Grid) -> Html:
    """A card for each column but the first; what is above the others is large."""
    return el("div", (_card(grid, number) for number in range(1, len(grid.columns))), class_="cards")


def _card(grid: Grid, number: int) -> Html:
    facts = [(one.cells[0].text, one.cells[number].text, one.style) for one in grid.rows]
    return el(
        "article",
        el("h3", grid.columns[number].name),
        (
            el("p", el("strong", text), el("br"), name, class_="price")
            for name, text, style in facts
            if style is Style.TOTAL
        ),
        el(
            "dl",
            ([el("dt", name), el("dd", text)] for name, text, style in facts if style is not Style.TOTAL),
        ),
    )
