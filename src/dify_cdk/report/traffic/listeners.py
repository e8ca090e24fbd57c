"""The routes that a template's load balancers really serve, and the containers they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping

_SERVICE = "AWS::ECS::Service"
_TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
_LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
_LISTENER_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
_AUTO_SCALING_GROUP = "AWS::AutoScaling::AutoScalingGroup"

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
class Destination:
    """Where a route leads.

    Attributes:
        role: Container name, or the logical id of what else receives the requests; None if unknown.
        port: Port of the container; None if unknown.
        target_group: Logical id of the target group, or what the action refers to instead.
        weight: Share of the requests where one route has several destinations.
    """

    role: str | None
    port: int | None
    target_group: str
    weight: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Who takes the requests of a target group or of a Cloud Map service.

    Attributes:
        resource: Logical id; None for an address that is not in the template.
        name: Container name, or the logical id or address of what else receives.
        port: Port it listens on; None if unknown.
    """

    resource: str | None
    name: str | None
    port: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteRow:
    """One rule of a listener.

    Attributes:
        priority: Rank, lowest first; None for the default and for a number only known at deploy time.
        default: Whether this is what happens when no rule matches.
        paths: Path patterns, any of which matches; empty if the rule does not look at the path.
        conditions: Every other condition as text, all of which must hold.
        actions: What happens on the way, as text, for example a login or a redirect.
        destinations: Where requests end up; empty where the listener answers itself.
    """

    priority: int | None
    default: bool
    paths: tuple[str, ...]
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    destinations: tuple[Destination, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One listener of a load balancer, an HTTP API or a distribution, with its routes in order of trial.

    Attributes:
        id: Logical id, or the reference of rules whose listener is not in the template.
        protocol: For example ``HTTPS``; empty if unknown.
        port: Port; None if unknown.
        load_balancer: Logical id or reference of the load balancer or HTTP API.
        kind: ``application``, ``network``, ``gateway``, ``HTTP API`` or ``CloudFront distribution``.
        scheme: ``internet-facing`` or ``internal``; empty if the load balancer is not in the template.
        routes: Rules by priority, the default last.
    """

    id: str
    protocol: str
    port: int | None
    load_balancer: str
    kind: str
    scheme: str
    routes: tuple[RouteRow, ...]


def read_listeners(view: Template) -> tuple[Listener, ...]:
    """Every listener, then the rules whose listener is not in the template, for example in another stack."""
    return tuple(_listeners(view))


def _listeners(view: Template) -> Iterator[Listener]:
    rules: dict[str, list[Resource]] = {}
    for rule in view.of_type(_LISTENER_RULE):
        owner = rule.properties.get("ListenerArn")
        found = view.find(owner, _LISTENER)
        rules.setdefault(found.id if found else view.text(owner), []).append(rule)
    for listener in view.of_type(_LISTENER):
        yield _listener(view, listener, rules.pop(listener.id, []))
    for reference, orphans in rules.items():
        yield Listener(
            id=reference,
            protocol="",
            port=None,
            load_balancer="",
            kind="application",
            scheme="",
            routes=tuple(_rules(view, orphans)),
        )


def _listener(view: Template, listener: Resource, rules: list[Resource]) -> Listener:
    properties = listener.properties
    balancer = view.find(properties.get("LoadBalancerArn"), _LOAD_BALANCER)
    default = RouteRow(
        priority=None,
        default=True,
        paths=(),
        conditions=(),
        actions=_actions(view, properties.get("DefaultActions")),
        destinations=tuple(_destinations(view, properties.get("DefaultActions"))),
    )
    return Listener(
        id=listener.id,
        protocol=view.text(properties.get("Protocol")),
        port=integer(properties.get("Port")),
        load_balancer=balancer.id if balancer else view.text(properties.get("LoadBalancerArn")),
        kind=(view.text(balancer.properties.get("Type")) if balancer else "") or "application",
        scheme=(view.text(balancer.properties.get("Scheme")) or "internet-facing") if balancer else "",
        routes=(*_rules(view, rules), default),
    )


def _rules(view: Template, rules: list[Resource]) -> list[RouteRow]:
    """The rules of one listener by priority; a rank that is not known yet comes after all known ones."""
    rows = [_rule(view, rule) for rule in rules]
    return sorted(rows, key=lambda row: (row.priority is None, row.priority or 0))


def _rule(view: Template, rule: Resource) -> RouteRow:
    conditions = [mapping(item) for item in items(rule.properties.get("Conditions"))]
    # All conditions of a rule must hold: of two about the path only one fits into ``paths``, which are or-ed.
    path = next((item for item in conditions if item.get("Field") == "path-pattern"), None)
    actions = rule.properties.get("Actions")
    return RouteRow(
        priority=integer(rule.properties.get("Priority")),
        default=False,
        paths=tuple(_values(view, path)) if path else (),
        conditions=tuple(_condition(view, item) for item in conditions if item is not path),
        actions=_actions(view, actions),
        destinations=tuple(_destinations(view, actions)),
    )


def _values(view: Template, condition: Mapping[str, object]) -> list[str]:
    _, config = _CONDITION_FIELDS.get(view.text(condition.get("Field")), ("", ""))
    modern = mapping(condition.get(config))
    groups = [place.get(key) for place in (condition, modern) for key in ("Values", "RegexValues")]
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
            yield from _receivers(view, group.get("TargetGroupArn"), weight)


def _receivers(view: Template, arn: object, weight: int | None) -> Iterator[Destination]:
    group = view.find(arn, _TARGET_GROUP)
    name = group.id if group else view.text(arn)
    found = list(receivers(view, group)) if group else []
    for receiver in found or [Receiver(resource=None, name=None, port=None)]:
        yield Destination(role=receiver.name, port=receiver.port, target_group=name, weight=weight)


def receivers(view: Template, group: Resource) -> Iterator[Receiver]:
    """Who registers into a target group (ECS services, instance groups), then who is listed in it."""
    for service in view.of_type(_SERVICE):
        for entry in map(mapping, items(service.properties.get("LoadBalancers"))):
            if view.find(entry.get("TargetGroupArn"), _TARGET_GROUP) is group:
                name = view.text(entry.get("ContainerName")) or service.id
                port = integer(entry.get("ContainerPort"))
                yield Receiver(resource=service.id, name=name, port=port)
    for scaled in view.of_type(_AUTO_SCALING_GROUP):
        arns = items(scaled.properties.get("TargetGroupARNs"))
        if any(view.find(arn, _TARGET_GROUP) is group for arn in arns):
            port = integer(group.properties.get("Port"))
            yield Receiver(resource=scaled.id, name=scaled.id, port=port)
    for target in map(mapping, items(group.properties.get("Targets"))):
        found = view.find(target.get("Id"))
        name = found.id if found else view.text(target.get("Id"))
        port = integer(target.get("Port"))
        yield Receiver(resource=found.id if found else None, name=name or None, port=port)
