"""ECS Exec: which containers it opens, with what permissions, and what the ready command looks like."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from dify_cdk import (
    AlbScheme,
    CacheSize,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Egress,
    Plugins,
    Scaling,
    Spot,
)
from support import REGION, Template, recommended_flags
from synth.installation import OFFICE, synthesized, workers_in

OPENED = (Component.API, Component.WEB, Component.WORKER, Component.BEAT, Component.PLUGIN_DAEMON)
CLOSED = (Component.SANDBOX, Component.SSRF_PROXY)
ACTIONS = {
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
OWN_WARNINGS = {"DifyAccessExample", "DifyAlbWithoutTls", "DifyCacheSingleNode", "DifyDatabaseAwake"}


def statements_of(template: Template, component: Component) -> list[dict[str, Any]]:
    """What the task role of a component may do."""
    task_role = template.task_of(component)["TaskRoleArn"]["Fn::GetAtt"][0]
    policies = template.properties("AWS::IAM::Policy").values()
    return [
        statement
        for policy in policies
        if {"Ref": task_role} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions_everywhere(template: Template, component: Component) -> set[str]:
    """Actions of a task role that name no resource."""
    found: set[str] = set()
    for statement in statements_of(template, component):
        if statement["Resource"] == "*":
            found |= {statement["Action"]} if isinstance(statement["Action"], str) else {*statement["Action"]}
    return found


def dify(stack: cdk.Stack, **workers: Any) -> tuple[DifyWorkers, DifyAlbFrontend]:
    background = workers_in(stack, **workers)
    return background, DifyAlbFrontend(stack, "Frontend", workers=background, access=OFFICE)


def test_opened_components_may_open_channels_and_nothing_else(stack: cdk.Stack) -> None:
    """Without the flag for it, the L2's own switch would let each task write to every log group."""
    dify(stack, exec_components=OPENED)
    template = synthesized(stack)
    for component in OPENED:
        assert template.services()[component]["EnableExecuteCommand"] is True, component
        assert actions_everywhere(template, component) == ACTIONS, component
    for component in CLOSED:
        assert template.services()[component]["EnableExecuteCommand"] is False, component
        assert statements_of(template, component) == [], component
    assert statements_of(template, Component.MIGRATION) == []


def test_only_the_components_asked_for_are_opened(stack: cdk.Stack) -> None:
    dify(stack, exec_components={Component.WORKER})
    template = synthesized(stack)
    opened = {
        component for component, service in template.services().items() if service["EnableExecuteCommand"]
    }
    assert opened == {"worker"}
    assert actions_everywhere(template, Component.API) == set()


def test_nothing_is_opened_unless_it_is_asked_for(template: Template) -> None:
    assert {service["EnableExecuteCommand"] for service in template.services().values()} == {False}
    assert "ssmmessages:" not in json.dumps(template.properties("AWS::IAM::Policy"))


def test_opened_containers_collect_orphans(stack: cdk.Stack) -> None:
    """And change their task definition by it, so that running tasks are replaced and open as well."""
    dify(stack, exec_components=[Component.API])
    containers = synthesized(stack).containers()
    assert containers["api"]["LinuxParameters"]["InitProcessEnabled"] is True
    assert "LinuxParameters" not in containers["worker"]


def test_command_names_region_cluster_service_and_container(stack: cdk.Stack) -> None:
    workers, frontend = dify(stack, exec_components=[Component.API, Component.PLUGIN_DAEMON])
    services = {**workers.services, **frontend.services}
    for component in (Component.API, Component.PLUGIN_DAEMON):
        cdk.CfnOutput(stack, f"Exec{component.construct_id}", value=services[component].execute_command)
    template = synthesized(stack)
    for component in (Component.API, Component.PLUGIN_DAEMON):
        ids = {id: f"<{id}>" for id in template.of_type("AWS::ECS::Service", "AWS::ECS::Cluster")}
        parts = template.body["Outputs"][f"Exec{component.construct_id}"]["Value"]["Fn::Join"][1]
        text = "".join(ids[next(iter(_referred(part)))] if isinstance(part, dict) else part for part in parts)
        (cluster,) = template.of_type("AWS::ECS::Cluster")
        (service,) = (
            id
            for id, properties in template.properties("AWS::ECS::Service").items()
            if properties is template.services()[component]
        )
        where = f"--region {REGION} --cluster <{cluster}>"
        assert text == (
            f'aws ecs execute-command {where} --task "$(aws ecs list-tasks {where} '
            f"--service-name <{service}> --query 'taskArns[0]' --output text)\" --container {component} "
            "--interactive --command /bin/sh"
        )


def _referred(part: dict[str, Any]) -> list[str]:
    (target,) = part.values()
    return [target] if isinstance(target, str) else [target[0]]


def test_fails_when_the_command_of_a_closed_component_is_asked_for(stack: cdk.Stack) -> None:
    workers, _ = dify(stack, exec_components=[Component.API])
    message = r"^component worker has no ECS Exec, add Component\.WORKER to exec_components= of DifyWorkers$"
    with pytest.raises(ValueError, match=message):
        _ = workers.services[Component.WORKER].execute_command


RELEASE = DifyRelease(registry="registry.example.com")


def _in_closed(stack: cdk.Stack, vpc: ec2.IVpc, **workers: Any) -> DifyWorkers:
    data = DifyData(stack, "Data", vpc=vpc)
    plugins = Plugins(pip_mirror_url="http://pypi.example.internal/simple")
    background = DifyWorkers(stack, "Workers", data=data, release=RELEASE, plugins=plugins, **workers)
    DifyAlbFrontend(stack, "Frontend", workers=background, access=OFFICE, scheme=AlbScheme.INTERNAL)
    return background


def _warning_ids(workers: DifyWorkers) -> list[str]:
    warnings = [str(entry.data) for entry in workers.node.metadata if entry.type == "aws:cdk:warning"]
    return [text.rpartition("Annotation::")[2].rstrip("]") for text in warnings]


def test_isolated_network_has_the_endpoint_that_it_needs(stack: cdk.Stack) -> None:
    vpc = DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc
    workers = _in_closed(stack, vpc, exec_components=[Component.WORKER])
    assert _warning_ids(workers) == []
    template = synthesized(stack)
    endpoints = template.properties("AWS::EC2::VPCEndpoint").values()
    (endpoint,) = (one for one in endpoints if str(one["ServiceName"]).endswith("ssmmessages"))
    (group,) = endpoint["SecurityGroupIds"]
    ingress = template.resources[group["Fn::GetAtt"][0]]["Properties"]["SecurityGroupIngress"]
    assert [(rule["FromPort"], rule["IpProtocol"]) for rule in ingress] == [(443, "tcp")]


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ([Component.WORKER], ["DifyWorkersExecEndpoint", "DifyWorkersEndpoints"]),
        ([], ["DifyWorkersEndpoints"]),
    ],
    ids=["with-exec", "without"],
)
def test_own_closed_network_is_warned_about_the_endpoint(
    stack: cdk.Stack, components: list[Component], expected: list[str]
) -> None:
    isolated = ec2.SubnetConfiguration(name="Own", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, subnet_configuration=[isolated])
    assert _warning_ids(_in_closed(stack, vpc, exec_components=components)) == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_option_at_once_passes_nag_and_cfn_lint(tmp_path_factory: pytest.TempPathFactory) -> None:
    """ECS Exec, scaling, Spot, one cache node and a pausing database, with the flags of the examples."""
    outdir = tmp_path_factory.mktemp("nag")
    app = cdk.App(context=recommended_flags(), outdir=str(outdir), analytics_reporting=False)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    data = DifyData(
        stack,
        "Data",
        vpc=DifyNetwork(stack, "Network").vpc,
        capacity=DatabaseCapacity(min_acu=0),
        cache_size=CacheSize(replicas=0),
    )
    size = ComponentSize(cpu_units=1024, memory_mib=2048, tasks=Scaling(max_tasks=4), spot=Spot())
    sizes = {component: size for component in (Component.API, Component.WEB, Component.WORKER)}
    workers = DifyWorkers(stack, "Workers", data=data, sizes=sizes, exec_components=OPENED)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    app.synth()  # raises where the plugin finds something
    report = json.loads((outdir / "validation-report.json").read_text(encoding="utf-8"))
    found = {
        finding["ruleName"] for plugin in report["pluginReports"] for finding in plugin.get("violations", ())
    }
    assert found == {f"Annotation::{id}" for id in OWN_WARNINGS}
    text = (outdir / "Dify.template.json").read_text(encoding="utf-8")
    arguments = ManualArgs(regions=[REGION], ignore_checks=["W3005", "W3010"])
    assert [str(match) for match in lint(text, config=arguments)] == []
