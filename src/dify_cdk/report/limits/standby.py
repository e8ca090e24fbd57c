"""What an architecture does when nobody uses it: what scales to zero, and how the first request starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dify_cdk.report.limits.verdict import Verdict
from dify_cdk.report.phrases import plural
from dify_cdk.report.templates.template import Resource, Template, mapping, remembered
from dify_cdk.report.traffic.awake import can_pause
from dify_cdk.report.traffic.containers import read_containers
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import End, Ends, Way
from dify_cdk.report.traffic.targets import FUNCTION

_CLUSTER = "AWS::RDS::DBCluster"
_ALWAYS = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "load balancer",
    "AWS::ElastiCache::ReplicationGroup": "cache",
    "AWS::ElastiCache::CacheCluster": "cache",
    "AWS::RDS::DBInstance": "database instance",
    "AWS::EC2::NatGateway": "NAT gateway",
    "AWS::EC2::Instance": "instance",
}
_SERVERLESS = "db.serverless"


class Thing(NamedTuple):
    """Something that runs.

    Attributes:
        word: What it is, for example ``service``.
        id: Logical id.
    """

    word: str
    id: str


def counted(things: Iterable[Thing]) -> str:
    """``3 services, 1 database``."""
    counts = Counter(thing.word for thing in things)
    return ", ".join(plural(count, word) for word, count in counts.items())


def named(things: Iterable[Thing]) -> str:
    """``3 services, database DataCluster``: single things by their id, others by their number."""
    groups: dict[str, list[str]] = {}
    for thing in things:
        groups.setdefault(thing.word, []).append(thing.id)
    return ", ".join(
        f"{word} {ids[0]}" if len(ids) == 1 else plural(len(ids), word) for word, ids in groups.items()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Standby:
    """What stops and what keeps running while nobody uses an architecture.

    Attributes:
        stops: What costs nothing then.
        runs: What is billed by the hour even then.
        unknown: What the template leaves open.
    """

    stops: tuple[Thing, ...]
    runs: tuple[Thing, ...]
    unknown: tuple[Thing, ...]


def standby(view: Template, ends: Iterable[End]) -> Standby:
    """Look at the functions that requests end at, at services, databases, and what is billed by the hour."""
    stops: list[Thing] = []
    runs: list[Thing] = []
    unknown: list[Thing] = []
    for end in ends:
        if end.kind is Ends.FUNCTION:
            (runs if _is_provisioned(end) else stops).append(Thing("function", end.name))
    for name, fewest in _services(view):
        (unknown if fewest is None else runs if fewest else stops).append(Thing("service", name))
    for cluster in view.of_type(_CLUSTER):
        (stops if can_pause(cluster, [view]) else runs).append(Thing("database", cluster.id))
    runs += _billed_by_the_hour(view)
    return Standby(stops=_distinct(stops), runs=_distinct(runs), unknown=_distinct(unknown))


def _services(view: Template) -> Iterator[tuple[str, int | None]]:
    for row in read_containers(view):
        if row.service is not None:
            yield row.service, row.min_tasks


@remembered
def _fewest(view: Template) -> Mapping[str, int | None]:
    return dict(reversed(list(_services(view))))  # of several containers of a task the first counts


def _billed_by_the_hour(view: Template) -> Iterator[Thing]:
    for resource in view.resources:
        word = _ALWAYS.get(resource.type)
        if word and resource.properties.get("DBInstanceClass") != _SERVERLESS:
            yield Thing(word, resource.id)


def _distinct(things: list[Thing]) -> tuple[Thing, ...]:
    return tuple(dict.fromkeys(things))


# --- cold starts ----------------------------------------------------------------------------------------


_SLOWNESS = ("none", "function", "image", "task", "unknown")
"""How the first request after a pause starts what answers it, from fast to slow."""


def cold_start(view: Template, ways: Iterable[Way]) -> Verdict:
    """The slowest start on one of the ways; the value is one of the words above."""
    found = [_start(view, way) for way in ways]
    return max(found, key=lambda one: _SLOWNESS.index(str(one.value)), default=_unknown("nothing"))


def _start(view: Template, way: Way) -> Verdict:
    end = way.end
    match end.kind:
        case Ends.FUNCTION if end.resource is not None:
            return _function_start(view, end, end.resource)
        case Ends.CONTAINER if end.resource is not None:
            return _service_start(view, end, way.authorizers)
        case Ends.UNKNOWN:
            return _unknown(end.name)
        case _:
            return Verdict(value="none", text="none", hop=f"{end.kind} {end.name}", source="")


def _function_start(view: Template, end: End, function: Resource) -> Verdict:
    if _is_provisioned(end):
        hop = f"provisioned concurrency of function {end.name}"
        return Verdict(value="none", text="none", hop=hop, source=fact("lambda.provisioned").source)
    image = view.text(function.properties.get("PackageType")) == "Image"
    return Verdict(
        value="image" if image else "function",
        text="container image on Lambda" if image else "function",
        hop=f"function {end.name}",
        source=fact("lambda.init").source,
    )


def _is_provisioned(end: End) -> bool:
    settings = mapping(end.alias.properties.get("ProvisionedConcurrencyConfig")) if end.alias else {}
    return bool(settings)


def _service_start(view: Template, end: End, authorizers: tuple[Resource, ...]) -> Verdict:
    source = fact("ecs.tasks").source
    service = end.resource.id if end.resource else ""
    fewest = _fewest(view).get(service)
    hop = f"service {service}"
    if fewest is None:
        return Verdict(value="unknown", text="unknown", hop=hop, source=source)
    if fewest == 0:
        return Verdict(value="task", text="a task has to start", hop=hop, source=source)
    asked = [function.id for function in authorizers if function.type == FUNCTION]
    if asked:
        hop = f"{hop} always runs; function {asked[0]}, which authorizes requests, may have to start"
    return Verdict(value="none", text="none", hop=hop, source=source)


def _unknown(name: str) -> Verdict:
    return Verdict(value="unknown", text="unknown", hop=f"leads to {name}", source="")
