"""Application and network load balancers: listeners with their rules, and who registers in target groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping, remembered
from dify_cdk.report.traffic.containers import SERVICE
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import UNLIMITED, Claim, Kind, claim, known
from dify_cdk.report.traffic.routes import Destination, Listener, Route
from dify_cdk.report.traffic.targets import LISTENER
from dify_cdk.report.traffic.waf import associated, body_claims

LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
SECURE = ("HTTPS", "TLS")
_AUTO_SCALING_GROUP = "AWS::AutoScaling::AutoScalingGroup"
_IDLE, _TCP_IDLE = "idle_timeout.timeout_seconds", "tcp.idle_timeout.seconds"

_PATTERNS, _EXPRESSIONS = "Values", "RegexValues"
_USUAL_PORTS = {("HTTP", "80"), ("HTTPS", "443")}
_AS_REQUESTED = "#{host}/#{path}?#{query}"

_CONDITION_FIELDS = {
    "host-header": ("host", "HostHeaderConfig"),
    "http-request-method": ("method", "HttpRequestMethodConfig"),
    "path-pattern": ("path", "PathPatternConfig"),
    "query-string": ("query", "QueryStringConfig"),
    "source-ip": ("source", "SourceIpConfig"),
}
"""Field of a listener rule's condition: the word for it and the property that holds its values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Who takes the requests of a target group or of a Cloud Map service.

    Attributes:
        resource: What it is; None for an address that is not in the template.
        name: Container name, or the logical id or address of what else receives; None if it has none.
        port: Port it listens on; None if unknown.
    """

    resource: Resource | None
    name: str | None
    port: int | None


def listeners_of(view: Template, balancer: Resource) -> list[Resource]:
    """The listeners of a load balancer, those with TLS first."""
    own = view.naming(balancer, "LoadBalancerArn", LISTENER)
    return sorted(own, key=lambda listener: listener.properties.get("Protocol") not in SECURE)


def listener_at(view: Template, balancer: Resource, port: int | None) -> Resource | None:
    """The listener of a port; by default the first one with TLS."""
    own = listeners_of(view, balancer)
    return next((one for one in own if port is None or integer(one.properties.get("Port")) == port), None)


def listener_ports(view: Template, balancer: Resource) -> set[int]:
    """The ports that a load balancer listens on."""
    found = (integer(one.properties.get("Port")) for one in listeners_of(view, balancer))
    return {port for port in found if port is not None}


def read_listeners(view: Template) -> Iterator[Listener]:
    """Every listener, then the rules whose listener is not in the template, for example in another stack."""
    for listener in view.of_type(LISTENER):
        properties = listener.properties
        balancer = view.find(properties.get("LoadBalancerArn"), LOAD_BALANCER)
        yield Listener(
            id=listener.id,
            protocol=view.text(properties.get("Protocol")),
            port=integer(properties.get("Port")),
            load_balancer=balancer.id if balancer else view.text(properties.get("LoadBalancerArn")),
            kind=(view.text(balancer.properties.get("Type")) if balancer else "") or "application",
            scheme=(view.text(balancer.properties.get("Scheme")) or "internet-facing") if balancer else "",
            routes=listener_routes(view, listener),
        )
    orphans: dict[str, list[Resource]] = {}
    for rule in view.of_type(RULE):
        if view.find(rule.properties.get("ListenerArn"), LISTENER) is None:
            orphans.setdefault(view.text(rule.properties.get("ListenerArn")), []).append(rule)
    for reference, rules in orphans.items():
        yield Listener(id=reference, routes=_rules(view, rules, ()))


@remembered
def listener_routes(view: Template, listener: Resource) -> tuple[Route, ...]:
    """The rules of a listener by priority, and what happens when no rule matches."""
    balancer = view.find(listener.properties.get("LoadBalancerArn"), LOAD_BALANCER)
    network = balancer is not None and view.text(balancer.properties.get("Type")) == "network"
    first = _network_claims if network else _application_claims
    claims = tuple(first(view, balancer, listener))
    actions = listener.properties.get("DefaultActions")
    default = Route(
        default=True,
        actions=_actions(view, actions),
        destinations=tuple(_destinations(view, actions)),
        claims=claims,
    )
    return (*_rules(view, view.naming(listener, "ListenerArn", RULE), claims), default)


def _rules(view: Template, rules: Sequence[Resource], claims: tuple[Claim, ...]) -> tuple[Route, ...]:
    """The rules of one listener by priority; a rank that is not known yet comes after all known ones."""
    routes = [_rule(view, rule, claims) for rule in rules]
    return tuple(sorted(routes, key=lambda route: (route.priority is None, route.priority or 0)))


def _rule(view: Template, rule: Resource, claims: tuple[Claim, ...]) -> Route:
    conditions = [mapping(item) for item in items(rule.properties.get("Conditions"))]
    # All conditions of a rule must hold: of two about the path only one fits into ``paths``, which are or-ed.
    path = next((item for item in conditions if item.get("Field") == "path-pattern"), None)
    actions = rule.properties.get("Actions")
    return Route(
        priority=integer(rule.properties.get("Priority")),
        paths=tuple(_values(view, path, [_PATTERNS])) if path else (),
        expressions=tuple(_values(view, path, [_EXPRESSIONS])) if path else (),
        conditions=tuple(_condition(view, item) for item in conditions if item is not path),
        actions=_actions(view, actions),
        destinations=tuple(_destinations(view, actions)),
        claims=claims,
    )


def _values(
    view: Template, condition: Mapping[str, object], keys: Sequence[str] = (_PATTERNS, _EXPRESSIONS)
) -> list[str]:
    _, config = _CONDITION_FIELDS.get(view.text(condition.get("Field")), ("", ""))
    modern = mapping(condition.get(config))
    groups = [place.get(key) for place in (condition, modern) for key in keys]
    return [_pair(view, value) for group in groups for value in items(group)]


def _pair(view: Template, value: object) -> str:
    """A value as text; query strings come as key and value."""
    if isinstance(value, Mapping) and "Value" in value:
        key = view.text(value.get("Key"))
        return f"{key}={view.text(value['Value'])}" if key else view.text(value["Value"])
    return view.text(value)


def _condition(view: Template, condition: Mapping[str, object]) -> str:
    field = view.text(condition.get("Field"))
    if field == "http-header":
        header = mapping(condition.get("HttpHeaderConfig"))
        values = [view.text(value) for value in items(header.get("Values"))]
        return f"header {view.text(header.get('HttpHeaderName'))} {' or '.join(values)}".rstrip()
    word, _ = _CONDITION_FIELDS.get(field, (field or "unknown condition", ""))
    return f"{word} {' or '.join(_values(view, condition))}".rstrip()


def _in_order(value: object) -> list[Mapping[str, object]]:
    actions = [mapping(item) for item in items(value)]
    return sorted(actions, key=lambda action: integer(action.get("Order")) or 0)


def _actions(view: Template, value: object) -> tuple[str, ...]:
    """What happens before the destination or instead of one."""
    return tuple(filter(None, (_action(view, action) for action in _in_order(value))))


def _action(view: Template, action: Mapping[str, object]) -> str:
    match view.text(action.get("Type")):
        case "forward":
            return ""
        case "redirect":
            return _redirect(view, mapping(action.get("RedirectConfig")))
        case "fixed-response":
            status = view.text(mapping(action.get("FixedResponseConfig")).get("StatusCode"))
            return f"answer {status}".rstrip()
        case "authenticate-cognito":
            return _login("Cognito", view, mapping(action.get("AuthenticateCognitoConfig")))
        case "authenticate-oidc":
            return _login("OpenID Connect", view, mapping(action.get("AuthenticateOidcConfig")))
        case other:
            return other or "unknown action"


def _redirect(view: Template, config: Mapping[str, object]) -> str:
    """Status and place of a redirect; ``#{...}`` is ALB's own notation for what stays as requested."""

    def part(key: str) -> str:
        return view.text(config.get(key)) or f"#{{{key.lower()}}}"

    status = view.text(config.get("StatusCode")).removeprefix("HTTP_")
    scheme = part("Protocol").lower()
    port = "" if (part("Protocol"), part("Port")) in _USUAL_PORTS else f":{part('Port')}"
    path = view.text(config.get("Path")) or "/#{path}"
    rest = f"{part('Host')}{port}{path}?{part('Query')}"
    place = f"{scheme}, same host and path" if rest == _AS_REQUESTED else f"{scheme}://{rest}"
    return f"redirect {status} to {place}"


def _login(provider: str, view: Template, config: Mapping[str, object]) -> str:
    """A login step; what it does without a session decides whether a path is for people or for scripts."""
    match view.text(config.get("OnUnauthenticatedRequest")):
        case "deny":
            return f"{provider} login or 401"
        case "allow":
            return f"{provider} login if wanted"
        case _:
            return f"{provider} login"


def _destinations(view: Template, value: object) -> Iterator[Destination]:
    for action in _in_order(value):
        if view.text(action.get("Type")) != "forward":
            continue
        several = [mapping(item) for item in items(mapping(action.get("ForwardConfig")).get("TargetGroups"))]
        groups = several or [action]
        for group in groups:
            weight = integer(group.get("Weight")) if len(groups) > 1 else None
            yield from _in_group(view, group.get("TargetGroupArn"), weight)


def _in_group(view: Template, arn: object, weight: int | None) -> Iterator[Destination]:
    group = view.find(arn, TARGET_GROUP)
    name = group.id if group else view.text(arn)
    found = receivers(view, group) if group else ()
    for receiver in found:
        yield Destination(
            container=receiver.name,
            port=receiver.port,
            target_group=name,
            weight=weight,
            resource=receiver.resource,
            elsewhere=receiver.name or "",
            claims=tuple(_lambda_claims(group)) if group else (),
            listener_port=receiver.port,
        )
    if not found:
        elsewhere = f"what registers in target group {name}" if group else f"target group {name}"
        yield Destination(target_group=name, weight=weight, elsewhere=elsewhere)


def receivers(view: Template, group: Resource) -> tuple[Receiver, ...]:
    """Who registers into a target group (ECS services, instance groups), then who is listed in it."""
    return (*_registered(view).get(group.id, ()), *_listed(view, group))


@remembered
def _registered(view: Template) -> Mapping[str, list[Receiver]]:
    found: dict[str, list[Receiver]] = {}
    for service in view.of_type(SERVICE):
        for entry in map(mapping, items(service.properties.get("LoadBalancers"))):
            group = view.find(entry.get("TargetGroupArn"), TARGET_GROUP)
            if group is not None:
                name = view.text(entry.get("ContainerName")) or service.id
                port = integer(entry.get("ContainerPort"))
                found.setdefault(group.id, []).append(Receiver(resource=service, name=name, port=port))
    for scaled in view.of_type(_AUTO_SCALING_GROUP):
        arns = items(scaled.properties.get("TargetGroupARNs"))
        groups = (view.find(arn, TARGET_GROUP) for arn in arns)
        for group in dict.fromkeys(one for one in groups if one is not None):
            port = integer(group.properties.get("Port"))
            found.setdefault(group.id, []).append(Receiver(resource=scaled, name=scaled.id, port=port))
    return found


def _listed(view: Template, group: Resource) -> Iterator[Receiver]:
    for target in map(mapping, items(group.properties.get("Targets"))):
        found = view.find(target.get("Id"))
        name = found.id if found else view.text(target.get("Id"))
        yield Receiver(resource=found, name=name or None, port=integer(target.get("Port")))


# --- limits ---------------------------------------------------------------------------------------------


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


def _lambda_claims(group: Resource) -> Iterator[Claim]:
    if group.properties.get("TargetType") != "lambda":
        return
    hop = f"Lambda target of target group {group.id}"
    yield known(Kind.LARGEST, "alb.lambda_body", hop)
    yield known(Kind.STREAMING, "alb.lambda_streaming", hop)
    yield known(Kind.WEBSOCKET, "alb.lambda_websocket", hop)
