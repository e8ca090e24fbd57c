"""A comparison as one HTML page that needs nothing else: no network, no scripts, no other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.diagram.layout import Shape
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.diagram.svg import connections, draw
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output import html_costs as costs
from dify_cdk.report.output import html_sections as differences
from dify_cdk.report.output.html_text import Content, Html, el, listed
from dify_cdk.report.phrases import enumeration, plural

_STYLE = Path(__file__).parents[1] / "data" / "page.css"
# Nothing may be loaded and nothing may run, whatever a template manages to write into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_SECTIONS = (
    ("glance", "At a glance"),
    ("architecture", "Architecture"),
    ("cost", "Monthly cost"),
    ("limits", "Limits"),
    ("resources", "Resources"),
    ("warnings", "Warnings"),
    ("about", "About these figures"),
)

_GLANCE = (
    ("request timeout", "app", "Longest request"),
    ("streaming", "app", "Streamed answers"),
    ("largest request", "uploads", "Largest upload"),
    ("WebSocket", "", "WebSocket"),
    ("cold start", "app", "Cold start"),
)
"""Limits that decide for most readers: name, scope, and the word for them."""


def to_html(comparison: Comparison) -> str:
    """The comparison as a page.

    The page depends on the comparison alone: no date, no version, no place. All text of templates is escaped.
    """
    names = enumeration([one.name for one in comparison.compared]) or "Nothing"
    title = f"{names}: architecture, cost and limits"
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="dify-cdk compare"),
        el("title", title),
        el("style", Html(_STYLE.read_text(encoding="utf-8"))),
    ]
    body = [
        el("header", el("h1", title), el("p", _lead(comparison)), _navigation()),
        el("main", _sections(comparison)),
        el("footer", el("p", "Made by ", el("code", "dify-cdk compare --format html"), ".")),
    ]
    page = el("html", el("head", head), el("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _lead(comparison: Comparison) -> str:
    return (
        "Everything here is computed from CloudFormation templates alone: no AWS account was asked and"
        f" nothing was deployed. Cost is for the usage {comparison.usage}."
    )


def _navigation() -> Html:
    entries = (el("li", el("a", text, href=f"#{id}")) for id, text in _SECTIONS)
    return el("nav", el("ul", entries), aria_label="Sections")


def _sections(comparison: Comparison) -> Iterator[Html]:
    compared = comparison.compared
    content: dict[str, Content] = {
        "glance": _glance(comparison),
        "architecture": _architecture(compared),
        "cost": costs.section(comparison),
        "limits": [el("p", _LIMITS_LEAD), differences.limits(compared)],
        "resources": differences.resources(compared),
        "warnings": differences.warnings(compared),
        "about": _about(),
    }
    for id, heading in _SECTIONS:
        yield el(
            "section",
            el("h2", heading, id=f"{id}-heading"),
            content[id],
            id=id,
            aria_labelledby=f"{id}-heading",
        )


_LIMITS_LEAD = (
    "For each kind of path a request is followed hop by hop; the smallest value counts. In the table, app"
    " means the api's long requests, web the pages, uploads paths that carry files, plugin endpoints /e/."
    " What cannot be followed is called unknown."
)


# --- at a glance ----------------------------------------------------------------------------------------


def _glance(comparison: Comparison) -> Html:
    cards = (_card(one, comparison.usage) for one in comparison.compared)
    return el("div", cards, class_="cards")


def _card(one: Compared, usage: str) -> Html:
    facts = [(word, _fact(one.limits, name, scope)) for name, scope, word in _GLANCE]
    return el(
        "article",
        el("h3", one.name),
        el("p", el("strong", costs.total(one.cost)), el("br"), f"a month with usage {usage}", class_="price"),
        el("p", f"{costs.total(one.floor)} a month if nobody uses it"),
        el("dl", ([el("dt", word), el("dd", text)] for word, text in facts if text)),
        el("p", _content(one), class_="soft"),
    )


def _fact(limits: Sequence[Limit], name: str, scope: str) -> str:
    """The value of a limit; with several doors that of each, whose scopes name the door behind the paths."""
    door = f"{scope} at ".lstrip()
    found = (one for one in limits if one.name == name)
    values = (one.text for one in found if one.scope == scope or one.scope.startswith(door))
    return " or ".join(dict.fromkeys(values))


def _content(one: Compared) -> str:
    stacks = plural(len(one.subject.parts), "stack")
    return (
        f"{plural(one.whole.total, 'resource')}, {plural(len(one.whole.containers), 'container')}, {stacks}"
    )


# --- architecture ---------------------------------------------------------------------------------------


def _architecture(compared: Sequence[Compared]) -> Iterator[Html]:
    alone = len(compared) == 1
    figures = (_figure(one, f"diagram-{number}", alone=alone) for number, one in enumerate(compared, start=1))
    yield el("div", figures, class_="figures alone" if alone else "figures")


def _figure(one: Compared, prefix: str, *, alone: bool) -> Html:
    """The drawing; a single subject has room for the wide shape where the screen has."""
    graph = read_graph(one.subject)
    tall = Html(draw(graph, name=one.name, shape=Shape.TALL, prefix=f"{prefix}-tall"))
    drawings: Content = el("div", tall, class_="drawing")
    if alone:
        wide = Html(draw(graph, name=one.name, shape=Shape.WIDE, prefix=f"{prefix}-wide"))
        drawings = [el("div", wide, class_="drawing roomy"), el("div", tall, class_="drawing narrow")]
    notes = f" Not drawn: {'; '.join(graph.notes)}." if graph.notes else ""
    return el(
        "figure",
        el("h3", one.name),
        drawings,
        el("figcaption", f"What the templates of {one.name} connect.{notes}"),
        el("details", el("summary", f"The connections of {one.name} in words"), listed(connections(graph))),
    )


# --- the rest -------------------------------------------------------------------------------------------


def _about() -> Iterator[Html]:
    yield el(
        "p",
        "Limits and costs follow from the templates and from published quotas and prices, each with its"
        " source. Where a template leaves something to the moment of deployment, or AWS does not publish a"
        " price, the figure says at least or unknown. Load, latency and real invoices are not simulated.",
    )
