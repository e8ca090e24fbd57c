"""The one-off database migration: a Fargate task that runs once per image, before anything that needs it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from dify_cdk.cdk_helpers.assets import migration_script
from dify_cdk.cdk_helpers.custom_resources import DeployFunction, define_provider
from dify_cdk.cdk_helpers.nag import acknowledge_wildcards
from dify_cdk.dify.components import Component
from dify_cdk.workers.component_service import ComponentTask, Platform, Start

_TIMEOUT_SECONDS = 3600
"""CloudFormation waits no longer for a custom resource. The task itself goes on if it takes more.

See https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
"""
_GIVE_UP_SECONDS = _TIMEOUT_SECONDS - 120
"""When our handler fails by itself: two minutes before CloudFormation would, whose message has no reason."""
_CALL_SECONDS = 120


class Migration(Construct):
    """Runs ``flask upgrade-db`` as a task of its own when the image or the database changes.

    A deployment fails, and no service starts on a half-migrated schema, when the task fails; the reason
    holds its exit code and last log lines. After an hour the deployment fails with the task's ARN, the task
    runs on, and the next deployment waits for it. Deleting the resource does nothing.

    Args:
        platform: Where and from what.
    """

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        start = Start(
            entry_point=["/bin/bash", "-c"], command=[migration_script().read_text(encoding="utf-8")]
        )
        self._task = ComponentTask(
            self, "Task", component=Component.MIGRATION, platform=platform, endpoint=None, start=start
        )
        on_event = self._define_handler("OnEvent", "on_event", [])
        is_complete = self._define_handler("IsComplete", "is_complete", self._statements(platform))
        wildcards = ["*", self._any_task(platform), self._any_revision()]
        acknowledge_wildcards(is_complete, wildcards, "limited to the cluster by a condition")
        total = cdk.Duration.seconds(_TIMEOUT_SECONDS)
        provider = define_provider(self, on_event, is_complete, total)
        self._resource = cdk.CustomResource(
            self,
            "Resource",
            service_token=provider.service_token,
            resource_type="Custom::DifyMigration",
            service_timeout=total,
            properties=self._properties(platform),
        )
        self._order(platform)

    @property
    def task(self) -> ComponentTask:
        """Task definition and container."""
        return self._task

    @property
    def resource(self) -> cdk.CustomResource:
        """Depend on it before running Dify's code."""
        return self._resource

    def _define_handler(self, id: str, name: str, statements: list[iam.PolicyStatement]) -> DeployFunction:
        return DeployFunction(
            self,
            id,
            handler=f"migration.{name}",
            description=f"Dify: database migration, {name}",
            timeout=cdk.Duration.seconds(_CALL_SECONDS),
            statements=statements,
        )

    def _properties(self, platform: Platform) -> dict[str, object]:
        return {
            "Cluster": platform.cluster.cluster_arn,
            "TaskDefinition": self._task.definition.task_definition_arn,
            "Subnets": [subnet.subnet_id for subnet in platform.tiers.app],
            "SecurityGroups": [platform.security_groups.group(Component.MIGRATION).security_group_id],
            "ContainerName": str(Component.MIGRATION),
            "LogGroup": self._task.logs.log_group_name,
            "LogStreamPrefix": str(Component.MIGRATION),
            "Image": self._task.container.image_name,
            "Database": platform.data.database_identity,
            "TimeoutSeconds": str(_GIVE_UP_SECONDS),
        }

    def _statements(self, platform: Platform) -> list[iam.PolicyStatement]:
        in_cluster = {"ArnEquals": {"ecs:cluster": platform.cluster.cluster_arn}}
        definition = self._task.definition
        return [
            iam.PolicyStatement(
                actions=["ecs:RunTask"], resources=[self._any_revision()], conditions=in_cluster
            ),
            # ListTasks has no resource type of its own: the condition limits it to the cluster.
            iam.PolicyStatement(actions=["ecs:ListTasks"], resources=["*"], conditions=in_cluster),
            iam.PolicyStatement(
                actions=["ecs:DescribeTasks"], resources=[self._any_task(platform)], conditions=in_cluster
            ),
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[definition.task_role.role_arn, definition.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
            iam.PolicyStatement(actions=["logs:GetLogEvents"], resources=[self._task.logs.log_group_arn]),
        ]

    def _any_revision(self) -> str:
        """Every revision of our family: a rollback runs an older one."""
        name = f"{self._task.definition.family}:*"
        return cdk.Stack.of(self).format_arn(service="ecs", resource="task-definition", resource_name=name)

    def _any_task(self, platform: Platform) -> str:
        name = f"{platform.cluster.cluster_name}/*"
        return cdk.Stack.of(self).format_arn(service="ecs", resource="task", resource_name=name)

    def _order(self, platform: Platform) -> None:
        """What the task needs when it starts: databases, cache, rules, its roles' policies and egress."""
        self._resource.node.add_dependency(
            platform.data.initialization,
            platform.data.cache,
            self._task,
            *platform.security_groups.rules_of(Component.MIGRATION),
            *platform.ready,
        )
