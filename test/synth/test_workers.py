"""Workers: what a caller can choose, and what is warned about."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from dify_cdk import (
    Access,
    Architecture,
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
    Sandbox,
    Spot,
)
from dify_cdk.workers import component_service
from dify_cdk.workers.workers import DEFAULT_SCHEDULER
from iam import text
from support import REGION, Template, recommended_flags
from synth.installation import data_in, synthesized, warnings_of


def _finish(stack: cdk.Stack, workers: DifyWorkers) -> Template:
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    return synthesized(stack)


def _accept(construct: Construct, id: str) -> None:
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=id, reason="a choice"))


def test_own_variables_reach_their_component_only(stack: cdk.Stack, data: DifyData) -> None:
    secret = secretsmanager.Secret.from_secret_name_v2(stack, "Mail", "mail")
    parameter = ssm.StringParameter.from_string_parameter_name(stack, "Level", "/dify/level")
    environment: dict[Component, dict[str, str | ecs.Secret]] = {
        Component.WORKER: {
            "MAIL_TYPE": "smtp",
            "SMTP_PASSWORD": ecs.Secret.from_secrets_manager(secret, "password"),
            "LOG_LEVEL": ecs.Secret.from_ssm_parameter(parameter),
        },
        Component.PLUGIN_DAEMON: {"PIP_MIRROR_URL": "https://pip.example.com/simple"},
    }
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, environment=environment))
    assert template.environment("worker")["MAIL_TYPE"] == "smtp"
    assert ":password::" in str(template.secrets("worker")["SMTP_PASSWORD"])
    assert "parameter/dify/level" in str(template.secrets("worker")["LOG_LEVEL"])
    assert template.environment("plugin_daemon")["PIP_MIRROR_URL"] == "https://pip.example.com/simple"
    assert "MAIL_TYPE" not in {**template.environment("api"), **template.environment("beat")}


def test_own_limit_stays_where_the_frontend_imposes_none(stack: cdk.Stack, data: DifyData) -> None:
    environment = {Component.WORKER: {"UPLOAD_FILE_SIZE_LIMIT": "200"}}
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, environment=environment))
    assert template.environment("worker")["UPLOAD_FILE_SIZE_LIMIT"] == "200"
    assert "UPLOAD_FILE_SIZE_LIMIT" not in template.environment("api")


def test_a_beat_that_may_not_call_the_broker_every_minute_is_not_checked(
    stack: cdk.Stack, data: DifyData
) -> None:
    own = {Component.BEAT: {"WORKFLOW_SCHEDULE_POLLER_INTERVAL": "30"}}
    containers = _finish(stack, DifyWorkers(stack, "Workers", data=data, environment=own)).containers()
    assert "HealthCheck" not in containers["beat"]
    assert "HealthCheck" in containers["worker"]


@pytest.mark.parametrize(
    ("component", "name", "checked"),
    [
        (Component.BEAT, "ENABLE_WORKFLOW_SCHEDULE_POLLER_TASK", False),
        (Component.BEAT, "WORKFLOW_SCHEDULE_POLLER_INTERVAL", False),
        (Component.BEAT, "ENABLE_HUMAN_INPUT_TIMEOUT_TASK", False),
        (Component.BEAT, "HUMAN_INPUT_TIMEOUT_TASK_INTERVAL", False),
        (Component.BEAT, "ENABLE_TRIGGER_PROVIDER_REFRESH_TASK", False),
        (Component.BEAT, "TRIGGER_PROVIDER_REFRESH_INTERVAL", False),
        (Component.BEAT, "LOG_LEVEL", True),
        (Component.WORKER, "WORKFLOW_SCHEDULE_POLLER_INTERVAL", True),
    ],
)
def test_what_makes_beat_call_the_broker(component: Component, name: str, checked: bool) -> None:
    assert (component_service._health_check(component, {name: "30"}) is not None) is checked


def test_sizes_reach_task_and_service(stack: cdk.Stack, data: DifyData) -> None:
    sizes = {Component.API: ComponentSize(cpu_units=1024, memory_mib=4096, tasks=3)}
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, sizes=sizes))
    task = template.task_of("api")
    assert (task["Cpu"], task["Memory"]) == ("1024", "4096")
    assert template.services()["api"]["DesiredCount"] == 3


def test_arm_leaves_the_sandbox_on_x86(stack: cdk.Stack, data: DifyData) -> None:
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, architecture=Architecture.ARM64))
    processors = {
        component: template.task_of(component)["RuntimePlatform"]["CpuArchitecture"]
        for component in template.containers()
    }
    assert processors.pop("sandbox") == "X86_64"
    assert set(processors.values()) == {"ARM64"}


def test_no_scheduler_is_a_choice_with_a_warning(stack: cdk.Stack, data: DifyData) -> None:
    workers = DifyWorkers(stack, "Workers", data=data, scheduler=None)
    assert "beat" not in _finish(stack, workers).services()
    (warning,) = warnings_of(workers)
    assert "scheduler=None" in warning


def test_one_cache_node_is_a_choice_with_a_warning(stack: cdk.Stack) -> None:
    vpc = DifyNetwork(stack, "Network").vpc
    data = DifyData(stack, "Data", vpc=vpc, cache_size=CacheSize(replicas=0))
    (warning,) = warnings_of(data.cache)
    assert "the only node" in warning
    assert "waiting jobs are lost" in warning
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data))
    (group,) = template.properties("AWS::ElastiCache::ReplicationGroup").values()
    assert group["ReplicasPerNodeGroup"] == 0
    assert (group["AutomaticFailoverEnabled"], group["MultiAZEnabled"]) == (False, False)
    _accept(data.cache, "DifyCacheSingleNode")
    assert warnings_of(data.cache) == []


def test_two_cache_nodes_fail_over_without_a_warning(stack: cdk.Stack, data: DifyData) -> None:
    assert warnings_of(data.cache) == []
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data))
    (group,) = template.properties("AWS::ElastiCache::ReplicationGroup").values()
    assert (group["AutomaticFailoverEnabled"], group["MultiAZEnabled"]) == (True, True)


@pytest.mark.parametrize(
    ("min_acu", "scheduler", "ids"),
    [
        (0.5, DEFAULT_SCHEDULER, []),
        (0, DEFAULT_SCHEDULER, ["DifyDatabaseAwake"]),
        (0, None, ["DifyWorkersScheduler", "DifyDatabaseAwake"]),
    ],
)
def test_database_that_shall_pause_is_warned_about(
    stack: cdk.Stack, min_acu: float, scheduler: ComponentSize | None, ids: list[str]
) -> None:
    vpc = DifyNetwork(stack, "Network").vpc
    data = DifyData(stack, "Data", vpc=vpc, capacity=DatabaseCapacity(min_acu=min_acu))
    workers = DifyWorkers(stack, "Workers", data=data, scheduler=scheduler)
    warnings = warnings_of(workers)
    assert len(warnings) == len(ids)
    for id, warning in zip(ids, warnings, strict=True):
        assert f"::{id}]" in warning
        _accept(workers, id)
    assert warnings_of(workers) == []


def test_plugin_daemon_on_spot_is_warned_about(stack: cdk.Stack, data: DifyData) -> None:
    spare = ComponentSize(cpu_units=512, memory_mib=2048, spot=Spot(on_demand_base=0))
    workers = DifyWorkers(stack, "Workers", data=data, sizes={Component.PLUGIN_DAEMON: spare})
    (warning,) = warnings_of(workers)
    assert "::DifyWorkersSpotPluginDaemon]" in warning
    _accept(workers, "DifyWorkersSpotPluginDaemon")
    assert warnings_of(workers) == []


@pytest.mark.parametrize("registry", [None, "123456789012.dkr.ecr.us-east-1.amazonaws.com/dify"])
def test_a_digest_takes_the_tag_s_place_in_every_task(
    stack: cdk.Stack, data: DifyData, registry: str | None
) -> None:
    """Amazon ECS documents an image by its tag or by its digest, not by both."""
    release = DifyRelease(
        registry=registry,
        sandbox=f"0.2.15@sha256:{'2' * 64}",
        digests={Component.API: f"sha256:{'1' * 64}"},
    )
    containers = _finish(stack, DifyWorkers(stack, "Workers", data=data, release=release)).containers()
    images = {component: text(container["Image"]) for component, container in containers.items()}
    for component in (Component.API, Component.WORKER, Component.BEAT, Component.MIGRATION):
        assert images[component].endswith(f"langgenius/dify-api@sha256:{'1' * 64}")
    assert images[Component.SANDBOX].endswith(f"langgenius/dify-sandbox@sha256:{'2' * 64}")
    proxy = images[Component.SSRF_PROXY]
    assert proxy == release.reference(Component.SSRF_PROXY)


def test_untested_release_is_warned_about_and_used(stack: cdk.Stack, data: DifyData) -> None:
    workers = DifyWorkers(stack, "Workers", data=data, release=DifyRelease(version="1.18.0"))
    template = _finish(stack, workers)
    assert template.containers()["worker"]["Image"] == "langgenius/dify-api:1.18.0"
    assert template.containers()["migration"]["Image"] == "langgenius/dify-api:1.18.0"
    (warning,) = warnings_of(workers)
    assert "combination" in warning


def test_ecr_prefix_grants_the_pull_of_that_image_only(stack: cdk.Stack, data: DifyData) -> None:
    registry = f"{stack.account}.dkr.ecr.us-east-1.amazonaws.com/mirror"
    template = _finish(
        stack, DifyWorkers(stack, "Workers", data=data, release=DifyRelease(registry=registry, digests={}))
    )
    assert "/mirror/langgenius/dify-web:1.17.1" in str(template.containers()["web"]["Image"])
    role = template.task_of("web")["ExecutionRoleArn"]["Fn::GetAtt"][0]
    policies = [p for p in template.properties("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    pulls = [
        statement["Resource"]
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert len(pulls) == 1
    assert str(pulls[0]).count("repository/mirror/langgenius/dify-web") == 1


def test_registry_credentials_are_read_by_every_task(stack: cdk.Stack, data: DifyData) -> None:
    credentials = secretsmanager.Secret.from_secret_name_v2(stack, "Registry", "registry")
    release = DifyRelease(registry="registry.example.com", credentials=credentials)
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, release=release))
    for component, container in template.containers().items():
        assert container["Image"].startswith("registry.example.com/"), component
        assert "secret:registry" in str(container["RepositoryCredentials"]), component


def test_own_image_replaces_that_of_one_component(stack: cdk.Stack, data: DifyData) -> None:
    own = ecs.ContainerImage.from_registry("example.com/own-web:7")
    release = DifyRelease(images={Component.WEB: own}, digests={})
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, release=release))
    assert template.containers()["web"]["Image"] == "example.com/own-web:7"
    assert template.containers()["api"]["Image"] == "langgenius/dify-api:1.17.1"


def test_sandbox_options_reach_the_container(stack: cdk.Stack, data: DifyData) -> None:
    sandbox = Sandbox(python_packages=["numpy==2.1.3"], allowed_syscalls=[0, 1, 2])
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, sandbox=sandbox))
    assert template.environment("sandbox")["ALLOWED_SYSCALLS"] == "0,1,2"
    assert "numpy==2.1.3" in template.containers()["sandbox"]["Command"][0]


def test_stock_sandbox_starts_as_its_image_does(stack: cdk.Stack, data: DifyData) -> None:
    container = _finish(stack, DifyWorkers(stack, "Workers", data=data)).containers()["sandbox"]
    assert not {"Command", "EntryPoint"} & set(container)


def test_own_cluster_is_used_and_none_is_defined(stack: cdk.Stack, data: DifyData) -> None:
    cluster = ecs.Cluster(stack, "Own", vpc=data.vpc, enable_fargate_capacity_providers=True)
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data, cluster=cluster))
    assert len(template.of_type("AWS::ECS::Cluster")) == 1
    (own,) = template.of_type("AWS::ECS::Cluster")
    assert {str(service["Cluster"]) for service in template.services().values()} == {str({"Ref": own})}


def test_closed_network_without_a_registry_is_warned_about(stack: cdk.Stack) -> None:
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    plugins = Plugins(pip_mirror_url="http://pypi.example.internal/simple")
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc), plugins=plugins)
    (warning,) = warnings_of(workers)
    assert "DifyRelease(registry=...)" in warning


def test_existing_secret_key_and_snapshot_move_an_installation_in() -> None:
    app = cdk.App(context=recommended_flags(), analytics_reporting=False)  # turns findings into errors
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    key = secretsmanager.Secret.from_secret_name_v2(stack, "Key", "old-secret-key")
    network = DifyNetwork(stack, "Network")
    data = DifyData(
        stack, "Data", vpc=network.vpc, secret_key=key, snapshot_identifier="old", master_user="root_user"
    )
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data))
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    assert cluster["SnapshotIdentifier"] == "old"
    assert "MasterUsername" not in cluster
    assert "old-secret-key" in str(template.secrets("api")["SECRET_KEY"])
    assert not any("SecretKey" in id for id in template.of_type("AWS::SecretsManager::Secret"))


def test_destroy_is_the_callers_word(stack: cdk.Stack) -> None:
    network = DifyNetwork(stack, "Network")
    data = DifyData(stack, "Data", vpc=network.vpc, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data))
    for type in ("AWS::RDS::DBCluster", "AWS::ElastiCache::ReplicationGroup", "AWS::SecretsManager::Secret"):
        assert {r["DeletionPolicy"] for r in template.of_type(type).values()} == {"Delete"}, type
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    assert cluster["DeletionProtection"] is False


def test_database_that_pauses_ends_idle_sessions(stack: cdk.Stack) -> None:
    capacity = DatabaseCapacity(min_acu=0, pause_after_minutes=10)
    data = data_in(stack, capacity=capacity)
    template = _finish(stack, DifyWorkers(stack, "Workers", data=data))
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    assert (scaling["MinCapacity"], scaling["SecondsUntilAutoPause"]) == (0, 600)
    (group,) = template.properties("AWS::RDS::DBClusterParameterGroup").values()
    assert group["Parameters"]["idle_session_timeout"] == "60000"
