"""What AWS WAF does before CloudFront, and where its web ACL lives."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import Access, DifyCloudFrontLambdaFrontend, DifyData, DifyNetwork, DifyWorkers, WebAcl
from support import Template
from synth.installation import synthesized

OFFICE = Access(ipv4=["203.0.113.0/24"], ipv6=["2001:db8::/32"])
ARN = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/mine/00000000-0000-0000-0000-000000000000"


def _stacks(
    app: cdk.App, web_acl: WebAcl, *, region: str = "eu-west-1", access: Access = OFFICE
) -> dict[str, Template]:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    network = DifyNetwork(stack, "Network")
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=access, web_acl=web_acl)
    Synthesized.from_stack(stack)
    stacks = [child for child in app.node.children if isinstance(child, cdk.Stack)]
    return {child.stack_name: synthesized(child) for child in stacks}


@cache
def _filtered(web_acl: Callable[[], WebAcl], region: str = "eu-west-1") -> dict[str, Template]:
    """The stacks with a web ACL that needs no arguments, synthesized once."""
    return _stacks(cdk.App(analytics_reporting=False), web_acl(), region=region)


def _acl(stacks: dict[str, Template]) -> dict[str, Any]:
    (acl,) = [row for one in stacks.values() for row in one.properties("AWS::WAFv2::WebACL").values()]
    return acl


def _names(acl: dict[str, Any]) -> list[str]:
    return [rule["Name"] for rule in sorted(acl["Rules"], key=lambda rule: int(rule["Priority"]))]


def _distribution(stacks: dict[str, Template]) -> dict[str, Any]:
    (distribution,) = stacks["Dify"].properties("AWS::CloudFront::Distribution").values()
    config: dict[str, Any] = distribution["DistributionConfig"]
    return config


def _anyone(stacks: dict[str, Template]) -> bool:
    (function,) = stacks["Dify"].properties("AWS::CloudFront::Function").values()
    return "var ANYONE = true;" in json.dumps(function["FunctionCode"])


def test_in_another_region_it_has_a_stack_of_its_own_in_us_east_1(app: cdk.App) -> None:
    stacks = _stacks(app, WebAcl.managed())
    (home,) = [name for name, one in stacks.items() if one.of_type("AWS::WAFv2::WebACL")]
    assert (home.startswith("eu-west-1-"), home.endswith("-WebAcl")) == (True, True)
    stack = app.node.find_child(home)
    assert isinstance(stack, cdk.Stack)
    assert stack.region == "us-east-1"
    asked = _distribution(stacks)["WebACLId"]["Fn::GetStackOutput"]
    assert (asked["StackName"], asked["Region"]) == (home, "us-east-1")
    value = stacks[home].body["Outputs"][asked["OutputName"]]["Value"]
    (acl_id,) = stacks[home].of_type("AWS::WAFv2::WebACL")
    assert value == {"Fn::GetAtt": [acl_id, "Arn"]}
    assert not any(one.of_type("Custom::CrossRegionExportReader") for one in stacks.values())


def test_in_us_east_1_it_is_beside_the_distribution() -> None:
    stacks = _filtered(WebAcl.managed, "us-east-1")
    assert list(stacks) == ["Dify"]
    (acl_id,) = stacks["Dify"].of_type("AWS::WAFv2::WebACL")
    assert _distribution(stacks)["WebACLId"] == {"Fn::GetAtt": [acl_id, "Arn"]}


def test_managed_rules_leave_addresses_to_cloudfront(app: cdk.App) -> None:
    stacks = _stacks(app, WebAcl.managed(rate=2000))
    acl = _acl(stacks)
    assert (acl["Scope"], acl["DefaultAction"]) == ("CLOUDFRONT", {"Allow": {}})
    assert _names(acl) == [
        "Rate",
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    ]
    assert not _anyone(stacks)


@pytest.mark.parametrize(
    ("group", "rules"),
    [
        ("AWSManagedRulesCommonRuleSet", {"SizeRestrictions_BODY", "CrossSiteScripting_BODY"}),
        ("AWSManagedRulesKnownBadInputsRuleSet", {"Log4JRCE_BODY", "ReactJSRCE_BODY"}),
    ],
)
def test_rules_that_read_bodies_only_count(group: str, rules: set[str]) -> None:
    found = {rule["Name"]: rule for rule in _acl(_filtered(WebAcl.managed))["Rules"]}
    overrides = found[group]["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    counted = {row["Name"] for row in overrides if row["ActionToUse"] == {"Count": {}}}
    assert counted >= rules
    assert all(name.endswith("_BODY") for name in counted)


def test_addresses_are_blocked_by_default_and_the_function_lets_all_through() -> None:
    stacks = _filtered(WebAcl.addresses)
    acl = _acl(stacks)
    assert acl["DefaultAction"] == {"Block": {}}
    assert [rule["Action"] for rule in acl["Rules"]] == [{"Allow": {}}, {"Allow": {}}]
    sets = [row for one in stacks.values() for row in one.properties("AWS::WAFv2::IPSet").values()]
    assert {(row["IPAddressVersion"], *row["Addresses"]) for row in sets} == {
        ("IPV4", "203.0.113.0/24"),
        ("IPV6", "2001:db8::/32"),
    }
    assert _anyone(stacks)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_whoever_filters_addresses_goes_on_until_the_distribution_has_changed(region: str) -> None:
    """CloudFormation changes function and web ACL before the distribution, and would open it for minutes."""
    by_function, by_acl = (_filtered(web_acl, region) for web_acl in (WebAcl.managed, WebAcl.addresses))
    for type in ("AWS::CloudFront::Function", "AWS::WAFv2::WebACL"):
        ids = [
            {(name, id) for name, template in stacks.items() for id in template.of_type(type)}
            for stacks in (by_function, by_acl)
        ]
        assert ids[0].isdisjoint(ids[1])


def test_an_existing_one_is_taken_as_it_is(app: cdk.App) -> None:
    stacks = _stacks(app, WebAcl.from_arn(ARN))
    assert _distribution(stacks)["WebACLId"] == ARN
    assert not any(one.of_type("AWS::WAFv2::WebACL") for one in stacks.values())


def test_fails_when_an_address_is_known_at_deployment_only(app: cdk.App) -> None:
    access = Access(ipv4=["203.0.113.0/24"], also=[cdk.Token.as_string({"Ref": "Ip"})])
    with pytest.raises(ValueError, match=r"known at deployment only.*use WebAcl.managed\(\)"):
        _stacks(app, WebAcl.addresses(), access=access)


def test_fails_when_addresses_shall_be_filtered_but_anyone_may_enter(app: cdk.App) -> None:
    with pytest.raises(ValueError, match=r"WebAcl.addresses\(\) needs an Access that lists networks"):
        _stacks(app, WebAcl.addresses(), access=Access.anyone())


@pytest.mark.parametrize(
    "arn",
    [
        "mine",
        ARN.replace("us-east-1", "eu-west-1"),
        ARN.replace("global", "regional"),
    ],
)
def test_fails_when_the_arn_is_of_another_kind(arn: str) -> None:
    with pytest.raises(
        ValueError, match=r"WebAcl.from_arn must be the ARN of a web ACL with scope CLOUDFRONT"
    ):
        WebAcl.from_arn(arn)


def test_fails_when_a_rule_group_is_no_name() -> None:
    with pytest.raises(
        ValueError, match=r"WebAcl.managed must be a name such as AWSManagedRulesCommonRuleSet"
    ):
        WebAcl.managed("common")


@pytest.mark.parametrize("rate", [9, 2_000_000_001])
def test_fails_when_the_rate_is_out_of_range(rate: int) -> None:
    with pytest.raises(ValueError, match="WebAcl rate must be between 10 and"):
        WebAcl.managed(rate=rate)
