"""Routes: which requests each listener, API and distribution sends where."""

from __future__ import annotations

from dify_cdk.report.comparison import Compared
from dify_cdk.report.output.sections import Column, Grid, Line, Section, Style, row
from dify_cdk.report.traffic.api_gateway import KINDS
from dify_cdk.report.traffic.cloudfront import KIND
from dify_cdk.report.traffic.routes import Destination, Listener, Route

_WITHOUT_RANKS = (KIND, *KINDS.values())  # their routes are chosen by order or by length
_COLUMNS = (Column(name="rank", right=True), Column(name="requests"), Column(name="lead to"))


def routes(one: Compared) -> Section:
    """A table per listener; entry points whose routes are not followed are named."""
    listeners, others = one.whole.listeners, one.whole.other_entry_points
    text = "" if listeners else "No load balancer, HTTP API or distribution in this template."
    public = Line(text=f"Also public, routes not followed: {', '.join(others)}", style=Style.WARNING)
    grids = tuple(map(_routes, listeners))
    return Section(title=one.name, text=text, grids=grids, notes=(public,) if others else ())


def _routes(listener: Listener) -> Grid:
    """One row per rule, in the order in which they are tried."""
    alone = len(listener.routes) == 1
    rows = []
    for route in listener.routes:
        rank = "" if listener.kind in _WITHOUT_RANKS and not route.default else _rank(route)
        rows.append(row(rank, _when(route, alone=alone), _leads_to(route)))
    return Grid(columns=_COLUMNS, rows=tuple(rows), caption=_caption(listener))


def _caption(listener: Listener) -> str:
    """``HTTPS 443 on the internet-facing application load balancer Alb``."""
    port = "" if listener.port is None else str(listener.port)
    entry = " ".join(filter(None, (listener.protocol, port))) or f"listener {listener.id}"
    kind = listener.kind if listener.kind in _WITHOUT_RANKS else f"{listener.kind} load balancer"
    where = " ".join(filter(None, (listener.scheme, kind, listener.load_balancer)))
    known = listener.load_balancer or listener.scheme
    return f"{entry} on the {where}" if known else f"{entry}, not in this template"


def _rank(route: Route) -> str:
    if route.default:
        return "default"
    return "?" if route.priority is None else str(route.priority)


def _when(route: Route, *, alone: bool) -> str:
    if route.default:
        return "everything" if alone else "everything else"
    expressions = [f"regex {one}" for one in route.expressions]
    parts = (", ".join((*route.paths, *expressions)), " and ".join(route.conditions))
    return " if ".join(filter(None, parts)) or "everything"


def _leads_to(route: Route) -> str:
    ends = " | ".join(_destination(destination) for destination in route.destinations)
    return ", then ".join(filter(None, (*route.actions, ends))) or "nowhere"


def _destination(destination: Destination) -> str:
    port = "" if destination.port is None else f":{destination.port}"
    if destination.container:
        place = f"{destination.container}{port}"
    elif destination.target_group:
        place = f"target group {destination.target_group}"
    else:
        place = "a place that the template does not show"
    return place if destination.weight is None else f"{place} (weight {destination.weight})"
