"""Small templates put together from parts: distributions, load balancers, APIs, functions and services.

Further below: limits of such templates, and comparisons of inventories without limits and costs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.cost.pricing import MonthlyCost
from dify_cdk.report.cost.usage import ZERO
from dify_cdk.report.inventory import Inventory, read
from dify_cdk.report.limits.limits import Limit, effective_limits
from dify_cdk.report.templates.subject import Part, Subject
from support import TEMPLATES

Resources = dict[str, Any]


def resource(type: str, **properties: object) -> dict[str, object]:
    return {"Type": f"AWS::{type}", "Properties": properties}


def ref(id: str) -> dict[str, str]:
    return {"Ref": id}


def att(id: str, name: str = "Arn") -> dict[str, list[str]]:
    return {"Fn::GetAtt": [id, name]}


REF: Any = {name: ref(name) for name in ("Alb", "Listener", "Targets", "Task", "Api", "Policy", "Acl")}
ARN: Any = {name: att(name) for name in ("Function", "Name", "VpcOrigin", "Alb", "Service")}


def function(**properties: object) -> Resources:
    return {"Function": resource("Lambda::Function", **properties)}


def service(environment: Mapping[str, str] | None = None, **properties: object) -> Resources:
    container = {
        "Name": "api",
        "Environment": [{"Name": name, "Value": value} for name, value in (environment or {}).items()],
        "PortMappings": [{"ContainerPort": 5001, "Name": "http"}],
    }
    return {
        "Task": resource("ECS::TaskDefinition", ContainerDefinitions=[container]),
        "Service": resource("ECS::Service", TaskDefinition=REF["Task"], **properties),
    }


BEHIND_ALB: dict[str, Any] = {"LoadBalancers": [{"ContainerName": "api", "TargetGroupArn": REF["Targets"]}]}


def balancer(*rules: Resources, idle: object = None, **properties: object) -> Resources:
    attributes = [] if idle is None else [{"Key": "idle_timeout.timeout_seconds", "Value": idle}]
    forward = [{"Type": "forward", "TargetGroupArn": REF["Targets"]}]
    return {
        "Alb": resource(
            "ElasticLoadBalancingV2::LoadBalancer", LoadBalancerAttributes=attributes, **properties
        ),
        "Listener": resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn=REF["Alb"],
            Port=80,
            Protocol="HTTP",
            DefaultActions=forward,
        ),
        "Targets": resource("ElasticLoadBalancingV2::TargetGroup", TargetType="ip"),
        **{
            f"Rule{number}": resource(
                "ElasticLoadBalancingV2::ListenerRule",
                ListenerArn=REF["Listener"],
                Priority=number + 1,
                **rule,
            )
            for number, rule in enumerate(rules)
        },
    }


def url(**properties: object) -> Resources:
    return {"Url": resource("Lambda::Url", TargetFunctionArn=ARN["Function"], **properties)}


URL_ORIGIN = {
    "Id": "end",
    "DomainName": {"Fn::Select": [2, {"Fn::Split": ["/", {"Fn::GetAtt": ["Url", "FunctionUrl"]}]}]},
}
EVERY_METHOD = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
ALL_VIEWER = "216adef6-5c7f-47e4-b989-5492eafa07d3"


def distribution(
    origin: Resources, *behaviors: Resources, default: Resources | None = None, **config: object
) -> Resources:
    usual = {"TargetOriginId": "end", "AllowedMethods": EVERY_METHOD, "OriginRequestPolicyId": ALL_VIEWER}
    return {
        "Cdn": resource(
            "CloudFront::Distribution",
            DistributionConfig={
                "Origins": [origin, {"Id": "elsewhere", "DomainName": "api.example.com"}],
                "CacheBehaviors": [{**usual, **behavior} for behavior in behaviors],
                "DefaultCacheBehavior": {**usual, **(default or {})},
                **config,
            },
        )
    }


def http_api(*keys: str, uri: object = ARN["Function"], **integration: object) -> Resources:
    usual = {"IntegrationType": "AWS_PROXY", "IntegrationUri": uri, "ApiId": REF["Api"]}
    return {
        "Api": resource("ApiGatewayV2::Api", ProtocolType="HTTP"),
        "Integration": resource("ApiGatewayV2::Integration", **{**usual, **integration}),
        **{
            f"Route{number}": resource(
                "ApiGatewayV2::Route",
                ApiId=REF["Api"],
                RouteKey=key,
                Target={"Fn::Join": ["", ["integrations/", {"Ref": "Integration"}]]},
            )
            for number, key in enumerate(keys)
        },
    }


def rest_api(path: str, **integration: object) -> Resources:
    uri = {"Fn::Join": ["", ["arn:x/functions/", ARN["Function"], "/invocations"]]}
    usual = {"Type": "AWS_PROXY", "Uri": uri}
    parts = path.strip("/").split("/")
    parents: list[object] = [{"Fn::GetAtt": ["Api", "RootResourceId"]}]
    found: Resources = {"Api": resource("ApiGateway::RestApi", EndpointConfiguration={"Types": ["REGIONAL"]})}
    for number, part in enumerate(parts):
        name = f"Resource{number}"
        found[name] = resource("ApiGateway::Resource", ParentId=parents[-1], PathPart=part)
        parents.append({"Ref": name})
    found["Method"] = resource(
        "ApiGateway::Method",
        RestApiId=REF["Api"],
        ResourceId=parents[-1],
        HttpMethod="ANY",
        Integration={**usual, **integration},
    )
    return found


def limits(*templates: Resources) -> dict[tuple[str, str], Limit]:
    parts = tuple(
        Part(name=f"Stack{number}", template=one if "Resources" in one else {"Resources": one})
        for number, one in enumerate(templates)
    )
    return {(limit.name, limit.scope): limit for limit in effective_limits(Subject(name="s", parts=parts))}


def values(*templates: Resources, scope: str = "app") -> tuple[object, object, object]:
    """Request timeout, streaming and largest request."""
    found = limits(*templates)
    return tuple(found[name, scope].value for name in ("request timeout", "streaming", "largest request"))  # type: ignore[return-value]


def load(name: str) -> Inventory:
    """The inventory of one of the stored templates."""
    return read(json.loads((TEMPLATES / name).read_text(encoding="utf-8")), name.partition(".")[0])


NOTHING_TO_PAY = MonthlyCost(region=None, usage=ZERO, lines=(), total=0, is_lower_bound=False, unpriced=())


def comparison(*inventories: Inventory) -> Comparison:
    """Inventories as subjects of one part each, which carry and cost nothing that is known."""
    compared = (
        Compared(
            subject=Subject(name=one.name, parts=(Part(name=one.name, template={}, region=one.region),)),
            inventories=(one,),
            limits=(),
            floor=NOTHING_TO_PAY,
            cost=NOTHING_TO_PAY,
        )
        for one in inventories
    )
    return Comparison(compared=tuple(compared), usage="team", prices_as_of=date(2026, 11, 22))
