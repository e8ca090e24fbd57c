"""ECS Exec: a shell inside a running container, for those components where it does no harm."""

from __future__ import annotations

from collections.abc import Collection

from aws_cdk import aws_iam as iam

from dify_cdk.cdk_helpers.nag import acknowledge_wildcards
from dify_cdk.dify.components import Component, require_components

_ACTIONS = (  # what the agent inside the task calls; none of them takes a resource
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


def require_exec(components: Collection[Component], *, has_scheduler: bool) -> frozenset[Component]:
    """The components whose containers ECS Exec opens.

    Raises:
        ValueError: If one of them is no component, must stay closed, or does not run.
    """
    name = "DifyWorkers.exec_components"
    if isinstance(components, str):
        raise ValueError(
            f"{name} must be a list or set of components, got {str(components)!r}: put it into brackets"
        )
    require_components(name, components)
    for component in components:
        reason = Component(component).spec.no_exec
        if reason is not None:
            raise ValueError(f"{name} must not hold {component}: {reason}")
        if component == Component.BEAT and not has_scheduler:
            raise ValueError(f"{name} must not hold {component}: scheduler=None runs none")
    return frozenset(components)


def grant_exec(task_role: iam.IRole) -> None:
    """What a task needs for it. The switch of the L2 would add write access to every log group."""
    task_role.add_to_principal_policy(iam.PolicyStatement(actions=list(_ACTIONS), resources=["*"]))
    acknowledge_wildcards(task_role, ["*"], "ECS Exec was asked for, and its actions take no resource")


def exec_command(component: Component, *, region: str, cluster: str, service: str) -> str:
    """The shell command that opens a shell in the first task of a service."""
    where = f"--region {region} --cluster {cluster}"
    task = f"aws ecs list-tasks {where} --service-name {service} --query 'taskArns[0]' --output text"
    return (
        f'aws ecs execute-command {where} --task "$({task})" --container {component} '
        "--interactive --command /bin/sh"
    )
