"""What is drawn says what the graph says: checked on the geometry and on the finished drawing."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.report.diagram.layout import LABEL_SIZE, Box, Layout, Line, Shape, label_of, runs_inward
from dify_cdk.report.diagram.model import VIEWER, Edge, Flow, Graph, Node, Tier
from dify_cdk.report.diagram.svg import COLOURS, DARK_COLOURS, connections, describe, diagram, draw
from dify_cdk.report.diagram.tall import lay_out_tall
from dify_cdk.report.diagram.text_width import shortened, text_width, wrapped
from dify_cdk.report.diagram.wide import lay_out_wide
from dify_cdk.report.templates.subject import Part, Subject
from support import TEMPLATES

SVG = "{http://www.w3.org/2000/svg}"


def subject(name: str) -> Subject:
    template = json.loads((TEMPLATES / name).read_text())
    return Subject(name=name.partition(".")[0], parts=(Part(name=name, template=template),))


SHOP = subject("shop.template.json")


def node(id: str, tier: Tier = Tier.COMPUTE, **other: object) -> Node:
    return Node(id=id, tier=tier, title=id, service="a service", **other)  # type: ignore[arg-type]


def request(source: str, target: str, *paths: str, default: bool = False) -> Edge:
    return Edge(source=source, target=target, flow=Flow.REQUEST, paths=paths, default=default)


# --- graphs ---------------------------------------------------------------------------------------------

FACTS = st.lists(st.sampled_from(["1 task", "0.25 vCPU, 0.5 GB", "own public address", "x" * 90]), max_size=3)
PATHS = st.lists(st.sampled_from(["/e/*", "/api", "/api/*", "/v1/{proxy+}", "/" + "long/" * 30]), max_size=4)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph of some entry points, some containers and some data."""
    entries = [f"entry{n}" for n in range(draw(st.integers(0, 4)))]
    compute = [f"compute{n}" for n in range(draw(st.integers(0, 6)))]
    data = [f"data{n}" for n in range(draw(st.integers(0, 3)))]

    def some(pairs: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
        return draw(st.lists(st.sampled_from(pairs), max_size=most, unique=True)) if pairs else []

    ends = [*entries, *compute, *(data if draw(st.booleans()) else [])]
    ways = [(a, b) for a in (VIEWER, *entries) for b in ends if a != b]
    calls = [(a, b) for a in compute for b in compute if a != b]
    uses = [(a, b) for a in compute for b in data]
    edges = [
        *(request(a, b, *draw(PATHS), default=draw(st.booleans())) for a, b in some(ways, 8)),
        *(Edge(source=a, target=b, flow=Flow.CALL) for a, b in some(calls, 12)),
        *(Edge(source=a, target=b, flow=Flow.DATA) for a, b in some(uses, 8)),
    ]
    tiers = [(Tier.ENTRY_POINT, entries), (Tier.COMPUTE, compute), (Tier.DATA, data)]
    parts = [
        Node(id=id, tier=tier, title=id, service="a service", details=tuple(draw(FACTS)))
        for tier, ids in tiers
        for id in ids
    ]
    guards = [
        node(f"{host}/guard{n}", Tier.ENTRY_POINT, host=host)
        for host in entries
        for n in range(draw(st.integers(0, 2)))
    ]
    return Graph(nodes=(node(VIEWER, Tier.VIEWER), *parts, *guards), edges=tuple(edges))


def layouts(graph: Graph) -> Iterator[Layout]:
    yield lay_out_tall(graph)
    if runs_inward(graph):
        yield lay_out_wide(graph)


# --- what a drawing says --------------------------------------------------------------------------------

Point = tuple[float, float]


def between(value: float, a: float, b: float) -> bool:
    return min(a, b) - 0.01 <= value <= max(a, b) + 0.01


def crossing(a: Line, b: Line) -> Point | None:
    """Where a horizontal and a vertical line meet."""
    for level, upright in ((a, b), (b, a)):
        (x1, y1), (x2, y2) = level.points
        (x3, y3), (x4, y4) = upright.points
        if y1 == y2 and x3 == x4 and between(x3, x1, x2) and between(y1, y3, y4):
            return x3, y1
    return None


def joined(a: Line, b: Line, layout: Layout) -> bool:
    """Whether a reader sees two lines as connected.

    Requests: where one ends at the other. Calls and data: where a dot says so, and where a rail gives off an
    arrow.
    """
    point = crossing(a, b)
    if a.flow is not b.flow or point is None:
        return False
    if a.flow is Flow.REQUEST:
        return point in (*a.points, *b.points)
    dotted = any(dot.flow is a.flow and (dot.x, dot.y) == point for dot in layout.dots)
    return dotted or any(line.arrow and line.points[0] == point for line in (a, b))


def touches(point: Point, box: Box) -> bool:
    return between(point[0], box.x, box.right) and between(point[1], box.y, box.bottom)


def box_at(point: Point, layout: Layout) -> str | None:
    return next((box.node.id for box in layout.boxes if touches(point, box)), None)


def drawn(layout: Layout) -> set[tuple[str, str, Flow]]:
    """The connections that a drawing shows: out of a box, along a rail that the line joins, by an arrow."""
    uprights = [line for line in layout.lines if line.points[0][0] == line.points[1][0] and not line.arrow]
    found = set()
    for start in layout.lines:
        source = box_at(start.points[0], layout)
        if source is None:
            continue
        rails = [rail for rail in uprights if rail is not start and joined(start, rail, layout)]
        arrows = [
            line for rail in rails for line in layout.lines if line.arrow and joined(rail, line, layout)
        ]
        for arrow in (*arrows, *([start] if start.arrow else [])):
            target = box_at(arrow.points[-1], layout)
            assert target is not None, "an arrow ends at a box"
            found.add((source, target, arrow.flow))
    return found


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] - 0.01 and b[0] < a[2] - 0.01 and a[1] < b[3] - 0.01 and b[1] < a[3] - 0.01


def rectangle(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.right, box.bottom


def label_rectangles(layout: Layout) -> list[tuple[float, float, float, float]]:
    found = []
    for label in layout.labels:
        width = text_width(label.text, LABEL_SIZE, bold=label.heading)
        left = label.x - width if label.end else label.x
        found.append((left, label.y - LABEL_SIZE * 0.8, left + width, label.y + 2))
    return found


class TestLayout:
    @given(graphs())
    @settings(max_examples=100, deadline=None)
    def test_the_lines_show_the_edges_and_nothing_else(self, graph: Graph) -> None:
        expected = {(edge.source, edge.target, edge.flow) for edge in graph.edges}
        for layout in layouts(graph):
            assert drawn(layout) == expected

    @given(graphs())
    @settings(max_examples=100, deadline=None)
    def test_no_line_runs_through_a_box(self, graph: Graph) -> None:
        for layout in layouts(graph):
            for line in layout.lines:
                (x1, y1), (x2, y2) = line.points
                path = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
                for box in layout.boxes:
                    inside = (box.x + 0.1, box.y + 0.1, box.right - 0.1, box.bottom - 0.1)
                    widened = (path[0] - 0.02, path[1] - 0.02, path[2] + 0.02, path[3] + 0.02)
                    assert not overlap(widened, inside), (line, box.node.id)

    @given(graphs())
    @settings(max_examples=100, deadline=None)
    def test_boxes_and_labels_keep_apart_and_inside(self, graph: Graph) -> None:
        for layout in layouts(graph):
            boxes = [rectangle(box) for box in layout.boxes]
            labels = label_rectangles(layout)
            assert len(boxes) == len([one for one in graph.nodes if one.host is None])
            for a, b in itertools.combinations([*boxes, *labels], 2):
                assert not overlap(a, b), (a, b)
            for left, top, right, bottom in [*boxes, *labels]:
                assert left >= 0
                assert top >= 0
                assert right <= layout.width
                assert bottom <= layout.height

    @given(graphs())
    @settings(max_examples=100, deadline=None)
    def test_texts_fit_into_their_boxes(self, graph: Graph) -> None:
        for layout in layouts(graph):
            for box in layout.boxes:
                assert text_width(box.title, 13, bold=True) <= box.width - 19
                for text in (*box.lines, *box.pills):
                    assert text_width(text, 11) <= box.width - 19

    def test_callers_of_the_same_share_a_rail(self) -> None:
        nodes = [node("a"), node("b"), node("x", Tier.DATA), node("y", Tier.DATA)]
        edges = [Edge(source=s, target=t, flow=Flow.DATA) for s in "ab" for t in "xy"]
        for layout in layouts(Graph(nodes=tuple(nodes), edges=tuple(edges))):
            uprights = {line for line in layout.lines if line.points[0][0] == line.points[1][0]}
            assert len(uprights) == 1
            assert len(layout.dots) == 2

    def test_an_entry_point_that_leads_only_to_the_next_one_stands_above_it(self) -> None:
        nodes = [node("api", Tier.ENTRY_POINT), node("link", Tier.ENTRY_POINT), node("c")]
        edges = [request("api", "link"), request("link", "c", default=True)]
        for layout in layouts(Graph(nodes=tuple(nodes), edges=tuple(edges))):
            api, link, _ = layout.boxes
            assert api.x == link.x
            assert api.bottom < link.y

    def test_lines_of_different_entry_points_never_run_on_in_one_another(self) -> None:
        """The line out of entry0 would begin as high as the viewer's line to the second container."""
        entries = (node("entry0", Tier.ENTRY_POINT), node("entry1", Tier.ENTRY_POINT))
        compute = tuple(node(f"compute{number}") for number in range(3))
        edges = (request(VIEWER, "compute0"), request(VIEWER, "compute1"), request("entry0", "compute0"))
        graph = Graph(nodes=(node(VIEWER, Tier.VIEWER), *entries, *compute), edges=edges)
        assert runs_inward(graph)
        expected = {(edge.source, edge.target, edge.flow) for edge in edges}
        assert drawn(lay_out_wide(graph)) == expected

    def test_a_circle_of_entry_points_is_drawn_from_top_to_bottom(self) -> None:
        nodes = (node("a", Tier.ENTRY_POINT), node("b", Tier.ENTRY_POINT))
        graph = Graph(nodes=nodes, edges=(request("a", "b"), request("b", "a")))
        assert not runs_inward(graph)
        assert draw(graph, name="x", shape=Shape.WIDE) == draw(graph, name="x", shape=Shape.TALL)


class TestLabels:
    @pytest.mark.parametrize(
        ("paths", "label"),
        [
            ((), ""),
            (("/e/*",), "/e/*"),
            (("/e/{proxy+}",), "/e/*"),
            (("/api", "/api/*"), "/api/*"),
            (("/api", "/api/*", "/v1", "/v1/*", "/mcp"), "/api and 2 more"),
            (("/a/very/long/path/pattern", "/b"), "2 path patterns"),
        ],
    )
    def test_paths_in_a_few_letters(self, paths: tuple[str, ...], label: str) -> None:
        assert label_of(request("a", "b", *paths), only=False) == label

    def test_the_default_is_everything_or_the_rest(self) -> None:
        edge = request("a", "b", "/static/*", default=True)
        assert label_of(edge, only=True) == "everything"
        assert label_of(edge, only=False) == "everything else"


class TestTextWidth:
    def test_more_text_is_wider(self) -> None:
        assert text_width("iiii", 11) < text_width("nnnn", 11) < text_width("WWWW", 11)
        assert text_width("abc", 11) < text_width("abc", 11, bold=True) < text_width("abc", 14, bold=True)

    @given(st.text(max_size=30), st.floats(20, 200))
    def test_what_is_shortened_fits(self, text: str, width: float) -> None:
        short = shortened(text, width, 11)
        assert text_width(short, 11) <= width
        assert short == text or short.endswith("...")

    @given(st.lists(st.text(min_size=1, max_size=12), max_size=6), st.integers(1, 3))
    def test_what_is_wrapped_has_so_many_lines_at_most(self, parts: list[str], lines: int) -> None:
        rows = wrapped(tuple(parts), 100, 11, lines)
        assert len(rows) <= lines
        assert all(text_width(row, 11) <= 100 for row in rows)


class TestWords:
    GRAPH = Graph(
        nodes=(
            node(VIEWER, Tier.VIEWER),
            node("cdn", Tier.ENTRY_POINT),
            node("cdn/f", Tier.ENTRY_POINT, host="cdn"),
            node("api"),
            node("web"),
            node("db", Tier.DATA),
        ),
        edges=(
            request(VIEWER, "cdn"),
            request("cdn", "api", "/api", "/api/*"),
            request("cdn", "web", default=True),
            Edge(source="web", target="api", flow=Flow.CALL),
            Edge(source="api", target="db", flow=Flow.DATA),
        ),
    )

    def test_every_connection_is_said(self) -> None:
        assert list(connections(self.GRAPH)) == [
            "viewer lead to cdn",
            "cdn runs cdn/f",
            "cdn leads /api/* to api and everything else to web",
            "api uses db",
            "web calls api",
        ]

    def test_an_empty_drawing_says_so(self) -> None:
        assert describe(Graph(nodes=(), edges=())) == "Nothing in these templates can be drawn."


class TestDrawing:
    @pytest.mark.parametrize("shape", Shape)
    @pytest.mark.parametrize("name", ["shop.template.json", "mailbox.template.json", "odd.json"])
    def test_stands_alone(self, name: str, shape: Shape) -> None:
        text = diagram(subject(name), shape=shape)
        root = ElementTree.fromstring(text)
        assert root.tag == f"{SVG}svg"
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"
        assert "href" not in text
        assert "url(" not in text
        assert "var(" not in text
        for element in root.iter():
            if element.tag in {f"{SVG}rect", f"{SVG}text", f"{SVG}polyline", f"{SVG}polygon"}:
                assert re.fullmatch("#[0-9a-f]{6}|none", element.attrib["fill"])

    def test_has_a_title_and_a_description_for_those_who_do_not_see_it(self) -> None:
        root = ElementTree.fromstring(diagram(SHOP, prefix="shop-1"))
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-labelledby"] == title.attrib["id"] == "shop-1-title"
        assert root.attrib["aria-describedby"] == description.attrib["id"] == "shop-1-desc"
        assert title.text == "Architecture of shop"
        assert "Application Load Balancer leads" in (description.text or "")

    def test_ids_begin_with_the_prefix(self) -> None:
        ids = re.findall(r' id="([^"]+)"', diagram(SHOP, prefix="p"))
        assert len(ids) == len(set(ids)) == 2
        assert all(id.startswith("p-") for id in ids)

    @pytest.mark.parametrize("shape", Shape)
    def test_the_same_subject_gives_the_same_text(self, shape: Shape) -> None:
        assert diagram(SHOP, shape=shape) == diagram(subject("shop.template.json"), shape=shape)

    def test_the_two_shapes_are_wide_and_tall(self) -> None:
        def ratio(shape: Shape) -> float:
            root = ElementTree.fromstring(diagram(SHOP, shape=shape))
            return float(root.attrib["width"]) / float(root.attrib["height"])

        assert ratio(Shape.WIDE) > 1 > ratio(Shape.TALL)

    def test_a_template_cannot_write_markup_into_it(self) -> None:
        evil = '</text><script>alert("1")</script>&\x00\x1b]'
        queue = {"Type": "AWS::SQS::Queue"}
        function = {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "<b>'&\"\x07"}}
        template = {"Resources": {evil: queue, "Fn": function}}
        for shape in Shape:
            text = diagram(Subject(name=evil, parts=(Part(name=evil, template=template),)), shape=shape)
            root = ElementTree.fromstring(text)
            assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
                *("svg", "title", "desc", "style", "rect", "g", "text", "polyline", "polygon", "circle"),
            }
            assert "<script" not in text
            assert "<b>'&\" " in [element.text for element in root.iter(f"{SVG}text")]

    def test_nothing_to_draw_is_a_drawing_that_says_so(self) -> None:
        text = diagram(Subject(name="x", parts=(Part(name="x", template={}),)))
        root = ElementTree.fromstring(text)
        assert [element.text for element in root.iter(f"{SVG}text")] == [
            "Nothing in these templates can be drawn."
        ]

    def test_what_does_not_run_all_the_time_has_a_dashed_border(self) -> None:
        text = draw(Graph(nodes=(node("a"), node("b", steady=False)), edges=()), name="x")
        dashes = [
            rect.attrib.get("stroke-dasharray") for rect in ElementTree.fromstring(text).iter(f"{SVG}rect")
        ]
        assert dashes == [None, None, "4 3"]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [COLOURS, DARK_COLOURS], ids=["light", "dark"])
class TestContrast:
    """WCAG 2.1: 4.5 for text, 3 for what else has to be seen."""

    def test_text(self, colours: dict[str, tuple[str, str]]) -> None:
        fills = [fill for fill, _ in colours.values() if fill]
        grounds = [colours[name][0] for name in ("paper", "viewer", "entry-point", "compute", "data", "pill")]
        assert fills
        for ground in grounds:
            assert contrast(colours["ink"][0], ground) >= 7
            assert contrast(colours["soft"][0], ground) >= 4.5

    def test_lines_and_borders(self, colours: dict[str, tuple[str, str]]) -> None:
        for flow in Flow:
            assert contrast(colours[f"line-{flow}"][1], colours["paper"][0]) >= 3
        for tier in Tier:
            assert contrast(colours[tier][1], colours["paper"][0]) >= 3
