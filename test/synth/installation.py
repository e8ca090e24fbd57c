"""The parts that most tests put together before the one they are about, and what was synthesized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Template as Synthesized
from constructs import Construct, IConstruct

from dify_cdk import Access, Component, DifyAlbFrontend, DifyData, DifyNetwork, DifyWorkers, Domain, Login
from support import Template

OFFICE = Access(ipv4=["203.0.113.0/24"])
HOST = "dify.example.com"
CERTIFICATE_ARN = "arn:aws:acm:{region}:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def data_in(stack: cdk.Stack, **options: Any) -> DifyData:
    """Data in a network of its own."""
    return DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc, **options)


def workers_in(stack: cdk.Stack, **options: Any) -> DifyWorkers:
    """Workers with data and network of their own."""
    return DifyWorkers(stack, "Workers", data=data_in(stack), **options)


def zone_in(stack: cdk.Stack) -> route53.IHostedZone:
    """The zone of ``example.com``."""
    return route53.HostedZone.from_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z0000000000000000000", zone_name="example.com"
    )


def certificate_in(scope: Construct, region: str = "us-east-1") -> acm.ICertificate:
    """A certificate that exists in a region."""
    return acm.Certificate.from_certificate_arn(scope, "Certificate", CERTIFICATE_ARN.format(region=region))


def domain_in(stack: cdk.Stack) -> Domain:
    """A host name of one's own, whose certificate exists."""
    return Domain(host_name=HOST, certificate=certificate_in(stack))


def with_login(stack: cdk.Stack, **options: Any) -> Template:
    """The template of a load balancer that asks Amazon Cognito, and all it needs."""
    settings = {"access": OFFICE, "domain": domain_in(stack), "login": Login(), **options}
    DifyAlbFrontend(stack, "Frontend", workers=workers_in(stack), **settings)
    return synthesized(stack)


def synthesized(stack: cdk.Stack) -> Template:
    """The template of one stack."""
    return Template(Synthesized.from_stack(stack).to_json())


def warnings_of(construct: IConstruct) -> list[str]:
    """What a construct warns about."""
    return [str(entry.data) for entry in construct.node.metadata if entry.type == "aws:cdk:warning"]


def function_of(template: Template, component: Component) -> tuple[str, dict[str, Any]]:
    """Logical id and properties of the Lambda function that runs a component."""
    functions = template.properties("AWS::Lambda::Function")
    (found,) = [row for row in functions.items() if f"Lambda{component.construct_id}Function" in row[0]]
    return found


def joined(value: Mapping[str, Any]) -> str:
    """A joined text with the logical ids in the place of references."""
    return "".join(part if isinstance(part, str) else part["Ref"] for part in value["Fn::Join"][1])
