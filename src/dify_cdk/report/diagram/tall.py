"""A graph in one column, from top to bottom: requests run at its left, calls and data at its right."""

from __future__ import annotations

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
from dify_cdk.report.diagram.model import Graph, Tier
from dify_cdk.report.diagram.text_width import shortened

_WIDTH = 226.0  # every example then fits a phone, 360 wide


def lay_out_tall(graph: Graph) -> Layout:
    """Place and connect everything in one column."""
    return _Tall(graph).layout()


class _Tall(Canvas):
    def layout(self) -> Layout:
        for node in self.nodes:
            self.add_box(node, _WIDTH)
        # The trunk of the innermost entry point is the shortest, so it runs closest to the boxes.
        trunks = [id for id in self.boxes if self.trunk(id)]
        left = MARGIN + (len(trunks) - 1) * RAIL + REACH if trunks else MARGIN
        self.make_ports()
        self.place(left)
        self.route_down()
        for number, id in enumerate(trunks):
            ends = [(left, self.port(edge.target, "left", f"in {id}")) for edge in self.trunk(id)]
            self.route_trunk(MARGIN + number * RAIL, (left, self.port(id, "left", "out")), ends)
        self.route_buses(left + _WIDTH + REACH, data_side="right")
        return self.result()

    def make_ports(self) -> None:
        for id in self.boxes:
            out = ["out"] if self.trunk(id) else []
            self.spread(id, "left", [*(f"in {edge.source}" for edge in self.arrivals(id)), *out])
            self.spread(id, "right", [*self.right_keys(id), *self.data_keys(id)])

    def place(self, left: float) -> None:
        y = 0.0
        tier: Tier | None = None
        for box in self.boxes.values():
            y = self.place_one(box, left, y, first=box.node.tier is not tier)
            tier = box.node.tier

    def place_one(self, box: Box, left: float, top: float, *, first: bool) -> float:
        """Put a box below ``top``, with its heading and its label; its bottom."""
        heading = HEADINGS[box.node.tier] if first else ""
        text = "; ".join(dict.fromkeys(filter(None, map(self.edge_label, self.arrivals(box.node.id)))))
        gap = HEADING_GAP if heading else ROW_GAP
        if heading:
            self.labels.append(Label(x=left, y=top + gap - 12, text=heading, heading=True))
        if text or box.node.id in self.below.values():
            gap += ARROW_GAP - ROW_GAP
        if text:
            shown = shortened(text, box.width - 4, LABEL_SIZE)
            self.labels.append(Label(x=left + 2, y=top + gap - LABEL_RISE, text=shown))
        box.x, box.y = left, top + gap
        return box.bottom
