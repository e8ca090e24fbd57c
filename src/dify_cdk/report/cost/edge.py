"""CloudFront with its functions, and the firewall before it or before a load balancer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import Charge, Load, Rule, Site, counted, length, setting, shown
from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.cloudfront import DISTRIBUTION


def distribution(resource: Resource, site: Site) -> Iterator[Charge]:
    """Requests and bytes, pay as you go; nothing by the hour."""
    load = site.loads.get(resource.id, Load())
    yield Charge("cloudfront.requests", load.requests, f"{shown(load.requests)} requests")
    yield Charge("cloudfront.out_gb", load.out_gb, f"{shown(load.out_gb)} GB")
    yield Charge("cloudfront.to_origin_gb", load.in_gb, f"{shown(load.in_gb)} GB of uploads")


def edge_function(resource: Resource, site: Site) -> Iterator[Charge]:
    """A call for every request of the behaviors that name it."""
    calls = site.loads.get(resource.id, Load()).requests
    yield Charge("cloudfront.function_calls", calls, counted(calls, "call"))


def web_acl(resource: Resource, site: Site) -> Iterator[Charge]:
    """The list, each of its rules, and every request that it inspects, which is taken to be every one."""
    rules = length(setting(resource, "Rules"))
    usage = site.usage
    requests = usage.app_requests + usage.page_requests + usage.uploads
    yield Charge("waf.web_acl_month", 1, "1 web ACL")
    yield Charge("waf.rule_month", rules, counted(rules, "rule"))
    yield Charge("waf.requests", requests, f"{shown(requests)} requests")


def rule_group(resource: Resource, _: Site) -> Iterator[Charge]:
    """The rules inside a rule group of the template; the group itself is a rule of the web ACL."""
    rules = length(setting(resource, "Rules"))
    yield Charge("waf.rule_month", rules, counted(rules, "rule"), what="rules of a group")


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        DISTRIBUTION: distribution,
        "AWS::CloudFront::Function": edge_function,
        "AWS::WAFv2::RuleGroup": rule_group,
        "AWS::WAFv2::WebACL": web_acl,
    }
)
