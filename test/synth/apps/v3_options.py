"""v3 with what costs more: a web ACL, warm and provisioned environments, an own domain, a load balancer."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm

from dify_cdk import (
    Access,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Domain,
    FunctionSize,
    Uploads,
    WebAcl,
)

_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack."""
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="eu-west-1"))
    network = DifyNetwork(stack, "Network")
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", _CERTIFICATE)
    DifyCloudFrontLambdaFrontend(
        stack,
        "Frontend",
        workers=workers,
        access=Access(ipv4=["203.0.113.0/24"], countries=["JP"]),
        domain=Domain(host_name="dify.example.com", edge_certificate=certificate),
        uploads=Uploads.VPC_ORIGIN,
        api=FunctionSize(memory_mib=2048, provisioned_concurrency=2),
        web=FunctionSize(memory_mib=1024, timeout_seconds=60, keep_warm_minutes=5),
        web_acl=WebAcl.managed(rate=2000),
    )
    return stack
