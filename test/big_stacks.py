"""An app of many stacks with many resources each, to see what reading it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STACKS, RESOURCES = 10, 500
_PER_SERVICE = 9  # resources of each service below

Resources = dict[str, Any]


def write_app(folder: Path, *, stacks: int = STACKS, resources: int = RESOURCES) -> None:
    """Write the templates of a ``cdk.out`` folder."""
    for number in range(stacks):
        template = {"Resources": stack(number, resources)}
        (folder / f"Stack{number}.template.json").write_text(json.dumps(template), encoding="utf-8")


def stack(number: int, resources: int = RESOURCES) -> Resources:
    """One stack: a load balancer, an HTTP API, and services, functions and data behind them."""
    name = f"S{number}"
    found = dict(_entry_points(name))
    for index in range((resources - len(found)) // _PER_SERVICE):
        found |= _service(name, f"{name}N{index}", index)
    for index in range(resources - len(found)):
        found[f"{name}Log{index}"] = {"Type": "AWS::Logs::LogGroup", "Properties": {}}
    return found


def _entry_points(name: str) -> Iterator[tuple[str, Any]]:
    def resource(type: str, **properties: object) -> dict[str, object]:
        return {"Type": f"AWS::{type}", "Properties": properties}

    forward = [{"Type": "forward", "TargetGroupArn": {"Ref": f"{name}N0Targets"}}]
    yield f"{name}Alb", resource("ElasticLoadBalancingV2::LoadBalancer", Scheme="internet-facing")
    yield (
        f"{name}Listener",
        resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn={"Ref": f"{name}Alb"},
            Port=443,
            Protocol="HTTPS",
            DefaultActions=forward,
        ),
    )
    yield f"{name}Api", resource("ApiGatewayV2::Api", ProtocolType="HTTP")
    yield f"{name}Policy", resource("IAM::ManagedPolicy", PolicyDocument={"Statement": []})


def _service(stack: str, name: str, index: int) -> Resources:
    """A container behind a rule of the load balancer, and a function behind a route of the API."""
    listener, target = {"Ref": f"{stack}Listener"}, {"Ref": f"{name}Targets"}
    group = {"Fn::GetAtt": [f"{name}Group", "GroupId"]}
    image = {"Fn::Sub": "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/app:1"}
    container = {"Name": name, "Image": image, "PortMappings": [{"ContainerPort": 80}]}
    registration = {"ContainerName": name, "ContainerPort": 80, "TargetGroupArn": target}
    network = {"AwsvpcConfiguration": {"SecurityGroups": [group]}}
    uri = {"Fn::Join": ["", ["arn:x:", {"Fn::GetAtt": [f"{name}Function", "Arn"]}, "/invocations"]]}
    rows: list[tuple[str, str, Resources]] = [
        ("Task", "ECS::TaskDefinition", {"ContainerDefinitions": [container], "Cpu": "256", "Memory": "512"}),
        (
            "Service",
            "ECS::Service",
            {
                "TaskDefinition": {"Ref": f"{name}Task"},
                "LoadBalancers": [registration],
                "NetworkConfiguration": network,
            },
        ),
        ("Targets", "ElasticLoadBalancingV2::TargetGroup", {"TargetType": "ip"}),
        (
            "Rule",
            "ElasticLoadBalancingV2::ListenerRule",
            {
                "ListenerArn": listener,
                "Priority": index + 1,
                "Conditions": [{"Field": "path-pattern", "Values": [f"/{name}/*"]}],
                "Actions": [{"Type": "forward", "TargetGroupArn": target}],
            },
        ),
        ("Group", "EC2::SecurityGroup", {"SecurityGroupIngress": [{"CidrIp": "0.0.0.0/0"}]}),
        ("Data", "S3::Bucket", {}),
        (
            "Function",
            "Lambda::Function",
            {"MemorySize": 256, "Environment": {"Variables": {"DATA": {"Ref": f"{name}Data"}}}},
        ),
        (
            "Integration",
            "ApiGatewayV2::Integration",
            {"ApiId": {"Ref": f"{stack}Api"}, "IntegrationType": "AWS_PROXY", "IntegrationUri": uri},
        ),
        (
            "Route",
            "ApiGatewayV2::Route",
            {
                "ApiId": {"Ref": f"{stack}Api"},
                "RouteKey": f"ANY /{name}/{{proxy+}}",
                "Target": {"Fn::Join": ["/", ["integrations", {"Ref": f"{name}Integration"}]]},
            },
        ),
    ]
    return {f"{name}{suffix}": {"Type": f"AWS::{type}", "Properties": body} for suffix, type, body in rows}
