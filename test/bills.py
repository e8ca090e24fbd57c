"""Small templates that cost something, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import MonthlyCost, break_evens, monthly_cost
from dify_cdk.report.cost.usage import ZERO, Usage
from dify_cdk.report.templates.subject import Part, Subject

PRICES = load_prices()
LATER = {"Ref": "SomeParameter"}
EITHER = {"Fn::If": ["Large", 2, 1]}


def part(resources: Mapping[str, object], region: str | None = "us-east-1", **top: object) -> Part:
    return Part(name="main", template={"Resources": resources, **top}, region=region)


def subject(resources: Mapping[str, object], region: str | None = "us-east-1", **top: object) -> Subject:
    return Subject(name="test", parts=(part(resources, region, **top),))


def cost(
    resources: Mapping[str, object], usage: Usage = ZERO, region: str | None = "us-east-1"
) -> MonthlyCost:
    return monthly_cost(subject(resources, region), region=None, usage=usage, prices=PRICES)


def break_even(a: Subject, b: Subject, usage: Usage | None = None) -> Usage | None:
    """The usage at which the dearer subject becomes the cheaper one, with the prices of the package."""
    (found,) = break_evens((a, b), region=None, prices=PRICES, usage=usage)
    return found


def priced(resources: Mapping[str, object], usage: Usage = ZERO) -> dict[str, float | None]:
    """USD by what is paid for, allowances left out, zeros too."""
    lines = cost(resources, usage).lines
    return {line.what: line.amount for line in lines if line.type and line.amount != 0}


def one(type: str, usage: Usage = ZERO, /, **properties: object) -> dict[str, float | None]:
    return priced({"It": {"Type": type, "Properties": properties}}, usage)


def service(task: Mapping[str, object] | None = None, /, **properties: object) -> dict[str, object]:
    """An ECS service with one task of 0.5 vCPU and 2 GB on Fargate."""
    size = {"Cpu": "512", "Memory": "2048", "RequiresCompatibilities": ["FARGATE"]}
    containers = [{"Name": "app", "Image": "app:1"}]
    return {
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {**size, "ContainerDefinitions": containers, **(task or {})},
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {"TaskDefinition": {"Ref": "Task"}, "DesiredCount": 1, **properties},
        },
    }


def strategy(*entries: tuple[str, int, int]) -> list[dict[str, object]]:
    return [{"CapacityProvider": name, "Base": base, "Weight": weight} for name, base, weight in entries]


def http_api(route_key: str = "$default", **integration: object) -> dict[str, object]:
    """An HTTP API with one route to whatever the integration names, behind an authorizer."""
    return {
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP"}},
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {"ApiId": {"Ref": "Api"}, **integration},
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": route_key,
                "Target": {"Fn::Join": ["/", ["integrations", {"Ref": "Integration"}]]},
                "AuthorizerId": {"Ref": "Authorizer"},
            },
        },
        "Authorizer": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {"AuthorizerUri": {"Fn::GetAtt": ["Guard", "Arn"]}},
        },
        "Guard": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"MemorySize": 256, "Architectures": ["arm64"]},
        },
    }


def edge(**behavior: object) -> dict[str, Any]:
    """A distribution before two functions, by path, as in v3."""
    trust = {"Statement": [{"Principal": {"Service": ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]}}]}
    associated = [{"EventType": "origin-request", "LambdaFunctionARN": {"Ref": "SignerVersion"}}]
    viewer = [{"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Viewer", "FunctionARN"]}}]

    def address(url: str) -> dict[str, object]:
        parts = {"Fn::Split": ["/", {"Fn::GetAtt": [url, "FunctionUrl"]}]}
        return {"Fn::Select": [2, parts]}

    return {
        "Distribution": {
            "Type": "AWS::CloudFront::Distribution",
            "Properties": {
                "DistributionConfig": {
                    "Origins": [
                        {"Id": "web", "DomainName": address("WebUrl")},
                        {"Id": "api", "DomainName": address("ApiUrl")},
                        {"Id": "files", "DomainName": {"Fn::Sub": "${Api}.execute-api.example"}},
                    ],
                    "CacheBehaviors": [
                        {"PathPattern": "/api/files/upload", "TargetOriginId": "files"},
                        {
                            "PathPattern": "/api/*",
                            "TargetOriginId": "api",
                            "LambdaFunctionAssociations": associated,
                            **behavior,
                        },
                    ],
                    "DefaultCacheBehavior": {"TargetOriginId": "web", "FunctionAssociations": viewer},
                }
            },
        },
        "Viewer": {"Type": "AWS::CloudFront::Function"},
        "WebUrl": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Web"}}},
        "ApiUrl": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Backend"}}},
        "Web": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1024}},
        "Backend": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 2048}},
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP"}},
        "Signer": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
        "SignerVersion": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Signer"}}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
    }


def database(*extra: str, **cluster: object) -> dict[str, object]:
    """An Aurora cluster with a writer, and readers of other logical ids."""
    scaling = {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4}}
    instance = {
        "Type": "AWS::RDS::DBInstance",
        "Properties": {"DBClusterIdentifier": {"Ref": "Cluster"}, "DBInstanceClass": "db.serverless"},
    }
    return {
        "Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": {**scaling, **cluster}},
        "Writer": instance,
        **dict.fromkeys(extra, instance),
    }
