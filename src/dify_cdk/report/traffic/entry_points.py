"""The public entry points of an architecture: what a browser can reach first, and its TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic import api_gateway as apis
from dify_cdk.report.traffic import cloudfront as edge
from dify_cdk.report.traffic import load_balancers as balancers
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import Request, Way
from dify_cdk.report.traffic.targets import FUNCTION_URL, function_url

_INTEGRATIONS = ("AWS::ApiGatewayV2::Integration", "AWS::ApiGateway::Method")
_TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
_DOMAIN_NAMES = ("AWS::ApiGatewayV2::DomainName", "AWS::ApiGateway::DomainName")
_MAPPINGS = ("AWS::ApiGatewayV2::ApiMapping", "AWS::ApiGateway::BasePathMapping")
_WILDCARD = re.compile(r"\{[^}]*\}|[*?]")
_RECORD = "AWS::Route53::RecordSet"
_SECURE = ("HTTPS", "TLS")
NO_TLS, AWS_DOMAIN = "none", "AWS's domain"
_POLICY_VERSION = re.compile(r"TLS(?:13)?-1-(\d)|FS-1-(\d)")
_EDGE_VERSION = re.compile(r"TLSv1\.?(\d)?")


def doors(view: Template) -> tuple[Resource, ...]:
    """The entry points that stand behind no other one, distributions first."""
    kinds = (edge.DISTRIBUTION, balancers.LOAD_BALANCER, apis.HTTP_API, apis.REST_API, FUNCTION_URL)
    behind = {resource.id for resource in _behind_others(view)}
    found = [resource for kind in kinds for resource in view.of_type(kind) if resource.id not in behind]
    return tuple(door for door in found if _is_door(view, door))


def _is_door(view: Template, resource: Resource) -> bool:
    if resource.type == apis.HTTP_API:
        return view.text(resource.properties.get("ProtocolType")) == "HTTP"
    return resource.type != balancers.LOAD_BALANCER or bool(balancers.listeners_of(view, resource))


def _behind_others(view: Template) -> Iterator[Resource]:
    """What distributions, integrations and load balancers lead to."""
    for distribution in view.of_type(edge.DISTRIBUTION):
        for origin in map(mapping, items(edge.config_of(distribution).get("Origins"))):
            end = edge.target(view, origin)
            if end is not None:
                yield end
    for integration in view.of_type(*_INTEGRATIONS):
        listener = view.find(integration.properties, balancers.LISTENER)
        balancer = view.find(listener.properties if listener else None, balancers.LOAD_BALANCER)
        if balancer is not None:
            yield balancer
    for group in view.of_type(_TARGET_GROUP):
        balancer = view.find(group.properties.get("Targets"), balancers.LOAD_BALANCER)
        if balancer is not None:
            yield balancer


def through(view: Template, door: Resource, request: Request) -> list[Way]:
    """The ways that a request takes from a door."""
    match door.type:
        case edge.DISTRIBUTION:
            found = edge.through_distribution(view, door, request)
        case balancers.LOAD_BALANCER:
            found = balancers.through_balancer(view, door, request)
        case apis.HTTP_API:
            found = apis.through_http_api(view, door, request)
        case apis.REST_API:
            found = apis.through_rest_api(view, door, request)
        case _:
            found = function_url(view, door)
    return list(found)


def own_paths(view: Template, door: Resource) -> tuple[str, ...]:
    """A path for each route that a door has: wildcards and variables are taken by ``x``."""
    match door.type:
        case edge.DISTRIBUTION:
            behaviors = map(mapping, items(edge.config_of(door).get("CacheBehaviors")))
            patterns = [view.text(behavior.get("PathPattern")) for behavior in behaviors]
        case balancers.LOAD_BALANCER:
            patterns = balancers.patterns(view, door)
        case apis.HTTP_API | apis.REST_API:
            patterns = apis.patterns(view, door)
        case _:
            patterns = []
    return tuple(dict.fromkeys(_example(pattern) for pattern in (*patterns, "/")))


def _example(pattern: str) -> str:
    return "/" + _WILDCARD.sub("x", pattern).lstrip("/")


# --- TLS ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How a door speaks TLS.

    Attributes:
        where: What ends it: ``CloudFront``, ``load balancer``, ``API Gateway``, ``Lambda`` or ``none``.
        version: Lowest version, for example ``1.2``; empty if unknown.
        domain: Own host names as text; ``own domain`` where only that there is one is known; empty for AWS's.
        plain: Whether plain HTTP is answered as well, other than by a redirect.
        hop: What sets it.
        source: Page that proves it.
    """

    where: str
    version: str
    domain: str
    plain: bool
    hop: str
    source: str


def tls(view: Template, door: Resource) -> Tls:
    """How a door speaks TLS."""
    match door.type:
        case edge.DISTRIBUTION:
            return _of_distribution(view, door)
        case balancers.LOAD_BALANCER:
            return _of_balancer(view, door)
        case apis.HTTP_API:
            return _of_api(view, door, f"HTTP API {door.id}", "http_api.tls")
        case apis.REST_API:
            return _of_api(view, door, f"REST API {door.id}", "rest_api.tls")
        case _:
            page = fact("lambda.url_tls").source
            hop = f"function URL {door.id}"
            return Tls(where="Lambda", version="", domain="", plain=False, hop=hop, source=page)


def _of_distribution(view: Template, door: Resource) -> Tls:
    config = edge.config_of(door)
    certificate = mapping(config.get("ViewerCertificate"))
    policy = view.text(certificate.get("MinimumProtocolVersion"))
    aliases = [view.text(alias) for alias in items(config.get("Aliases"))]
    behaviors = [*items(config.get("CacheBehaviors")), config.get("DefaultCacheBehavior")]
    policies = [view.text(mapping(one).get("ViewerProtocolPolicy")) for one in behaviors]
    version = _EDGE_VERSION.match(policy or "TLSv1")
    return Tls(
        where="CloudFront",
        version=f"1.{version[1] or 0}" if version else "",
        domain=", ".join(aliases),
        plain="allow-all" in policies,
        hop=f"{policy or 'default certificate'} of distribution {door.id}",
        source=fact("cloudfront.tls").source,
    )


def _of_balancer(view: Template, door: Resource) -> Tls:
    own = balancers.listeners_of(view, door)
    secure = [listener for listener in own if listener.properties.get("Protocol") in _SECURE]
    plain = [listener for listener in own if listener not in secure and not _redirects(view, listener)]
    source = fact("alb.tls").source
    if not secure:
        names = ", ".join(listener.id for listener in own)
        return Tls(where=NO_TLS, version="", domain="", plain=True, hop=f"listener {names}", source=source)
    policy = view.text(secure[0].properties.get("SslPolicy"))
    version = _POLICY_VERSION.search(policy)
    return Tls(
        where="load balancer",
        version=f"1.{version[1] or version[2]}" if version else "1.0",
        domain=_record_of(view, door) or "own domain",  # no certificate is valid for AWS's host name
        plain=bool(plain),
        hop=f"{policy or 'default policy'} of listener {secure[0].id}",
        source=source,
    )


def _redirects(view: Template, listener: Resource) -> bool:
    actions = map(mapping, items(listener.properties.get("DefaultActions")))
    return all(view.text(action.get("Type")) == "redirect" for action in actions)


def _record_of(view: Template, balancer: Resource) -> str:
    names = [
        view.text(record.properties.get("Name")).rstrip(".")
        for record in view.of_type(_RECORD)
        if view.find(record.properties.get("AliasTarget"), balancers.LOAD_BALANCER) is balancer
    ]
    return ", ".join(dict.fromkeys(names))


def _of_api(view: Template, door: Resource, name: str, page: str) -> Tls:
    own = [
        view.find(entry.properties.get("DomainName"), *_DOMAIN_NAMES)
        for entry in view.of_type(*_MAPPINGS)
        if view.find(entry.properties.get("ApiId", entry.properties.get("RestApiId"))) is door
    ]
    names = [view.text(domain.properties.get("DomainName")) for domain in own if domain is not None]
    return Tls(
        where="API Gateway",
        version="1.2",
        domain=", ".join(dict.fromkeys(names)),
        plain=False,
        hop=name,
        source=fact(page).source,
    )


def listener_ports(view: Template, balancer: Resource) -> set[int]:
    """The ports that a load balancer listens on."""
    found = (integer(one.properties.get("Port")) for one in balancers.listeners_of(view, balancer))
    return {port for port in found if port is not None}
