"""The entry points of an architecture, and the way that a request takes from one of them to its end.

This is the one reader of requests: limits, routes, diagram and cost all start from what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from dify_cdk.report.templates.template import Resource, Template, items, mapping, remembered
from dify_cdk.report.traffic import api_gateway as apis
from dify_cdk.report.traffic import cloudfront as edge
from dify_cdk.report.traffic import load_balancers as balancers
from dify_cdk.report.traffic.hops import Request, Way, after, to_answer, to_unknown
from dify_cdk.report.traffic.routes import Destination, Listener, Route, chosen, shares
from dify_cdk.report.traffic.targets import FUNCTION_URL, LISTENER, arrive

UNREAD = ("AWS::Serverless::Api", "AWS::Serverless::HttpApi")
"""Entry points that a macro makes when it is deployed, and that are not written out before."""

_MAX_BALANCERS = 5  # a template from outside may lead in circles
_WILDCARD = re.compile(r"\{[^}]*\}|[*?]")


@remembered
def entry_points(view: Template) -> tuple[Resource, ...]:
    """What a client reaches first: entry points that are behind no other one, distributions first."""
    kinds = (edge.DISTRIBUTION, balancers.LOAD_BALANCER, apis.HTTP_API, apis.REST_API, FUNCTION_URL, *UNREAD)
    behind = behind_others(view)
    found = (resource for kind in kinds for resource in view.of_type(kind) if resource not in behind)
    return tuple(resource for resource in found if _takes_requests(view, resource))


def _takes_requests(view: Template, resource: Resource) -> bool:
    if resource.type == apis.HTTP_API:
        return apis.is_http_api(resource)
    return resource.type != balancers.LOAD_BALANCER or bool(balancers.listeners_of(view, resource))


@remembered
def behind_others(view: Template) -> frozenset[Resource]:
    """What distributions, integrations and load balancers send requests to, or may send them to."""
    return frozenset(_behind_others(view))


def _behind_others(view: Template) -> Iterator[Resource]:
    for distribution in view.of_type(edge.DISTRIBUTION):
        for origin in map(mapping, items(edge.config_of(distribution).get("Origins"))):
            end = edge.target(view, origin)
            if end is not None:
                yield end
    for integration in view.of_type(apis.INTEGRATION, apis.METHOD):
        listener = view.find(integration.properties, LISTENER)
        balancer = view.find(listener.properties if listener else None, balancers.LOAD_BALANCER)
        if balancer is not None:
            yield balancer
    for group in view.of_type(balancers.TARGET_GROUP):
        balancer = view.find(group.properties.get("Targets"), balancers.LOAD_BALANCER)
        if balancer is not None:
            yield balancer


def read_routes(view: Template) -> tuple[Listener, ...]:
    """Every listener, API and distribution with its routes."""
    return (
        *balancers.read_listeners(view),
        *apis.read_apis(view),
        *edge.read_distributions(view),
    )


def routes_of(view: Template, resource: Resource) -> tuple[Route, ...]:
    """The routes of a listener, an API, a distribution or all listeners of a load balancer."""
    if resource.type == edge.DISTRIBUTION:
        return edge.behaviors(view, resource)
    if resource.type == LISTENER:
        return balancers.listener_routes(view, resource)
    if resource.type == balancers.LOAD_BALANCER:
        own = balancers.listeners_of(view, resource)
        return tuple(route for listener in own for route in balancers.listener_routes(view, listener))
    return apis.api_routes(view, resource) if resource.type in apis.KINDS else ()


def own_paths(view: Template, entry: Resource) -> tuple[str, ...]:
    """A path for each route that an entry point has: wildcards and variables are taken by ``x``."""
    routes = routes_of(view, entry)
    patterns = [path for one in routes for path in ((one.variables,) if one.variables else one.paths)]
    return tuple(dict.fromkeys(_example(pattern) for pattern in (*patterns, "/")))


def _example(pattern: str) -> str:
    return "/" + _WILDCARD.sub("x", pattern).lstrip("/")


# --- following ------------------------------------------------------------------------------------------


@remembered
def through(view: Template, entry: Resource, request: Request) -> tuple[Way, ...]:
    """The ways that a request takes from an entry point."""
    return tuple(_into(view, entry, request))


def _into(
    view: Template,
    resource: Resource,
    request: Request,
    *,
    port: int | None = None,
    container: str | None = None,
) -> Iterator[Way]:
    """The ways that begin with a resource: of a load balancer by its port, of a service by its container."""
    if resource.type == balancers.LOAD_BALANCER and request.balancers < _MAX_BALANCERS:
        listener = balancers.listener_at(view, resource, port)
        where = "a listener" if port is None else f"a listener on port {port}"
        further = replace(request, balancers=request.balancers + 1)
        missing = (to_unknown(f"{where} of load balancer {resource.id}"),)
        yield from _by_route(view, listener, further) if listener else after(missing, passed=(resource,))
    elif resource.type in (LISTENER, edge.DISTRIBUTION) or apis.is_followed(view, resource):
        yield from _by_route(view, resource, request)
    elif resource.type in (apis.REST_API, *UNREAD):
        word = "REST API " if resource.type == apis.REST_API else ""
        yield from after((to_unknown(f"what the document of {word}{resource.id} says"),), passed=(resource,))
    else:
        yield from arrive(view, resource, container)


def _by_route(view: Template, hop: Resource, request: Request) -> Iterator[Way]:
    """The ways that the routes of a listener, an API or a distribution choose."""
    route = chosen(routes_of(view, hop), request)
    owner = view.find(hop.properties.get("LoadBalancerArn"), balancers.LOAD_BALANCER)
    passed = (owner,) if owner else () if hop.type == LISTENER else (hop,)
    if route is None:
        yield from after((_no_route(hop),), passed=passed)
    elif not route.destinations:
        yield from after((to_answer(", then ".join(route.actions) or "nothing"),), passed=passed)
    else:
        refused = bool(route.methods) and request.method not in route.methods
        claims = (*route.claims, *((edge.refusal(hop, route),) if refused else ()))
        for one, share in zip(route.destinations, shares(route.destinations), strict=True):
            yield from after(
                _beyond(view, one, request),
                claims=(*claims, *one.claims),
                passed=passed,
                authorizers=route.authorizers,
                edge_functions=route.edge_functions,
                share=share,
            )


def _no_route(hop: Resource) -> Way:
    match hop.type:
        case apis.HTTP_API:
            return to_answer(f"404 of HTTP API {hop.id}, which has no such route")
        case apis.REST_API:
            return to_answer(f"403 of REST API {hop.id}, which has no such resource")
        case _:
            return to_unknown(f"a target of listener {hop.id}")


def _beyond(view: Template, to: Destination, request: Request) -> Iterator[Way]:
    if to.resource is None:
        yield to_unknown(to.elsewhere)
        return
    further = replace(request, path=f"{to.prefix}{request.path}")
    yield from _into(view, to.resource, further, port=to.listener_port, container=to.container)
