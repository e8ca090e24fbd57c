"""The routes that a template's HTTP APIs really serve, and the containers they lead to."""

from __future__ import annotations

from collections.abc import Iterator

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.listeners import Destination, Listener, Receiver, RouteRow

HTTP_API = "HTTP API"
"""The ``kind`` of a listener that is an HTTP API."""

_API = "AWS::ApiGatewayV2::Api"
_ROUTE = "AWS::ApiGatewayV2::Route"
_INTEGRATION = "AWS::ApiGatewayV2::Integration"
_SERVICE = "AWS::ECS::Service"
_TASK_DEFINITION = "AWS::ECS::TaskDefinition"

_GREEDY = "/{proxy+}"
_DEFAULT = "$default"


def is_followed(api: Resource) -> bool:
    """Whether the routes of an API are shown: those of WebSocket APIs are no paths."""
    return api.type == _API and api.properties.get("ProtocolType") == "HTTP"


def read_http_apis(view: Template) -> tuple[Listener, ...]:
    """Every HTTP API as a listener; its most specific route wins, so that routes have no rank."""
    return tuple(_listener(view, api) for api in view.of_type(_API) if is_followed(api))


def _listener(view: Template, api: Resource) -> Listener:
    routes = [
        route for route in view.of_type(_ROUTE) if view.find(route.properties.get("ApiId"), _API) is api
    ]
    rows: dict[tuple[str, str], list[Resource]] = {}
    for route in routes:
        method, path = route_key(view, route)
        rows.setdefault((path.removesuffix(_GREEDY).rstrip("/"), method), []).append(route)
    return Listener(
        id=api.id,
        protocol="HTTPS",
        port=443,
        load_balancer=api.id,
        kind=HTTP_API,
        scheme="internet-facing",
        routes=tuple(sorted((_row(view, group) for group in rows.values()), key=lambda row: row.default)),
    )


def route_key(view: Template, route: Resource) -> tuple[str, str]:
    """Method and path of a route; the default route stands for every path that no other takes."""
    key = view.text(route.properties.get("RouteKey"))
    method, _, path = key.rpartition(" ")
    return method or "ANY", "/{proxy+}" if key == _DEFAULT else path


def _row(view: Template, routes: list[Resource]) -> RouteRow:
    method, _ = route_key(view, routes[0])
    paths = tuple(route_key(view, route)[1] for route in routes)
    default = _GREEDY in paths
    return RouteRow(
        priority=None,
        default=default,
        paths=() if default else paths,
        conditions=() if method == "ANY" else (f"method {method}",),
        actions=_actions(view, routes[0]),
        destinations=tuple(_destinations(view, routes[0])),
    )


def _actions(view: Template, route: Resource) -> tuple[str, ...]:
    """Who is asked before a request goes on."""
    match view.text(route.properties.get("AuthorizationType")):
        case "" | "NONE":
            return ()
        case "CUSTOM":
            authorizer = view.find(route.properties.get("AuthorizerId"))
            name = view.text(authorizer.properties.get("Name")) if authorizer else ""
            return (f"authorizer {name}".rstrip(),)
        case other:
            return (f"{other} authorization",)


def _destinations(view: Template, route: Resource) -> Iterator[Destination]:
    integration = view.find(route.properties.get("Target"), _INTEGRATION)
    if integration is None:
        yield Destination(
            role=None, port=None, target_group=view.text(route.properties.get("Target")), weight=None
        )
        return
    uri = integration.properties.get("IntegrationUri")
    end = view.find(uri)
    found = list(containers_behind(view, end)) if end else []
    for receiver in found:
        yield Destination(role=receiver.name, port=receiver.port, target_group=view.text(uri), weight=None)
    if not found:
        yield Destination(role=end.id if end else None, port=None, target_group=view.text(uri), weight=None)


def containers_behind(view: Template, end: Resource) -> Iterator[Receiver]:
    """The containers behind a Cloud Map service: of services that register there, or under its name."""
    name = end.properties.get("DiscoveryName")
    for service in view.of_type(_SERVICE):
        connect = mapping(service.properties.get("ServiceConnectConfiguration"))
        for entry in map(mapping, items(connect.get("Services"))):
            if name is not None and entry.get("DiscoveryName") == name:
                yield from _named_port(view, service, view.text(entry.get("PortName")))
        for registry in map(mapping, items(service.properties.get("ServiceRegistries"))):
            if view.find(registry.get("RegistryArn")) is end:
                container = view.text(registry.get("ContainerName")) or service.id
                port = integer(registry.get("ContainerPort"))
                yield Receiver(resource=service.id, name=container, port=port)


def _named_port(view: Template, service: Resource, name: str) -> Iterator[Receiver]:
    task = view.find(service.properties.get("TaskDefinition"), _TASK_DEFINITION)
    for container in map(mapping, items(task.properties.get("ContainerDefinitions")) if task else ()):
        for port in map(mapping, items(container.get("PortMappings"))):
            if view.text(port.get("Name")) == name:
                yield Receiver(
                    resource=service.id,
                    name=view.text(container.get("Name")),
                    port=integer(port.get("ContainerPort")),
                )
