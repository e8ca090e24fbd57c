"""What AWS WAF does to requests: the managed rule that refuses bodies, and where a web ACL stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic.hops import Claim, Kind, claim, known

WEB_ACL = "AWS::WAFv2::WebACL"
_ASSOCIATION = "AWS::WAFv2::WebACLAssociation"
_GROUP, _RULE = "AWSManagedRulesCommonRuleSet", "SizeRestrictions_BODY"


def associated(view: Template, resource: Resource) -> Iterator[object]:
    """The references to web ACLs that are associated with a load balancer or an API."""
    for link in view.naming(resource, "ResourceArn", _ASSOCIATION):
        yield link.properties.get("WebACLArn")


def body_claims(view: Template, reference: object) -> Iterator[Claim]:
    """The size of a body that a web ACL lets pass; unknown for one that is not in the template."""
    acl = view.find(reference, WEB_ACL)
    if acl is None:
        hop = f"rules of web ACL {view.text(reference)}, which the template does not show"
        yield claim(Kind.LARGEST, None, hop, "waf.body")
        return
    for rule in map(mapping, items(acl.properties.get("Rules"))):
        group = mapping(mapping(rule.get("Statement")).get("ManagedRuleGroupStatement"))
        if view.text(group.get("Name")) == _GROUP and _blocks(view, rule, group):
            hop = f"{_RULE} in web ACL {acl.id}"
            narrowed = "ScopeDownStatement" in group  # it may leave some paths out
            yield (
                claim(Kind.LARGEST, None, hop, "waf.body")
                if narrowed
                else known(Kind.LARGEST, "waf.body", hop)
            )


def _blocks(view: Template, rule: Mapping[str, object], group: Mapping[str, object]) -> bool:
    """Whether the rule about sizes keeps its own action, which is to block."""
    if "Count" in mapping(rule.get("OverrideAction")):
        return False
    excluded = map(mapping, items(group.get("ExcludedRules")))
    overridden = map(mapping, items(group.get("RuleActionOverrides")))
    changed = (
        *excluded,
        *(one for one in overridden if "Block" not in mapping(one.get("ActionToUse"))),
    )
    return all(view.text(one.get("Name")) != _RULE for one in changed)
