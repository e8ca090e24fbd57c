"""ECS and CloudWatch Logs as the migration handler sees them, with answers shaped like recorded ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ACCOUNT = "arn:aws:ecs:ap-northeast-1:111122223333"
CLUSTER = f"{ACCOUNT}:cluster/dify"
FAMILY = "DifyWorkersMigration1234"
CONTAINER = "migration"

Update = dict[str, Any]


def exited(code: int, **container: Any) -> Update:
    """The container ended by itself."""
    return {
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "container": {"exitCode": code, **container},
    }


def out_of_capacity() -> Update:
    """No place was found after RunTask had said yes."""
    reason = (
        "Capacity is unavailable at this time. Please try again later or in a different availability zone"
    )
    return {"stopCode": "TaskFailedToStart", "stoppedReason": reason}


def interrupted() -> Update:
    """The place was taken back."""
    reason = "Your Spot Task was interrupted."
    return {"stopCode": "SpotInterruption", "stoppedReason": reason, "container": {"exitCode": 143}}


def image_missing() -> Update:
    """The image could not be pulled."""
    reason = (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
        "docker.io/langgenius/dify-api:9.9.9: docker.io/langgenius/dify-api:9.9.9: not found"
    )
    return {"stopCode": "TaskFailedToStart", "stoppedReason": reason}


def secret_unreachable() -> Update:
    """The secrets could not be read, for example because the policy is seconds old."""
    reason = (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
        "failed"
    )
    return {"stopCode": "TaskFailedToStart", "stoppedReason": reason}


@dataclass
class Plan:
    """What becomes of a task: it ends with ``outcome`` after ``polls`` looks, never without one."""

    outcome: Update | None = None
    polls: int = 2
    hidden: int = 0
    """So many looks do not show it yet: ECS is eventually consistent."""


@dataclass
class FakeEcs:
    """boto3's ``ecs`` client.

    Attributes:
        now: The clock.
        answers: What the next RunTask calls do: a plan for the task, a failure's reason, or an exception.
        faults: Raised by the next looks, one each; None lets one pass.
        started: Arguments of the RunTask calls that started a task.
        asked: Arguments of all RunTask calls.
    """

    now: float
    answers: list[Plan | str | Exception] = field(default_factory=list)
    faults: list[Exception | None] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    most_running: int = 0
    _tasks: list[dict[str, Any]] = field(default_factory=list)
    _plans: dict[str, Plan] = field(default_factory=dict)
    _tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    # ---- what tests arrange

    def add(self, plan: Plan, *, started_by: str, revision: int = 7) -> str:
        """A task that exists already; its ARN."""
        number = len(self._tasks) + 1
        arn = f"{ACCOUNT}:task/dify/{number:032x}"
        moment = datetime.fromtimestamp(self.now, UTC)
        self._plans[arn] = plan
        self._tasks.append(
            {
                "taskArn": arn,
                "clusterArn": CLUSTER,
                "taskDefinitionArn": f"{ACCOUNT}:task-definition/{FAMILY}:{revision}",
                "group": f"family:{FAMILY}",
                "startedBy": started_by,
                "launchType": "FARGATE",
                "platformFamily": "Linux",
                "platformVersion": "1.4.0",
                "cpu": "1024",
                "memory": "2048",
                "createdAt": moment,
                "lastStatus": "PROVISIONING",
                "desiredStatus": "RUNNING",
                "attachments": [{"id": "x", "type": "ElasticNetworkInterface", "status": "PRECREATED"}],
                "containers": [
                    {"name": "ecs-service-connect", "lastStatus": "PENDING", "exitCode": 0},
                    {"name": CONTAINER, "lastStatus": "PENDING", "image": "langgenius/dify-api:1.17.1"},
                ],
                "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
            }
        )
        return arn

    def end(self, arn: str, outcome: Update) -> None:
        """Let a task end now."""
        task = next(task for task in self._tasks if task["taskArn"] == arn)
        changes = copy.deepcopy(outcome)
        container = changes.pop("container", {})
        task.update(changes, lastStatus="STOPPED", desiredStatus="STOPPED")
        task["stoppedAt"] = datetime.fromtimestamp(self.now, UTC)
        task["containers"][1].update(container, lastStatus="STOPPED")

    def change(self, arn: str, **changes: Any) -> None:
        """Change a task's description."""
        next(task for task in self._tasks if task["taskArn"] == arn).update(changes)

    # ---- what the handler calls

    def get_paginator(self, name: str) -> FakeEcs:
        """Only ``list_tasks`` is asked for."""
        assert name == "list_tasks"
        return self

    def paginate(self, *, cluster: str, family: str, desiredStatus: str) -> Iterator[Mapping[str, Any]]:
        """Pages of ListTasks, with an empty one in between as it happens."""
        assert (cluster, family) == (CLUSTER, FAMILY)
        if desiredStatus == "RUNNING":
            self._advance()
        shown = [task for task in self._tasks if task["desiredStatus"] == desiredStatus]
        for task in shown:
            if self._plans[task["taskArn"]].hidden <= 0:
                yield {"taskArns": [task["taskArn"]]}
        yield {"taskArns": []}

    def _advance(self) -> None:
        self.looks += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        for task in self._tasks:
            plan = self._plans[task["taskArn"]]
            plan.hidden -= 1
            plan.polls -= 1
            if task["lastStatus"] != "STOPPED" and plan.polls < 0:
                if plan.outcome is not None:
                    self.end(task["taskArn"], plan.outcome)
                elif task["lastStatus"] == "PROVISIONING":
                    task["lastStatus"] = "RUNNING"

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> Mapping[str, Any]:
        """DescribeTasks."""
        assert cluster == CLUSTER
        found = [task for task in self._tasks if task["taskArn"] in tasks]
        return {"tasks": copy.deepcopy(found), "failures": []}

    def run_task(self, **arguments: Any) -> Mapping[str, Any]:
        """RunTask: a repeated token gets the first answer again."""
        self.asked.append(arguments)
        token = arguments["clientToken"]
        assert 0 < len(token) <= 64
        if token in self._tokens:
            return self._tokens[token]
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            self._tokens[token] = {"tasks": [], "failures": [{"arn": "arn:x", "reason": answer}]}
        else:
            self.started.append(arguments)
            revision = int(arguments["taskDefinition"].rsplit(":", 1)[1])
            arn = self.add(answer, started_by=arguments["startedBy"], revision=revision)
            self._tokens[token] = {**self.describe_tasks(cluster=CLUSTER, tasks=[arn]), "failures": []}
            running = [task for task in self._tasks if task["lastStatus"] != "STOPPED"]
            self.most_running = max(self.most_running, len(running))
        return self._tokens[token]


@dataclass
class FakeLogs:
    """boto3's ``logs`` client: one output for every task."""

    lines: list[str] | Exception = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def get_log_events(self, **arguments: Any) -> Mapping[str, Any]:
        """The last events of a stream."""
        self.asked.append(arguments)
        if isinstance(self.lines, Exception):
            raise self.lines
        assert arguments["startFromHead"] is False
        events = [{"timestamp": 1, "message": line + "\n"} for line in self.lines[-arguments["limit"] :]]
        return {"events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"}
