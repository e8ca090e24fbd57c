"""Alarms and a dashboard for one installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk.cdk_helpers.custom_resources import log_group
from dify_cdk.cdk_helpers.metrics import Graph, combined, expression, metric, period
from dify_cdk.cdk_helpers.names import has_chosen_name, name_of
from dify_cdk.data.data import DifyData
from dify_cdk.frontends.protocol import DifyFrontend
from dify_cdk.options.alarms import PERIOD_MINUTES, AlarmThresholds
from dify_cdk.workers.component_service import ComponentService
from dify_cdk.workers.queue_metrics import QueueMetrics
from dify_cdk.workers.workers import DifyWorkers

if TYPE_CHECKING:
    from cdk_monitoring_constructs import CustomMetricWithAlarm, MonitoringFacade

DEFAULT_THRESHOLDS = AlarmThresholds()

_THREE_PERIODS = 3  # shorter peaks pass by themselves
_TWO_PERIODS = 2  # the cache needs minutes to put another node in a failed one's place
_GIB = 1 << 30
_LONGEST_NAME = 80
_ONE_DAY_MINUTES = 1440

_STOPPED_BY_ITSELF = {
    "$or": [
        {"stopCode": ["EssentialContainerExited", "TaskFailedToStart"]},
        {
            "stoppedReason": [{"prefix": "Task failed"}]
        },  # a health check, of the container or the load balancer
    ]
}
_MIGRATION_FAILED = {
    "$or": [
        {"stopCode": ["TaskFailedToStart"]},
        {"containers": {"exitCode": [{"anything-but": [0]}]}},
    ]
}


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A metric on the dashboard and the alarm on it.

    Attributes:
        name: Name of the alarm after the prefix of the installation.
        metric: What is measured.
        threshold: From where on it is too much; None for no alarm.
        text: What it means, for whoever gets the mail.
        periods: How many periods in a row.
        counts: Whether the threshold is a number of events, reached, and not a level, passed.
        missing: What it means that there is no data. Default: nothing counted is nothing wrong, and
            without tasks there is no load.
    """

    name: str
    metric: Graph
    threshold: float | None
    text: str
    periods: int = _THREE_PERIODS
    counts: bool = False
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING


@checked
class DifyMonitoring(Construct):
    """Alarms that say when users notice something or soon will, one topic for them, and one dashboard.

    Watches answers with errors and their latency at the frontend, tasks that end by themselves, failed
    migrations, jobs that wait and the workers that should take them, CPU and memory of every component, the
    database's capacity and size, and the cache's memory. What ECS says about each stopped task is kept in a
    log group for 30 days: metrics do not tell why. The queue is measured by a function in the network, see
    ``DifyWorkers.measure_queue``; its three metrics are paid for as custom metrics, which ``dify-cdk
    compare`` does not know.

    Needs the package ``cdk-monitoring-constructs``: ``pip install 'dify-cdk[monitoring]'``.

    Args:
        workers: The background components, whose queue, migration and services are watched.
        frontend: A frontend of this package, or a class of your own that has the members of
            :class:`DifyFrontend`. Its services are watched too, and the two metrics that it names.
        topic: Where alarms go. Its policy, and that of its key, has to let ``cloudwatch.amazonaws.com``
            publish. Default: an encrypted topic is defined, to which you subscribe.
        thresholds: When an alarm is raised. Default: those of :class:`AlarmThresholds`.

    Raises:
        ImportError: If the package is missing.
        ValueError: If ``frontend`` is one of other workers.

    Examples:
        >>> monitoring = DifyMonitoring(stack, "Monitoring", workers=workers, frontend=frontend)
        >>> monitoring.topic.add_subscription(subscriptions.EmailSubscription("ops@example.com"))
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        workers: DifyWorkers,
        frontend: DifyFrontend,
        topic: sns.ITopic | None = None,
        thresholds: AlarmThresholds = DEFAULT_THRESHOLDS,
    ) -> None:
        super().__init__(scope, id)
        require_monitoring()
        self._prefix = name_of(self, longest=_LONGEST_NAME)
        self._topic = topic or self._define_topic()
        for service in frontend.services.values():
            if service.platform.data is not workers.platform.data:
                raise ValueError(
                    f"DifyMonitoring.frontend must be a frontend of {workers.node.path}, got one whose "
                    f"{service.component} belongs to another installation"
                )
        services = [*workers.services.values(), *frontend.services.values()]
        facade = self._define_facade()
        stops = self._define_stops(workers, services)
        data = workers.platform.data
        groups: Mapping[str, Sequence[Watch]] = {
            "Frontend": _of_frontend(frontend, thresholds),
            "Tasks": _of_stops(stops, thresholds),
            "Queue": _of_queue(workers.measure_queue(), thresholds),
            "CPU and memory": _of_services(services, thresholds),
            "Database": _of_database(data, thresholds),
            "Cache": _of_cache(data, thresholds),
            "Storage": _of_storage(data, thresholds),
        }
        for title, watches in groups.items():
            _add(facade, title, watches)
        self._facade = facade

    @property
    def topic(self) -> sns.ITopic:
        """Where alarms go: subscribe to it."""
        return self._topic

    @property
    def facade(self) -> MonitoringFacade:
        """To watch parts of your own on the same dashboard."""
        return self._facade

    def _define_topic(self) -> sns.Topic:
        account = cdk.Stack.of(self).account
        # CloudWatch cannot use the key that AWS manages for SNS.
        key = kms.Key(
            self,
            "Key",
            description="Dify: alarms",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        topic = sns.Topic(self, "Topic", display_name="Dify alarms", master_key=key, enforce_ssl=True)
        alarms = iam.ServicePrincipal("cloudwatch.amazonaws.com")
        ours = {"StringEquals": {"aws:SourceAccount": account}}
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[alarms],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions=ours,
            )
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[alarms], actions=["sns:Publish"], resources=[topic.topic_arn], conditions=ours
            )
        )
        return topic

    def _define_facade(self) -> MonitoringFacade:
        import cdk_monitoring_constructs as monitoring

        return monitoring.MonitoringFacade(
            self,
            "Facade",
            alarm_factory_defaults=monitoring.AlarmFactoryDefaults(
                alarm_name_prefix=self._prefix,
                actions_enabled=True,
                action=monitoring.SnsAlarmActionStrategy(on_alarm_topic=self._topic, on_ok_topic=self._topic),
            ),
            metric_factory_defaults=monitoring.MetricFactoryDefaults(period=period()),
            dashboard_factory=monitoring.DefaultDashboardFactory(
                self,
                "Dashboards",
                # Dashboards are the only thing here that is not regional: one account has each name once.
                dashboard_name_prefix=f"{self._prefix}-{cdk.Stack.of(self).region}",
                create_alarm_dashboard=False,
                create_summary_dashboard=False,
            ),
        )

    def _define_stops(
        self, workers: DifyWorkers, services: Sequence[ComponentService]
    ) -> Mapping[str, Graph]:
        """Rules that match what ECS tells of stopped tasks, and count by being triggered.

        Counting running tasks would need Container Insights, which costs per task.
        """
        stopped = log_group(self, "StoppedTasks", name=f"/aws/events/{self._prefix}")
        writers = [iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("delivery.logs", "events")]
        stopped.add_to_resource_policy(
            iam.PolicyStatement(
                principals=writers,
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[stopped.log_group_arn],
            )
        )
        if has_chosen_name(self):
            policy = stopped.node.find_child("Policy").node.default_child
            assert isinstance(policy, logs.CfnResourcePolicy)
            policy.policy_name = f"{self._prefix}-StoppedTasks"
        ours = [f"service:{service.service.service_name}" for service in services]
        family = workers.migration_family
        cluster = workers.cluster.cluster_arn
        return {
            "TaskStops": self._count("TaskStops", cluster, {"group": ours, **_STOPPED_BY_ITSELF}, stopped),
            "FailedMigrations": self._count(
                "FailedMigrations", cluster, {"group": [f"family:{family}"], **_MIGRATION_FAILED}, stopped
            ),
        }

    def _count(self, id: str, cluster: str, detail: Mapping[str, Any], target: logs.LogGroup) -> Graph:
        rule = events.CfnRule(  # the L2 knows no "$or", and its log group target adds a function
            self,
            id,
            description=f"Dify: {id}",
            event_pattern={
                "source": ["aws.ecs"],
                "detail-type": ["ECS Task State Change"],
                "detail": {"clusterArn": [cluster], "lastStatus": ["STOPPED"], **detail},
            },
            targets=[events.CfnRule.TargetProperty(id="Log", arn=_target_arn(target))],
        )
        return cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="TriggeredRules",
            dimensions_map={"RuleName": rule.ref},
            statistic="Sum",
            period=period(_THREE_PERIODS * PERIOD_MINUTES),
            label=id,
        )


def require_monitoring() -> None:
    """Raise ``ImportError`` with the remedy unless the extra is installed."""
    if find_spec("cdk_monitoring_constructs") is None:
        raise ImportError("DifyMonitoring needs the extra monitoring: pip install 'dify-cdk[monitoring]'")


def _add(facade: MonitoringFacade, title: str, watches: Sequence[Watch]) -> None:
    """A section of the dashboard: a graph for each metric, and the alarms that have a threshold."""
    import cdk_monitoring_constructs as monitoring

    facade.monitor_custom(
        human_readable_name=title,
        alarm_friendly_name=title.replace(" ", ""),
        metric_groups=[
            monitoring.CustomMetricGroup(
                title=watch.name, metrics=[watch.metric if watch.threshold is None else _with_alarm(watch)]
            )
            for watch in watches
        ],
    )


def _with_alarm(watch: Watch) -> CustomMetricWithAlarm:
    import cdk_monitoring_constructs as monitoring

    operators = cloudwatch.ComparisonOperator
    at_least = watch.counts
    assert watch.threshold is not None
    return monitoring.CustomMetricWithAlarm(
        metric=watch.metric,
        alarm_friendly_name=watch.name,
        add_alarm={
            "Warning": monitoring.CustomThreshold(
                threshold=watch.threshold,
                comparison_operator=operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
                if at_least
                else operators.GREATER_THAN_THRESHOLD,
                evaluation_periods=watch.periods,
                datapoints_to_alarm=watch.periods,
                alarm_description_override=watch.text,
                treat_missing_data_override=watch.missing,
            )
        },
    )


def _of_frontend(frontend: DifyFrontend, thresholds: AlarmThresholds) -> list[Watch]:
    return [
        Watch(
            name="ServerErrors",
            metric=frontend.error_metric(),
            threshold=thresholds.server_errors,
            text="Dify answers with status 5xx: look at the logs of api and web, and at stopped tasks",
            periods=1,
            counts=True,
        ),
        Watch(
            name="Latency",
            metric=frontend.latency_metric(),
            threshold=thresholds.latency_seconds,
            text="Nine of ten answers begin this late: look at CPU of api, at the database and at the models",
        ),
    ]


def _of_stops(stops: Mapping[str, Graph], thresholds: AlarmThresholds) -> list[Watch]:
    return [
        Watch(
            name="TaskStops",
            metric=stops["TaskStops"],
            threshold=thresholds.task_stops,
            text="Tasks end by themselves: the log group of stopped tasks says which and why; 137 is memory",
            periods=1,
            counts=True,
        ),
        Watch(
            name="FailedMigrations",
            metric=stops["FailedMigrations"],
            threshold=1,
            text="A database migration failed or could not start: unless another try went well, the "
            "deployment failed too, and its reason holds the last lines",
            periods=1,
            counts=True,
        ),
    ]


def _of_queue(queue: QueueMetrics, thresholds: AlarmThresholds) -> list[Watch]:
    """With the lowest number of jobs and the highest of workers: so it was all the time."""
    waiting = queue.metric_waiting_jobs(statistic="Minimum", period=period())
    workers = queue.metric_connected_workers(statistic="Maximum", period=period())
    unserved = expression("IF(workers < 1, waiting, 0)", {"workers": workers, "waiting": waiting}, "Jobs")
    remedy = "more workers or larger ones with sizes= of DifyWorkers"
    return [
        Watch(
            name="WaitingJobs",
            metric=waiting,
            threshold=thresholds.waiting_jobs,
            text=f"Jobs wait all the time, streamed answers of workflows and chatflows among them: {remedy}",
            counts=True,
        ),
        Watch(
            name="UnservedJobs",
            metric=unserved,
            threshold=thresholds.unserved_jobs,
            text="Jobs wait and no worker is connected to the queue: look at the tasks of worker. Or nothing "
            "is known of the queue: look at the log of the function that measures it",
            periods=_TWO_PERIODS,
            counts=True,
            missing=cloudwatch.TreatMissingData.BREACHING,
        ),
        Watch(name="ConnectedWorkers", metric=workers, threshold=None, text=""),
    ]


def _of_services(services: Sequence[ComponentService], thresholds: AlarmThresholds) -> list[Watch]:
    return [watch for service in services for watch in _of_service(service, thresholds)]


def _of_service(service: ComponentService, thresholds: AlarmThresholds) -> list[Watch]:
    component, metrics, step = service.component, service.service, period()
    remedy = "give it a larger size or more tasks with sizes= of DifyWorkers"
    return [
        Watch(
            name=f"{component.construct_id}Cpu",
            metric=metrics.metric_cpu_utilization(period=step, label=f"{component} CPU, percent"),
            threshold=thresholds.cpu_percent,
            text=f"{component} is short of CPU: {remedy}",
        ),
        Watch(
            name=f"{component.construct_id}Memory",
            metric=metrics.metric_memory_utilization(period=step, label=f"{component} memory, percent"),
            threshold=thresholds.memory_percent,
            text=f"{component} is short of memory, and is killed at 100 %: {remedy}",
        ),
    ]


def _of_database(data: DifyData, thresholds: AlarmThresholds) -> list[Watch]:
    of_cluster = {"DBClusterIdentifier": data.database.cluster.cluster_identifier}
    return [
        Watch(
            name="DatabaseCapacity",
            metric=metric("AWS/RDS", "ACUUtilization", of_cluster, "Average"),
            threshold=thresholds.database_capacity_percent,
            text="The database is near the upper bound of its capacity: raise max_acu of DatabaseCapacity",
        ),
        Watch(
            name="DatabaseUnits",
            metric=metric("AWS/RDS", "ServerlessDatabaseCapacity", of_cluster, "Average"),
            threshold=None,
            text="",
        ),
        Watch(
            name="DatabaseConnections",
            metric=metric("AWS/RDS", "DatabaseConnections", of_cluster, "Maximum"),
            threshold=None,
            text="",
        ),
    ]


def _of_cache(data: DifyData, thresholds: AlarmThresholds) -> list[Watch]:
    def worst(name: str) -> Graph:
        nodes = [
            metric("AWS/ElastiCache", name, {"CacheClusterId": node}, "Maximum")
            for node in data.cache.node_ids
        ]
        return combined("MAX", nodes, name)

    return [
        Watch(
            name="CacheMemory",
            metric=worst("DatabaseMemoryUsagePercentage"),
            threshold=thresholds.cache_memory_percent,
            text="The cache fills up, and when it is full no job can be queued: larger nodes with CacheSize",
        ),
        Watch(
            name="CacheCpu",
            metric=worst("EngineCPUUtilization"),
            threshold=thresholds.cache_cpu_percent,
            text="The cache executes commands at its limit: larger nodes with CacheSize",
        ),
    ]


def _of_storage(data: DifyData, thresholds: AlarmThresholds) -> list[Watch]:
    volume = metric(
        "AWS/RDS",
        "VolumeBytesUsed",
        {"DBClusterIdentifier": data.database.cluster.cluster_identifier},
        "Average",
    )
    objects = metric(
        "AWS/S3",
        "BucketSizeBytes",
        {"BucketName": data.storage.bucket.bucket_name, "StorageType": "StandardStorage"},
        "Average",
        minutes=_ONE_DAY_MINUTES,  # S3 tells it once a day
    )
    return [
        Watch(
            name="DatabaseSize",
            metric=expression(f"bytes / {_GIB}", {"bytes": volume}, "Database, GiB"),
            threshold=thresholds.database_gib,
            text="The database has grown: old logs and conversations can be cleaned up by Dify's own tasks",
            periods=1,
        ),
        Watch(
            name="BucketSize",
            metric=expression(f"bytes / {_GIB}", {"bytes": objects}, "Bucket, GiB", minutes=_ONE_DAY_MINUTES),
            threshold=None,
            text="",
        ),
    ]


def _target_arn(target: logs.LogGroup) -> str:
    """The ARN as EventBridge takes it, without the star at the end."""
    return cdk.Stack.of(target).format_arn(
        service="logs",
        resource="log-group",
        resource_name=target.log_group_name,
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
