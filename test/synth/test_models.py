"""Amazon Bedrock for plugins: on the plugin daemon's component, and nowhere else."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import Access, Bedrock, Component, DifyAlbFrontend, DifyData, DifyNetwork, DifyWorkers
from iam import allows, statements_of
from support import Template

MODEL = "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-pro-v1:0"
BUCKET_ACTIONS = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}


def template_with(stack: cdk.Stack, models: Bedrock | None) -> Template:
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc)
    workers = DifyWorkers(stack, "Workers", data=data, models=models)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    return Template(Synthesized.from_stack(stack).to_json())


def task_role(template: Template, component: Component) -> str:
    return str(template.task_of(component)["TaskRoleArn"]["Fn::GetAtt"][0])


def test_the_plugin_daemon_may_use_models_and_nobody_else(stack: cdk.Stack) -> None:
    template = template_with(stack, Bedrock(models=["amazon.nova-*"]))
    for component in template.containers():
        statements = statements_of(template, task_role(template, Component(component)))
        assert allows(statements, "bedrock:InvokeModel", MODEL) == (component == Component.PLUGIN_DAEMON), (
            component
        )
        assert not allows(statements, "bedrock:InvokeModel", MODEL.replace("amazon.nova", "meta.llama"))


def test_the_daemon_waits_for_the_permissions(stack: cdk.Stack) -> None:
    template = template_with(stack, Bedrock())
    role = task_role(template, Component.PLUGIN_DAEMON)
    policies = {
        id for id, p in template.properties("AWS::IAM::Policy").items() if {"Ref": role} in p.get("Roles", ())
    }
    (daemon,) = [r for id, r in template.of_type("AWS::ECS::Service").items() if "PluginDaemon" in id]
    assert policies
    assert policies <= set(daemon["DependsOn"])


@pytest.mark.parametrize("models", [None, Bedrock(models=[])])
def test_without_models_the_daemon_has_its_bucket_only(stack: cdk.Stack, models: Bedrock | None) -> None:
    template = template_with(stack, models)
    statements = statements_of(template, task_role(template, Component.PLUGIN_DAEMON))
    actions = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements]
    assert {action for each in actions for action in each} == BUCKET_ACTIONS
