"""Everything that operating an installation adds: models, mail, alarms, scaling, backups, a rotation."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_route53 as route53

from dify_cdk import (
    Access,
    Bedrock,
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyBackup,
    DifyData,
    DifyMonitoring,
    DifyNetwork,
    DifyWorkers,
    Domain,
    Scaling,
    SesMail,
)

_VAULT = "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies"


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack."""
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="eu-west-1"))
    zone = route53.PublicHostedZone.from_public_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z0000000000000000000", zone_name="example.com"
    )
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc, rotation=1)
    workers = DifyWorkers(
        stack,
        "Workers",
        data=data,
        models=Bedrock(
            models=["anthropic.claude-*"],
            regions=["eu-west-1", "eu-central-1"],
            knowledge_bases=["ABCDEFGHIJ"],
            guardrails=["abcdefghij12"],
            assume_roles=["arn:aws:iam::210987654321:role/models"],
        ),
        mail=SesMail(sender="Dify <dify@example.com>", zone=zone),
        sizes={Component.WORKER: ComponentSize(cpu_units=1024, memory_mib=2048, tasks=Scaling(max_tasks=3))},
    )
    domain = Domain(host_name="dify.example.com", zone=zone)
    access = Access(ipv4=["203.0.113.0/24"])
    frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, domain=domain)
    DifyMonitoring(stack, "Monitoring", workers=workers, frontend=frontend)
    vault = backup.BackupVault.from_backup_vault_arn(stack, "Copies", _VAULT)
    DifyBackup(stack, "Backup", data=data, copy_to=vault)
    return stack
