"""v4 in a network without internet egress: no internet gateway, no NAT, images and packages from inside."""

from __future__ import annotations

import os

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53

from dify_cdk import (
    Access,
    AlbScheme,
    Bedrock,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Domain,
    Egress,
    Plugins,
)

# Who enters: your offices by VPN or Direct Connect, and the VPC itself, for workflows that call Dify.
ALLOWED_NETWORKS = ["10.0.0.0/8"]
# What users type, and the id of its certificate in AWS Certificate Manager: import one of your own authority.
HOST_NAME = "dify.example.internal"
CERTIFICATE_ID = "00000000-0000-0000-0000-000000000000"
# Where the images are in the account's own Amazon ECR. `dify-cdk mirror` prints the commands that copy them.
# A pull-through cache does not work here: its first pull of an image needs the internet.
REPOSITORY_PREFIX = "dify"
# An index with the packages that your plugins need, on a server of yours in the VPC.
PIP_MIRROR_URL = "http://pypi.example.internal:8080/simple"


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack in the region of the context key ``region``, else of your AWS profile."""
    region = app.node.try_get_context("region") or os.environ.get("CDK_DEFAULT_REGION", "us-east-1")
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    data = DifyData(stack, "Data", vpc=network.vpc)
    workers = DifyWorkers(
        stack,
        "Workers",
        data=data,
        release=DifyRelease(
            registry=f"{cdk.Aws.ACCOUNT_ID}.dkr.ecr.{region}.amazonaws.com/{REPOSITORY_PREFIX}"
        ),
        plugins=Plugins(pip_mirror_url=PIP_MIRROR_URL),
        models=Bedrock(),  # the only models that can be reached, through endpoints of the network
    )
    frontend = DifyAlbFrontend(
        stack,
        "Frontend",
        workers=workers,
        access=Access(ipv4=ALLOWED_NETWORKS),
        scheme=AlbScheme.INTERNAL,
        domain=_domain(stack, network),
    )
    cdk.CfnOutput(stack, "Url", value=frontend.url)
    cdk.CfnOutput(stack, "InitPasswordCommand", value=data.read_init_password_command)
    return stack


def _domain(stack: cdk.Stack, network: DifyNetwork) -> Domain:
    """The host name in a zone of the VPC; let the DNS of your offices forward to it, or point at the URL."""
    zone = route53.PrivateHostedZone(stack, "Zone", zone_name=HOST_NAME, vpc=network.vpc)
    arn = stack.format_arn(
        service="acm",
        resource="certificate",
        resource_name=CERTIFICATE_ID,
    )
    certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", arn)
    return Domain(host_name=HOST_NAME, zone=zone, certificate=certificate)


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
