"""What stands between CloudFront and the load balancer: what it refuses, as AWS does."""

from __future__ import annotations

from typing import Any

import pytest

from deployed.vpc_origin_repairs import admits, endpoint, require_room

LIST = "pl-cloudfront"
RULE = {"GroupId": "sg-1", "SourcePrefixListId": LIST, "FromPort": 80, "ToPort": 443}
OTHER = {"GroupId": "sg-1", "CidrIp": "203.0.113.0/24", "FromPort": 443, "ToPort": 443}


@pytest.mark.parametrize("more", [[], [OTHER] * 5])
def test_a_group_holds_cloudfronts_list_and_a_few_more(more: list[dict[str, Any]]) -> None:
    require_room([RULE, *more])


@pytest.mark.parametrize("more", [[RULE], [OTHER] * 6])
def test_fails_when_a_group_holds_more(more: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="maximum number of rules per security group"):
        require_room([RULE, *more])


@pytest.mark.parametrize(
    ("rule", "port", "expected"),
    [(RULE, 80, True), (RULE, 443, True), (RULE, 444, False), (OTHER, 443, False)],
)
def test_a_rule_admits_cloudfront_on_its_ports(rule: dict[str, Any], port: int, expected: bool) -> None:
    assert admits(rule, LIST, port) is expected


def test_an_endpoint_has_the_ports_that_a_template_leaves_out() -> None:
    config = {
        "Name": "one",
        "Arn": "arn",
        "OriginProtocolPolicy": "https-only",
        "OriginSSLProtocols": ["TLSv1.2"],
    }
    element = endpoint(config)
    assert [(element.findtext("HTTPPort"), element.findtext("HTTPSPort"))] == [("80", "443")]
    assert element.findtext("OriginSslProtocols/Quantity") == "1"
    assert element.findtext("OriginSslProtocols/Items/SslProtocol") == "TLSv1.2"
