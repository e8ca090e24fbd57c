"""The ways in of a template as parts of a graph, and where each leads requests of which paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dify_cdk.report.diagram.model import Node, Tier
from dify_cdk.report.diagram.parts import FUNCTION, FUNCTION_URL, function_title
from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic.api_rows import containers_behind, is_followed, route_key
from dify_cdk.report.traffic.distribution_rows import read_distributions
from dify_cdk.report.traffic.listeners import Listener, read_listeners, receivers

_API = "AWS::ApiGatewayV2::Api"
_AUTHORIZER = "AWS::ApiGatewayV2::Authorizer"
_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
_CLASSIC = "AWS::ElasticLoadBalancing::LoadBalancer"
_DISTRIBUTION = "AWS::CloudFront::Distribution"
_INTEGRATION = "AWS::ApiGatewayV2::Integration"
_LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
_PARAMETER = "AWS::SSM::Parameter"
_ROUTE = "AWS::ApiGatewayV2::Route"
_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
_VPC_LINK = "AWS::ApiGatewayV2::VpcLink"
_WEB_ACL = "AWS::WAFv2::WebACL"
_WEB_ACL_ASSOCIATION = "AWS::WAFv2::WebACLAssociation"

_UNFOLLOWED = "routes not followed"
_PLAIN_DOORS = MappingProxyType(
    {
        "AWS::ApiGateway::RestApi": ("REST API", "API Gateway", _UNFOLLOWED),
        _VPC_LINK: ("VPC link", "API Gateway"),
        "AWS::AppSync::GraphQLApi": ("GraphQL API", "AppSync", _UNFOLLOWED),
        _CLASSIC: ("Classic Load Balancer", "Elastic Load Balancing", _UNFOLLOWED),
        "AWS::GlobalAccelerator::Accelerator": ("Accelerator", "Global Accelerator", _UNFOLLOWED),
    }
)
"""Types of doors that are shown alike wherever they stand: title, service, details."""

_BALANCERS = MappingProxyType(
    {
        "application": "Application Load Balancer",
        "gateway": "Gateway Load Balancer",
        "network": "Network Load Balancer",
    }
)

_REFERS_ON = MappingProxyType(
    {
        "AWS::CloudFront::VpcOrigin": "VpcOriginEndpointConfig",
        _LISTENER: "LoadBalancerArn",
        "AWS::Lambda::Alias": "FunctionName",
        FUNCTION_URL: "TargetFunctionArn",
        "AWS::Lambda::Version": "FunctionName",
        _PARAMETER: "Value",
    }
)
"""Types that only stand for another resource, and the property that names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """Requests of some paths, from a door to the next stop.

    Attributes:
        door: Node that they come from.
        end: Logical id of where they go, or its address where it is not in the template.
        path: Path pattern; empty where the path does not matter.
        default: Whether these are the requests that nothing else takes.
    """

    door: str
    end: str
    path: str = ""
    default: bool = False


def end_of(view: Template, value: object) -> Resource | None:
    """The resource that a value leads to, through versions, aliases, URLs, listeners and parameters."""
    found = view.find(value)
    for _ in range(5):  # a version of an alias of ...: a circle must end
        if found is None:
            return None
        if "ParameterName" in found.properties:  # how a stack reads an edge function of another region
            name = view.text(found.properties["ParameterName"])
            parameters = view.of_type(_PARAMETER)
            same = (one for one in parameters if view.text(one.properties.get("Name")) == name)
            following = next(same, None)
        else:
            following = view.find(found.properties.get(_REFERS_ON.get(found.type, "")))
        if following is None or following is found:
            return found
        found = following
    return found


# --- doors ----------------------------------------------------------------------------------------------


def doors(view: Template) -> Iterator[Node]:
    """Every way in, and the VPC links behind them, without guards."""
    for resource in view.resources:
        node = _door(view, resource)
        if node is not None:
            yield node
    for listener in read_listeners(view):
        if view.find({"Ref": listener.load_balancer}, _BALANCER) is None:
            yield Node(
                id=_balancer_of(listener),
                tier=Tier.DOOR,
                title="Load balancer",
                service="not in this template",
            )


def _balancer_of(listener: Listener) -> str:
    return listener.load_balancer or listener.id


def _door(view: Template, resource: Resource) -> Node | None:
    match resource.type:
        case "AWS::CloudFront::Distribution":
            config = mapping(resource.properties.get("DistributionConfig"))
            names = [view.text(name) for name in items(config.get("Aliases"))]
            return _node(resource, "CloudFront", "distribution", *names[:1])
        case "AWS::ElasticLoadBalancingV2::LoadBalancer":
            return _balancer(view, resource)
        case "AWS::ApiGatewayV2::Api":
            return _api(view, resource)
    texts = _PLAIN_DOORS.get(resource.type)
    return _node(resource, *texts) if texts else None


def _api(view: Template, resource: Resource) -> Node:
    if is_followed(resource):
        return _node(resource, "HTTP API", "API Gateway")
    kind = view.text(resource.properties.get("ProtocolType")).capitalize()
    return _node(resource, f"{kind} API".lstrip(), "API Gateway", _UNFOLLOWED)


def _balancer(view: Template, resource: Resource) -> Node:
    kind = view.text(resource.properties.get("Type")) or "application"
    scheme = view.text(resource.properties.get("Scheme")) or "internet-facing"
    entries = [
        " ".join(filter(None, (view.text(one.properties.get(key)) for key in ("Protocol", "Port"))))
        for one in view.of_type(_LISTENER)
        if view.find(one.properties.get("LoadBalancerArn"), _BALANCER) is resource
    ]
    return _node(resource, _BALANCERS.get(kind, "Load balancer"), scheme, *filter(None, entries))


def _node(resource: Resource, title: str, service: str, *details: str) -> Node:
    return Node(id=resource.id, tier=Tier.DOOR, title=title, service=service, details=tuple(details))


def is_public(view: Template, resource: Resource) -> bool:
    """Whether anybody can address it: it has a name in public DNS."""
    match resource.type:
        case "AWS::CloudFront::Distribution":
            return True
        case "AWS::ElasticLoadBalancingV2::LoadBalancer" | "AWS::ElasticLoadBalancing::LoadBalancer":
            return view.text(resource.properties.get("Scheme")) != "internal"
        case "AWS::ApiGatewayV2::Api":
            return view.text(resource.properties.get("DisableExecuteApiEndpoint")) != "true"
        case "AWS::Lambda::Function":
            urls = view.of_type(FUNCTION_URL)
            mine = (one for one in urls if end_of(view, {"Ref": one.id}) is resource)
            return any(one.properties.get("AuthType") == "NONE" for one in mine)
        case other:
            return other in _PLAIN_DOORS and other != _VPC_LINK


# --- guards ---------------------------------------------------------------------------------------------


def guards(view: Template) -> Iterator[Node]:
    """What runs on a door before requests go on: edge functions, authorizers, web ACLs, logins."""
    for distribution in view.of_type(_DISTRIBUTION):
        config = mapping(distribution.properties.get("DistributionConfig"))
        yield from _web_acl(view, distribution, config.get("WebACLId"))
        yield from _edge_functions(view, distribution, config)
    for association in view.of_type(_WEB_ACL_ASSOCIATION):
        door = end_of(view, association.properties.get("ResourceArn"))
        if door is not None:
            yield from _web_acl(view, door, association.properties.get("WebACLArn"))
    for authorizer in view.of_type(_AUTHORIZER):
        api = view.find(authorizer.properties.get("ApiId"), _API)
        if api is not None:
            yield _authorizer(view, api, authorizer)
    yield from _logins(view)


def _web_acl(view: Template, door: Resource, value: object) -> Iterator[Node]:
    if view.text(value):
        found = view.find(value, _WEB_ACL)
        yield _guard(door, found.id if found else view.text(value), "Web ACL", "WAF")


def _edge_functions(view: Template, distribution: Resource, config: Mapping[str, object]) -> Iterator[Node]:
    """One guard per function and event, with the number of behaviors it runs in where it is not all."""
    behaviors = [config.get("DefaultCacheBehavior"), *items(config.get("CacheBehaviors"))]
    counts: dict[tuple[str, str, str], int] = {}
    for behavior in map(mapping, behaviors):
        for title, list_name, arn_name in (
            ("CloudFront Function", "FunctionAssociations", "FunctionARN"),
            ("Lambda@Edge", "LambdaFunctionAssociations", "LambdaFunctionARN"),
        ):
            for entry in map(mapping, items(behavior.get(list_name))):
                end = end_of(view, entry.get(arn_name))
                id = end.id if end else view.text(entry.get(arn_name))
                key = (title, id, view.text(entry.get("EventType")))
                counts[key] = counts.get(key, 0) + 1
    for (title, id, event), count in counts.items():
        where = "" if count == len(behaviors) else f"{count} of {len(behaviors)} behaviors"
        yield _guard(distribution, id, title, event, where)


def _authorizer(view: Template, api: Resource, authorizer: Resource) -> Node:
    function = end_of(view, authorizer.properties.get("AuthorizerUri"))
    if function is not None and function.type == FUNCTION:
        return _guard(api, function.id, "Authorizer", "Lambda", function_title(view, function))
    kind = view.text(authorizer.properties.get("AuthorizerType"))
    return _guard(api, authorizer.id, "Authorizer", kind)


def _logins(view: Template) -> Iterator[Node]:
    for resource in view.of_type(_LISTENER, _RULE):
        key = "DefaultActions" if resource.type == _LISTENER else "Actions"
        owner = resource.properties.get("ListenerArn")
        balancer = end_of(view, owner if resource.type == _RULE else {"Ref": resource.id})
        for action in map(mapping, items(resource.properties.get(key))):
            kind = view.text(action.get("Type"))
            if kind.startswith("authenticate-") and balancer is not None:
                provider = {"authenticate-cognito": "Cognito"}.get(kind, "OpenID Connect")
                yield _guard(balancer, f"login-{provider}", "Login", provider)


def _guard(door: Resource, id: str, title: str, *details: str) -> Node:
    service, *more = filter(None, details or ("",))
    return Node(
        id=f"{door.id}/{id}",
        tier=Tier.DOOR,
        title=title,
        service=service,
        details=tuple(more),
        host=door.id,
    )


# --- ways -----------------------------------------------------------------------------------------------


def ways(view: Template) -> Iterator[Way]:
    """Where every door leads, in order of precedence."""
    yield from _from_distributions(view)
    yield from _from_http_apis(view)
    yield from _from_balancers(view)


def _from_distributions(view: Template) -> Iterator[Way]:
    for distribution in read_distributions(view):
        for row in distribution.routes:
            for end in row.destinations:
                name = end.role or ""
                if name:
                    yield from _by_path(distribution.id, name, row.paths, default=row.default)


def _from_balancers(view: Template) -> Iterator[Way]:
    for listener in read_listeners(view):
        for row in listener.routes:
            paths = row.paths or (() if row.default else ("",))
            for group in dict.fromkeys(destination.target_group for destination in row.destinations):
                for end in _behind(view, group):
                    yield from _by_path(_balancer_of(listener), end, paths, default=row.default)


def _behind(view: Template, group: str) -> Iterator[str]:
    """Who receives a target group's requests; the group itself where that is not known."""
    found = view.find({"Ref": group}, _TARGET_GROUP)
    known = [one for one in receivers(view, found) if one.resource or one.name] if found else []
    for receiver in known:
        end = end_of(view, {"Ref": receiver.resource}) if receiver.resource else None
        yield end.id if end else receiver.name or group
    if not known:
        yield group


def _from_http_apis(view: Template) -> Iterator[Way]:
    for route in view.of_type(_ROUTE):
        api = view.find(route.properties.get("ApiId"), _API)
        integration = view.find(route.properties.get("Target"), _INTEGRATION)
        if api is None or integration is None or not is_followed(api):
            continue
        _, path = route_key(view, route)
        default = path == "/{proxy+}"
        paths = () if default else (path,)
        link = view.find(integration.properties.get("ConnectionId"), _VPC_LINK)
        door = api.id
        if link is not None:
            yield Way(door=api.id, end=link.id)
            door = link.id
        for end in _ends(view, integration):
            yield from _by_path(door, end, paths, default=default)


def _ends(view: Template, integration: Resource) -> Iterator[str]:
    uri = integration.properties.get("IntegrationUri")
    end = end_of(view, uri)
    behind = [one.resource for one in containers_behind(view, end) if one.resource] if end else []
    if behind:
        yield from dict.fromkeys(behind)
    elif end is not None or view.text(uri):
        yield end.id if end else view.text(uri)


def _by_path(door: str, end: str, paths: tuple[str, ...], *, default: bool) -> Iterator[Way]:
    for path in paths:
        yield Way(door=door, end=end, path=path)
    if default:
        yield Way(door=door, end=end, default=True)
