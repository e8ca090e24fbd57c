"""When an alarm is raised: one value object with its sources."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token

PERIOD_MINUTES = 5
"""Metrics are looked at in steps of this length."""

_PERCENT = 100


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmThresholds:
    """When an alarm is raised; None raises that one never and keeps its graph on the dashboard.

    The percentages are those of AWS's recommended alarms; errors, latency and restarts are for a team of some
    dozen people: raise them with your traffic.

    Attributes:
        server_errors: Answers with status 5xx in five minutes, at least.
        latency_seconds: Time until nine of ten requests got their first byte, above it for 15 minutes. A
            streamed answer starts at once, a blocking one takes as long as the model.
        task_stops: Tasks in 15 minutes that ended by themselves, failed a health check or could not start.
        cpu_percent: Average of a component's tasks, above it for 15 minutes.
        memory_percent: Average of a component's tasks, above it for 15 minutes. At 100 a task is killed.
        database_capacity_percent: Of the upper bound of the cluster's capacity, for 15 minutes: at 100 raise
            ``max_acu`` of ``DatabaseCapacity``.
        cache_memory_percent: Of a node's memory, for 15 minutes: at 100 jobs are refused.
        cache_cpu_percent: Of the thread that executes commands, for 15 minutes.
        waiting_jobs: Jobs that wait for a place at a worker, never fewer for 15 minutes. Streamed answers of
            workflows and chatflows are such jobs.
        unserved_jobs: Jobs that wait while no worker is connected, for 10 minutes. Also raised when for that
            long nothing is known of the queue, so that a measurement that fails does not look like health: at
            the first deployment until the first look. Raised every night if workers stop then and beat does
            not.
        database_gib: Size of the database in GiB. No limit is near, but the bill grows with it.

    Raises:
        ValueError: If a value is no number above zero, or a percentage not below 100.

    See https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Best_Practice_Recommended_Alarms_AWS_Services.html
    and https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
    """

    server_errors: int | None = 10
    latency_seconds: float | None = 15
    task_stops: int | None = 3
    cpu_percent: float | None = 80
    memory_percent: float | None = 85
    database_capacity_percent: float | None = 90
    cache_memory_percent: float | None = 80
    cache_cpu_percent: float | None = 90
    waiting_jobs: int | None = 10
    unserved_jobs: int | None = 1
    database_gib: float | None = 100

    def __post_init__(self) -> None:
        """Check each number: an alarm that is always or never raised is worse than none."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or is_token(value):
                continue
            if not value > 0:
                raise ValueError(
                    f"AlarmThresholds.{field.name} must be above 0, got {value!r}; None raises no alarm"
                )
            # An alarm is raised above it, so that it would never be at 100.
            if field.name.endswith("_percent") and value >= _PERCENT:
                raise ValueError(f"AlarmThresholds.{field.name} must be below 100, got {value!r}")
