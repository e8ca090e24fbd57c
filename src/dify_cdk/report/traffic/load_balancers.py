"""The way through application and network load balancers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import (
    UNLIMITED,
    Claim,
    Kind,
    Request,
    Way,
    after,
    by_id,
    claim,
    known,
    matches,
    to_answer,
    to_unknown,
)
from dify_cdk.report.traffic.listeners import Destination, RouteRow, read_listeners, receivers
from dify_cdk.report.traffic.targets import receiver
from dify_cdk.report.traffic.waf import associated, body_claims

LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
_TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
_SECURE = ("HTTPS", "TLS")
_MAX_BALANCERS = 5
_IDLE, _TCP_IDLE = "idle_timeout.timeout_seconds", "tcp.idle_timeout.seconds"


def listeners_of(view: Template, balancer: Resource) -> list[Resource]:
    """The listeners of a load balancer, those with TLS first."""
    own = [
        listener
        for listener in view.of_type(LISTENER)
        if view.find(listener.properties.get("LoadBalancerArn"), LOAD_BALANCER) is balancer
    ]
    return sorted(own, key=lambda listener: listener.properties.get("Protocol") not in _SECURE)


def patterns(view: Template, balancer: Resource) -> list[str]:
    """The path patterns of all rules of a load balancer."""
    own = {listener.id for listener in listeners_of(view, balancer)}
    return [
        path
        for found in read_listeners(view)
        if found.id in own
        for row in found.routes
        for path in row.paths
    ]


def through_balancer(
    view: Template, balancer: Resource, request: Request, *, port: int | None = None
) -> Iterator[Way]:
    """The way through a load balancer: by the listener of a port, else by the first one with TLS."""
    own = listeners_of(view, balancer)
    chosen = [one for one in own if port is None or integer(one.properties.get("Port")) == port]
    if chosen:
        yield from through_listener(view, chosen[0], request)
    else:
        where = "a listener" if port is None else f"a listener on port {port}"
        yield to_unknown(f"{where} of load balancer {balancer.id}")


def through_listener(view: Template, listener: Resource, request: Request) -> Iterator[Way]:
    """The way that the rules of a listener choose."""
    balancer = view.find(listener.properties.get("LoadBalancerArn"), LOAD_BALANCER)
    row = _matching(view, listener, request)
    if row is None:
        yield to_unknown(f"a target of listener {listener.id}")
    elif not row.destinations:
        yield to_answer(", then ".join(row.actions) or "nothing")
    else:
        network = balancer is not None and view.text(balancer.properties.get("Type")) == "network"
        first = _network_claims if network else _application_claims
        claims = tuple(first(view, balancer, listener))
        for destination in row.destinations:
            yield from after(claims, _to_destination(view, destination, request))


def _matching(view: Template, listener: Resource, request: Request) -> RouteRow | None:
    rows = [row for found in read_listeners(view) if found.id == listener.id for row in found.routes]
    return next((row for row in rows if _fits(row, request)), None)


def _fits(row: RouteRow, request: Request) -> bool:
    """Whether a rule takes a request. Conditions about who calls, and by which name, count as met."""
    if row.paths and not any(matches(pattern, request.path) for pattern in row.paths):
        return False
    for condition in row.conditions:
        word, _, values = condition.partition(" ")
        if word == "query" or (word == "method" and request.method not in values.split(" or ")):
            return False
        if word == "path" and not any(matches(pattern, request.path) for pattern in values.split(" or ")):
            return False
    return True


def _application_claims(view: Template, balancer: Resource | None, listener: Resource) -> Iterator[Claim]:
    del listener
    name = f"load balancer {balancer.id}" if balancer else "a load balancer that is not in the template"
    seconds = _attribute(view, balancer, "LoadBalancerAttributes", _IDLE, "alb.idle_timeout")
    yield claim(Kind.TIMEOUT, seconds if balancer else None, f"idle timeout of {name}", "alb.idle_timeout")
    yield claim(Kind.LARGEST, UNLIMITED, name, "alb.body")
    yield known(Kind.STREAMING, "alb.streaming", name)
    yield known(Kind.WEBSOCKET, "alb.websocket", name)
    for acl in associated(view, balancer) if balancer else ():
        yield from body_claims(view, acl)


def _network_claims(view: Template, balancer: Resource | None, listener: Resource) -> Iterator[Claim]:
    name = f"network load balancer {balancer.id}" if balancer else f"listener {listener.id}"
    seconds = _attribute(view, listener, "ListenerAttributes", _TCP_IDLE, "nlb.idle_timeout")
    yield claim(Kind.TIMEOUT, seconds, f"idle timeout of {name}", "nlb.idle_timeout")
    for kind, value in ((Kind.LARGEST, UNLIMITED), (Kind.STREAMING, True), (Kind.WEBSOCKET, True)):
        yield claim(kind, value, f"{name}, which passes bytes on", "nlb.idle_timeout")


def _attribute(view: Template, owner: Resource | None, property: str, key: str, default: str) -> float | None:
    rows = map(mapping, items(owner.properties.get(property)) if owner else ())
    given = next((row.get("Value") for row in rows if view.text(row.get("Key")) == key), None)
    return fact(default).number if given is None else integer(given)


def _to_destination(view: Template, destination: Destination, request: Request) -> Iterator[Way]:
    group = by_id(view, destination.target_group)
    if group is None or group.type != _TARGET_GROUP:
        yield to_unknown(f"target group {destination.target_group}")
        return
    found = list(receivers(view, group))
    claims = tuple(_lambda_claims(group)) if group.properties.get("TargetType") == "lambda" else ()
    for one in found:
        inner = by_id(view, one.resource) if one.resource else None
        if inner is not None and inner.type == LOAD_BALANCER and request.balancers < _MAX_BALANCERS:
            further = replace(request, balancers=request.balancers + 1)
            yield from through_balancer(view, inner, further, port=one.port)
        else:
            yield from after(claims, receiver(view, one))
    if not found:
        yield to_unknown(f"what registers in target group {group.id}")


def _lambda_claims(group: Resource) -> Iterator[Claim]:
    hop = f"Lambda target of target group {group.id}"
    yield known(Kind.LARGEST, "alb.lambda_body", hop)
    yield known(Kind.STREAMING, "alb.lambda_streaming", hop)
    yield known(Kind.WEBSOCKET, "alb.lambda_websocket", hop)
