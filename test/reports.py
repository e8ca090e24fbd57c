"""Comparisons and plans as the command line shows them."""

from __future__ import annotations

from dify_cdk.report.comparison import Comparison
from dify_cdk.report.output import comparisons, html, markdown, plans, terminal
from dify_cdk.report.output.sections import Grid, Report, Section
from dify_cdk.report.plan.plan import Plan


def report(found: Comparison | Plan) -> Report:
    return comparisons.report(found) if isinstance(found, Comparison) else plans.report(found)


def to_table(
    found: Comparison | Plan, *, width: int = 100, colour: bool = False, details: bool = False
) -> str:
    return terminal.to_table(report(found), width=width, colour=colour, details=details)


def to_markdown(found: Comparison | Plan) -> str:
    return markdown.to_markdown(report(found))


def to_html(found: Comparison | Plan) -> str:
    return html.to_html(report(found))


def texts(grid: Grid) -> list[tuple[str, ...]]:
    """The values of a table."""
    return [tuple(cell.text for cell in row.cells) for row in grid.rows]


def notes(section: Section) -> list[str]:
    return [line.text for line in section.notes]
