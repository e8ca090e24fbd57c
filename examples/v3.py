"""v3: CloudFront before AWS Lambda: streaming, TLS and filtering at the edge, paid per request."""

from __future__ import annotations

import os

import aws_cdk as cdk

from dify_cdk import Access, DifyCloudFrontLambdaFrontend, DifyData, DifyNetwork, DifyWorkers, Egress

ALLOWED_NETWORKS = ["203.0.113.0/24"]  # your office; Access.anyone() opens Dify to the world


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack in the region of the context key ``region``, else of your AWS profile."""
    region = app.node.try_get_context("region") or os.environ.get("CDK_DEFAULT_REGION", "us-east-1")
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    network = DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    data = DifyData(stack, "Data", vpc=network.vpc)
    workers = DifyWorkers(stack, "Workers", data=data)
    access = Access(ipv4=ALLOWED_NETWORKS, also=network.public_addresses)
    # Deploying builds two images with Docker; images=CloudBuild() builds them in AWS instead.
    frontend = DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=access)
    cdk.CfnOutput(stack, "Url", value=frontend.url)
    cdk.CfnOutput(stack, "InitPasswordCommand", value=data.read_init_password_command)
    return stack


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
