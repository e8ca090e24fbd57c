"""Distributions in the inventory: behaviors in order, what runs on the way, and where they end."""

from __future__ import annotations

from typing import Any

from dify_cdk.report.inventory import Inventory, read
from dify_cdk.report.traffic.cloudfront import KIND
from dify_cdk.report.traffic.routes import Route


def _read(behaviors: list[dict[str, Any]], origins: list[dict[str, Any]], **resources: object) -> Inventory:
    config = {
        "Origins": origins,
        "CacheBehaviors": behaviors,
        "DefaultCacheBehavior": {"TargetOriginId": "site"},
    }
    distribution = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
    return read({"Resources": {"Cdn": distribution, **resources}}, "test")


def _rows(inventory: Inventory) -> tuple[Route, ...]:
    (listener,) = inventory.listeners
    assert (listener.kind, listener.load_balancer) == (KIND, "Cdn")
    return listener.routes


SITE = {"Id": "site", "DomainName": {"Fn::GetAtt": ["Site", "RegionalDomainName"]}}
SITE_BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {}}


def test_neighbours_with_one_end_are_one_row_and_the_default_comes_last() -> None:
    api = {"Id": "api", "DomainName": "api.example.com"}
    behaviors = [{"PathPattern": pattern, "TargetOriginId": "api"} for pattern in ("/a/*", "/b/*")]
    rows = _rows(_read(behaviors, [SITE, api], Site=SITE_BUCKET))
    assert [row.paths for row in rows] == [("/a/*", "/b/*"), ()]
    assert [row.destinations[0].container for row in rows] == ["api.example.com", "Site"]
    assert rows[-1].default


def test_order_is_kept_where_ends_differ() -> None:
    api = {"Id": "api", "DomainName": "api.example.com"}
    ends = [("/a/*", "api"), ("/b/*", "site"), ("/c/*", "api")]
    behaviors = [{"PathPattern": pattern, "TargetOriginId": origin} for pattern, origin in ends]
    rows = _rows(_read(behaviors, [SITE, api], Site=SITE_BUCKET))
    assert [row.paths for row in rows] == [("/a/*",), ("/b/*",), ("/c/*",), ()]


def test_what_runs_on_the_way_is_named() -> None:
    behavior = {
        "PathPattern": "/a/*",
        "TargetOriginId": "site",
        "FunctionAssociations": [{"EventType": "viewer-request"}],
        "LambdaFunctionAssociations": [{"EventType": "origin-request"}],
    }
    rows = _rows(_read([behavior], [SITE], Site=SITE_BUCKET))
    assert rows[0].actions == ("CloudFront Function at viewer-request", "Lambda@Edge at origin-request")


def test_function_url_ends_at_its_function_and_a_vpc_origin_at_its_load_balancer() -> None:
    function = {
        "Id": "fn",
        "DomainName": {"Fn::Select": [2, {"Fn::Split": ["/", {"Fn::GetAtt": ["Url", "FunctionUrl"]}]}]},
    }
    private = {
        "Id": "vpc",
        "DomainName": {"Fn::GetAtt": ["Alb", "DNSName"]},
        "VpcOriginConfig": {"VpcOriginId": {"Fn::GetAtt": ["Private", "Id"]}},
    }
    behaviors = [
        {"PathPattern": "/f", "TargetOriginId": "fn"},
        {"PathPattern": "/v", "TargetOriginId": "vpc"},
    ]
    target = {"TargetFunctionArn": {"Fn::GetAtt": ["Function", "Arn"]}}
    endpoint = {"VpcOriginEndpointConfig": {"Arn": {"Ref": "Alb"}}}
    rows = _rows(
        _read(
            behaviors,
            [SITE, function, private],
            Site=SITE_BUCKET,
            Url={"Type": "AWS::Lambda::Url", "Properties": target},
            Function={"Type": "AWS::Lambda::Function", "Properties": {}},
            Private={"Type": "AWS::CloudFront::VpcOrigin", "Properties": endpoint},
            Alb={"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {}},
        )
    )
    assert [row.destinations[0].container for row in rows] == ["Function", "Alb", "Site"]


def test_unknown_origin_is_shown_as_nothing_and_never_raises() -> None:
    (row,) = _rows(_read([], []))
    assert (row.default, row.destinations[0].container) == (True, None)
