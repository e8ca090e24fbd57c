"""A graph in columns, from left to right: entry points by depth, containers and functions, data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from dify_cdk.report.diagram.layout import (
    ARROW_GAP,
    HEADING_GAP,
    HEADINGS,
    LABEL_RISE,
    LABEL_SIZE,
    MARGIN,
    RAIL,
    REACH,
    ROW_GAP,
    Box,
    Canvas,
    Label,
    Layout,
)
from dify_cdk.report.diagram.model import Edge, Flow, Graph, Node, Tier
from dify_cdk.report.diagram.text_width import text_width

_LEAST_WIDTH, _MOST_WIDTH = 110.0, 252.0
_CLEAR = 2.0  # around a line that passes a box
_APART = 4.0  # between lines that go different ways
_NUDGES = (0.0, *(sign * 3.0 * step for step in range(1, 12) for sign in (1, -1)))
_BEFORE_LABEL, _AFTER_LABEL = 8.0, 12.0

_Block = list[Box]
"""Boxes that stand directly below one another: a chain of entry points, or a single box."""


def lay_out_wide(graph: Graph) -> Layout:
    """Place and connect everything in columns. All requests must run inward, see ``runs_inward``."""
    return _Wide(graph).layout()


class _Wide(Canvas):
    def layout(self) -> Layout:
        self.columns = list(self.make_columns())
        self.number = {
            box.node.id: number
            for number, column in enumerate(self.columns)
            for block in column
            for box in block
        }
        self.make_ports()
        trunk_x = self.place_columns()
        self.place_rows()
        self.keep_apart()
        self.route_down()
        for id, x in trunk_x.items():
            self.route_requests(id, x)
        self.route_buses(
            max((box.right for box in self.of(Tier.COMPUTE)), default=0) + REACH, data_side="left"
        )
        self.head()
        return self.result()

    # columns

    def make_columns(self) -> Iterator[list[_Block]]:
        """The chains of entry points by depth, then the other tiers; what is empty is left out."""
        for depth in sorted({self.depth[chain[0].id] for chain in self.chains}):
            chains = [chain for chain in self.chains if self.depth[chain[0].id] == depth]
            width = self.column_width([node for chain in chains for node in chain])
            yield [[self.add_box(node, width) for node in chain] for chain in chains]
        for tier in (Tier.COMPUTE, Tier.DATA):
            nodes = [node for node in self.nodes if node.tier is tier]
            if nodes:
                width = self.column_width(nodes)
                yield [[self.add_box(node, width)] for node in nodes]

    def column_width(self, nodes: Sequence[Node]) -> float:
        widest = max(map(self.natural_width, nodes))
        return min(max(widest, _LEAST_WIDTH), _MOST_WIDTH)

    def make_ports(self) -> None:
        for id in self.boxes:
            self.spread(id, "left", [*(f"in {one.source}" for one in self.arrivals(id)), *self.data_keys(id)])
            self.spread(id, "right", [*(["out"] if self.trunk(id) else []), *self.right_keys(id)])

    def place_columns(self) -> dict[str, float]:
        """Set the x of every box and tell that of every trunk."""
        trunk_x: dict[str, float] = {}
        x = MARGIN
        for number, column in enumerate(self.columns):
            boxes = [box for block in column for box in block]
            for box in boxes:
                box.x = x
            x += boxes[0].width + REACH
            for box in boxes:
                if self.trunk(box.node.id):
                    trunk_x[box.node.id] = x
                    x += RAIL
            if boxes[0].node.tier is Tier.COMPUTE:
                x += len(self.buses) * RAIL
            x += self.label_room(number + 1)
        return trunk_x

    def label_room(self, number: int) -> float:
        """Room before a column for its arrow heads and for what stands at its arrows."""
        ids = [id for id, column in self.number.items() if column == number]
        labels = [self.edge_label(edge) for id in ids for edge in self.arrivals(id)]
        widest = max((text_width(text, LABEL_SIZE) for text in labels), default=0)
        return widest + _BEFORE_LABEL + _AFTER_LABEL if widest else REACH / 2

    # rows

    def place_rows(self) -> None:
        """From the inside out: containers and data in columns, entry points beside where they lead."""
        for tier in (Tier.COMPUTE, Tier.DATA):
            _stack(self.of(tier))
        self.center_data()
        for number in reversed(range(len(self.columns))):
            column = self.columns[number]
            if column[0][0].node.tier in (Tier.VIEWER, Tier.ENTRY_POINT):
                _place_beside(column, self.wanted_shift, list(self.passing(number)))
        top = min((box.y for box in self.boxes.values()), default=0)
        for box in self.boxes.values():
            box.y += HEADING_GAP - top

    def center_data(self) -> None:
        compute, data = self.of(Tier.COMPUTE), self.of(Tier.DATA)
        if compute and data:
            shift = max(0.0, (compute[-1].bottom - data[-1].bottom) / 2)
            for box in data:
                box.y += shift

    def wanted_shift(self, block: _Block) -> float:
        """How far down a block of entry points at the top must go to stand beside where it leads."""
        _stack(block, gap=ARROW_GAP)
        last = block[-1].node.id
        ends = [self.port(edge.target, "left", f"in {last}") for edge in self.trunk(last)]
        beside = sum(ends) / len(ends) - self.port(last, "right", "out") if ends else 0.0
        return max(beside, 0.0)  # a high block begins at the top rather than above everything else

    def passing(self, number: int) -> Iterator[float]:
        """Heights at which lines pass a column on their way to one further inside."""
        for edge in self.sideways():
            if self.number[edge.source] < number < self.number[edge.target]:
                yield self.port(edge.target, "left", f"in {edge.source}")

    def sideways(self) -> Iterator[Edge]:
        for id in self.boxes:
            yield from self.trunk(id)

    def keep_apart(self) -> None:
        """Move ports that are as high as a line of others, which would run on in one another."""
        for id in self.boxes:
            if self.trunk(id):
                column = self.number[id]
                self.nudge(id, ("right", "out"), [y for source, y in self.crossing(column) if source != id])
        out = [
            self.port(id, "right", f"out {flow}")
            for id, box in self.boxes.items()
            for flow in Flow
            if ("right", f"out {flow}") in box.ports
        ]
        for box in self.of(Tier.DATA):
            for key in self.data_keys(box.node.id):
                self.nudge(box.node.id, ("left", key), out)

    def crossing(self, column: int) -> Iterator[tuple[str, float]]:
        """Source and height of the arrows that begin before or at a column and end behind it."""
        for edge in self.sideways():
            if self.number[edge.source] <= column < self.number[edge.target]:
                yield edge.source, self.port(edge.target, "left", f"in {edge.source}")

    def nudge(self, id: str, port: tuple[str, str], others: Sequence[float]) -> None:
        box = self.boxes[id]
        at = box.height * box.ports[port]
        for step in _NUDGES:
            y = box.y + at + step
            if box.y < y < box.bottom and all(abs(y - other) >= _APART for other in others):
                box.ports[port] = (at + step) / box.height
                return

    # lines

    def route_requests(self, id: str, x: float) -> None:
        box = self.boxes[id]
        ends = []
        for edge in self.trunk(id):
            end = (self.boxes[edge.target].x, self.port(edge.target, "left", f"in {id}"))
            ends.append(end)
            text = self.edge_label(edge)
            if text:
                self.labels.append(Label(x=end[0] - _AFTER_LABEL, y=end[1] - LABEL_RISE, text=text, end=True))
        self.route_trunk(x, (box.right, self.port(id, "right", "out")), ends)

    def head(self) -> None:
        """A heading above each tier; who calls from outside stands below that of the entry points."""
        for tiers in ((Tier.VIEWER, Tier.ENTRY_POINT), (Tier.COMPUTE,), (Tier.DATA,)):
            boxes = self.of(*tiers)
            if boxes:
                x = min(box.x for box in boxes)
                y = min(box.y for box in boxes if box.x == x) - 12
                self.labels.append(Label(x=x, y=y, text=HEADINGS[tiers[-1]], heading=True))


def _stack(boxes: Sequence[Box], gap: float = ROW_GAP) -> None:
    y = 0.0
    for box in boxes:
        box.y = y
        y = box.bottom + gap


def _place_beside(
    column: Sequence[_Block], wanted_shift: Callable[[_Block], float], passing: Iterable[float]
) -> None:
    """Put each block as near to the height it wants as others and passing lines allow."""
    taken = [(y - _CLEAR, y + _CLEAR) for y in passing]
    for ideal, _, block in sorted((wanted_shift(block), n, block) for n, block in enumerate(column)):
        height = block[-1].bottom - block[0].y
        tops = [ideal]
        for low, high in taken:
            tops += [low - ROW_GAP - height, high + ROW_GAP]
        free = [top for top in tops if _is_free(top, height, taken)]
        top = min(free, key=lambda top: abs(top - ideal))
        for box in block:
            box.y += top
        taken.append((top, top + height))


def _is_free(top: float, height: float, taken: Iterable[tuple[float, float]]) -> bool:
    return all(top + height + ROW_GAP <= low or high + ROW_GAP <= top for low, high in taken)
