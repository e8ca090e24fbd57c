"""Where the parts of a graph stand and how the lines between them run; lengths are pixels.

Boxes stand in columns. All lines run in the gaps between columns, vertically on *rails*, and enter boxes from
the side: no line runs through a box, however many there are. An entry point has one rail that branches to all
its ends; containers and functions that are called by exactly the same callers share one rail, which every
caller joins with a dot. An entry point whose only end is another entry point has that one directly below it.

This module has what the two shapes share; ``tall`` and ``wide`` place the boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from dify_cdk.report.diagram.model import Edge, Flow, Graph, Node, Tier
from dify_cdk.report.diagram.text_width import shortened, text_width, wrapped

TITLE_SIZE, TEXT_SIZE, LABEL_SIZE, HEADING_SIZE = 13.0, 11.0, 11.0, 11.0
LINE_HEIGHT = 14.0
GUARD_HEIGHT, GUARD_STEP = 20.0, 24.0
PADDING, PILL_PADDING = 10.0, 6.0  # left and right of text
ROOM = 7.0  # above and below text

MARGIN = 12.0
RAIL = 13.0  # between rails
REACH = 16.0  # between a box and its first rail, with room for an arrow head
ROW_GAP = 12.0  # between boxes
ARROW_GAP = 22.0  # between boxes with an arrow or a label between them
HEADING_GAP = 32.0
LABEL_RISE = 5.0  # of a label's base line above its line or box

_PORT = 11.0  # least distance of two lines on one side of a box
_TEXT_LINES = 2
_LONGEST_LABEL = 24  # letters

HEADINGS = {Tier.VIEWER: "", Tier.ENTRY_POINT: "Entry points", Tier.COMPUTE: "Compute", Tier.DATA: "Data"}


class Shape(StrEnum):
    """How a diagram uses its room."""

    WIDE = "wide"
    """From left to right, some 800 to 1200 pixels wide."""
    TALL = "tall"
    """From top to bottom, about 350 pixels wide: for phones, and for several side by side."""


@dataclass(kw_only=True, slots=True)
class Box:
    """A node's rectangle.

    Attributes:
        node: What it shows.
        title: Its title, cut to the width.
        lines: Its text below the title.
        pills: One text per guard.
        width: Width.
        height: Height.
        x: Left border.
        y: Upper border.
        ports: ``(side, key)`` to how far below the upper border a line enters or leaves.
    """

    node: Node
    title: str
    lines: list[str]
    pills: list[str]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    ports: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def right(self) -> float:
        """The right border."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower border."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """The middle between left and right."""
        return self.x + self.width / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line from point to point; ``arrow``: whether it ends with a head."""

    flow: Flow
    points: tuple[tuple[float, float], ...]
    arrow: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """Where a caller joins a rail."""

    flow: Flow
    x: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """Text beside a line, or a heading; ``y`` is the base line, ``end``: ``x`` is its right end."""

    x: float
    y: float
    text: str
    heading: bool = False
    end: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Everything in its place."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    dots: tuple[Dot, ...]
    labels: tuple[Label, ...]


def label_of(edge: Edge, *, only: bool) -> str:
    """What stands at an arrow: which requests take it; ``only``: whether its entry point has no other way."""
    if edge.default:
        return "everything" if only else "everything else"
    prefixes = list(dict.fromkeys(_prefix(path) for path in edge.paths))
    if not prefixes:
        return ""
    if len(prefixes) == 1:
        return edge.paths[-1].replace("{proxy+}", "*")
    text = f"{prefixes[0]} and {len(prefixes) - 1} more"
    return text if len(text) <= _LONGEST_LABEL else f"{len(prefixes)} path patterns"


def _prefix(path: str) -> str:
    return path.removesuffix("/{proxy+}").removesuffix("/*")


# --- order ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Bus:
    """Callers that share one rail to everything that exactly they call."""

    flow: Flow
    callers: tuple[str, ...]
    callees: tuple[str, ...]

    @property
    def key(self) -> str:
        """What tells it from others."""
        return f"{self.flow}:{','.join(self.callers)}"


def _buses(graph: Graph, flow: Flow, order: Sequence[str]) -> Iterator[Bus]:
    callers: dict[str, set[str]] = {}
    for edge in graph.edges:
        if edge.flow is flow:
            callers.setdefault(edge.target, set()).add(edge.source)
    groups: dict[tuple[str, ...], list[str]] = {}
    for callee in sorted(callers, key=order.index):
        groups.setdefault(tuple(sorted(callers[callee], key=order.index)), []).append(callee)
    for members, callees in groups.items():
        yield Bus(flow=flow, callers=members, callees=tuple(callees))


def _chains(graph: Graph) -> list[list[Node]]:
    """The viewer and the entry points, each followed by the entry point that is its only end."""
    requests = [edge for edge in graph.edges if edge.flow is Flow.REQUEST]
    outer = {node.id: node for node in (*graph.of(Tier.VIEWER), *graph.of(Tier.ENTRY_POINT))}
    follower = {}
    for id in outer:
        ends = [edge.target for edge in requests if edge.source == id]
        if len(ends) == 1 and ends[0] in outer and sum(edge.target == ends[0] for edge in requests) == 1:
            follower[id] = ends[0]
    chains, seen = [], set(follower.values())
    for id in outer:
        chain: list[Node] = []
        following: str | None = None if id in seen else id
        while following is not None:
            chain.append(outer[following])
            following = follower.get(following)
        chains.append(chain)
    placed = {node.id for chain in chains for node in chain}
    circles = [[node] for id, node in outer.items() if id not in placed]
    return [*filter(None, chains), *circles]


def _depths(graph: Graph, chains: Sequence[Sequence[Node]]) -> dict[str, int]:
    """How many chains stand before each one, by node; a circle ends where it began."""
    number = {node.id: place for place, chain in enumerate(chains) for node in chain}
    depth = [0] * len(chains)
    for _ in chains:
        for edge in graph.edges:
            if edge.flow is Flow.REQUEST and edge.source in number and edge.target in number:
                source, target = number[edge.source], number[edge.target]
                if source != target:
                    depth[target] = min(max(depth[target], depth[source] + 1), len(chains) - 1)
    return {id: depth[place] for id, place in number.items()}


def _ordered_compute(graph: Graph, depth: dict[str, int]) -> list[Node]:
    """What the innermost entry point leads to is first, so that rails nest; what only others call is last."""
    rank: dict[str, int] = {}
    for edge in graph.edges:
        if edge.flow is Flow.REQUEST:
            rank[edge.target] = max(rank.get(edge.target, -1), depth.get(edge.source, 0))
    nodes = graph.of(Tier.COMPUTE)
    served = sorted((node for node in nodes if node.id in rank), key=lambda one: (-rank[one.id], one.title))
    others = sorted((node for node in nodes if node.id not in rank), key=lambda one: not one.steady)
    return [*served, *others]


# --- what both shapes share -----------------------------------------------------------------------------


class Canvas:
    """Boxes, their ports, and the lines of calls and data, which run alike in both shapes."""

    def __init__(self, graph: Graph) -> None:
        """Decide on the order of the parts and on who shares a rail."""
        self.graph = graph
        self.chains = _chains(graph)
        self.depth = _depths(graph, self.chains)
        self.chains.sort(key=lambda chain: self.depth[chain[0].id])
        outer = [node for chain in self.chains for node in chain]
        self.nodes = [*outer, *_ordered_compute(graph, self.depth), *graph.of(Tier.DATA)]
        order = [node.id for node in self.nodes]
        self.buses = [bus for flow in (Flow.CALL, Flow.DATA) for bus in _buses(graph, flow, order)]
        self.below = {a.id: b.id for chain in self.chains for a, b in pairwise(chain)}
        self.requests = sorted(
            (edge for edge in graph.edges if edge.flow is Flow.REQUEST),
            key=lambda edge: (order.index(edge.source), order.index(edge.target)),
        )
        self.boxes: dict[str, Box] = {}
        self.lines: list[Line] = []
        self.dots: list[Dot] = []
        self.labels: list[Label] = []

    # boxes

    def add_box(self, node: Node, width: float) -> Box:
        """Make the box of a node, as high as its text."""
        room = width - 2 * PADDING
        lines = wrapped(_facts(node), room, TEXT_SIZE, _TEXT_LINES)
        guards = self.graph.guards(node.id)
        box = Box(
            node=node,
            title=shortened(node.title, room, TITLE_SIZE, bold=True),
            lines=lines,
            pills=[shortened(_pill(guard), room - 2 * PILL_PADDING, LABEL_SIZE) for guard in guards],
            width=width,
            height=2 * ROOM + LINE_HEIGHT * (1 + len(lines)) + GUARD_STEP * len(guards),
        )
        self.boxes[node.id] = box
        return box

    def natural_width(self, node: Node) -> float:
        """The width that takes every text of a node in one line."""
        title = text_width(node.title, TITLE_SIZE, bold=True)
        facts = text_width(", ".join(_facts(node)), TEXT_SIZE)
        pills = [text_width(_pill(one), LABEL_SIZE) for one in self.graph.guards(node.id)]
        return max(title, facts, *(pill + 2 * PILL_PADDING for pill in pills)) + 2 * PADDING + 1

    def of(self, *tiers: Tier) -> list[Box]:
        """The boxes of some tiers, in order."""
        return [box for box in self.boxes.values() if box.node.tier in tiers]

    # ports

    def spread(self, id: str, side: str, keys: Sequence[str]) -> None:
        """Give each line on a side of a box its height; a box grows if they would come too close."""
        box = self.boxes[id]
        box.height = max(box.height, _PORT * (len(keys) + 1))
        for number, key in enumerate(keys, start=1):
            box.ports[side, key] = number / (len(keys) + 1)

    def port(self, id: str, side: str, key: str) -> float:
        """Height at which a line enters or leaves a box."""
        box = self.boxes[id]
        return box.y + box.height * box.ports[side, key]

    def trunk(self, id: str) -> list[Edge]:
        """The requests that leave an entry point sideways, so not to the entry point directly below."""
        return [edge for edge in self.requests if edge.source == id and id not in self.below]

    def arrivals(self, id: str) -> list[Edge]:
        """The requests that reach a box from the side."""
        return [edge for edge in self.requests if edge.target == id and edge.source not in self.below]

    def data_keys(self, id: str) -> list[str]:
        """The data rails that end at a box."""
        return [f"in {bus.key}" for bus in self.buses if bus.flow is Flow.DATA and id in bus.callees]

    def right_keys(self, id: str) -> list[str]:
        """What enters and leaves a container or a function at its right."""
        keys = [f"in {bus.key}" for bus in self.buses if bus.flow is Flow.CALL and id in bus.callees]
        for flow in (Flow.CALL, Flow.DATA):
            if any(bus.flow is flow and id in bus.callers for bus in self.buses):
                keys.append(f"out {flow}")
        return keys

    def edge_label(self, edge: Edge) -> str:
        """What stands at the arrow of a request."""
        ways = sum(one.source == edge.source for one in self.requests)
        return label_of(edge, only=ways == 1)

    # lines

    def route_down(self) -> None:
        """From each entry point to the one directly below."""
        for source, target in self.below.items():
            start, end = self.boxes[source], self.boxes[target]
            x = min(start.middle, end.middle)
            points = ((x, start.bottom), (x, end.y))
            self.lines.append(Line(flow=Flow.REQUEST, points=points, arrow=True))

    def route_trunk(self, x: float, start: tuple[float, float], ends: Sequence[tuple[float, float]]) -> None:
        """A rail at ``x`` that leaves one box and branches to others."""
        heights = [start[1], *(y for _, y in ends)]
        self.draw(Flow.REQUEST, start, (x, start[1]))
        self.draw(Flow.REQUEST, (x, min(heights)), (x, max(heights)))
        for end in ends:
            self.draw(Flow.REQUEST, (x, end[1]), end, arrow=True)

    def route_buses(self, left: float, data_side: str) -> None:
        """All rails of calls and data, the first one at ``left``, with what joins and leaves them."""
        rails = {bus.key: left + number * RAIL for number, bus in enumerate(self.buses)}
        for box in self.of(Tier.COMPUTE):
            id = box.node.id
            for flow in (Flow.CALL, Flow.DATA):
                mine = [rails[bus.key] for bus in self.buses if bus.flow is flow and id in bus.callers]
                if mine:
                    y = self.port(id, "right", f"out {flow}")
                    self.draw(flow, (box.right, y), (max(mine), y))
        for bus in self.buses:
            self._route_bus(bus, rails[bus.key], data_side if bus.flow is Flow.DATA else "right")

    def _route_bus(self, bus: Bus, x: float, side: str) -> None:
        joins = [self.port(id, "right", f"out {bus.flow}") for id in bus.callers]
        ends = {id: self.port(id, side, f"in {bus.key}") for id in bus.callees}
        heights = [*joins, *ends.values()]
        self.draw(bus.flow, (x, min(heights)), (x, max(heights)))
        for id, y in ends.items():
            box = self.boxes[id]
            self.draw(bus.flow, (x, y), (box.right if side == "right" else box.x, y), arrow=True)
        self.dots.extend(Dot(flow=bus.flow, x=x, y=y) for y in joins)

    def draw(
        self, flow: Flow, start: tuple[float, float], end: tuple[float, float], *, arrow: bool = False
    ) -> None:
        """One straight line."""
        self.lines.append(Line(flow=flow, points=(start, end), arrow=arrow))

    def result(self) -> Layout:
        """Everything in its place, with a margin."""
        xs = [x for line in self.lines for x, _ in line.points]
        boxes = self.boxes.values()
        return Layout(
            width=max([*xs, *(box.right for box in boxes)], default=0) + MARGIN,
            height=max((box.bottom for box in boxes), default=0) + MARGIN,
            boxes=tuple(boxes),
            lines=tuple(self.lines),
            dots=tuple(self.dots),
            labels=tuple(self.labels),
        )


def _facts(node: Node) -> tuple[str, ...]:
    return tuple(filter(None, (node.service, *node.details)))


def _pill(guard: Node) -> str:
    return f"{guard.title}: {guard.service}" if guard.service else guard.title


def runs_inward(graph: Graph) -> bool:
    """Whether all requests go from left to right in columns: no circles, no bucket that answers."""
    depth = _depths(graph, _chains(graph))
    follows = {a.id: b.id for chain in _chains(graph) for a, b in pairwise(chain)}
    tiers = {node.id: node.tier for node in graph.nodes}

    def inward(edge: Edge) -> bool:
        if tiers[edge.target] is Tier.ENTRY_POINT:
            below = follows.get(edge.source) == edge.target
            return below or depth[edge.target] > depth.get(edge.source, len(depth))
        return tiers[edge.target] is Tier.COMPUTE and tiers[edge.source] in (Tier.VIEWER, Tier.ENTRY_POINT)

    return all(inward(edge) for edge in graph.edges if edge.flow is Flow.REQUEST)
