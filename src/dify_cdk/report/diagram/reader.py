"""How requests and data flow through an architecture, read from its templates alone.

Everything follows what the templates really connect: behaviors to origins, listener rules over target groups
to services, routes over integrations and VPC links, security group rules and policies between containers,
functions and data. What is not understood is left out or shown as it stands; no name decides anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from dify_cdk.report.diagram.calls import calls
from dify_cdk.report.diagram.entry_points import entry_nodes, guards, is_public, requests
from dify_cdk.report.diagram.model import VIEWER, Edge, Flow, Graph, Node, Tier
from dify_cdk.report.diagram.parts import BUCKET, data, function, plain_id, services
from dify_cdk.report.phrases import plural
from dify_cdk.report.templates.deployments import deployment_only
from dify_cdk.report.templates.joined import join
from dify_cdk.report.templates.subject import Subject
from dify_cdk.report.templates.template import Template
from dify_cdk.report.traffic.entry_points import behind_others
from dify_cdk.report.traffic.targets import FUNCTION

_MANY = 30  # nodes; beyond that a drawing has to leave something out

_VIEWER = Node(id=VIEWER, tier=Tier.VIEWER, title="Browsers, API clients", service="the outside")


def read_graph(subject: Subject) -> Graph:
    """Read what a subject's templates connect. Never raises: what is odd is shown as it stands."""
    view = join(subject)
    entries = {node.id: node for node in entry_nodes(view)}
    inside = {node.id: node for node in guards(view) if node.host in entries}
    found = requests(view)
    compute = {node.id: node for node in (*services(view), *_functions(view, found, inside))}
    known = {**entries, **compute, **{node.id: node for node in data(view)}}
    others = {one.target: _other(view, one.target) for one in found if one.target not in known}
    nodes = {**known, **others}
    public = {id for id in nodes if (one := view.find({"Ref": id})) is not None and is_public(view, one)}
    edges = [*_arrivals(view, nodes, found, public), *found, *calls(view, list(nodes.values()))]
    used = [node for node in nodes.values() if _is_used(view, node, edges)]
    shown = _shown(used, edges)
    viewer = [_VIEWER] if any(edge.source == VIEWER for edge in edges) else []
    parts = [*viewer, *(_with_address(node, found, public) for node in shown), *inside.values()]
    tiers, steps = list(Tier), _steps(entries, found)
    return Graph(
        nodes=tuple(
            sorted(parts, key=lambda node: (tiers.index(node.tier), steps.get(node.host or node.id, 0)))
        ),
        edges=tuple(edges),
        notes=tuple(_notes(view, nodes, left_out=len(used) - len(shown))),
    )


def _functions(view: Template, found: Sequence[Edge], inside: dict[str, Node]) -> Iterator[Node]:
    """Functions that work for requests or events: no guards, and none that only deployment starts."""
    ends = {one.target for one in found}
    hidden = {id.removeprefix(f"{node.host}/") for id, node in inside.items()} | deployment_only(view)
    for resource in view.of_type(FUNCTION):
        if resource.id in ends or is_public(view, resource) or resource.id not in hidden:
            yield function(view, resource)


def _other(view: Template, end: str) -> Node:
    resource = view.find({"Ref": end})
    if resource is None:
        return Node(id=end, tier=Tier.COMPUTE, title=end, service="not in this template")
    return Node(id=end, tier=Tier.COMPUTE, title=plain_id(end), service=_words(resource.type))


def _words(type: str) -> str:
    return type.removeprefix("AWS::").replace("::", " ") or "unknown"


def _arrivals(
    view: Template, nodes: dict[str, Node], requests: Sequence[Edge], public: set[str]
) -> Iterator[Edge]:
    """From outside to every public entry point that stands behind no other."""
    behind = {edge.target for edge in requests} | {resource.id for resource in behind_others(view)}
    for id in nodes:
        if id in public and id not in behind:
            yield Edge(source=VIEWER, target=id, flow=Flow.REQUEST)


def _steps(entries: Collection[str], requests: Sequence[Edge]) -> dict[str, int]:
    """How many entry points stand before each one at most; a circle ends."""
    steps = dict.fromkeys(entries, 0)
    for _ in entries:
        for edge in requests:
            if edge.source in steps and edge.target in steps:
                steps[edge.target] = min(max(steps[edge.target], steps[edge.source] + 1), len(steps))
    return steps


def _with_address(node: Node, requests: Sequence[Edge], public: set[str]) -> Node:
    """An entry point behind another one that can be called directly as well says so."""
    if node.id in public and any(edge.target == node.id for edge in requests):
        return replace(node, details=(*node.details, "own public address"))
    return node


def _is_used(view: Template, node: Node, edges: Sequence[Edge]) -> bool:
    """Buckets serve logs and deployments as well: only those that something reaches are parts."""
    resource = view.find({"Ref": node.id})
    return resource is None or resource.type != BUCKET or _is_connected(node, edges)


def _is_connected(node: Node, edges: Sequence[Edge]) -> bool:
    return any(node.id in (edge.source, edge.target) for edge in edges)


def _shown(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[Node]:
    """All nodes; of a very large template only those that something connects."""
    if len(nodes) <= _MANY:
        return list(nodes)
    return [node for node in nodes if _is_connected(node, edges)]


def _notes(view: Template, nodes: dict[str, Node], *, left_out: int) -> Iterator[str]:
    helping = [id for id in deployment_only(view) if id not in nodes and view.find({"Ref": id}, FUNCTION)]
    if helping:
        yield f"{plural(len(helping), 'Lambda function')} for deployment only"
    if left_out:
        yield f"{plural(left_out, 'part')} that nothing connects"
    ways_out = {
        resource.id: resource.type
        for route in view.of_type("AWS::EC2::Route")
        for key in ("NatGatewayId", "InstanceId")
        if (resource := view.find(route.properties.get(key))) is not None
    }
    for type, noun in (("AWS::EC2::NatGateway", "NAT gateway"), ("AWS::EC2::Instance", "NAT instance")):
        count = sum(found == type for found in ways_out.values())
        if count:
            yield f"{plural(count, noun)} as the way out to the internet"
