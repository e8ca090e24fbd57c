"""How entry points speak TLS."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic import api_gateway as apis
from dify_cdk.report.traffic import cloudfront as edge
from dify_cdk.report.traffic import load_balancers as balancers
from dify_cdk.report.traffic.facts import fact

_DOMAIN_NAMES = ("AWS::ApiGatewayV2::DomainName", "AWS::ApiGateway::DomainName")
_MAPPINGS = (("AWS::ApiGatewayV2::ApiMapping", "ApiId"), ("AWS::ApiGateway::BasePathMapping", "RestApiId"))
_RECORD = "AWS::Route53::RecordSet"
NO_TLS, AWS_DOMAIN = "none", "AWS's domain"
_POLICY_VERSION = re.compile(r"TLS(?:13)?-1-(\d)|FS-1-(\d)")
_EDGE_VERSION = re.compile(r"TLSv1\.?(\d)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How an entry point speaks TLS.

    Attributes:
        where: What ends it: ``CloudFront``, ``load balancer``, ``API Gateway``, ``Lambda`` or ``none``.
        version: Lowest version, for example ``1.2``; empty if unknown.
        domain: Custom domains as text; ``custom domain`` where only that there is one is known; else empty.
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


def tls(view: Template, entry: Resource) -> Tls:
    """How an entry point speaks TLS."""
    match entry.type:
        case edge.DISTRIBUTION:
            return _of_distribution(view, entry)
        case balancers.LOAD_BALANCER:
            return _of_balancer(view, entry)
        case apis.HTTP_API:
            return _of_api(view, entry, f"HTTP API {entry.id}", "http_api.tls")
        case apis.REST_API:
            return _of_api(view, entry, f"REST API {entry.id}", "rest_api.tls")
        case _:
            page = fact("lambda.url_tls").source
            hop = f"function URL {entry.id}"
            return Tls(where="Lambda", version="", domain="", plain=False, hop=hop, source=page)


def _of_distribution(view: Template, entry: Resource) -> Tls:
    config = edge.config_of(entry)
    certificate = mapping(config.get("ViewerCertificate"))
    policy = view.text(certificate.get("MinimumProtocolVersion"))
    aliases = [view.text(alias) for alias in items(config.get("Aliases"))]
    policies = [view.text(one.get("ViewerProtocolPolicy")) for one in edge.all_behaviors(config)]
    version = _EDGE_VERSION.match(policy or "TLSv1")
    return Tls(
        where="CloudFront",
        version=f"1.{version[1] or 0}" if version else "",
        domain=", ".join(aliases),
        plain="allow-all" in policies,
        hop=f"{policy or 'default certificate'} of distribution {entry.id}",
        source=fact("cloudfront.tls").source,
    )


def _of_balancer(view: Template, entry: Resource) -> Tls:
    own = balancers.listeners_of(view, entry)
    secure = [listener for listener in own if listener.properties.get("Protocol") in balancers.SECURE]
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
        domain=_record_of(view, entry) or "custom domain",  # no certificate is valid for AWS's host name
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
        for record in view.naming(balancer, "AliasTarget", _RECORD)
    ]
    return ", ".join(dict.fromkeys(names))


def _of_api(view: Template, entry: Resource, name: str, page: str) -> Tls:
    own = [
        view.find(mapped.properties.get("DomainName"), *_DOMAIN_NAMES)
        for type, key in _MAPPINGS
        for mapped in view.naming(entry, key, type)
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
