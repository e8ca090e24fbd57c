"""Monitoring: every promised alarm, on the right metric, to one encrypted topic."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import (
    Access,
    AlarmThresholds,
    CacheSize,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyHttpApiFrontend,
    DifyMonitoring,
    DifyNetwork,
    DifyWorkers,
)
from iam import text
from support import REGION, Template

FRONTENDS: dict[str, Callable[..., Any]] = {
    "alb": DifyAlbFrontend,
    "http_api": DifyHttpApiFrontend,
    "functions": DifyCloudFrontLambdaFrontend,
}
BACKGROUND = {
    Component.WORKER,
    Component.BEAT,
    Component.PLUGIN_DAEMON,
    Component.SANDBOX,
    Component.SSRF_PROXY,
}
ROLES = {
    "alb": BACKGROUND | {Component.API, Component.WEB},
    "http_api": BACKGROUND | {Component.API, Component.WEB},
    "functions": BACKGROUND | {Component.API},  # for uploads and calls from inside
}


def installation(
    app: cdk.App, kind: str, topic: bool = False, **arguments: Any
) -> tuple[Template, DifyMonitoring]:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    size = CacheSize(replicas=1)
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc, cache_size=size)
    workers = DifyWorkers(stack, "Workers", data=data)
    frontend = FRONTENDS[kind](stack, "Frontend", workers=workers, access=Access.anyone())
    if topic:
        arguments["topic"] = sns.Topic.from_topic_arn(stack, "Topic", f"arn:aws:sns:{REGION}:1:ops")
    monitoring = DifyMonitoring(stack, "Monitoring", workers=workers, frontend=frontend, **arguments)
    return Template(Synthesized.from_stack(stack).to_json()), monitoring


@pytest.fixture(scope="module", params=FRONTENDS)
def frontend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def template(frontend: str, tmp_path_factory: pytest.TempPathFactory) -> Template:
    app = cdk.App(outdir=str(tmp_path_factory.mktemp(frontend)), analytics_reporting=False)
    return installation(app, frontend)[0]


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """Properties of the alarms by what stands between prefix and severity in their names."""
    found = {}
    for properties in template.properties("AWS::CloudWatch::Alarm").values():
        match = re.fullmatch(r".+-([A-Za-z]+)-Warning", properties["AlarmName"])
        assert match, properties["AlarmName"]
        found[match[1]] = properties
    assert len(found) == len(template.of_type("AWS::CloudWatch::Alarm"))
    return found


def rows_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics an alarm looks at, with namespace, name and dimensions."""
    return [row["MetricStat"]["Metric"] for row in alarm.get("Metrics", ()) if "MetricStat" in row] or [alarm]


def metrics(alarm: Mapping[str, Any]) -> set[str]:
    """``namespace/name`` of each metric an alarm looks at."""
    return {f"{row['Namespace']}/{row['MetricName']}" for row in rows_of(alarm)}


def test_everything_promised_has_an_alarm(template: Template, frontend: str) -> None:
    of_components = {
        f"{component.construct_id}{what}" for component in ROLES[frontend] for what in ("Cpu", "Memory")
    }
    assert set(alarms(template)) == of_components | {
        *("ServerErrors", "Latency", "TaskStops", "FailedMigrations", "WaitingJobs", "UnservedJobs"),
        *("DatabaseCapacity", "CacheMemory", "CacheCpu", "DatabaseSize"),
    }


def test_the_frontend_is_watched_where_the_stack_stands(template: Template, frontend: str) -> None:
    found = alarms(template)
    expected = {
        "alb": (
            {
                "AWS/ApplicationELB/HTTPCode_Target_5XX_Count",
                "AWS/ApplicationELB/HTTPCode_ELB_5XX_Count",
            },
            {"AWS/ApplicationELB/TargetResponseTime"},
        ),
        "http_api": ({"AWS/ApiGateway/5xx"}, {"AWS/ApiGateway/Latency"}),
        # CloudFront's own are in us-east-1 only.
        "functions": ({"AWS/Lambda/Url5xxCount"}, {"AWS/Lambda/UrlRequestLatency"}),
    }[frontend]
    assert (metrics(found["ServerErrors"]), metrics(found["Latency"])) == expected


def test_latency_is_compared_in_seconds(template: Template, frontend: str) -> None:
    alarm = alarms(template)["Latency"]
    assert alarm["Threshold"] == 15
    in_milliseconds = frontend != "alb"
    assert ("/ 1000" in json.dumps(alarm.get("Metrics", ""))) == in_milliseconds
    assert "p90" in json.dumps(alarm)


def test_other_alarms_look_at_their_metric(template: Template) -> None:
    found = alarms(template)
    assert metrics(found["WorkerCpu"]) == {"AWS/ECS/CPUUtilization"}
    assert metrics(found["WorkerMemory"]) == {"AWS/ECS/MemoryUtilization"}
    assert metrics(found["DatabaseCapacity"]) == {"AWS/RDS/ACUUtilization"}
    assert metrics(found["DatabaseSize"]) == {"AWS/RDS/VolumeBytesUsed"}
    assert metrics(found["CacheMemory"]) == {"AWS/ElastiCache/DatabaseMemoryUsagePercentage"}
    assert metrics(found["TaskStops"]) == {"AWS/Events/TriggeredRules"}


# The dimensions by which each service tells these metrics: with others an alarm never has any data.
DIMENSIONS = {
    "AWS/ApplicationELB": {"LoadBalancer"},
    "AWS/ApiGateway": {"ApiId"},
    "AWS/Lambda": {"FunctionName"},
    "AWS/ECS": {"ClusterName", "ServiceName"},
    "AWS/RDS": {"DBClusterIdentifier"},
    "AWS/ElastiCache": {"CacheClusterId"},
    "AWS/Events": {"RuleName"},
    "Dify": {"ReplicationGroupId"},
}


def test_metrics_have_the_dimensions_that_aws_tells_them_by(template: Template) -> None:
    for name, alarm in alarms(template).items():
        for row in rows_of(alarm):
            found = {one["Name"] for one in row["Dimensions"]}
            assert found == DIMENSIONS[row["Namespace"]], name


def test_rules_are_counted_by_their_own_names(template: Template) -> None:
    rules = {id for id, rule in template.properties("AWS::Events::Rule").items() if "EventPattern" in rule}
    counted = [rows_of(alarms(template)[name])[0] for name in ("TaskStops", "FailedMigrations")]
    assert {row["Dimensions"][0]["Value"]["Ref"] for row in counted} == rules


def test_all_nodes_of_the_cache_are_watched(template: Template) -> None:
    (group,) = template.of_type("AWS::ElastiCache::ReplicationGroup")
    rows = [
        row["MetricStat"]["Metric"]
        for row in alarms(template)["CacheMemory"]["Metrics"]
        if "Id" in row and "MetricStat" in row
    ]
    nodes = {text(dimension["Value"]) for row in rows for dimension in row["Dimensions"]}
    assert nodes == {f"<{group}>-001", f"<{group}>-002"}


def test_alarms_and_their_end_go_to_the_topic(template: Template) -> None:
    (topic,) = template.of_type("AWS::SNS::Topic")
    for name, alarm in alarms(template).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}], name
        assert alarm["ActionsEnabled"] is True, name
        assert alarm["AlarmDescription"], name
        # Only of the queue something is known in every minute, unless what measures it is dead.
        expected = "breaching" if name == "UnservedJobs" else "notBreaching"
        assert alarm["TreatMissingData"] == expected, name


def test_the_topic_is_encrypted_with_a_key_that_alarms_may_use(template: Template) -> None:
    ((key, properties),) = template.properties("AWS::KMS::Key").items()
    (topic,) = template.properties("AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    assert properties["EnableKeyRotation"] is True
    used = [
        statement
        for statement in properties["KeyPolicy"]["Statement"]
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    (statement,) = used
    assert set(statement["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_only_alarms_of_the_account_may_publish_and_only_over_tls(template: Template) -> None:
    (policy,) = template.properties("AWS::SNS::TopicPolicy").values()
    deny, allow = sorted(policy["PolicyDocument"]["Statement"], key=lambda one: one["Effect"], reverse=False)[
        ::-1
    ]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_there_is_one_dashboard_with_every_graph(template: Template) -> None:
    (dashboard,) = template.properties("AWS::CloudWatch::Dashboard").values()
    # Dashboards are not regional: the same stack in another region needs another name.
    assert dashboard["DashboardName"].endswith(f"-{REGION}")
    body = text(dashboard["DashboardBody"])
    widgets = [
        one["properties"].get("title") for one in json.loads(body)["widgets"] if one["type"] == "metric"
    ]
    only_graphs = {"ConnectedWorkers", "DatabaseUnits", "DatabaseConnections", "BucketSize"}
    assert {*alarms(template), *only_graphs} == set(widgets)


def statistic_of(alarm: Mapping[str, Any], name: str) -> tuple[str, int]:
    """The statistic and the period in which an alarm looks at a metric."""
    rows = [row["MetricStat"] for row in alarm.get("Metrics", ()) if "MetricStat" in row]
    found = [(row["Stat"], row["Period"]) for row in rows if row["Metric"]["MetricName"] == name]
    return found[0] if found else (alarm["Statistic"], alarm["Period"])


def test_jobs_wait_when_they_do_so_all_the_time(template: Template) -> None:
    alarm = alarms(template)["WaitingJobs"]
    assert alarm["Threshold"] == 10
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert statistic_of(alarm, "WaitingJobs") == ("Minimum", 300)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 3)


def test_jobs_are_unserved_when_no_worker_was_seen_at_all(template: Template) -> None:
    alarm = alarms(template)["UnservedJobs"]
    assert alarm["Threshold"] == 1
    assert statistic_of(alarm, "WaitingJobs") == ("Minimum", 300)
    assert statistic_of(alarm, "ConnectedWorkers") == ("Maximum", 300)
    (expression,) = [row["Expression"] for row in alarm["Metrics"] if "Expression" in row]
    # A FILL would turn a measurement that fails into health.
    assert expression == "IF(workers < 1, waiting, 0)"
    assert {row["Id"] for row in alarm["Metrics"] if "MetricStat" in row} == {"workers", "waiting"}
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (2, 2)
    assert "log of the function" in alarm["AlarmDescription"]


# ---- rules


def matches(pattern: Any, event: Any) -> bool:
    """EventBridge's matching, as far as our rules use it."""
    if isinstance(pattern, Mapping):
        alternatives = pattern.get("$or")
        if alternatives and not any(matches(one, event) for one in alternatives):
            return False
        return all(_any_of(event, key, wanted) for key, wanted in pattern.items() if key != "$or")
    assert isinstance(pattern, list), pattern
    return any(_is(wanted, event) for wanted in pattern)


def _any_of(event: Any, key: str, wanted: Any) -> bool:
    parts = event if isinstance(event, list) else [event]
    return any(key in part and matches(wanted, part[key]) for part in parts)


def _is(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(wanted == value)
    ((operator, argument),) = wanted.items()
    if operator == "prefix":
        return str(value).startswith(argument)
    assert operator == "anything-but", operator
    return value not in argument


def rule(template: Template, name: str) -> dict[str, Any]:
    (found,) = [p for id, p in template.properties("AWS::Events::Rule").items() if name in id]
    return found


def resolved(value: Any) -> Any:
    if isinstance(value, Mapping) and any(key == "Ref" or key.startswith("Fn::") for key in value):
        return text(value)
    if isinstance(value, Mapping):
        return {key: resolved(item) for key, item in value.items()}
    return [resolved(item) for item in value] if isinstance(value, list) else value


def event(template: Template, group: str, **detail: Any) -> dict[str, Any]:
    (cluster,) = template.of_type("AWS::ECS::Cluster")
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "clusterArn": f"<{cluster}.Arn>",
            "lastStatus": "STOPPED",
            "group": group,
            **detail,
        },
    }


def service_group(template: Template, component: str) -> str:
    wanted = template.services()[component]
    (id,) = [id for id, found in template.properties("AWS::ECS::Service").items() if found is wanted]
    return f"service:<{id}.Name>"


CRASH = {"stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited"}
SCHEDULED = {
    "stopCode": "ServiceSchedulerInitiated",
    "stoppedReason": "Scaling activity initiated by (deployment x)",
}
UNHEALTHY = {
    "stopCode": "ServiceSchedulerInitiated",
    "stoppedReason": "Task failed ELB health checks in (target-group arn:x)",
}
NO_IMAGE = {"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: x"}


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (CRASH, True),
        (NO_IMAGE, True),
        (UNHEALTHY, True),
        (SCHEDULED, False),
        ({"stopCode": "UserInitiated", "stoppedReason": "Task stopped by user"}, False),
        ({"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}, False),
        ({**CRASH, "lastStatus": "DEPROVISIONING"}, False),  # each stop is told several times
        ({**CRASH, "clusterArn": "arn:another"}, False),
    ],
)
def test_tasks_that_end_by_themselves_are_counted(
    template: Template, detail: dict[str, str], expected: bool
) -> None:
    pattern = resolved(rule(template, "TaskStops")["EventPattern"])
    for component in template.services():
        assert matches(pattern, event(template, service_group(template, component), **detail)) is expected, (
            component
        )
    assert not matches(pattern, event(template, "service:somebody-else", **detail))


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({**CRASH, "containers": [{"exitCode": 1}]}, True),
        ({**CRASH, "containers": [{"exitCode": 137}]}, True),
        ({**NO_IMAGE, "containers": [{"name": "migration"}]}, True),
        ({**CRASH, "containers": [{"exitCode": 0}]}, False),
    ],
)
def test_failed_migrations_are_counted(template: Template, detail: dict[str, Any], expected: bool) -> None:
    pattern = resolved(rule(template, "FailedMigrations")["EventPattern"])
    family = template.task_of(Component.MIGRATION)["Family"]
    assert matches(pattern, event(template, f"family:{family}", **detail)) is expected
    assert not matches(pattern, event(template, "family:somebody-else", **detail))
    stops = resolved(rule(template, "TaskStops")["EventPattern"])
    assert not matches(stops, event(template, f"family:{family}", **detail))


def test_stopped_tasks_are_kept_in_a_log_group_that_events_may_write_to(template: Template) -> None:
    (policy,) = template.properties("AWS::Logs::ResourcePolicy").values()
    ((group, properties),) = [
        (id, p) for id, p in template.properties("AWS::Logs::LogGroup").items() if "StoppedTasks" in id
    ]
    assert properties["LogGroupName"].startswith("/aws/events/")  # EventBridge writes to no other
    document = text(policy["PolicyDocument"])
    assert f"<{group}.Arn>" in document
    assert "events.amazonaws.com" in document
    for name in ("TaskStops", "FailedMigrations"):
        (target,) = rule(template, name)["Targets"]
        assert text(target["Arn"]).endswith(f":log-group:<{group}>")


# ---- choices


def test_a_topic_of_yours_is_used_and_no_key_defined(app: cdk.App) -> None:
    template, monitoring = installation(app, "alb", topic=True)
    assert not template.of_type("AWS::SNS::Topic", "AWS::KMS::Key")
    assert monitoring.topic.topic_arn == f"arn:aws:sns:{REGION}:1:ops"
    assert alarms(template)["Latency"]["AlarmActions"] == [f"arn:aws:sns:{REGION}:1:ops"]


def test_thresholds_are_yours_and_none_keeps_the_graph(app: cdk.App) -> None:
    thresholds = AlarmThresholds(
        cpu_percent=50, latency_seconds=None, database_gib=None, waiting_jobs=30, unserved_jobs=None
    )
    template, _ = installation(app, "alb", thresholds=thresholds)
    found = alarms(template)
    assert found["ApiCpu"]["Threshold"] == 50
    assert found["WaitingJobs"]["Threshold"] == 30
    assert not {"Latency", "DatabaseSize", "UnservedJobs"} & set(found)
    (dashboard,) = template.properties("AWS::CloudWatch::Dashboard").values()
    assert '"title":"Latency"' in text(dashboard["DashboardBody"])


def test_fails_when_the_package_is_missing(app: cdk.App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dify_cdk.monitoring.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'dify-cdk\[monitoring\]'$"):
        installation(app, "alb")
