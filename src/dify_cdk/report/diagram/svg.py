"""A subject's architecture as an SVG drawing that stands alone or inside a page.

Colours are attributes, so that any program shows them; a style sheet inside only changes them for readers
who prefer dark pages. The background is drawn, so that the text is legible on any page.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from xml.sax.saxutils import escape

from dify_cdk.report.diagram import layout
from dify_cdk.report.diagram.layout import Box, Label, Layout, Line, Shape, label_of, runs_inward
from dify_cdk.report.diagram.model import Edge, Flow, Graph, Tier
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.diagram.tall import lay_out_tall
from dify_cdk.report.diagram.text_width import text_width
from dify_cdk.report.diagram.wide import lay_out_wide
from dify_cdk.report.phrases import clean, enumeration
from dify_cdk.report.templates.subject import Subject

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_NONE = "none"
_PALETTE = {
    "paper": (("#ffffff", "#cbd5e1"), ("#0f172a", "#334155")),
    "ink": (("#0f172a", _NONE), ("#f1f5f9", _NONE)),
    "soft": (("#475569", _NONE), ("#cbd5e1", _NONE)),
    "pill": (("#ffffff", "#2563eb"), ("#0f172a", "#60a5fa")),
    Tier.VIEWER: (("#f1f5f9", "#64748b"), ("#1e293b", "#94a3b8")),
    Tier.ENTRY_POINT: (("#eff6ff", "#2563eb"), ("#172554", "#60a5fa")),
    Tier.COMPUTE: (("#fff7ed", "#c2410c"), ("#361b0d", "#fb923c")),
    Tier.DATA: (("#f5f3ff", "#6d28d9"), ("#261a4d", "#a78bfa")),
    f"line-{Flow.REQUEST}": ((_NONE, "#2563eb"), (_NONE, "#60a5fa")),
    f"line-{Flow.CALL}": ((_NONE, "#c2410c"), (_NONE, "#fb923c")),
    f"line-{Flow.DATA}": ((_NONE, "#6d28d9"), (_NONE, "#a78bfa")),
    f"fill-{Flow.REQUEST}": (("#2563eb", _NONE), ("#60a5fa", _NONE)),
    f"fill-{Flow.CALL}": (("#c2410c", _NONE), ("#fb923c", _NONE)),
    f"fill-{Flow.DATA}": (("#6d28d9", _NONE), ("#a78bfa", _NONE)),
}
"""Fill and stroke of everything that is drawn, and both for readers who prefer dark pages."""

COLOURS = MappingProxyType({name: light for name, (light, _) in _PALETTE.items()})
DARK_COLOURS = MappingProxyType({name: dark for name, (_, dark) in _PALETTE.items()})

_FLOW_NAMES = MappingProxyType({Flow.REQUEST: "requests", Flow.CALL: "internal calls", Flow.DATA: "data"})
_DASHES = MappingProxyType({Flow.REQUEST: "", Flow.CALL: "5 3", Flow.DATA: ""})
_THICKNESS = MappingProxyType({Flow.REQUEST: 2.0, Flow.CALL: 1.5, Flow.DATA: 1.5})
_NOTHING = "Nothing in these templates can be drawn."

_HEAD = 7.0  # length of an arrow head
_LEGEND_LEFT, _LEGEND_STEP = 14.0, 20.0
_LEAST_WIDTH = 280.0


def diagram(subject: Subject, *, shape: Shape = Shape.WIDE, prefix: str = "architecture") -> str:
    """Draw what a subject's templates connect.

    Args:
        subject: Any CDK app's templates. What is not understood is left out or shown as it stands.
        shape: From left to right, or from top to bottom for narrow pages.
        prefix: Beginning of the ids in the drawing: different for each drawing of a page.

    Returns:
        One ``svg`` element with its size, a title and a description in words. The same subject gives the
        same text, always.
    """
    return draw(read_graph(subject), name=subject.name, shape=shape, prefix=prefix)


def draw(graph: Graph, *, name: str, shape: Shape = Shape.WIDE, prefix: str = "architecture") -> str:
    """Draw a graph; see ``diagram``."""
    placed = _placed(graph, shape)
    legend, height = _legend(placed)
    if not placed.boxes:
        legend, height = [_write(14, 28, _NOTHING, layout.TEXT_SIZE, soft=True)], 44.0
    width = max(placed.width, _LEAST_WIDTH)
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="dg" {size}'
            f' role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-desc"'
            f' font-family="{FONT}">',
            f'<title id="{prefix}-title">{_text(f"Architecture of {name}")}</title>',
            f'<desc id="{prefix}-desc">{_text(describe(graph))}</desc>',
            f"<style>{_style()}</style>",
            f'<rect {_colours("paper")} x="0.5" y="0.5" width="{_n(width - 1)}" height="{_n(height - 1)}"'
            ' rx="8"/>',
            *(_line(line) for line in placed.lines),
            *_dots(placed),
            *(part for box in placed.boxes for part in _box(box)),
            *(_label(label) for label in placed.labels),
            *legend,
            "</svg>",
        ]
    )


def _style() -> str:
    rules = (
        f".dg-{name} {{ fill: {fill}; stroke: {stroke} }}" for name, (fill, stroke) in DARK_COLOURS.items()
    )
    return "@media screen and (prefers-color-scheme: dark) { " + " ".join(rules) + " }"


def _colours(name: str) -> str:
    fill, stroke = COLOURS[name]
    return f'class="dg-{name}" fill="{fill}" stroke="{stroke}"'


def _placed(graph: Graph, shape: Shape) -> Layout:
    """What does not run from left to right is drawn in the tall shape: there any line has room."""
    return lay_out_wide(graph) if shape is Shape.WIDE and runs_inward(graph) else lay_out_tall(graph)


def describe(graph: Graph) -> str:
    """The drawing in words, for those who do not see it."""
    sentences = [f"{sentence}." for sentence in connections(graph)]
    return " ".join(sentences) or _NOTHING


def connections(graph: Graph) -> Iterator[str]:
    """One sentence, without a full stop, for each part that leads somewhere."""
    titles = {node.id: node.title for node in graph.nodes}
    for node in graph.nodes:
        guards = [guard.title for guard in graph.guards(node.id)]
        if guards:
            yield f"{node.title} runs {enumeration(guards)}"
        mine = [edge for edge in graph.edges if edge.source == node.id]
        requests = [edge for edge in mine if edge.flow is Flow.REQUEST]
        if requests:
            ways = [_way(edge, titles, only=len(requests) == 1) for edge in requests]
            yield f"{node.title} {'lead' if node.tier is Tier.VIEWER else 'leads'} {enumeration(ways)}"
        for flow, verb in ((Flow.CALL, "calls"), (Flow.DATA, "uses")):
            ends = [titles[edge.target] for edge in mine if edge.flow is flow]
            if ends:
                yield f"{node.title} {verb} {enumeration(ends)}"


def _way(edge: Edge, titles: dict[str, str], *, only: bool) -> str:
    what = label_of(edge, only=only)
    return f"{what} to {titles[edge.target]}".lstrip()


# --- pieces ---------------------------------------------------------------------------------------------


def _box(box: Box) -> Iterator[str]:
    node = box.node
    full = ", ".join(filter(None, (node.title, node.service, *node.details)))
    dash = "" if node.steady else ' stroke-dasharray="4 3"'
    yield f"<g><title>{_text(f'{full} ({node.id})')}</title>"
    yield (
        f'<rect {_colours(node.tier)} x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}"'
        f' height="{_n(box.height)}" rx="6" stroke-width="1.5"{dash}/>'
    )
    text_height = layout.LINE_HEIGHT * (1 + len(box.lines)) + layout.GUARD_STEP * len(box.pills)
    x, y = box.x + layout.PADDING, box.y + (box.height - text_height) / 2 + layout.TITLE_SIZE - 2
    yield _write(x, y, box.title, layout.TITLE_SIZE, bold=True)
    for line in box.lines:
        y += layout.LINE_HEIGHT
        yield _write(x, y, line, layout.TEXT_SIZE, soft=True)
    y += 8
    for pill in box.pills:
        yield (
            f'<rect {_colours("pill")} x="{_n(x)}" y="{_n(y)}"'
            f' width="{_n(box.width - 2 * layout.PADDING)}" height="{_n(layout.GUARD_HEIGHT)}" rx="4"/>'
        )
        yield _write(x + layout.PILL_PADDING, y + 14, pill, layout.LABEL_SIZE)
        y += layout.GUARD_STEP
    yield "</g>"


def _line(line: Line) -> str:
    points = list(line.points)
    head = ""
    if line.arrow:
        head = _head(line)
        (x1, y1), (x2, y2) = points[-2:]
        step = _HEAD - 1
        points[-1] = (x2 - step * _sign(x2 - x1), y2 - step * _sign(y2 - y1))
    path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    dash = f' stroke-dasharray="{_DASHES[line.flow]}"' if _DASHES[line.flow] else ""
    return (
        f'<polyline {_colours(f"line-{line.flow}")} points="{path}"'
        f' stroke-width="{_n(_THICKNESS[line.flow])}" stroke-linecap="round"{dash}/>{head}'
    )


def _head(line: Line) -> str:
    """The arrow head; no marker, because markers do not take the colour of their line everywhere."""
    (x1, y1), (x, y) = line.points[-2:]
    dx, dy = _sign(x - x1), _sign(y - y1)
    back = (x - _HEAD * dx, y - _HEAD * dy)
    corners = ((x, y), (back[0] - 4 * dy, back[1] - 4 * dx), (back[0] + 4 * dy, back[1] + 4 * dx))
    points = " ".join(f"{_n(a)},{_n(b)}" for a, b in corners)
    return f'<polygon {_colours(f"fill-{line.flow}")} points="{points}"/>'


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _dots(placed: Layout) -> Iterator[str]:
    for dot in placed.dots:
        yield f'<circle {_colours(f"fill-{dot.flow}")} cx="{_n(dot.x)}" cy="{_n(dot.y)}" r="3.5"/>'


def _label(label: Label) -> str:
    if label.heading:
        return _write(label.x, label.y, label.text, layout.HEADING_SIZE, bold=True, soft=True)
    return _write(label.x, label.y, label.text, layout.LABEL_SIZE, end=label.end)


def _legend(placed: Layout) -> tuple[list[str], float]:
    """What the kinds of line mean, below everything else, in as many rows as it takes; their bottom."""
    parts = []
    x, y = _LEGEND_LEFT, placed.height + 4
    for flow in Flow:
        if not any(line.flow is flow for line in placed.lines):
            continue
        width = 34 + text_width(_FLOW_NAMES[flow], layout.LABEL_SIZE)
        if x + width > placed.width and x > _LEGEND_LEFT:
            x, y = _LEGEND_LEFT, y + _LEGEND_STEP
        parts.append(_line(Line(flow=flow, points=((x, y), (x + 26, y)), arrow=True)))
        parts.append(_write(x + 34, y + 4, _FLOW_NAMES[flow], layout.LABEL_SIZE, soft=True))
        x += width + 16
    return parts, y + 14 if parts else placed.height


def _write(
    x: float, y: float, text: str, size: float, *, bold: bool = False, soft: bool = False, end: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    colours = _colours("soft" if soft else "ink")
    return (
        f'<text {colours} x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{weight}{anchor}>{_text(text)}</text>'
    )


def _n(value: float) -> str:
    """A length with at most two decimals."""
    return f"{round(value, 2):g}"


def _text(value: str) -> str:
    """Text of a template, without what XML forbids."""
    return escape(clean(value))
