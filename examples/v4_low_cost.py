"""v4 as cheap as all of Dify gets, for a few people who can wait: every saving says what it gives up."""

from __future__ import annotations

import os

import aws_cdk as cdk

from dify_cdk import (
    Access,
    Architecture,
    CacheSize,
    CloudFrontEdge,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Egress,
    Spot,
)

ALLOWED_NETWORKS = ["203.0.113.0/24"]  # your office; Access.anyone() opens Dify to the world

SPARE = Spot(on_demand_base=0)
# Spare capacity for what nobody waits for at once. api and web stay on demand: without them there is no Dify.
SIZES = {
    Component.WORKER: ComponentSize(cpu_units=1024, memory_mib=2048, spot=SPARE),
    Component.SANDBOX: ComponentSize(cpu_units=256, memory_mib=512, spot=SPARE),
    Component.SSRF_PROXY: ComponentSize(cpu_units=256, memory_mib=512, spot=SPARE),
}


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack in the region of the context key ``region``, else of your AWS profile."""
    region = app.node.try_get_context("region") or os.environ.get("CDK_DEFAULT_REGION", "us-east-1")
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    # One small instance for two NAT gateways: its restart interrupts egress for a minute or two.
    network = DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    data = DifyData(
        stack,
        "Data",
        vpc=network.vpc,
        # Half a unit at least: min_acu=0 would not save it, since the plugin daemon keeps the database awake.
        capacity=DatabaseCapacity(max_acu=2),
        # No second node: sessions and queued jobs are lost when it fails, for minutes nobody can work.
        cache_size=CacheSize(replicas=0),
    )
    workers = DifyWorkers(
        stack,
        "Workers",
        data=data,
        architecture=Architecture.ARM64,  # a fifth cheaper, gives up nothing; the sandbox stays on x86-64
        sizes=SIZES,
        # Schedules are late while there is no spare capacity; none at all would save less than 3 USD more.
        scheduler=ComponentSize(cpu_units=256, memory_mib=1024, spot=SPARE),
    )
    access = Access(ipv4=ALLOWED_NETWORKS, also=network.public_addresses)
    frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, edge=CloudFrontEdge())
    cdk.Validations.of(data).acknowledge(
        cdk.Acknowledgment(id="DifyCacheSingleNode", reason="few people, who can wait")
    )
    cdk.CfnOutput(stack, "Url", value=frontend.url)
    cdk.CfnOutput(stack, "InitPasswordCommand", value=data.read_init_password_command)
    return stack


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
