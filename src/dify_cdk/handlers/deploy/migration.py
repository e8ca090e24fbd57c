"""Custom resource that runs Dify's database migration as one Fargate task, once per image and database.

``on_event`` decides whether there is anything to do; ``is_complete`` is asked again and again and does it.
The framework passes the same event to every call, so what has happened so far is read from ECS each time: the
tasks of the migration's family, where ``startedBy`` says which database a task brings to which image. (ECS
shows a stopped task for about an hour, and CloudFormation waits no longer.)

- Never two at once: while a task of the family runs, none is started. If it is for the same image and
  database, its result counts, also when an earlier deployment gave up on it; otherwise ours starts after it.
- The physical id names the last image and database that were migrated *with success*. CloudFormation keeps it
  when an update fails, so an update that goes back there has nothing to do, and one that tries again does.
  A new id makes CloudFormation send a Delete for the old one, which does nothing.
- It also names the revisions that the database had then. The next task is told, so that it knows from which
  release on Dify's one-off commands are done, whatever a failed update left behind (see ``migrate.sh``).

Properties of the resource::

    Cluster, TaskDefinition      ARNs, the latter with its revision
    Subnets, SecurityGroups      lists
    AssignPublicIp               optional, ENABLED or DISABLED (default)
    ContainerName                the container that migrates
    LogGroup, LogStreamPrefix    where its output is
    Image, Database              texts that identify them; a change of either runs the migration
    TimeoutSeconds               at most 3600; keep it a minute below the provider's and the resource's

IAM of ``on_event``: none. IAM of ``is_complete``:

===================  ==============================================================================
ecs:ListTasks        ``*`` with the condition ``ecs:cluster`` (it has no narrower resource)
ecs:DescribeTasks    tasks of the cluster: ``task/NAME/*``
ecs:RunTask          the task definition's family, every revision: ``task-definition/FAMILY:*``
iam:PassRole         task role and execution role, to ``ecs-tasks.amazonaws.com``
logs:GetLogEvents    the log group's streams
===================  ==============================================================================
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from shared import LOG, DeployError, Event, read_error, require, scrub, shorten

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import KeyValuePairTypeDef, TaskOverrideTypeDef, TaskTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient

STATE = "Migration"
"""The attribute that carries our state from ``on_event`` to each ``is_complete``."""

LONGEST_TIMEOUT = 3600
MAX_TASKS = 3
LOG_LINES = 20

_NAME = "dify-migration"
_SHOWS_STOPPED: tuple[Literal["RUNNING", "STOPPED"], ...] = ("RUNNING", "STOPPED")

_PASSING_STOPS = frozenset({"SpotInterruption", "TerminationNotice", "InfrastructureHealth"})
_PASSING_TEXTS = (
    "capacity is unavailable",
    "resourceinitializationerror",  # network interface, secrets or log group not there yet
    "timeout waiting for network interface",
    "timeout waiting for ephemeral storage",
    "i/o timeout",  # of an image pull while a NAT instance is being replaced
)
_PASSING_FAILURES = ("resource:", "capacity is unavailable")
# The account's quota of vCPU: other services of the stack may be replacing their tasks at this moment.
_QUOTA_FAILURES = ("above your limit", "reached the limit on the number of vcpus")
_QUOTA_SECONDS = 900

_MARKER = re.compile(r"dify-migration: ([a-z-]+): (.*)")
_FINISHED = "DIFY_CDK_MIGRATION_FINISHED"
_REVISIONS = re.compile(r"the schema is at ([0-9A-Za-z_]+(?: [0-9A-Za-z_]+)*)")
_WITH_WARNINGS = "with warnings"
_GOOD_RESULTS = frozenset({"done", "unchanged", "unknown-revision"})
_SKIPPED_BY_DIFY = "Database migration skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What the resource asks for."""

    cluster: str
    task_definition: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: Literal["ENABLED", "DISABLED"]
    container: str
    log_group: str
    log_prefix: str
    key: str
    timeout_seconds: int

    @property
    def family(self) -> str:
        """The task definition's family: the name that all revisions share."""
        return self.task_definition.rsplit("/", 1)[-1].rsplit(":", 1)[0]

    @property
    def started_by(self) -> str:
        """The mark of tasks that migrate this database to this image."""
        return f"{_NAME}/{self.key}"

    def log_stream(self, task_arn: str) -> str:
        """The log stream of a task's container."""
        return f"{self.log_prefix}/{self.container}/{task_arn.rsplit('/', 1)[-1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One request of CloudFormation.

    Attributes:
        token: A mark by which retried calls are the same call.
        started_at: When it began, seconds.
        finished: Revisions at which an earlier run was done with everything, separated by spaces; or empty.
    """

    token: str
    started_at: float
    finished: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What we read from a task's description; times are seconds, ``exit_code`` is that of our container."""

    arn: str
    started_by: str
    is_stopped: bool
    stop_code: str
    reason: str
    exit_code: int | None
    created_at: float
    stopped_at: float


class Step(Enum):
    """What comes next."""

    WAIT = "wait"
    START = "start"
    FINISH = "finish"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The next step, why, the task it is about, and how many tasks of ours there were."""

    step: Step
    text: str
    task: Task | None = None
    tries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a task's output says about an exit code of 0."""

    is_good: bool
    result: str
    text: str


def on_event(event: Event, context: object) -> dict[str, Any]:
    """Say what is to be done; :func:`is_complete` does it."""
    return begin(event, now=time.time())


def is_complete(event: Event, context: object) -> dict[str, Any]:
    """Do the next step and say whether it was the last one."""
    if not event.get(STATE):
        return {"IsComplete": True, "Data": _data("unchanged")}
    import boto3

    return advance(event, ecs=boto3.client("ecs"), logs=boto3.client("logs"), now=time.time())


def begin(event: Event, *, now: float) -> dict[str, Any]:
    """The answer to a request: our state if the migration has to run, none if not.

    Args:
        event: The request.
        now: Seconds.

    Raises:
        DeployError: If a property is missing or wrong.
    """
    old_id = event.get("PhysicalResourceId") or f"{_NAME}/none"
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": old_id}
    job = read_job(event["ResourceProperties"])
    done, finished = read_id(old_id)
    if done == job.started_by:
        LOG.info("%s is done already", job.started_by)
        return {"PhysicalResourceId": old_id}
    token = hashlib.sha256(event["RequestId"].encode()).hexdigest()[:24]
    return {
        "PhysicalResourceId": old_id,
        STATE: {"Token": token, "StartedAt": now, "Finished": finished},
    }


def read_id(physical_id: str) -> tuple[str, str]:
    """What was migrated last, as in ``Job.started_by``, and the revisions, separated by spaces."""
    name, key, revisions = [*physical_id.split("/"), "", ""][:3]
    return f"{name}/{key}", revisions.replace("+", " ")


def write_id(done: str, finished: str) -> str:
    """The physical id that says so."""
    return f"{done}/{finished.replace(' ', '+')}" if finished else done


def read_job(properties: Mapping[str, Any]) -> Job:
    """The resource's properties, checked.

    Raises:
        DeployError: If one is missing or out of range.
    """
    names = ("Cluster", "TaskDefinition", "Subnets", "SecurityGroups", "ContainerName", "LogGroup")
    cluster, task_definition, subnets, groups, container, log_group = require(properties, *names)
    prefix, image, database, timeout = require(
        properties, "LogStreamPrefix", "Image", "Database", "TimeoutSeconds"
    )
    seconds = int(timeout) if str(timeout).isdecimal() else 0
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise DeployError(f"TimeoutSeconds must be between 1 and {LONGEST_TIMEOUT}, got {timeout!r}")
    return Job(
        cluster=cluster,
        task_definition=task_definition,
        subnets=tuple(subnets),
        security_groups=tuple(groups),
        public_ip="ENABLED" if properties.get("AssignPublicIp") == "ENABLED" else "DISABLED",
        container=container,
        log_group=log_group,
        log_prefix=prefix,
        key=hashlib.sha256(f"{image}\n{database}".encode()).hexdigest()[:16],
        timeout_seconds=seconds,
    )


def advance(event: Event, *, ecs: ECSClient, logs: CloudWatchLogsClient, now: float) -> dict[str, Any]:
    """One poll: look at the tasks, then wait, start one, or end.

    Args:
        event: The request with our state.
        ecs: ECS.
        logs: CloudWatch Logs.
        now: Seconds.

    Raises:
        DeployError: If the migration failed; the text is CloudFormation's reason.
    """
    job = read_job(event["ResourceProperties"])
    state = event[STATE]
    run = Run(token=state["Token"], started_at=float(state["StartedAt"]), finished=state.get("Finished", ""))
    try:
        decision = decide(job, run, family_tasks(ecs, job), now)
        LOG.info("%s: %s", decision.step.value, decision.text)
        if decision.step is Step.START:
            _start(ecs, job, run, decision.tries + 1, now)
    except Exception as error:
        if not _passes(error, now - run.started_at):
            raise
        LOG.info("asked again later: %s", error)
        return {"IsComplete": False}
    if decision.step is Step.FINISH and decision.task is not None:
        return _finish(job, run, decision.task, _last_lines(logs, job, decision.task))
    if decision.step is Step.FAIL:
        lines = _last_lines(logs, job, decision.task) if decision.task and decision.task.is_stopped else []
        raise DeployError(_with_lines(decision.text, lines))
    return {"IsComplete": False}


def decide(job: Job, run: Run, tasks: Iterable[Task], now: float) -> Decision:
    """The next step, from nothing but the tasks of the family and the clock."""
    tasks = sorted(tasks, key=lambda task: task.created_at)
    # A task that ended before this request began belongs to an earlier one, which knows its result.
    ours = [task for task in tasks if task.started_by == job.started_by and task.stopped_at > run.started_at]
    if ours and ours[-1].is_stopped and ours[-1].exit_code == 0:
        return Decision(step=Step.FINISH, text=ours[-1].arn, task=ours[-1])
    late = now - run.started_at >= job.timeout_seconds
    running = next((task for task in tasks if not task.is_stopped), None)
    if running is None:
        return _decide_idle(job, ours, late=late)
    if late:
        text = (
            f"the migration task {running.arn} is still running after {job.timeout_seconds} seconds; it was "
            "left running, and the next deployment waits for it instead of starting another"
        )
        return Decision(step=Step.FAIL, text=text, task=running)
    return Decision(step=Step.WAIT, text=f"{running.arn} is running", task=running)


def _decide_idle(job: Job, ours: Sequence[Task], *, late: bool) -> Decision:
    """The next step while no task runs and none of ours has ended well."""
    last = ours[-1] if ours else None
    if last is not None and not _is_passing_stop(last):
        return Decision(step=Step.FAIL, text=f"the migration task {last.arn} {last.reason}", task=last)
    if last is not None and (late or len(ours) >= MAX_TASKS):
        text = f"migration tasks were stopped before they ended, {len(ours)} in all; {last.arn} {last.reason}"
        return Decision(step=Step.FAIL, text=text, task=last)
    if late:
        text = f"no migration task could be started in {job.timeout_seconds} seconds: Fargate had no capacity"
        return Decision(step=Step.FAIL, text=text)
    return Decision(step=Step.START, text=f"task {len(ours) + 1} of {job.family}", tries=len(ours))


def _is_passing_stop(task: Task) -> bool:
    """Whether the task was stopped for a reason of AWS's that is gone at the next try."""
    reason = task.reason.lower()
    return task.stop_code in _PASSING_STOPS or any(text in reason for text in _PASSING_TEXTS)


def judge(lines: Sequence[str]) -> Verdict:
    """What the output of a task with exit code 0 says; without a marker the exit code stands."""
    found = [match for match in map(_MARKER.search, lines) if match]
    if found:
        result, text = found[-1].groups()
        return Verdict(is_good=result in _GOOD_RESULTS, result=result, text=text)
    if any(_SKIPPED_BY_DIFY in line for line in lines):
        return Verdict(is_good=False, result="skipped", text="another process held Dify's migration lock")
    return Verdict(is_good=True, result="done", text="")


def family_tasks(ecs: ECSClient, job: Job) -> list[Task]:
    """All tasks of the family in the cluster that ECS still shows."""
    found: dict[str, Task] = {}
    # Running ones first: what stops between the two questions is seen by one of them at least.
    for status in _SHOWS_STOPPED:
        pages = ecs.get_paginator("list_tasks").paginate(
            cluster=job.cluster, family=job.family, desiredStatus=status
        )
        for page in pages:
            if page["taskArns"]:
                answer = ecs.describe_tasks(cluster=job.cluster, tasks=page["taskArns"])
                found |= {item["taskArn"]: read_task(item, job.container) for item in answer["tasks"]}
    return list(found.values())


def read_task(item: TaskTypeDef, container: str) -> Task:
    """The parts of a task's description that decide."""
    ours = next((each for each in item.get("containers", []) if each.get("name") == container), None)
    exit_code = ours.get("exitCode") if ours else None
    texts = [item.get("stoppedReason", ""), ours.get("reason", "") if ours else ""]
    cause = "; ".join(text for text in texts if text) or "stopped without a reason"
    ending = "failed" if exit_code is None else f"ended with exit code {exit_code}"
    is_stopped = item.get("lastStatus") == "STOPPED"
    return Task(
        arn=item["taskArn"],
        started_by=item.get("startedBy", ""),
        is_stopped=is_stopped,
        stop_code=item.get("stopCode", ""),
        reason=f"{ending}: {cause}",
        exit_code=exit_code,
        created_at=_seconds(item.get("createdAt"), 0),
        # Not known: it counts as part of this request.
        stopped_at=_seconds(item.get("stoppedAt"), float("inf")) if is_stopped else float("inf"),
    )


def _seconds(moment: datetime | None, default: float) -> float:
    return default if moment is None else moment.timestamp()


def _start(ecs: ECSClient, job: Job, run: Run, number: int, now: float) -> None:
    """Start one task; without capacity or quota nothing happens, and the next poll tries again.

    Raises:
        DeployError: If ECS refuses for another reason, or for want of quota after a quarter of an hour.
    """
    # The token makes a call that is repeated before the task shows in the list the same call. The minute is
    # in it because ECS may answer a repeated call with the old answer, "no capacity" included.
    waited = now - run.started_at
    minute = int(waited) // 60
    answer = ecs.run_task(
        cluster=job.cluster,
        taskDefinition=job.task_definition,
        count=1,
        launchType="FARGATE",
        startedBy=job.started_by,
        clientToken=f"{run.token}-{number}-{minute}",
        overrides=_overrides(job, run),
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": list(job.subnets),
                "securityGroups": list(job.security_groups),
                "assignPublicIp": job.public_ip,
            }
        },
    )
    for failure in answer.get("failures", []):
        reason = f"{failure.get('reason', '')} {failure.get('detail', '')}".strip()
        passing = _PASSING_FAILURES + (_QUOTA_FAILURES if waited < _QUOTA_SECONDS else ())
        if not any(text in reason.lower() for text in passing):
            raise DeployError(f"ECS did not start the migration task: {reason}")
        LOG.info("no task started: %s", reason)
    for item in answer.get("tasks", []):
        LOG.info("started %s", item["taskArn"])


def _overrides(job: Job, run: Run) -> TaskOverrideTypeDef:
    """What the task is told beyond its definition."""
    if not run.finished:
        return {}
    told: KeyValuePairTypeDef = {"name": _FINISHED, "value": run.finished}
    return {"containerOverrides": [{"name": job.container, "environment": [told]}]}


def _passes(error: Exception, seconds: float) -> bool:
    """Whether a failed call deserves another poll instead of a failed deployment."""
    answer = read_error(error)
    return answer is not None and answer.passes_after(seconds)


def _last_lines(logs: CloudWatchLogsClient, job: Job, task: Task) -> list[str]:
    """The end of the task's output; none if there is none, which must not hide the task's own failure."""
    try:
        answer = logs.get_log_events(
            logGroupName=job.log_group,
            logStreamName=job.log_stream(task.arn),
            limit=LOG_LINES,
            startFromHead=False,
        )
    except Exception as error:
        LOG.info("no log lines of %s: %s", task.arn, error)
        return []
    return [event.get("message", "").rstrip() for event in answer["events"]]


def _finish(job: Job, run: Run, task: Task, lines: Sequence[str]) -> dict[str, Any]:
    verdict = judge(lines)
    if not verdict.is_good:
        text = f"the migration task {task.arn} did not migrate: {verdict.result}: {verdict.text}"
        raise DeployError(_with_lines(text, lines))
    went_back = verdict.result == "unknown-revision"
    warning = verdict.text if went_back or _WITH_WARNINGS in verdict.text else ""
    LOG.log(logging.WARNING if warning else logging.INFO, "%s: %s", task.arn, verdict.text)
    reached = _REVISIONS.match(verdict.text)
    # An older image leaves the newer schema as it is, and with it what was done to that.
    finished = run.finished if went_back else reached[1] if reached else ""
    return {
        "IsComplete": True,
        "PhysicalResourceId": write_id(job.started_by, finished),
        "Data": _data(verdict.result, task=task.arn, warning=warning),
    }


def _data(result: str, *, task: str = "", warning: str = "") -> dict[str, str]:
    return {"Result": result, "Task": task, "Warning": warning}


def _with_lines(text: str, lines: Sequence[str]) -> str:
    """The text with the end of the log, which is what tells the cause."""
    tail = scrub("\n".join(lines))  # before it is cut: half a connection string is not recognised
    return shorten(f"{text}\nlast log lines:\n", tail) if tail else text
