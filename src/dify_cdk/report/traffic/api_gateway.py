"""The way through API Gateway: HTTP APIs and REST APIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.api_rows import containers_behind, route_key
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import (
    Claim,
    Kind,
    Request,
    Way,
    after,
    by_id,
    claim,
    known,
    to_answer,
    to_unknown,
)
from dify_cdk.report.traffic.listeners import Receiver
from dify_cdk.report.traffic.load_balancers import LISTENER, LOAD_BALANCER, through_balancer, through_listener
from dify_cdk.report.traffic.targets import FUNCTION, function, proxy_claims, receiver
from dify_cdk.report.traffic.waf import associated, body_claims

HTTP_API = "AWS::ApiGatewayV2::Api"
REST_API = "AWS::ApiGateway::RestApi"
_ROUTE = "AWS::ApiGatewayV2::Route"
_INTEGRATION = "AWS::ApiGatewayV2::Integration"
_HTTP_AUTHORIZER = "AWS::ApiGatewayV2::Authorizer"
_METHOD = "AWS::ApiGateway::Method"
_RESOURCE = "AWS::ApiGateway::Resource"
_REST_AUTHORIZER = "AWS::ApiGateway::Authorizer"
_LAMBDA = ("AWS::Lambda::Function", "AWS::Lambda::Alias", "AWS::Lambda::Version")
_MAX_RESOURCES = 30  # levels of a path, far more than an API has

Rank = tuple[bool, int, bool]
"""Whether a route has no greedy variable, how many of its segments are fixed, and whether its method is."""

_DEFAULT_ROUTE, _LAST = "$default", (False, -1, False)


def patterns(view: Template, api: Resource) -> list[str]:
    """The paths of all routes of an API, with their variables."""
    if api.type == HTTP_API:
        return [route_key(view, route)[1] for route in _routes(view, api)]
    return [_path(view, method) for method in _methods(view, api)]


# --- HTTP APIs ------------------------------------------------------------------------------------------


def through_http_api(view: Template, api: Resource, request: Request) -> Iterator[Way]:
    """The way that the most specific route of an HTTP API takes."""
    ranked = [(rank, route) for route in _routes(view, api) if (rank := _route_rank(view, route, request))]
    if not ranked:
        yield to_answer(f"404 of HTTP API {api.id}, which has no such route")
        return
    _, route = max(ranked, key=lambda pair: pair[0])
    integration = view.find(route.properties.get("Target"), _INTEGRATION)
    if integration is None:
        yield to_unknown(view.text(route.properties.get("Target")))
        return
    claims = _http_claims(api, integration)
    authorizer = view.find(route.properties.get("AuthorizerId"), _HTTP_AUTHORIZER)
    yield from after(claims, _integrated(view, integration, request), asks=_asked(view, authorizer))


def _routes(view: Template, api: Resource) -> list[Resource]:
    return [
        route for route in view.of_type(_ROUTE) if view.find(route.properties.get("ApiId"), HTTP_API) is api
    ]


def _route_rank(view: Template, route: Resource, request: Request) -> Rank | None:
    if view.text(route.properties.get("RouteKey")) == _DEFAULT_ROUTE:
        return _LAST
    return _rank(*route_key(view, route), request)


def _rank(method: str, path: str, request: Request) -> Rank | None:
    """How specific a route is for a request; None if it does not take it."""
    if method not in ("ANY", request.method):
        return None
    parts, wanted = _segments(path), _segments(request.path)
    greedy = bool(parts) and parts[-1].endswith("+}")
    fixed = parts[:-1] if greedy else parts
    # A greedy variable takes one segment or more.
    if len(wanted) <= len(fixed) if greedy else len(wanted) != len(fixed):
        return None
    if any(part != text and not _is_variable(part) for part, text in zip(fixed, wanted, strict=False)):
        return None
    return not greedy, sum(not _is_variable(part) for part in fixed), method != "ANY"


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _is_variable(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _asked(view: Template, authorizer: Resource | None) -> tuple[Resource, ...]:
    found = view.find(authorizer.properties.get("AuthorizerUri"), *_LAMBDA) if authorizer else None
    return () if found is None else (found,)


def _http_claims(api: Resource, integration: Resource) -> tuple[Claim, ...]:
    most = fact("http_api.timeout").number
    given = integration.properties.get("TimeoutInMillis")
    milliseconds = most * 1000 if given is None else integer(given)
    seconds = None if milliseconds is None else min(milliseconds / 1000, most)
    name = f"HTTP API {api.id}"
    hop = f"integration timeout of {name}"
    return (
        claim(Kind.TIMEOUT, seconds, hop, "http_api.timeout", total=True),
        known(Kind.LARGEST, "http_api.body", f"payload of {name}"),
        known(Kind.STREAMING, "http_api.streaming", name),
        known(Kind.WEBSOCKET, "http_api.websocket", name),
    )


def _integrated(view: Template, integration: Resource, request: Request) -> Iterator[Way]:
    uri = integration.properties.get("IntegrationUri")
    if integration.properties.get("IntegrationType") == "AWS_PROXY":
        yield from _to_function(view, uri)
        return
    end = view.find(uri)
    if end is None:
        yield to_unknown(view.text(uri))
    elif end.type == LISTENER:
        yield from through_listener(view, end, request)
    else:
        found = list(containers_behind(view, end))
        for one in found:
            yield from after(_discovered(view, one, end), receiver(view, one))
        if not found:
            yield to_unknown(end.id)


def _to_function(view: Template, uri: object) -> Iterator[Way]:
    target = view.find(uri, *_LAMBDA)
    if target is None:
        yield to_unknown(view.text(uri))
        return
    claims = (known(Kind.LARGEST, "lambda.payload", f"payload of a call of function {target.id}"),)
    yield from after(claims, function(view, {"Ref": target.id}))


def _discovered(view: Template, found: Receiver, end: Resource) -> Iterator[Claim]:
    """What Service Connect's proxy says where the integration finds a service by its discovery name."""
    service = by_id(view, found.resource) if found.resource else None
    name = end.properties.get("DiscoveryName")
    if service is None or name is None:
        return
    connect = mapping(service.properties.get("ServiceConnectConfiguration"))
    for entry in map(mapping, items(connect.get("Services"))):
        if entry.get("DiscoveryName") == name:
            yield from proxy_claims(service, view.text(entry.get("PortName")))


# --- REST APIs ------------------------------------------------------------------------------------------


def through_rest_api(view: Template, api: Resource, request: Request) -> Iterator[Way]:
    """The way that the most specific method of a REST API takes."""
    own = _methods(view, api)
    ranked = [
        (rank, method)
        for method in own
        if (rank := _rank(view.text(method.properties.get("HttpMethod")), _path(view, method), request))
    ]
    if not own:
        yield to_unknown(f"what the document of REST API {api.id} says")
    elif not ranked:
        yield to_answer(f"403 of REST API {api.id}, which has no such resource")
    else:
        _, method = max(ranked, key=lambda pair: pair[0])
        authorizer = view.find(method.properties.get("AuthorizerId"), _REST_AUTHORIZER)
        integration = mapping(method.properties.get("Integration"))
        claims = _rest_claims(view, api, integration)
        yield from after(claims, _rest_end(view, integration, request), asks=_asked(view, authorizer))


def _methods(view: Template, api: Resource) -> list[Resource]:
    return [
        method
        for method in view.of_type(_METHOD)
        if view.find(method.properties.get("RestApiId"), REST_API) is api
    ]


def _path(view: Template, method: Resource) -> str:
    """The path of a method: the parts of its resource and of those above."""
    parts: list[str] = []
    resource = view.find(method.properties.get("ResourceId"), _RESOURCE)
    while resource is not None and len(parts) < _MAX_RESOURCES:
        parts.insert(0, view.text(resource.properties.get("PathPart")))
        resource = view.find(resource.properties.get("ParentId"), _RESOURCE)
    return "/" + "/".join(parts)


def _rest_claims(view: Template, api: Resource, integration: Mapping[str, object]) -> Iterator[Claim]:
    name = f"REST API {api.id}"
    streams = view.text(integration.get("ResponseTransferMode")) == "STREAM"
    if streams:
        types = items(mapping(api.properties.get("EndpointConfiguration")).get("Types")) or ["EDGE"]
        idle = "rest_api.stream_idle_edge" if "EDGE" in types else "rest_api.stream_idle"
        yield known(Kind.TIMEOUT, idle, f"idle timeout of streams of {name}")
        yield known(Kind.TIMEOUT, "rest_api.stream_timeout", f"length of streams of {name}", total=True)
    else:
        given = integration.get("TimeoutInMillis")
        milliseconds = fact("rest_api.timeout").number * 1000 if given is None else integer(given)
        seconds = None if milliseconds is None else milliseconds / 1000
        yield claim(Kind.TIMEOUT, seconds, f"integration timeout of {name}", "rest_api.timeout", total=True)
    mode = "STREAM" if streams else "BUFFERED"
    yield claim(Kind.STREAMING, streams, f"response transfer mode {mode} of {name}", "rest_api.streaming")
    yield known(Kind.LARGEST, "rest_api.body", f"payload of {name}")
    yield known(Kind.WEBSOCKET, "rest_api.websocket", name)
    for acl in associated(view, api):
        yield from body_claims(view, acl)


def _rest_end(view: Template, integration: Mapping[str, object], request: Request) -> Iterator[Way]:
    kind, uri = view.text(integration.get("Type")), integration.get("Uri")
    target = integration.get("IntegrationTarget", uri)
    if kind == "MOCK":
        yield to_answer("a fixed answer")
    elif kind in ("AWS", "AWS_PROXY") and view.find(uri, FUNCTION, *_LAMBDA):
        yield from _to_function(view, uri)
    elif (listener := view.find(target, LISTENER)) is not None:
        yield from through_listener(view, listener, request)
    elif (balancer := view.find(target, LOAD_BALANCER)) is not None:
        yield from through_balancer(view, balancer, request)
    else:
        yield to_unknown(view.text(uri))
