"""Drawings of reports in HTML: architectures, and amounts as bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from dify_cdk.report.diagram.layout import Shape
from dify_cdk.report.diagram.svg import draw
from dify_cdk.report.output.html_text import Content, Html, el
from dify_cdk.report.output.sections import Bar, Diagram

_LEAST_FOR_NUMBER = 5.0  # per cent of the bar; a narrower piece has no room for its number


def figures(diagrams: Sequence[Diagram]) -> Html:
    """Architectures side by side; a single one has room for the wide shape where the screen has."""
    alone = len(diagrams) == 1
    drawn = (_figure(one, f"diagram-{number}", alone=alone) for number, one in enumerate(diagrams, start=1))
    return el("div", drawn, class_="figures alone" if alone else "figures")


def _figure(one: Diagram, prefix: str, *, alone: bool) -> Html:
    tall = Html(draw(one.graph, name=one.name, shape=Shape.TALL, prefix=f"{prefix}-tall"))
    drawings: Content = el("div", tall, class_="drawing")
    if alone:
        wide = Html(draw(one.graph, name=one.name, shape=Shape.WIDE, prefix=f"{prefix}-wide"))
        drawings = [el("div", wide, class_="drawing roomy"), el("div", tall, class_="drawing narrow")]
    notes = f" Not drawn: {'; '.join(one.graph.notes)}." if one.graph.notes else ""
    caption = el("figcaption", f"What the templates of {one.name} connect.{notes}")
    return el("figure", el("h3", one.name), drawings, caption)


def bars(found: Sequence[Bar]) -> Html:
    """Bars below the names of what they are about; the longest one is as wide as its place."""
    widest = max(math.fsum(piece.size for piece in one.pieces) for one in found) or 1.0
    groups = (
        el("div", el("h3", name), (_bar(one, widest) for one in group), class_="bars")
        for name, group in groupby(found, key=lambda one: one.name)
    )
    return el("div", groups, class_="chart")


def _bar(one: Bar, widest: float) -> Iterator[Html]:
    name = f"{one.name}, {one.what}: {one.amount}"
    yield el("p", el("strong", one.amount), f" {one.what}")
    yield el(
        "svg", _pieces(one, widest), class_="bar", width="100%", height="24", role="img", aria_label=name
    )


def _pieces(one: Bar, widest: float) -> Iterator[Html]:
    """Lengths are per cent, so that the bar is as wide as its place."""
    left = 0.0
    for colour, group in groupby(one.pieces, key=lambda piece: piece.colour):
        pieces = list(group)
        width = 100 * math.fsum(piece.size for piece in pieces) / widest
        shape = el("rect", x=f"{left:.2f}%", y="0", width=f"{width:.2f}%", height="24")
        number = el("text", str(colour), x=f"{left + width / 2:.2f}%", y="16", text_anchor="middle")
        words = el("title", "; ".join(piece.text for piece in pieces))
        yield el("g", words, shape, number if width >= _LEAST_FOR_NUMBER else None, class_=f"c{colour}")
        left += width
