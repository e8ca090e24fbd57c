"""CloudFront with its functions, and the firewall before it or before a load balancer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import Charge, Load, Rule, Site, counted, length, setting, shown
from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.cloudfront import DISTRIBUTION

_CLOUDFRONT = "Amazon CloudFront"
_WAF = "AWS WAF"


def distribution(resource: Resource, site: Site) -> Iterator[Charge]:
    """Requests and bytes, pay as you go; nothing by the hour."""
    load = site.loads.get(resource.id, Load())
    for price, what, quantity, unit, words in (
        ("requests", "requests", load.requests, "10,000 requests", f"{shown(load.requests)} requests"),
        ("out_gb", "data to browsers and clients", load.out_gb, "GB", f"{shown(load.out_gb)} GB"),
        ("to_origin_gb", "data to the origin", load.in_gb, "GB", f"{shown(load.in_gb)} GB of uploads"),
    ):
        yield Charge(
            price=f"cloudfront.{price}",
            service=_CLOUDFRONT,
            what=what,
            quantity=quantity,
            unit=unit,
            formula=words,
        )


def edge_function(resource: Resource, site: Site) -> Iterator[Charge]:
    """A call for every request of the behaviors that name it."""
    calls = site.loads.get(resource.id, Load()).requests
    yield Charge(
        price="cloudfront.function_calls",
        service=_CLOUDFRONT,
        what="CloudFront Function",
        quantity=calls,
        unit="1M calls",
        formula=f"{counted(calls, 'call')}",
    )


def web_acl(resource: Resource, site: Site) -> Iterator[Charge]:
    """The list, each of its rules, and every request that it inspects, which is taken to be every one."""
    rules = length(setting(resource, "Rules"))
    usage = site.usage
    requests = usage.app_requests + usage.page_requests + usage.uploads
    for price, what, quantity, unit, words in (
        ("web_acl_month", "web ACL", 1.0, "month", "1 web ACL"),
        ("rule_month", "rules", rules, "rule-month", counted(rules, "rule")),
        ("requests", "requests", requests, "1M requests", f"{shown(requests)} requests"),
    ):
        yield Charge(
            price=f"waf.{price}", service=_WAF, what=what, quantity=quantity, unit=unit, formula=words
        )


def rule_group(resource: Resource, _: Site) -> Iterator[Charge]:
    """The rules inside a rule group of the template; the group itself is a rule of the web ACL."""
    rules = length(setting(resource, "Rules"))
    yield Charge(
        price="waf.rule_month",
        service=_WAF,
        what="rules of a group",
        quantity=rules,
        unit="rule-month",
        formula=counted(rules, "rule"),
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        DISTRIBUTION: distribution,
        "AWS::CloudFront::Function": edge_function,
        "AWS::WAFv2::RuleGroup": rule_group,
        "AWS::WAFv2::WebACL": web_acl,
    }
)
