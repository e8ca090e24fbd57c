"""v4: CloudFront before an internal load balancer and ECS on Fargate: the recommended production set-up."""

from __future__ import annotations

import os

import aws_cdk as cdk

from dify_cdk import (
    Access,
    CloudFrontEdge,
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Egress,
    Scaling,
)

ALLOWED_NETWORKS = ["203.0.113.0/24"]  # your office; Access.anyone() opens Dify to the world

# What users wait for runs in both zones, and grows with them.
SIZES = {
    Component.API: ComponentSize(cpu_units=512, memory_mib=2048, tasks=Scaling(min_tasks=2, max_tasks=6)),
    Component.WEB: ComponentSize(cpu_units=256, memory_mib=1024, tasks=Scaling(min_tasks=2, max_tasks=4)),
}


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack in the region of the context key ``region``, else of your AWS profile."""
    region = app.node.try_get_context("region") or os.environ.get("CDK_DEFAULT_REGION", "us-east-1")
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    network = DifyNetwork(stack, "Network", egress=Egress.NAT_GATEWAYS)
    data = DifyData(stack, "Data", vpc=network.vpc)
    workers = DifyWorkers(stack, "Workers", data=data, sizes=SIZES)
    access = Access(ipv4=ALLOWED_NETWORKS, also=network.public_addresses)
    frontend = DifyAlbFrontend(
        stack, "Frontend", workers=workers, access=access, edge=CloudFrontEdge(), collaboration=True
    )
    cdk.CfnOutput(stack, "Url", value=frontend.url)
    cdk.CfnOutput(stack, "InitPasswordCommand", value=data.read_init_password_command)
    return stack


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
