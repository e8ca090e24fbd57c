"""Who an entry point lets in by address: security groups, authorizers, edge functions, web ACLs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dify_cdk.report.phrases import plural
from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic import api_gateway as apis
from dify_cdk.report.traffic import cloudfront as edge
from dify_cdk.report.traffic import load_balancers as balancers
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.targets import FUNCTION, FUNCTION_URL
from dify_cdk.report.traffic.waf import WEB_ACL, associated

NONE, UNKNOWN = "none", "unknown"
_GROUP, _INGRESS = "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress"
_EVERYBODY = ("0.0.0.0/0", "::/0")
_VIEWER_ADDRESS = re.compile(r"\bviewer\s*(?:\.\s*ip\b|\[\s*['\"]ip['\"]\s*\])")
_SWITCHED_OFF = re.compile(r"\bANYONE\s*=\s*true\b")
_SOURCE_ADDRESS = re.compile(r"\$context\.(?:identity|http)\.sourceIp")
_SEPARATORS = re.compile(r"[\s,;|]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """One thing that looks at addresses.

    Attributes:
        kind: What it is, ``none``, or ``unknown`` where something may filter that the template does not show.
        hop: What sets it.
        source: Page that proves it.
    """

    kind: str
    hop: str
    source: str


def filters(view: Template, entry: Resource) -> tuple[Filter, ...]:
    """What filters by address or country before an entry point; if nothing does, one entry that says so."""
    found = tuple(_found(view, entry))
    certain = tuple(one for one in found if one.kind != UNKNOWN)
    return certain or found or (Filter(kind=NONE, hop=f"{entry.id} lets everybody in", source=""),)


def _found(view: Template, entry: Resource) -> Iterator[Filter]:
    match entry.type:
        case edge.DISTRIBUTION:
            yield from _of_distribution(view, entry)
        case balancers.LOAD_BALANCER:
            yield from _of_balancer(view, entry)
        case apis.HTTP_API:
            yield from _of_http_api(view, entry)
        case apis.REST_API:
            yield from _of_rest_api(view, entry)
        case str(type) if type == FUNCTION_URL and entry.properties.get("AuthType") == "AWS_IAM":
            hop = f"signed calls only at function URL {entry.id}"
            yield Filter(kind="signature", hop=hop, source=fact("lambda.url_auth").source)
    for reference in associated(view, entry):
        yield from _of_acl(view, reference)


# --- CloudFront -----------------------------------------------------------------------------------------


def _of_distribution(view: Template, entry: Resource) -> Iterator[Filter]:
    config = edge.config_of(entry)
    behaviors = edge.all_behaviors(config)
    verdicts = [_edge_function(view, behavior) for behavior in behaviors]
    if all(verdicts):
        yield Filter(
            kind="CloudFront Function",
            hop=f"function {verdicts[-1]} of distribution {entry.id}",
            source=fact("cloudfront.function").source,
        )
    elif any(verdicts) or any(_runs_code(view, behavior) for behavior in behaviors):
        hop = f"edge code of distribution {entry.id}, on some paths or of unknown purpose"
        yield Filter(kind=UNKNOWN, hop=hop, source=fact("cloudfront.function").source)
    if config.get("WebACLId"):
        yield from _of_acl(view, config["WebACLId"])
    geo = mapping(mapping(config.get("Restrictions")).get("GeoRestriction"))
    if view.text(geo.get("RestrictionType")) in ("whitelist", "blacklist"):
        hop = f"geo restriction of distribution {entry.id}"
        yield Filter(kind="countries", hop=hop, source=fact("cloudfront.geo").source)


def _edge_function(view: Template, behavior: Mapping[str, object]) -> str:
    """The function that looks at the viewer's address, unless a switch in its code lets everybody in."""
    for _, event, reference in edge.associations(view, behavior):
        function = view.find(reference, edge.EDGE_FUNCTION)
        code = view.text(function.properties.get("FunctionCode")) if function else ""
        looks = _VIEWER_ADDRESS.search(code) and "403" in code and not _SWITCHED_OFF.search(code)
        if function is not None and looks and event == "viewer-request":
            return function.id
    return ""


def _runs_code(view: Template, behavior: Mapping[str, object]) -> bool:
    """Whether something runs at the viewer's request whose code is not in the template."""
    found = edge.associations(view, behavior)
    hidden = (event for _, event, one in found if view.find(one, edge.EDGE_FUNCTION) is None)
    return "viewer-request" in hidden


def _of_acl(view: Template, reference: object) -> Iterator[Filter]:
    source = fact("waf.ip_set").source
    acl = view.find(reference, WEB_ACL)
    if acl is None:
        yield Filter(kind="WAF", hop=f"web ACL {view.text(reference)}, not in the template", source=source)
        return
    rules = view.text(acl.properties.get("Rules"))
    if any(word in rules for word in ("IPSetReferenceStatement", "GeoMatchStatement")):
        yield Filter(kind="WAF", hop=f"web ACL {acl.id}", source=source)


# --- load balancers -------------------------------------------------------------------------------------


def _of_balancer(view: Template, entry: Resource) -> Iterator[Filter]:
    source = fact("alb.security_group").source
    references = items(entry.properties.get("SecurityGroups"))
    groups = [view.find(reference, _GROUP) for reference in references]
    known = [group for group in groups if group is not None]
    if not references or len(known) < len(groups):
        hop = f"security groups of load balancer {entry.id} that are not in the template"
        yield Filter(kind=UNKNOWN, hop=hop, source=source)
        return
    sources = [
        address for group in known for address in _sources(view, group, balancers.listener_ports(view, entry))
    ]
    if not set(sources) & set(_EVERYBODY):
        names = ", ".join(group.id for group in known)
        hop = f"{plural(len(set(sources)), 'source')} in security group {names}"
        yield Filter(kind="security group", hop=hop, source=source)


def _sources(view: Template, group: Resource, ports: set[int]) -> Iterator[str]:
    """Who may reach one of the ports."""
    inline = map(mapping, items(group.properties.get("SecurityGroupIngress")))
    apart = (rule.properties for rule in view.naming(group, "GroupId", _INGRESS))
    for rule in (*inline, *apart):
        first, last = integer(rule.get("FromPort")), integer(rule.get("ToPort"))
        covers = first is None or last is None or any(first <= port <= last for port in ports)
        for key in ("CidrIp", "CidrIpv6", "SourceSecurityGroupId", "SourcePrefixListId"):
            if covers and rule.get(key) is not None:
                yield view.text(rule[key])


# --- API Gateway ----------------------------------------------------------------------------------------


def _of_http_api(view: Template, entry: Resource) -> Iterator[Filter]:
    source = fact("http_api.authorizer").source
    routes = view.naming(entry, "ApiId", apis.ROUTE)
    found = [view.find(route.properties.get("AuthorizerId"), apis.HTTP_AUTHORIZER) for route in routes]
    if not routes or None in found:
        return
    asked = [_asks_by_address(view, authorizer) for authorizer in found if authorizer is not None]
    names = ", ".join(dict.fromkeys(authorizer.id for authorizer in found if authorizer is not None))
    kind = "authorizer" if all(asked) else UNKNOWN
    yield Filter(kind=kind, hop=f"authorizer {names}", source=source)


def _asks_by_address(view: Template, authorizer: Resource) -> bool:
    """Whether an authorizer decides by address: the cache does, or its function is given networks."""
    sources = [view.text(one) for one in items(authorizer.properties.get("IdentitySource"))]
    if any(_SOURCE_ADDRESS.search(one) for one in sources):
        return True
    function = view.find(authorizer.properties.get("AuthorizerUri"), FUNCTION)
    variables = mapping(mapping(function.properties.get("Environment")).get("Variables")) if function else {}
    return any(_holds_networks(view.text(value)) for value in variables.values())


def _holds_networks(text: str) -> bool:
    """Whether a text is a list that has a network in it."""
    for part in _SEPARATORS.split(text.strip("[]\"' ")):
        try:
            ipaddress.ip_network(part.strip("\"'"), strict=False)
        except ValueError:
            continue
        return "/" in part
    return False


def _of_rest_api(view: Template, entry: Resource) -> Iterator[Filter]:
    policy = view.text(entry.properties.get("Policy"))
    if "aws:SourceIp" in policy or "aws:VpcSourceIp" in policy:
        hop = f"resource policy of REST API {entry.id}"
        yield Filter(kind="resource policy", hop=hop, source=fact("rest_api.policy").source)
