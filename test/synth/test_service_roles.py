"""Service-linked roles come before what needs them, by least privilege, and move nothing that holds data."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs

from dify_cdk import Component, ComponentSize, DifyAlbFrontend, DifyData, DifyWorkers, Scaling
from iam import ACCOUNT, allows, statements_of
from support import Template
from synth.installation import OFFICE, synthesized

ECS, RDS = "ecs.amazonaws.com", "rds.amazonaws.com"
# By hand from the pages of these services.
ROLES = {ECS: "AWSServiceRoleForECS", RDS: "AWSServiceRoleForRDS"}
NEEDS = {
    ECS: ("AWS::ECS::Cluster", "AWS::ECS::ClusterCapacityProviderAssociations", "AWS::ECS::Service"),
    RDS: (
        "AWS::RDS::DBSubnetGroup",
        "AWS::RDS::DBClusterParameterGroup",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
    ),
}


def _ensured(template: Template) -> dict[str, str]:
    """Service to the logical id of what makes sure of its role."""
    rows = template.properties("Custom::DifyServiceRole").items()
    return {row["Service"]: id for id, row in rows}


@pytest.mark.parametrize("service", NEEDS)
def test_a_role_comes_before_everything_that_needs_it(template: Template, service: str) -> None:
    needing = template.of_type(*NEEDS[service])
    assert needing
    for id in needing:
        assert _ensured(template)[service] in template.before(id), id


def test_a_migration_waits_for_the_role_too(template: Template) -> None:
    """It runs a task: RunTask needs the role as well."""
    (migration,) = template.of_type("Custom::DifyMigration")
    assert _ensured(template)[ECS] in template.before(migration)


def test_the_names_are_those_that_aws_gives(template: Template) -> None:
    for properties in template.properties("Custom::DifyServiceRole").values():
        assert properties["Role"] == ROLES[properties["Service"]]


def test_only_these_are_made(template: Template) -> None:
    assert set(_ensured(template)) == {ECS, RDS}


def test_scaling_names_no_role_so_that_aws_makes_it(stack: cdk.Stack, data: DifyData) -> None:
    """The L2 names it, and a target that names a role which is missing fails (aws/aws-cdk#4108)."""
    many = ComponentSize(cpu_units=512, memory_mib=2048, tasks=Scaling(min_tasks=1, max_tasks=3))
    workers = DifyWorkers(stack, "Workers", data=data, sizes={Component.API: many, Component.WORKER: many})
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    targets = synthesized(stack).properties("AWS::ApplicationAutoScaling::ScalableTarget")
    assert len(targets) == 2
    assert not [id for id, target in targets.items() if "RoleARN" in target]


def test_the_functions_may_make_and_see_these_roles_only(template: Template) -> None:
    statements = [one for role in _handlers(template) for one in statements_of(template, role)]
    actions = {action for one in statements for action in _list(one["Action"])}
    assert actions == {"iam:GetRole", "iam:CreateServiceLinkedRole"}
    assert not [one for one in statements if "*" in str(one["Resource"])]
    for service in _ensured(template):
        arn = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{ROLES[service]}"
        assert allows(statements, "iam:GetRole", arn)
        for asked, expected in ((service, True), ("es.amazonaws.com", False)):
            context = {"iam:AWSServiceName": asked}
            assert allows(statements, "iam:CreateServiceLinkedRole", arn, context) is expected


def test_the_function_ends_before_cloudformation_gives_up(template: Template) -> None:
    """Which is minutes, not the hour that CloudFormation waits where nothing is said."""
    functions = template.properties("AWS::Lambda::Function").values()
    (seconds,) = {one["Timeout"] for one in functions if one.get("Handler") == "service_role.on_event"}
    assert seconds >= 2 * 60  # half a minute for AWS to know the role, and tries
    for resource in template.properties("Custom::DifyServiceRole").values():
        assert seconds + 60 <= int(resource["ServiceTimeout"]) <= 10 * 60


def test_nothing_is_made_sure_of_before_a_cluster_of_yours(stack: cdk.Stack, data: DifyData) -> None:
    """What it is not ours to order; ``cluster=`` and the page on operations name the command instead."""
    cluster = ecs.Cluster(stack, "Own", vpc=data.vpc, enable_fargate_capacity_providers=True)
    workers = DifyWorkers(stack, "Workers", data=data, cluster=cluster)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    template = synthesized(stack)
    assert set(_ensured(template)) == {RDS}


def test_data_and_workers_may_stand_in_two_stacks(app: cdk.App, stack: cdk.Stack, data: DifyData) -> None:
    other = cdk.Stack(app, "Other", env=cdk.Environment(region=stack.region))
    workers = DifyWorkers(other, "Workers", data=data)
    DifyAlbFrontend(other, "Frontend", workers=workers, access=OFFICE)
    assert set(_ensured(synthesized(stack))) == {RDS}
    assert set(_ensured(synthesized(other))) == {ECS}


def _handlers(template: Template) -> list[str]:
    """Logical ids of the roles of our functions."""
    functions = template.properties("AWS::Lambda::Function").values()
    ours = [one for one in functions if one.get("Handler") == "service_role.on_event"]
    return [one["Role"]["Fn::GetAtt"][0] for one in ours]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
