"""When an alarm is raised: one value object with its sources."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dify_cdk._checks import is_token, require_number

PERIOD_MINUTES = 5
"""Metrics are looked at in steps of this length."""

_PERCENT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmThresholds:
    """When each alarm is raised. None raises no alarm and keeps the graph on the dashboard.

    The percentages are those of AWS's recommended alarms. The other defaults are for a team of a few dozen
    people: raise them with your traffic.

    Attributes:
        server_errors: Responses with status 5xx within five minutes: this many or more.
        latency_seconds: 90th percentile of the latency, above this for 15 minutes. A load balancer measures
            until the first byte, so that a streamed answer is fast and a blocking one takes as long as the
            model; an HTTP API and function URLs measure until they return the response.
        task_stops: Tasks that ended by themselves, failed a health check or could not start: this many or
            more within 15 minutes.
        cpu_percent: Average CPU of a component's tasks, in percent of their size, above this for 15 minutes.
        memory_percent: Average memory of a component's tasks, in percent of their size, above this for 15
            minutes. At 100 a task is killed.
        database_capacity_percent: The database's capacity in percent of ``DatabaseCapacity.max_acu``, above
            this for 15 minutes: at 100 raise ``max_acu``.
        cache_memory_percent: Used memory of the fullest cache node, above this for 15 minutes: at 100 no job
            can be queued.
        cache_cpu_percent: CPU of the cache's engine thread, which executes the commands, on the busiest node,
            above this for 15 minutes.
        waiting_jobs: Jobs that wait for a worker: never fewer than this for 15 minutes. Streamed answers of
            workflows and chatflows are such jobs.
        unserved_jobs: Jobs that wait while no worker is connected: this many or more for 10 minutes. Also
            raised when the queue could not be measured for that long, so that a failing measurement does not
            look healthy; at the first deployment, until the first measurement. If you stop the workers at
            night but not beat, it is raised every night.
        database_gib: Size of the database in GiB, above this. No limit is near, but the bill grows with it.

    Raises:
        ValueError: If a value is not a number above zero, or a percentage is 100 or more.

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
            require_number(f"AlarmThresholds.{field.name}", value)
            if not value > 0:
                raise ValueError(
                    f"AlarmThresholds.{field.name} must be above 0, got {value!r}; None raises no alarm"
                )
            # An alarm is raised above it, so that it would never be at 100.
            if field.name.endswith("_percent") and value >= _PERCENT:
                raise ValueError(f"AlarmThresholds.{field.name} must be below 100, got {value!r}")
