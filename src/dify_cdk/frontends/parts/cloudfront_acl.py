"""A web ACL in us-east-1, where those of CloudFront live, whatever the region of the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import aws_cdk as cdk
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from dify_cdk.cdk_helpers.companion import companion_stack
from dify_cdk.frontends.parts.clients import Networks, PublicClients
from dify_cdk.frontends.parts.names import CLOUDFRONT_REGION, global_name
from dify_cdk.options.web_acl import BODY_RULES, WebAcl, literal_networks

_SCOPE = "CLOUDFRONT"
_VENDOR = "AWS"
_STACK_NAME_LENGTH = 100  # 128, and room for the name of a stage

_Rule = Callable[[int], wafv2.CfnWebACL.RuleProperty]


def define_web_acl(scope: Construct, web_acl: WebAcl, clients: PublicClients) -> str:
    """The ARN of the web ACL, which is defined unless it exists.

    In another region than us-east-1 it gets a stack of its own there. Taken away, it leaves that stack
    behind: CloudFront must let go first. CloudFormation updates a web ACL before the distribution. One that
    stopped filtering would let everyone in until the function that filters is attached, so the two variants
    have different ids.

    Raises:
        ValueError: If it has to filter addresses, and they let anyone in or are known at deployment only.
    """
    if web_acl.arn is not None:
        return web_acl.arn
    kind = "AddressAcl" if web_acl.filters_addresses else "WebAcl"
    home = _home(scope, kind)
    rules = [rule(priority) for priority, rule in enumerate(_rules(home, web_acl, clients))]
    action = wafv2.CfnWebACL.DefaultActionProperty
    resource = wafv2.CfnWebACL(
        home,
        kind,
        scope=_SCOPE,
        default_action=action(block={}) if web_acl.filters_addresses else action(allow={}),
        rules=rules,
        visibility_config=_visible("Dify"),
        description="Dify",
    )
    # Weak: CloudFormation reads the output when this stack is deployed, without custom resources. A strong
    # reference could never be taken away, for the stack over there is updated first.
    return cdk.Stack.consume_reference(resource.attr_arn, cdk.ReferenceStrength.WEAK)


def _home(scope: Construct, kind: str) -> Construct:
    stack = cdk.Stack.of(scope)
    if stack.region == CLOUDFRONT_REGION:
        return scope
    return companion_stack(
        scope,
        global_name(scope, kind, longest=_STACK_NAME_LENGTH),
        region=CLOUDFRONT_REGION,
        description="Dify: the web ACL before CloudFront",
    )


def _rules(home: Construct, web_acl: WebAcl, clients: PublicClients) -> Iterator[_Rule]:
    if web_acl.rate is not None:
        yield _rate_rule(web_acl.rate)
    if web_acl.filters_addresses:
        yield from _address_rules(home, clients)
    for group in web_acl.groups:
        yield _group_rule(group)


def _rate_rule(rate: int) -> _Rule:
    limit = wafv2.CfnWebACL.RateBasedStatementProperty(limit=rate, aggregate_key_type="IP")
    statement = wafv2.CfnWebACL.StatementProperty(rate_based_statement=limit)
    return _rule("Rate", statement, wafv2.CfnWebACL.RuleActionProperty(block={}))


def _address_rules(home: Construct, clients: PublicClients) -> Iterator[_Rule]:
    if not isinstance(clients, Networks):
        raise ValueError("WebAcl.addresses() needs an Access that lists networks: it would let nobody in")
    for version, networks in (("IPV4", clients.all_ipv4), ("IPV6", clients.ipv6)):
        listed = literal_networks("Access", networks)
        if not listed:
            continue
        ip_set = wafv2.CfnIPSet(
            home,
            f"{version.capitalize()}Set",
            addresses=list(listed),
            ip_address_version=version,
            scope=_SCOPE,
        )
        reference = wafv2.CfnWebACL.IPSetReferenceStatementProperty(arn=ip_set.attr_arn)
        statement = wafv2.CfnWebACL.StatementProperty(ip_set_reference_statement=reference)
        yield _rule(version, statement, wafv2.CfnWebACL.RuleActionProperty(allow={}))


def _rule(
    name: str, statement: wafv2.CfnWebACL.StatementProperty, action: wafv2.CfnWebACL.RuleActionProperty
) -> _Rule:
    return lambda priority: wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        action=action,
        statement=statement,
        visibility_config=_visible(name),
    )


def _group_rule(group: str) -> _Rule:
    counted = [
        wafv2.CfnWebACL.RuleActionOverrideProperty(
            name=name, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
        )
        for name in BODY_RULES.get(group, ())
    ]
    managed = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name=_VENDOR, name=group, rule_action_overrides=counted or None
    )
    return lambda priority: wafv2.CfnWebACL.RuleProperty(
        name=group,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=managed),
        visibility_config=_visible(group),
    )


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
