"""v4 as cheap as it gets, for a few people who can wait: every saving is named, with what it gives up."""

from __future__ import annotations

import os

import aws_cdk as cdk

from dify_cdk import (
    Access,
    Architecture,
    CacheSize,
    CloudFrontEdge,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Egress,
    Role,
    RoleSize,
    Spot,
)

ALLOWED_NETWORKS = ["203.0.113.0/24"]  # your office; Access.anyone() opens Dify to the world

# Spare capacity for what nobody waits for at once. api and web stay on demand: without them there is no Dify.
SIZES = {
    Role.WORKER: RoleSize(cpu_units=1024, memory_mib=2048, spot=Spot(on_demand_base=0)),
    Role.SANDBOX: RoleSize(cpu_units=256, memory_mib=512, spot=Spot(on_demand_base=0)),
    Role.SSRF_PROXY: RoleSize(cpu_units=256, memory_mib=512, spot=Spot(on_demand_base=0)),
}


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack in the region of the context key ``region``, else of your AWS profile."""
    region = app.node.try_get_context("region") or os.environ.get("CDK_DEFAULT_REGION", "us-east-1")
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    # One small instance for two NAT gateways: its restart cuts the way out for a minute or two.
    network = DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    data = DifyData(
        stack,
        "Data",
        vpc=network.vpc,
        # Pauses while nobody uses Dify; whoever comes next waits for 15 seconds or more.
        capacity=DatabaseCapacity(min_acu=0, max_acu=2),
        # No second node: sessions and queued jobs are lost when it fails, for minutes nobody can work.
        cache_size=CacheSize(replicas=0),
    )
    workers = DifyWorkers(
        stack,
        "Workers",
        data=data,
        architecture=Architecture.ARM64,  # a fifth cheaper, gives up nothing; the sandbox stays on x86-64
        sizes=SIZES,
        # It would ask the database every minute, which then never pauses. Schedules and triggers do not run.
        scheduler=None,
    )
    access = Access(ipv4=ALLOWED_NETWORKS, also=network.public_addresses)
    frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, edge=CloudFrontEdge())
    _accept(workers, "DifyWorkersScheduler", "DifyDatabasePause")
    _accept(data, "DifyCacheSingleNode")
    cdk.CfnOutput(stack, "Url", value=frontend.url)
    cdk.CfnOutput(stack, "InitPasswordCommand", value=data.read_init_password_command)
    return stack


def _accept(part: DifyData | DifyWorkers, *warnings: str) -> None:
    """Say that a saving is meant."""
    for warning in warnings:
        cdk.Validations.of(part).acknowledge(
            cdk.Acknowledgment(id=warning, reason="few people, who can wait")
        )


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
