"""Which containers and functions reach one another and the data of a template.

Security group rules say who may open a connection, policies who may use a bucket or a table. Only where
neither speaks of some data do addresses in the environment of a container or a function count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dify_cdk.report.diagram.model import Edge, Flow, Node, Tier
from dify_cdk.report.diagram.parts import allowed_resources
from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping, references
from dify_cdk.report.traffic.containers import (
    SERVICE,
    TASK_DEFINITION,
    container_definitions,
    task_definition_of,
)
from dify_cdk.report.traffic.targets import FUNCTION

_GROUP = "AWS::EC2::SecurityGroup"
_INGRESS = "AWS::EC2::SecurityGroupIngress"

_ALL_PORTS = (0, 65535)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    """One security group lets another in, to a range of ports."""

    caller: str
    callee: str
    low: int
    high: int


def calls(view: Template, nodes: Sequence[Node]) -> Iterator[Edge]:
    """Connections inside the network and to data, in the order of the nodes."""
    compute = [node.id for node in nodes if node.tier is Tier.COMPUTE and node.host is None]
    data = [node.id for node in nodes if node.tier is Tier.DATA]
    open_to = _connections(view, compute, data)
    allowed = {id: _allowed(view, id) for id in compute}
    known = {id: _environment(view, id) for id in compute}
    for callee in compute:
        for caller in compute:
            if caller != callee and (caller, callee) in open_to:
                yield Edge(source=caller, target=callee, flow=Flow.CALL)
    for callee in data:
        callers = [one for one in compute if callee in allowed[one] or (one, callee) in open_to]
        for caller in callers or [one for one in compute if callee in known[one]]:
            yield Edge(source=caller, target=callee, flow=Flow.DATA)


# --- security groups ------------------------------------------------------------------------------------


def _connections(view: Template, compute: Sequence[str], data: Sequence[str]) -> set[tuple[str, str]]:
    """Caller and callee of every connection that a security group rule opens."""
    members: dict[str, list[str]] = {}
    for id in (*compute, *data):
        for group in _groups(view, id):
            members.setdefault(group, []).append(id)
    ports = {**{id: _ports(view, id) for id in compute}, **dict.fromkeys(data)}
    return {
        (caller, callee)
        for rule in _rules(view)
        for callee in members.get(rule.callee, ())
        if _covers(rule, ports[callee])
        for caller in members.get(rule.caller, ())
    }


def _groups(view: Template, id: str) -> frozenset[str]:
    """Security groups of a node; those of a task without a service are named by whatever starts it."""
    resource = view.find({"Ref": id})
    if resource is None:
        return frozenset()
    holders = [resource]
    if resource.type == TASK_DEFINITION:
        starters = (one for one in view.resources if not one.type.startswith("AWS::IAM::"))
        holders = [one for one in starters if resource.id in set(references(one.properties))]
    found = (view.find({"Ref": name}, _GROUP) for one in holders for name in references(one.properties))
    return frozenset(group.id for group in found if group is not None)


def _rules(view: Template) -> Iterator[_Rule]:
    for resource in view.of_type(_GROUP):
        for entry in map(mapping, items(resource.properties.get("SecurityGroupIngress"))):
            yield from _rule(view, entry, resource)
    for resource in view.of_type(_INGRESS):
        callee = view.find(resource.properties.get("GroupId"), _GROUP)
        if callee is not None:
            yield from _rule(view, resource.properties, callee)


def _rule(view: Template, entry: object, callee: Resource) -> Iterator[_Rule]:
    rule = mapping(entry)
    caller = view.find(rule.get("SourceSecurityGroupId"), _GROUP)
    if caller is None:
        return
    low, high = integer(rule.get("FromPort")), integer(rule.get("ToPort"))
    if view.text(rule.get("IpProtocol")) == "-1" or low is None or high is None:
        low, high = _ALL_PORTS  # also for ports that are only known at deploy time
    yield _Rule(caller=caller.id, callee=callee.id, low=low, high=high)


def _covers(rule: _Rule, ports: frozenset[int] | None) -> bool:
    """Whether a rule opens one of the ports; None stands for ports that are not known."""
    return ports is None or any(rule.low <= port <= rule.high for port in ports)


def _ports(view: Template, id: str) -> frozenset[int] | None:
    """Ports that a node listens on: none for a function, whose interface takes no connections."""
    resource = view.find({"Ref": id})
    if resource is None or resource.type == FUNCTION:
        return frozenset()
    task = task_definition_of(view, resource) if resource.type == SERVICE else resource
    if task is None or task.type != TASK_DEFINITION:
        return None
    containers = container_definitions(task)
    entries = [mapping(entry) for one in containers for entry in items(one.get("PortMappings"))]
    return frozenset(port for entry in entries if (port := integer(entry.get("ContainerPort"))) is not None)


# --- policies and environments --------------------------------------------------------------------------


def _actors(view: Template, id: str) -> Iterator[Resource]:
    resource = view.find({"Ref": id})
    if resource is not None and resource.type == SERVICE:
        resource = task_definition_of(view, resource)
    if resource is not None:
        yield resource


def _allowed(view: Template, id: str) -> frozenset[str]:
    found = (references(value) for one in _actors(view, id) for value in allowed_resources(view, one))
    return frozenset(name for names in found for name in names)


def _environment(view: Template, id: str) -> frozenset[str]:
    keys = ("Environment", "ContainerDefinitions")
    return frozenset(
        name for one in _actors(view, id) for name in references([one.properties.get(key) for key in keys])
    )
