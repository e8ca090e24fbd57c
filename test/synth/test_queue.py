"""What measures the job queue: only where it is needed, with few permissions, and read under its names."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import aws_cdk as cdk
import pytest
from constructs import Construct

from dify_cdk import (
    AlbScheme,
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyData,
    DifyMonitoring,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Egress,
    Scaling,
)
from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.options.sizes import DEFAULT_SIZES, DEFAULT_WAITING_JOBS
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import monthly_cost
from dify_cdk.report.cost.usage import USAGES
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.templates.subject import Part, Subject
from iam import text
from support import REGION, Template, strings
from synth.installation import OFFICE, data_in, synthesized

HANDLER = "queue_metrics.on_schedule"


def scaled(**options: Any) -> ComponentSize:
    size = DEFAULT_SIZES[Component.WORKER]
    return ComponentSize(
        cpu_units=size.cpu_units, memory_mib=size.memory_mib, tasks=Scaling(max_tasks=4, **options)
    )


def installation(stack: cdk.Stack, *, monitoring: bool = False, **options: Any) -> Template:
    data = options.pop("data", None) or data_in(stack)
    workers = DifyWorkers(stack, "Workers", data=data, **options)
    frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    if monitoring:
        DifyMonitoring(stack, "Monitoring", workers=workers, frontend=frontend)
    return synthesized(stack)


def functions(template: Template) -> dict[str, dict[str, Any]]:
    """Logical id and properties of what measures the queue."""
    found = template.properties("AWS::Lambda::Function").items()
    return {id: properties for id, properties in found if properties.get("Handler") == HANDLER}


def function(template: Template) -> tuple[str, dict[str, Any]]:
    (found,) = functions(template).items()
    return found


def environment(template: Template) -> dict[str, str]:
    """The function's variables, references as text."""
    variables = function(template)[1]["Environment"]["Variables"]
    return {name: text(value) for name, value in variables.items()}


def queue_policy(template: Template) -> dict[str, Any]:
    policies = template.properties("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    tracking = [one["TargetTrackingScalingPolicyConfiguration"] for one in policies]
    (found,) = [one for one in tracking if "CustomizedMetricSpecification" in one]
    return dict(found)


@pytest.fixture(scope="module")
def handler() -> ModuleType:
    """The code of the function."""
    spec = spec_from_file_location(
        "queue_metrics_of_synth", handler_dir("queue_metrics") / "queue_metrics.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:  # dataclasses look their own module up
        patched.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A worker that scales, and monitoring."""
    app = cdk.App(outdir=str(tmp_path_factory.mktemp("queue")), analytics_reporting=False)
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    return installation(stack, monitoring=True, sizes={Component.WORKER: scaled()})


# ---- where it is


def test_nothing_is_measured_where_nobody_asks(template: Template) -> None:
    assert functions(template) == {}
    assert "WaitingJobs" not in str(template.resources)


@pytest.mark.parametrize("component", [Component.API, Component.WEB])
def test_components_without_a_queue_scale_without_it(stack: cdk.Stack, component: Component) -> None:
    assert functions(installation(stack, sizes={component: scaled()})) == {}


def test_monitoring_alone_measures(stack: cdk.Stack) -> None:
    template = installation(stack, monitoring=True)
    assert len(functions(template)) == 1
    assert template.of_type("AWS::ApplicationAutoScaling::ScalingPolicy") == {}


def test_it_is_there_once_for_all_who_ask(watched: Template) -> None:
    assert len(functions(watched)) == 1


# ---- what it may and knows


def test_it_may_read_the_token_and_nothing_else(watched: Template) -> None:
    role = function(watched)[1]["Role"]["Fn::GetAtt"][0]
    policies = watched.properties("AWS::IAM::Policy").values()
    (policy,) = [one for one in policies if {"Ref": role} in one["Roles"]]
    (statement,) = policy["PolicyDocument"]["Statement"]
    (token,) = [
        id for id in watched.of_type("AWS::SecretsManager::Secret") if id.startswith("DataCacheToken")
    ]
    assert statement == {
        "Action": "secretsmanager:GetSecretValue",
        "Effect": "Allow",
        "Resource": {"Ref": token},
    }
    managed = {
        text(arn).rpartition("/")[2] for arn in watched.resources[role]["Properties"]["ManagedPolicyArns"]
    }
    assert managed == {"AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole"}


def test_its_configuration_holds_no_secret(watched: Template) -> None:
    assert not [value for _, value in strings(function(watched)[1]) if "{{resolve:" in value]
    assert "rediss" not in str(environment(watched))


def test_it_looks_every_minute_and_ends_before_the_next(handler: ModuleType, watched: Template) -> None:
    id, properties = function(watched)
    (rule,) = [one for one in watched.properties("AWS::Events::Rule").values() if "ScheduleExpression" in one]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert rule["State"] == "ENABLED"
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [id, "Arn"]}
    # Twice to connect and to read the token, and once to connect, for TLS and for an answer.
    assert (2 * 2 + 3) * handler.SECONDS < properties["Timeout"] < 60
    (invocation,) = watched.properties("AWS::Lambda::EventInvokeConfig").values()
    assert invocation["MaximumRetryAttempts"] == 0
    assert invocation["MaximumEventAgeInSeconds"] == 60, "a look that comes later is of no use"


def test_it_asks_the_database_that_celery_uses(watched: Template) -> None:
    variables = environment(watched)
    (secret,) = [
        one for id, one in watched.properties("AWS::SecretsManager::Secret").items() if "BrokerUrl" in id
    ]
    address = f"@{variables['CACHE_HOST']}:{variables['CACHE_PORT']}/{variables['BROKER_DATABASE']}?"
    assert address in text(secret["SecretString"])


# ---- the network


def groups(template: Template) -> list[str]:
    config = function(template)[1]["VpcConfig"]
    return [one["Fn::GetAtt"][0] for one in config["SecurityGroupIds"]]


def way_out(template: Template) -> set[tuple[str, int]]:
    (group,) = groups(template)
    rules = template.properties("AWS::EC2::SecurityGroup")[group]["SecurityGroupEgress"]
    assert all(rule["FromPort"] == rule["ToPort"] for rule in rules)
    return {(text(rule["CidrIp"]), rule["FromPort"]) for rule in rules}


def test_the_cache_lets_it_in_and_nobody_reaches_it(watched: Template) -> None:
    (group,) = groups(watched)
    ingress = watched.properties("AWS::EC2::SecurityGroupIngress").values()
    ours = [one for one in ingress if one["SourceSecurityGroupId"] == {"Fn::GetAtt": [group, "GroupId"]}]
    ((callee, port),) = [(text(one["GroupId"]), one["FromPort"]) for one in ours]
    assert callee.startswith("<DataCacheSecurityGroup")
    assert port == 6379
    assert "SecurityGroupIngress" not in watched.properties("AWS::EC2::SecurityGroup")[group]
    assert not [one for one in ingress if one["GroupId"] == {"Fn::GetAtt": [group, "GroupId"]}]


def test_it_may_go_to_the_cache_and_to_secrets_manager(watched: Template) -> None:
    assert {port for _, port in way_out(watched)} == {6379, 443}
    assert ("0.0.0.0/0", 443) in way_out(watched)
    assert ("0.0.0.0/0", 6379) not in way_out(watched)


def test_in_a_closed_network_it_uses_the_endpoint(stack: cdk.Stack) -> None:
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc)
    release = DifyRelease(registry="registry.example.internal/dify")
    workers = DifyWorkers(stack, "Workers", data=data, release=release, sizes={Component.WORKER: scaled()})
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, scheme=AlbScheme.INTERNAL)
    template = synthesized(stack)
    networks = {network for network, _ in way_out(template)}
    assert len(networks) == 1
    assert "0.0.0.0/0" not in networks
    endpoints = template.properties("AWS::EC2::VPCEndpoint").values()
    (endpoint,) = [one for one in endpoints if text(one["ServiceName"]).endswith(".secretsmanager")]
    (group,) = endpoint["SecurityGroupIds"]
    rules = template.properties("AWS::EC2::SecurityGroup")[group["Fn::GetAtt"][0]]["SecurityGroupIngress"]
    assert [(text(rule["CidrIp"]), rule["FromPort"]) for rule in rules] == [(networks.pop(), 443)]


# ---- who reads what it writes


def told(handler: ModuleType, template: Template) -> tuple[dict[str, Any], dict[str, str]]:
    """What the function writes in this installation, and the dimensions of its metrics."""
    found = handler.document(handler.Look(waiting=8, workers=2), environment(template), millis=0)
    (directive,) = found["_aws"]["CloudWatchMetrics"]
    ((dimension,),) = directive["Dimensions"]
    names = [metric["Name"] for metric in directive["Metrics"]]
    values = {f"{directive['Namespace']}/{name}": found[name] for name in names}
    return values, {dimension: found[dimension]}


def test_scaling_reads_what_is_written(handler: ModuleType, watched: Template) -> None:
    values, dimensions = told(handler, watched)
    metric = queue_policy(watched)["CustomizedMetricSpecification"]
    assert values[f"{metric['Namespace']}/{metric['MetricName']}"] == 4
    assert {one["Name"]: text(one["Value"]) for one in metric["Dimensions"]} == dimensions
    assert metric["Statistic"] == "Average"


def test_alarms_and_graphs_read_what_is_written(handler: ModuleType, watched: Template) -> None:
    values, dimensions = told(handler, watched)
    read = {}
    for alarm in watched.properties("AWS::CloudWatch::Alarm").values():
        rows = [row["MetricStat"]["Metric"] for row in alarm.get("Metrics", ()) if "MetricStat" in row]
        for row in rows or [alarm]:
            if row["Namespace"] == "Dify":
                assert {one["Name"]: text(one["Value"]) for one in row["Dimensions"]} == dimensions
                name = f"{row['Namespace']}/{row['MetricName']}"
                read[name] = values[name]
    assert read == {"Dify/WaitingJobs": 8, "Dify/ConnectedWorkers": 2}


def test_two_installations_in_one_account_do_not_mix(stack: cdk.Stack) -> None:
    for name in ("One", "Two"):
        scope = Construct(stack, name)
        data = DifyData(scope, "Data", vpc=DifyNetwork(scope, "Network").vpc)
        workers = DifyWorkers(scope, "Workers", data=data, sizes={Component.WORKER: scaled()})
        DifyAlbFrontend(scope, "Frontend", workers=workers, access=OFFICE)
    template = synthesized(stack)
    written = {
        text(one["Environment"]["Variables"]["DIMENSION_VALUE"]) for one in functions(template).values()
    }
    caches = {f"<{id}>" for id in template.of_type("AWS::ElastiCache::ReplicationGroup")}
    assert written == caches
    assert len(written) == 2


# ---- reports know it


def test_nothing_of_it_is_unknown_to_the_cost_model(watched: Template) -> None:
    subject = Subject(name="any", parts=(Part(name="Dify", template=watched.body, region=REGION),))
    for usage in USAGES.values():
        bill = monthly_cost(subject, region=None, usage=usage, prices=load_prices())
        assert bill.unpriced == ()
        ours = [line for line in bill.lines if "QueueMetrics" in line.logical_id]
        assert {line.what for line in ours} == {"calls", "duration"}


def test_the_diagram_shows_that_it_asks_the_cache(watched: Template) -> None:
    graph = read_graph(Subject(name="any", parts=(Part(name="Dify", template=watched.body),)))
    titles = {node.id: node.title for node in graph.nodes}
    (id, _) = function(watched)
    assert {titles[edge.target] for edge in graph.edges if edge.source == id} == {"Valkey"}


# ---- how the worker follows it


@pytest.mark.parametrize(("options", "target"), [({}, DEFAULT_WAITING_JOBS), ({"waiting_jobs": 9}, 9)])
def test_the_worker_follows_queue_and_cpu(stack: cdk.Stack, options: dict[str, int], target: int) -> None:
    template = installation(stack, sizes={Component.WORKER: scaled(**options)})
    policies = template.properties("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    assert {one["PolicyType"] for one in policies} == {"TargetTrackingScaling"}
    assert len({str(one["ScalingTargetId"]) for one in policies}) == 1
    assert len(policies) == 2
    followed = queue_policy(template)
    assert followed["TargetValue"] == target
    # Both may take tasks away, and so neither does alone.
    for one in policies:
        assert one["TargetTrackingScalingPolicyConfiguration"].get("DisableScaleIn", False) is False


def test_more_are_asked_for_when_the_last_ones_had_time_to_start(watched: Template) -> None:
    (worker,) = [one for component, one in watched.containers().items() if component == Component.WORKER]
    assert queue_policy(watched)["ScaleOutCooldown"] == worker["HealthCheck"]["StartPeriod"]
