"""Entry points of a template as parts of a graph, and where each leads requests of which paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from dify_cdk.report.diagram.model import Edge, Flow, Node, Tier
from dify_cdk.report.diagram.parts import function_title
from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic.api_gateway import (
    HTTP_API,
    HTTP_AUTHORIZER,
    KINDS,
    REST_API,
    VPC_LINK,
    is_followed,
)
from dify_cdk.report.traffic.cloudfront import DISTRIBUTION, all_behaviors, associations, config_of
from dify_cdk.report.traffic.entry_points import UNREAD, routes_of
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER, RULE, read_listeners
from dify_cdk.report.traffic.routes import Listener, Route
from dify_cdk.report.traffic.targets import FUNCTION, FUNCTION_URL, LISTENER, end_of
from dify_cdk.report.traffic.waf import WEB_ACL

_CLASSIC = "AWS::ElasticLoadBalancing::LoadBalancer"
_WEB_ACL_ASSOCIATION = "AWS::WAFv2::WebACLAssociation"
_UNFOLLOWED = "routes not followed"
_PLAIN = MappingProxyType(
    {
        **dict.fromkeys(UNREAD, ("Serverless API", "API Gateway", _UNFOLLOWED)),
        VPC_LINK: ("VPC link", "API Gateway"),
        "AWS::AppSync::GraphQLApi": ("GraphQL API", "AppSync", _UNFOLLOWED),
        _CLASSIC: ("Classic Load Balancer", "Elastic Load Balancing", _UNFOLLOWED),
        "AWS::GlobalAccelerator::Accelerator": ("Accelerator", "Global Accelerator", _UNFOLLOWED),
    }
)
"""Types of entry points that are shown alike wherever they stand: title, service, details."""

_BALANCERS = MappingProxyType(
    {
        "application": "Application Load Balancer",
        "gateway": "Gateway Load Balancer",
        "network": "Network Load Balancer",
    }
)


# --- entry points ---------------------------------------------------------------------------------------


def entry_nodes(view: Template) -> Iterator[Node]:
    """Every entry point, and the VPC links behind them, without guards."""
    for resource in view.resources:
        texts = _texts(view, resource)
        if texts:
            title, service, *details = texts
            yield _node(resource.id, title, service, *details)
    for listener in read_listeners(view):
        if view.find({"Ref": listener.load_balancer}, LOAD_BALANCER) is None:
            yield _node(_owner_of(listener), "Load balancer", "not in this template")


def _node(id: str, title: str, service: str, *details: str) -> Node:
    return Node(
        id=id, tier=Tier.ENTRY_POINT, title=title, service=service, details=tuple(filter(None, details))
    )


def _owner_of(listener: Listener) -> str:
    return listener.load_balancer or listener.id


def _texts(view: Template, resource: Resource) -> tuple[str, ...]:
    """Title, service and details of an entry point; empty for anything else."""
    match resource.type:
        case type if type == DISTRIBUTION:
            names = [view.text(name) for name in items(config_of(resource).get("Aliases"))]
            return "CloudFront", "distribution", *names[:1]
        case type if type == LOAD_BALANCER:
            return tuple(_balancer(view, resource))
        case type if type in KINDS:
            word = KINDS[REST_API]
            if type == HTTP_API:
                kind = view.text(resource.properties.get("ProtocolType"))
                word = f"{kind if kind == 'HTTP' else kind.capitalize()} API".lstrip()
            return word, "API Gateway", "" if is_followed(view, resource) else _UNFOLLOWED
        case other:
            return _PLAIN.get(other, ())


def _balancer(view: Template, resource: Resource) -> Iterator[str]:
    kind = view.text(resource.properties.get("Type")) or "application"
    yield _BALANCERS.get(kind, "Load balancer")
    yield view.text(resource.properties.get("Scheme")) or "internet-facing"
    for listener in view.naming(resource, "LoadBalancerArn", LISTENER):
        words = (view.text(listener.properties.get(key)) for key in ("Protocol", "Port"))
        yield " ".join(filter(None, words))


def is_public(view: Template, resource: Resource) -> bool:
    """Whether anybody can address it: it has a name in public DNS."""
    match resource.type:
        case type if type in (LOAD_BALANCER, _CLASSIC):
            return view.text(resource.properties.get("Scheme")) != "internal"
        case type if type == HTTP_API:
            return view.text(resource.properties.get("DisableExecuteApiEndpoint")) != "true"
        case type if type == FUNCTION:
            urls = view.of_type(FUNCTION_URL)
            mine = (one for one in urls if end_of(view, {"Ref": one.id}) is resource)
            return any(one.properties.get("AuthType") == "NONE" for one in mine)
        case other:
            return other in (DISTRIBUTION, REST_API) or (other in _PLAIN and other != VPC_LINK)


# --- guards ---------------------------------------------------------------------------------------------


def guards(view: Template) -> Iterator[Node]:
    """What inspects requests at an entry point: edge functions, authorizers, web ACLs, logins."""
    for distribution in view.of_type(DISTRIBUTION):
        config = config_of(distribution)
        yield from _web_acl(view, distribution, config.get("WebACLId"))
        yield from _edge_functions(view, distribution, config)
    for association in view.of_type(_WEB_ACL_ASSOCIATION):
        entry = end_of(view, association.properties.get("ResourceArn"))
        if entry is not None:
            yield from _web_acl(view, entry, association.properties.get("WebACLArn"))
    for authorizer in view.of_type(HTTP_AUTHORIZER):
        api = view.find(authorizer.properties.get("ApiId"), HTTP_API)
        if api is not None:
            yield _authorizer(view, api, authorizer)
    yield from _logins(view)


def _web_acl(view: Template, entry: Resource, value: object) -> Iterator[Node]:
    if view.text(value):
        found = view.find(value, WEB_ACL)
        yield _guard(entry, found.id if found else view.text(value), "Web ACL", "WAF")


def _edge_functions(view: Template, distribution: Resource, config: Mapping[str, object]) -> Iterator[Node]:
    """One guard per function and event, with the number of behaviors it runs in where it is not all."""
    *others, default = all_behaviors(config)
    behaviors = [default, *others]
    counts: Counter[tuple[str, str, str]] = Counter()
    for behavior in behaviors:
        for title, event, reference in associations(view, behavior):
            end = end_of(view, reference)
            counts[title, end.id if end else view.text(reference), event] += 1
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
    for resource in view.of_type(LISTENER, RULE):
        key = "DefaultActions" if resource.type == LISTENER else "Actions"
        owner = resource.properties.get("ListenerArn")
        balancer = end_of(view, owner if resource.type == RULE else {"Ref": resource.id})
        for action in map(mapping, items(resource.properties.get(key))):
            kind = view.text(action.get("Type"))
            if kind.startswith("authenticate-") and balancer is not None:
                provider = {"authenticate-cognito": "Cognito"}.get(kind, "OpenID Connect")
                yield _guard(balancer, f"login-{provider}", "Login", provider)


def _guard(entry: Resource, id: str, title: str, *details: str) -> Node:
    service, *more = filter(None, details or ("",))
    return Node(
        id=f"{entry.id}/{id}",
        tier=Tier.ENTRY_POINT,
        title=title,
        service=service,
        details=tuple(more),
        host=entry.id,
    )


# --- requests -------------------------------------------------------------------------------------------


def requests(view: Template) -> list[Edge]:
    """From every entry point to its next hops, one edge for each with all the paths that go this way."""
    together: dict[tuple[str, str], list[Route]] = {}
    for source, routes in _sources(view):
        for route in routes:
            for destination in route.destinations:
                found = destination.resource and end_of(view, {"Ref": destination.resource.id})
                target = found.id if found else destination.container or destination.target_group
                if target and destination.link:
                    together.setdefault((source, destination.link), [])
                if target:
                    together.setdefault((destination.link or source, target), []).append(route)
    return [_edge(source, target, routes) for (source, target), routes in together.items()]


def _sources(view: Template) -> Iterator[tuple[str, tuple[Route, ...]]]:
    """Every entry point with its routes, those of CloudFront and API Gateway first."""
    for type in (DISTRIBUTION, *KINDS):
        for resource in view.of_type(type):
            if type == DISTRIBUTION or is_followed(view, resource):
                yield resource.id, routes_of(view, resource)
    for listener in read_listeners(view):
        yield _owner_of(listener), listener.routes


def _edge(source: str, target: str, routes: Sequence[Route]) -> Edge:
    return Edge(
        source=source,
        target=target,
        flow=Flow.REQUEST,
        paths=tuple(dict.fromkeys(text for route in routes for text in _paths(route))),
        default=any(route.default for route in routes),
    )


def _paths(route: Route) -> Iterator[str]:
    """The paths of a route, each with its methods where it takes only some."""
    found = (one.removeprefix("method ") for one in route.conditions if one.startswith("method "))
    method = next(found, "")
    yield from (f"{method} {path}".strip() for path in route.paths if path)
