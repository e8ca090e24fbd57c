"""Reports as one HTML page that needs nothing else: no network, no scripts, no other files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dify_cdk.report.output.html_drawings import bars, figures
from dify_cdk.report.output.html_tables import cards, table
from dify_cdk.report.output.html_text import Content, Html, el, link
from dify_cdk.report.output.sections import Line, Report, Section, Style

_STYLE = Path(__file__).parents[1] / "data" / "page.css"
# Nothing may be loaded and nothing may run, whatever a template manages to write into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(report: Report) -> str:
    """The report as a page.

    The page depends on the report alone: no date, no version, no place. All text of templates is escaped.
    """
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=report.command),
        el("title", report.title),
        el("style", Html(_STYLE.read_text(encoding="utf-8"))),
    ]
    lead = el("p", report.lead.text, class_=_class(report.lead))
    body = [
        el("header", el("h1", report.title), lead, _navigation(report)),
        el("main", map(_section, report.sections)),
        el("footer", el("p", "Made by ", el("code", f"{report.command} --format html"), ".")),
    ]
    page = el("html", el("head", head), el("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _class(line: Line) -> str | None:
    return None if line.style is Style.PLAIN else f"message {line.style}"


def _id(section: Section) -> str:
    return re.sub(r"\W+", "-", section.title.lower())


def _navigation(report: Report) -> Html:
    entries = (el("li", el("a", one.title, href=f"#{_id(one)}")) for one in report.sections)
    return el("nav", el("ul", entries), aria_label="Sections")


def _section(section: Section) -> Html:
    id = _id(section)
    heading = el("h2", section.title, id=f"{id}-heading")
    return el("section", heading, _content(section), id=id, aria_labelledby=f"{id}-heading")


def _content(section: Section) -> Iterator[Content]:
    if section.text:
        yield el("p", section.text)
    if section.diagrams:
        yield figures(section.diagrams)
    if section.bars:
        yield bars(section.bars)
    for grid in section.grids:
        yield cards(grid) if grid.cards else table(grid, section.title)
    if section.notes:
        yield _list(section)
    for one in section.folded:
        yield el("details", el("summary", one.title), _content(one))


def _list(section: Section) -> Html:
    """Sentences; numbers are those of HTML itself."""
    if all(line.is_numbered for line in section.notes):
        return el("ol", (el("li", line.text, _source(line)) for line in section.notes))
    plain = all(line.style is Style.PLAIN for line in section.notes)
    entries = (
        el("li", _label(line), line.text, _source(line), class_=_class(line)) for line in section.notes
    )
    return el("ul", entries, class_=None if plain else "messages")


def _label(line: Line) -> Content:
    return [el("strong", line.label), " "] if line.label else None


def _source(line: Line) -> Content:
    return [" (", link("source", line.source), ")"] if line.source else None
