"""API Gateway: the routes of HTTP APIs and REST APIs, and the containers behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping, remembered
from dify_cdk.report.traffic.containers import SERVICE, container_definitions, task_definition_of
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import UNLIMITED, Claim, Kind, claim, known
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER, Receiver
from dify_cdk.report.traffic.routes import (
    GREEDY,
    LAST,
    Destination,
    Listener,
    Route,
    public_listener,
    rank,
    together,
)
from dify_cdk.report.traffic.targets import INVOCABLE, LISTENER, end_of
from dify_cdk.report.traffic.waf import associated, body_claims

HTTP_API = "AWS::ApiGatewayV2::Api"
REST_API = "AWS::ApiGateway::RestApi"
KINDS = {HTTP_API: "HTTP API", REST_API: "REST API"}
"""The ``kind`` of a listener that is an API."""

ROUTE = "AWS::ApiGatewayV2::Route"
INTEGRATION = "AWS::ApiGatewayV2::Integration"
HTTP_AUTHORIZER = "AWS::ApiGatewayV2::Authorizer"
METHOD = "AWS::ApiGateway::Method"
VPC_LINK = "AWS::ApiGatewayV2::VpcLink"
_RESOURCE = "AWS::ApiGateway::Resource"
_REST_AUTHORIZER = "AWS::ApiGateway::Authorizer"
_MAX_RESOURCES = 30  # levels of a path, far more than an API has
_DEFAULT_ROUTE = "$default"


def is_http_api(resource: Resource) -> bool:
    """Whether it is an HTTP API: routes of WebSocket APIs are no paths."""
    return resource.type == HTTP_API and resource.properties.get("ProtocolType") == "HTTP"


def is_followed(view: Template, resource: Resource) -> bool:
    """Whether the template has the routes of an API, and not a document of its own."""
    return is_http_api(resource) or (resource.type == REST_API and bool(api_routes(view, resource)))


def read_apis(view: Template) -> Iterator[Listener]:
    """Every API as a listener; its most specific route wins, so that routes have no rank."""
    for api in (*view.of_type(HTTP_API), *view.of_type(REST_API)):
        if is_followed(view, api):
            yield public_listener(api.id, KINDS[api.type], tuple(_together(api_routes(view, api))))


def _together(routes: tuple[Route, ...]) -> list[Route]:
    """A path and what is below it as one route if they lead to the same, the default last."""
    groups: dict[object, list[Route]] = {}
    for route in routes:
        base = route.variables.removesuffix(GREEDY).rstrip("/")
        key = (base, route.conditions, route.actions, route.destinations)
        groups.setdefault(key, []).append(route)
    return sorted(map(together, groups.values()), key=lambda route: route.default)


@remembered
def api_routes(view: Template, api: Resource) -> tuple[Route, ...]:
    """The routes of an HTTP API, or the methods of a REST API, in the template's order."""
    if api.type == REST_API:
        return tuple(_method(view, api, method) for method in view.naming(api, "RestApiId", METHOD))
    routes = tuple(_route(view, api, route) for route in view.naming(api, "ApiId", ROUTE))
    if all(route.variables for route in routes):
        return routes
    # Beside a default route, which comes last, a greedy path is one like others.
    return tuple(
        replace(route, default=False, paths=(GREEDY,)) if route.default and route.variables else route
        for route in routes
    )


def _functions_of(view: Template, authorizer: Resource | None) -> tuple[Resource, ...]:
    found = end_of(view, authorizer.properties.get("AuthorizerUri"), *INVOCABLE) if authorizer else None
    return () if found is None else (found,)


def _is_rest(method: str, path: str) -> bool:
    """Whether a route takes everything that no other takes, which needs no path in words."""
    return method == "ANY" and path == GREEDY


# --- HTTP APIs ------------------------------------------------------------------------------------------


def _route(view: Template, api: Resource, route: Resource) -> Route:
    key = view.text(route.properties.get("RouteKey"))
    method, _, path = key.rpartition(" ")
    is_default = key == _DEFAULT_ROUTE
    is_rest = is_default or _is_rest(method, path)
    authorizer = view.find(route.properties.get("AuthorizerId"), HTTP_AUTHORIZER)
    integration = view.find(route.properties.get("Target"), INTEGRATION)
    return Route(
        default=is_rest,
        paths=() if is_rest else (path,),
        conditions=() if method in ("", "ANY") else (f"method {method}",),
        actions=_authorization(view, route),
        destinations=tuple(_destinations(view, route, integration)),
        variables="" if is_default else path or "/",
        rank=LAST if is_default else rank(method or "ANY", path),
        claims=_http_claims(api, integration) if integration else (),
        authorizers=_functions_of(view, authorizer),
    )


def _authorization(view: Template, route: Resource) -> tuple[str, ...]:
    """What authorizes a request, as text."""
    match view.text(route.properties.get("AuthorizationType")):
        case "" | "NONE":
            return ()
        case "CUSTOM":
            authorizer = view.find(route.properties.get("AuthorizerId"))
            name = view.text(authorizer.properties.get("Name")) if authorizer else ""
            return (f"authorizer {name}".rstrip(),)
        case other:
            return (f"{other} authorization",)


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


def _destinations(view: Template, route: Resource, integration: Resource | None) -> Iterator[Destination]:
    if integration is None:
        target = view.text(route.properties.get("Target"))
        yield Destination(target_group=target, elsewhere=target)
        return
    uri = integration.properties.get("IntegrationUri")
    proxy = integration.properties.get("IntegrationType") == "AWS_PROXY"
    end = view.find(uri, *INVOCABLE) if proxy else view.find(uri)
    link = view.find(integration.properties.get("ConnectionId"), VPC_LINK)
    found = tuple(containers_behind(view, end)) if end else ()
    for receiver in found:
        yield Destination(
            container=receiver.name,
            port=receiver.port,
            target_group=view.text(uri),
            resource=receiver.resource,
            claims=tuple(_discovered(view, receiver.resource, end)) if end else (),
            link=link.id if link else None,
        )
    if not found:
        yield _single(view, uri, end, link, is_called=proxy)


def _single(
    view: Template, uri: object, end: Resource | None, link: Resource | None, *, is_called: bool
) -> Destination:
    hop = f"payload of a call of function {end.id}" if end else ""
    return Destination(
        container=end.id if end else None,
        target_group=view.text(uri),
        resource=end,
        elsewhere=view.text(uri),
        claims=(known(Kind.LARGEST, "lambda.payload", hop),) if end and is_called else (),
        link=link.id if link else None,
    )


def containers_behind(view: Template, end: Resource) -> Iterator[Receiver]:
    """The containers behind a Cloud Map service: of services that register there, or under its name."""
    name = end.properties.get("DiscoveryName")
    if name is None and end.type in (*INVOCABLE, LISTENER, LOAD_BALANCER):
        return
    for service in view.of_type(SERVICE):
        for entry in _connected(service):
            if name is not None and entry.get("DiscoveryName") == name:
                yield from _named_port(view, service, view.text(entry.get("PortName")))
        for registry in map(mapping, items(service.properties.get("ServiceRegistries"))):
            if view.find(registry.get("RegistryArn")) is end:
                container = view.text(registry.get("ContainerName")) or service.id
                port = integer(registry.get("ContainerPort"))
                yield Receiver(resource=service, name=container, port=port)


def _connected(service: Resource) -> Iterator[Mapping[str, object]]:
    connect = mapping(service.properties.get("ServiceConnectConfiguration"))
    return map(mapping, items(connect.get("Services")))


def _named_port(view: Template, service: Resource, name: str) -> Iterator[Receiver]:
    for container in container_definitions(task_definition_of(view, service)):
        for port in map(mapping, items(container.get("PortMappings"))):
            if view.text(port.get("Name")) == name:
                yield Receiver(
                    resource=service,
                    name=view.text(container.get("Name")),
                    port=integer(port.get("ContainerPort")),
                )


def _discovered(view: Template, service: Resource | None, end: Resource) -> Iterator[Claim]:
    """What Service Connect's proxy says where the integration finds a service by its discovery name."""
    name = end.properties.get("DiscoveryName")
    if service is None or name is None:
        return
    for entry in _connected(service):
        if view.text(entry.get("DiscoveryName")) == view.text(name):
            given = mapping(entry.get("Timeout")).get("PerRequestTimeoutSeconds")
            default = fact("service_connect.request_timeout").number
            seconds = default if given is None else integer(given)
            hop = f"request timeout of Service Connect in service {service.id}"
            value = UNLIMITED if seconds == 0 else seconds
            yield claim(Kind.TIMEOUT, value, hop, "service_connect.request_timeout", total=True)


# --- REST APIs ------------------------------------------------------------------------------------------


def _method(view: Template, api: Resource, method: Resource) -> Route:
    verb, path = view.text(method.properties.get("HttpMethod")), _path(view, method)
    authorizer = view.find(method.properties.get("AuthorizerId"), _REST_AUTHORIZER)
    integration = mapping(method.properties.get("Integration"))
    is_fixed = view.text(integration.get("Type")) == "MOCK"
    is_rest = _is_rest(verb, path)
    return Route(
        default=is_rest,
        paths=() if is_rest else (path,),
        conditions=() if verb == "ANY" else (f"method {verb}",),
        actions=(*_authorization(view, method), *(("a fixed answer",) if is_fixed else ())),
        destinations=() if is_fixed else (_integrated(view, integration),),
        variables=path,
        rank=rank(verb, path),
        claims=tuple(_rest_claims(view, api, integration)),
        authorizers=_functions_of(view, authorizer),
    )


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


def _integrated(view: Template, integration: Mapping[str, object]) -> Destination:
    uri = integration.get("Uri")
    target = integration.get("IntegrationTarget", uri)
    is_call = view.text(integration.get("Type")) in ("AWS", "AWS_PROXY")
    called = view.find(uri, *INVOCABLE) if is_call else None
    end = called or view.find(target, LISTENER) or view.find(target, LOAD_BALANCER)
    return _single(view, uri, end, None, is_called=called is not None)
