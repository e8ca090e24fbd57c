"""Permissions to use models, on a task role."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from dify_cdk.cdk_helpers.nag import acknowledge_wildcards
from dify_cdk.options.bedrock import Bedrock

_REASON = (
    "the caller's choice of models: Bedrock's ids and regions are patterns, and some actions take no resource"
)


def grant_models(role: iam.IRole, models: Bedrock) -> None:
    """Allow a role what the value object describes.

    Args:
        role: The plugin daemon's task role.
        models: What is allowed.
    """
    stack = cdk.Stack.of(role)
    statements = models.statements(partition=stack.partition, account=stack.account)
    for statement in statements:
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=list(statement.actions), resources=list(statement.resources))
        )
    wildcards = {arn for statement in statements for arn in statement.resources if "*" in arn}
    acknowledge_wildcards(role, sorted(wildcards), _REASON)
