"""The migration handler, driven like the CDK's provider framework does it."""

from __future__ import annotations

import json
import re
from typing import Any

import migration
import pytest
from hypothesis import given
from hypothesis import strategies as st
from migration import (
    LONGEST_TIMEOUT,
    MAX_TASKS,
    Run,
    Step,
    Task,
    advance,
    begin,
    decide,
    judge,
    read_id,
    read_job,
    write_id,
)
from shared import SETTLE_SECONDS, DeployError

from handlers.ecs_fake import (
    ACCOUNT,
    CLUSTER,
    CONTAINER,
    FAMILY,
    FakeEcs,
    FakeLogs,
    Plan,
    exited,
    image_missing,
    interrupted,
    out_of_capacity,
    secret_unreachable,
)
from handlers.refusals import refusal

NOON = 1_800_000_000.0
POLL = 15
TIMEOUT = 1800

PROPERTIES: dict[str, Any] = {
    "ServiceToken": "arn:token",
    "Cluster": CLUSTER,
    "TaskDefinition": f"{ACCOUNT}:task-definition/{FAMILY}:7",
    "Subnets": ["subnet-a", "subnet-b"],
    "SecurityGroups": ["sg-a"],
    "ContainerName": CONTAINER,
    "LogGroup": "dify-migration-logs",
    "LogStreamPrefix": "migration",
    "Image": "langgenius/dify-api:1.17.1",
    "Database": "cluster-1/main",
    "TimeoutSeconds": str(TIMEOUT),
}
NEW_IMAGE = {
    **PROPERTIES,
    "Image": "langgenius/dify-api:1.18.0",
    "TaskDefinition": f"{ACCOUNT}:task-definition/{FAMILY}:8",
}
DONE = ["dify-migration: upgrading: to abc", "... log ...", "dify-migration: done: the schema is at abc"]
WITH_ONE_OFFS = [
    "dify-migration: done: the schema is at abc def; ran backfill-plugin-auto-upgrade with warnings, "
    "data-migrate legacy-model-types --apply"
]
UNKNOWN = ["dify-migration: unknown-revision: the database is at a revision this image does not know"]


class Deployments:
    """CloudFormation with the provider framework: one resource, whose physical id it remembers.

    Attributes:
        physical_id: What CloudFormation would send with the next request.
    """

    def __init__(self) -> None:
        self.ecs = FakeEcs(now=NOON)
        self.logs = FakeLogs(DONE)
        self.physical_id: str | None = None
        self.requests = 0

    @property
    def now(self) -> float:
        return self.ecs.now

    def deploy(self, properties: dict[str, Any], kind: str | None = None) -> dict[str, Any]:
        """One request until it is complete; the attributes of the resource.

        Raises:
            DeployError: If it fails: then the physical id is the one ``on_event`` gave, as in the framework.
        """
        self.requests += 1
        event: dict[str, Any] = {
            "RequestType": kind or ("Update" if self.physical_id else "Create"),
            "RequestId": f"request-{self.requests}",
            "ResourceProperties": properties,
        }
        if self.physical_id is not None:
            event["PhysicalResourceId"] = self.physical_id
        # Everything travels as JSON between the functions.
        event = json.loads(json.dumps({**event, **begin(event, now=self.now)}))
        self.physical_id = event["PhysicalResourceId"]
        while True:
            answer = self._is_complete(event)
            if answer["IsComplete"]:
                self.physical_id = answer.get("PhysicalResourceId", self.physical_id)
                return dict(answer["Data"])
            assert "Data" not in answer, "the framework refuses that"
            self.ecs.now += POLL

    def _is_complete(self, event: dict[str, Any]) -> dict[str, Any]:
        if not event.get(migration.STATE):
            return migration.is_complete(event, None)
        return advance(event, ecs=self.ecs, logs=self.logs, now=self.now)  # type: ignore[arg-type]


@pytest.fixture
def site() -> Deployments:
    return Deployments()


@pytest.fixture
def migrated(site: Deployments) -> Deployments:
    """A site whose first deployment went well, some hours ago."""
    site.ecs.answers = [Plan(exited(0))]
    site.deploy(PROPERTIES)
    site.ecs.now += 4 * 3600
    return site


# ---- when it runs


def test_a_first_deployment_migrates(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0))]
    data = site.deploy(PROPERTIES)
    assert data == {"Result": "done", "Task": f"{ACCOUNT}:task/dify/{1:032x}", "Warning": ""}
    [started] = site.ecs.started
    key = read_job(PROPERTIES).key
    assert started == {
        "cluster": CLUSTER,
        "taskDefinition": f"{ACCOUNT}:task-definition/{FAMILY}:7",
        "count": 1,
        "launchType": "FARGATE",
        "startedBy": f"dify-migration/{key}",
        "clientToken": started["clientToken"],
        "overrides": {},
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-a", "subnet-b"],
                "securityGroups": ["sg-a"],
                "assignPublicIp": "DISABLED",
            }
        },
    }
    assert site.logs.asked == [
        {
            "logGroupName": "dify-migration-logs",
            "logStreamName": f"migration/migration/{1:032x}",
            "limit": 20,
            "startFromHead": False,
        }
    ]


def test_a_task_in_public_subnets_gets_an_address(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0))]
    site.deploy({**PROPERTIES, "AssignPublicIp": "ENABLED"})
    network = site.ecs.started[0]["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "ENABLED"


@pytest.mark.parametrize("change", [{"Image": "langgenius/dify-api:1.18.0"}, {"Database": "cluster-2/main"}])
def test_a_new_image_or_database_migrates(migrated: Deployments, change: dict[str, str]) -> None:
    migrated.ecs.answers = [Plan(exited(0))]
    migrated.deploy({**PROPERTIES, **change})
    assert len(migrated.ecs.started) == 2


@pytest.mark.parametrize(
    "change", [{"TaskDefinition": f"{ACCOUNT}:task-definition/{FAMILY}:8"}, {"Subnets": ["subnet-c"]}]
)
def test_another_change_does_not_migrate(migrated: Deployments, change: dict[str, Any]) -> None:
    looks, id_before = migrated.ecs.looks, migrated.physical_id
    data = migrated.deploy({**PROPERTIES, **change})
    assert data["Result"] == "unchanged"
    assert migrated.physical_id == id_before
    assert migrated.ecs.looks == looks, "ECS was asked"


def test_delete_does_nothing(migrated: Deployments) -> None:
    looks, id_before = migrated.ecs.looks, migrated.physical_id
    migrated.deploy({}, kind="Delete")
    assert migrated.physical_id == id_before
    assert migrated.ecs.looks == looks


def test_delete_after_a_failed_creation_does_nothing(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(1))]
    with pytest.raises(DeployError):
        site.deploy(PROPERTIES)
    site.deploy({}, kind="Delete")
    assert len(site.ecs.started) == 1


def test_a_failed_update_can_be_tried_again(migrated: Deployments) -> None:
    # GIVEN an update whose migration failed
    migrated.ecs.answers = [Plan(exited(1)), Plan(exited(0))]
    with pytest.raises(DeployError):
        migrated.deploy(NEW_IMAGE)
    # WHEN the same image is deployed again, without a rollback in between
    migrated.deploy(NEW_IMAGE)
    # THEN it migrates again, whatever CloudFormation takes for the old properties
    assert len(migrated.ecs.started) == 3


def test_the_rollback_of_a_failed_migration_has_nothing_to_do(migrated: Deployments) -> None:
    migrated.ecs.answers = [Plan(exited(1))]
    with pytest.raises(DeployError):
        migrated.deploy(NEW_IMAGE)
    assert migrated.deploy(PROPERTIES)["Result"] == "unchanged"
    assert len(migrated.ecs.started) == 2


def test_the_rollback_of_a_migration_that_takes_too_long_does_not_wait_for_it(migrated: Deployments) -> None:
    migrated.ecs.answers = [Plan(None)]
    with pytest.raises(DeployError, match="still running"):
        migrated.deploy(NEW_IMAGE)
    before = migrated.now
    migrated.deploy(PROPERTIES)
    assert migrated.now == before


# ---- how it ends


def test_going_back_to_an_older_image_succeeds_with_a_warning(migrated: Deployments) -> None:
    # GIVEN a database that a newer image has migrated, and an update that fails later on
    migrated.ecs.answers = [Plan(exited(0)), Plan(exited(0))]
    migrated.deploy(NEW_IMAGE)
    # WHEN the rollback deploys the older image
    migrated.logs.lines = UNKNOWN
    data = migrated.deploy(PROPERTIES)
    # THEN that succeeds and says what it found
    assert data["Result"] == "unknown-revision"
    assert data["Warning"] == "the database is at a revision this image does not know"


def test_fails_when_the_container_ends_with_1(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(1))]
    site.logs.lines = [f"line {number}" for number in range(30)]
    with pytest.raises(DeployError) as caught:
        site.deploy(PROPERTIES)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        f"the migration task {ACCOUNT}:task/dify/{1:032x} ended with exit code 1: "
        "Essential container in task exited"
    )
    assert lines[1] == "last log lines:"
    assert lines[2:] == [f"line {number}" for number in range(10, 30)]


def test_fails_with_the_end_of_a_long_log(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(1))]
    site.logs.lines = ["x" * 400] * 20 + ["sqlalchemy.exc.ProgrammingError: the cause"]
    with pytest.raises(DeployError) as caught:
        site.deploy(PROPERTIES)
    assert len(str(caught.value)) <= 1000
    assert "exit code 1" in str(caught.value)
    assert str(caught.value).endswith("sqlalchemy.exc.ProgrammingError: the cause")


def test_fails_without_the_secrets_in_the_log(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(1))]
    site.logs.lines = ["cannot connect to postgresql://dify:S3cretS3cret@db:5432/main?sslmode=require"]
    with pytest.raises(DeployError, match=r"postgresql://dify:\*\*\*@db:5432/main"):
        site.deploy(PROPERTIES)


@pytest.mark.parametrize("length", range(700, 900, 10))
def test_fails_without_half_a_secret_where_the_log_is_cut(site: Deployments, length: int) -> None:
    site.ecs.answers = [Plan(exited(1))]
    site.logs.lines = ["connecting to postgresql://dify:S3cretS3cretS3cret@db:5432/main", "x" * length]
    with pytest.raises(DeployError) as caught:
        site.deploy(PROPERTIES)
    assert "S3cret" not in str(caught.value)


def test_fails_readably_when_there_is_no_log(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(137, reason="OutOfMemoryError: Container killed due to memory usage"))]
    site.logs.lines = refusal("ResourceNotFoundException", "The specified log stream does not exist.")
    with pytest.raises(DeployError, match=r"exit code 137: .*; OutOfMemoryError: Container killed") as caught:
        site.deploy(PROPERTIES)
    assert "log lines" not in str(caught.value)


def test_fails_when_the_image_cannot_be_pulled(site: Deployments) -> None:
    site.ecs.answers = [Plan(image_missing())]
    with pytest.raises(DeployError, match=r"failed: CannotPullContainerError: .*dify-api:9.9.9: not found"):
        site.deploy(PROPERTIES)
    assert len(site.ecs.asked) == 1, "it was tried again"


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (1, ["dify-migration: skipped: another process has held Dify's migration lock for 2700 seconds"]),
        (0, ["dify-migration: skipped: another process has held Dify's migration lock for 2700 seconds"]),
        (0, ["Preparing database migration...", "Database migration skipped"]),
    ],
)
def test_fails_when_the_migration_was_skipped(site: Deployments, code: int, lines: list[str]) -> None:
    site.ecs.answers = [Plan(exited(code))]
    site.logs.lines = lines
    with pytest.raises(DeployError, match="migration lock"):
        site.deploy(PROPERTIES)
    assert site.physical_id == "dify-migration/none"


def test_an_exit_code_of_0_stands_when_there_is_no_log(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0))]
    site.logs.lines = refusal("ServiceUnavailableException", status=503)
    assert site.deploy(PROPERTIES)["Result"] == "done"


def test_fails_when_somebody_stops_the_task(site: Deployments) -> None:
    stopped = {"stopCode": "UserInitiated", "stoppedReason": "Task stopped by user"}
    site.ecs.answers = [Plan({**stopped, "container": {"exitCode": 143}})]
    with pytest.raises(DeployError, match="exit code 143: Task stopped by user"):
        site.deploy(PROPERTIES)


# ---- what one run tells the next


def told(site: Deployments) -> list[str]:
    """The revisions that each task was told of."""
    overrides = [started["overrides"].get("containerOverrides", []) for started in site.ecs.started]
    rows = [row for override in overrides for row in override]
    assert {row["name"] for row in rows} <= {CONTAINER}
    variables = [variable for row in rows for variable in row["environment"]]
    assert {variable["name"] for variable in variables} <= {"DIFY_CDK_MIGRATION_FINISHED"}
    return [variable["value"] for variable in variables]


def test_the_next_migration_is_told_at_which_revisions_the_last_one_was_done(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0)), Plan(exited(0))]
    site.logs.lines = WITH_ONE_OFFS
    site.deploy(PROPERTIES)
    assert told(site) == []
    site.deploy(NEW_IMAGE)
    assert told(site) == ["abc def"]


def test_a_failed_update_does_not_count_as_done(migrated: Deployments) -> None:
    """Its schema may be new while a one-off command after it failed, and another image may come next."""
    migrated.ecs.answers = [Plan(exited(1)), Plan(exited(0))]
    with pytest.raises(DeployError):
        migrated.deploy(NEW_IMAGE)
    migrated.deploy({**NEW_IMAGE, "Image": "langgenius/dify-api:1.18.1"})
    assert told(migrated) == ["abc", "abc"]


def test_an_older_image_hands_on_what_it_was_told(migrated: Deployments) -> None:
    # GIVEN a newer image that migrates, and a rollback
    migrated.ecs.answers = [Plan(exited(0)) for _ in range(3)]
    migrated.logs.lines = ["dify-migration: done: the schema is at def"]
    migrated.deploy(NEW_IMAGE)
    migrated.logs.lines = UNKNOWN
    migrated.deploy(PROPERTIES)
    # WHEN the newer one comes back THEN it knows that it has been there
    migrated.deploy(NEW_IMAGE)
    assert told(migrated) == ["abc", "def", "def"]


def test_a_run_without_a_log_makes_nothing_count_as_done(migrated: Deployments) -> None:
    migrated.ecs.answers = [Plan(exited(0)), Plan(exited(0))]
    migrated.logs.lines = refusal("ResourceNotFoundException")
    migrated.deploy(NEW_IMAGE)
    migrated.deploy({**NEW_IMAGE, "Image": "langgenius/dify-api:1.18.1"})
    assert told(migrated) == ["abc"]


def test_an_id_without_revisions_is_understood(migrated: Deployments) -> None:
    migrated.physical_id = JOB.started_by
    assert migrated.deploy(PROPERTIES)["Result"] == "unchanged"
    migrated.ecs.answers = [Plan(exited(0))]
    migrated.deploy(NEW_IMAGE)
    assert told(migrated) == []


def test_warnings_of_a_one_off_command_are_warnings(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0))]
    site.logs.lines = WITH_ONE_OFFS
    data = site.deploy(PROPERTIES)
    assert data["Result"] == "done"
    assert data["Warning"].endswith(
        "ran backfill-plugin-auto-upgrade with warnings, data-migrate legacy-model-types --apply"
    )


@given(
    done=st.from_regex(r"dify-migration/([0-9a-f]{16}|none)", fullmatch=True),
    revisions=st.lists(st.from_regex(r"[0-9A-Za-z_]+", fullmatch=True), max_size=4),
)
def test_what_is_written_into_an_id_is_read_from_it(done: str, revisions: list[str]) -> None:
    assert read_id(write_id(done, " ".join(revisions))) == (done, " ".join(revisions))


# ---- tries


@pytest.mark.parametrize("reason", [out_of_capacity(), interrupted(), secret_unreachable()])
def test_a_task_that_aws_stopped_is_followed_by_another(site: Deployments, reason: dict[str, Any]) -> None:
    site.ecs.answers = [Plan(reason), Plan(reason), Plan(exited(0))]
    assert site.deploy(PROPERTIES)["Result"] == "done"
    tokens = [started["clientToken"] for started in site.ecs.started]
    assert len(set(tokens)) == 3
    assert site.ecs.most_running == 1


def test_fails_when_aws_stops_every_task(site: Deployments) -> None:
    site.ecs.answers = [Plan(out_of_capacity()) for _ in range(10)]
    with pytest.raises(DeployError, match=r"stopped before they ended, 3 in all; .* Capacity is unavailable"):
        site.deploy(PROPERTIES)
    assert len(site.ecs.started) == MAX_TASKS


@pytest.mark.parametrize(
    "reason",
    ["RESOURCE:ENI", "RESOURCE:FARGATE", "Capacity is unavailable at this time. Please try again later"],
)
def test_no_capacity_is_waited_out(site: Deployments, reason: str) -> None:
    # GIVEN an ECS that answers a repeated token with the old answer
    site.ecs.answers = [reason, reason, reason, Plan(exited(0))]
    # WHEN there is no place for some minutes THEN a new question is asked each minute
    assert site.deploy(PROPERTIES)["Result"] == "done"
    assert site.now >= NOON + 180
    assert len(site.ecs.started) == 1


def test_fails_when_there_is_never_capacity(site: Deployments) -> None:
    site.ecs.answers = ["RESOURCE:ENI" for _ in range(100)]
    with pytest.raises(DeployError, match="no migration task could be started in 1800 seconds"):
        site.deploy(PROPERTIES)
    assert NOON + TIMEOUT <= site.now < NOON + TIMEOUT + 2 * POLL


# What ECS says when the vCPU of an account are used up.
QUOTA = [
    "The requested CPU configuration is above your limit",
    "You've reached the limit on the number of vCPUs you can run concurrently",
]


@pytest.mark.parametrize("reason", QUOTA)
def test_a_quota_that_a_rollout_beside_it_uses_up_is_waited_for(site: Deployments, reason: str) -> None:
    site.ecs.answers = [reason, reason, Plan(exited(0))]
    assert site.deploy(PROPERTIES)["Result"] == "done"
    assert site.now >= NOON + 120


@pytest.mark.parametrize("reason", QUOTA)
def test_fails_when_a_quota_is_too_small(site: Deployments, reason: str) -> None:
    site.ecs.answers = [reason for _ in range(100)]
    with pytest.raises(DeployError, match=f"ECS did not start the migration task: {reason}"):
        site.deploy(PROPERTIES)
    assert NOON + 900 <= site.now < NOON + 900 + 60 + POLL


def test_fails_when_ecs_refuses_for_another_reason(site: Deployments) -> None:
    site.ecs.answers = ["The cluster is inactive"]
    with pytest.raises(DeployError, match="ECS did not start the migration task: The cluster is inactive"):
        site.deploy(PROPERTIES)
    assert site.now < NOON + POLL


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDeniedException", "not authorized to perform: iam:PassRole"),
        refusal(
            "ClientException", "ECS was unable to assume the role 'arn:x' that was provided for this task"
        ),
    ],
)
def test_a_role_made_moments_ago_is_waited_for(site: Deployments, error: Exception) -> None:
    site.ecs.answers = [error, error, Plan(exited(0))]
    assert site.deploy(PROPERTIES)["Result"] == "done"


def test_fails_when_access_stays_denied(site: Deployments) -> None:
    site.ecs.answers = [refusal("AccessDeniedException", "iam:PassRole") for _ in range(100)]
    with pytest.raises(Exception, match="AccessDeniedException"):
        site.deploy(PROPERTIES)
    assert SETTLE_SECONDS <= site.now - NOON <= SETTLE_SECONDS + POLL


def test_fails_at_once_when_a_parameter_is_wrong(site: Deployments) -> None:
    site.ecs.answers = [refusal("InvalidParameterException", "The subnet ID 'subnet-a' does not exist")]
    with pytest.raises(Exception, match="subnet-a"):
        site.deploy(PROPERTIES)
    assert site.now == NOON


def test_a_poll_that_gets_no_answer_is_repeated(site: Deployments) -> None:
    site.ecs.faults = [refusal("ThrottlingException"), None, refusal("ServerException", status=500)]
    site.ecs.answers = [Plan(exited(0))]
    assert site.deploy(PROPERTIES)["Result"] == "done"
    assert len(site.ecs.started) == 1


def test_a_task_that_the_list_does_not_show_yet_is_not_started_twice(site: Deployments) -> None:
    site.ecs.answers = [Plan(exited(0), polls=4, hidden=2), Plan(exited(0))]
    site.deploy(PROPERTIES)
    assert len(site.ecs.asked) > 1
    assert len(site.ecs.started) == 1


# ---- never two at once


def test_fails_with_the_task_when_it_takes_too_long_and_leaves_it_running(site: Deployments) -> None:
    site.ecs.answers = [Plan(None)]
    with pytest.raises(DeployError) as caught:
        site.deploy(PROPERTIES)
    assert f"{ACCOUNT}:task/dify/{1:032x} is still running after 1800 seconds" in str(caught.value)
    assert NOON + TIMEOUT <= site.now < NOON + TIMEOUT + POLL
    assert site.logs.asked == []


def test_the_next_deployment_waits_for_the_task_of_the_last_one(site: Deployments) -> None:
    # GIVEN a deployment that gave up on a task
    site.ecs.answers = [Plan(None)]
    with pytest.raises(DeployError):
        site.deploy(PROPERTIES)
    # WHEN the next one deploys the same image while the task runs on
    site.ecs.now += 3 * 3600
    site.ecs._plans[f"{ACCOUNT}:task/dify/{1:032x}"] = Plan(exited(0), polls=5)
    data = site.deploy(PROPERTIES)
    # THEN that task's result counts and no other was started
    assert data["Task"] == f"{ACCOUNT}:task/dify/{1:032x}"
    assert len(site.ecs.started) == 1


def test_fails_when_the_task_of_the_last_deployment_fails(site: Deployments) -> None:
    site.ecs.add(Plan(exited(1), polls=3), started_by=read_job(PROPERTIES).started_by)
    with pytest.raises(DeployError, match="exit code 1"):
        site.deploy(PROPERTIES)
    assert site.ecs.started == []


@pytest.mark.parametrize("outcome", [exited(0), exited(1)])
def test_a_task_for_another_image_is_waited_for_and_then_ours_runs(
    site: Deployments, outcome: dict[str, Any]
) -> None:
    other = site.ecs.add(Plan(outcome, polls=5), started_by=read_job(NEW_IMAGE).started_by, revision=6)
    site.ecs.answers = [Plan(exited(0))]
    data = site.deploy(PROPERTIES)
    assert data["Task"] != other
    assert len(site.ecs.started) == 1
    assert site.ecs.most_running == 1


def test_a_task_started_by_hand_is_waited_for(site: Deployments) -> None:
    site.ecs.add(Plan(exited(0), polls=5), started_by="somebody")
    site.ecs.answers = [Plan(exited(0))]
    site.deploy(PROPERTIES)
    assert site.ecs.most_running == 1


def test_a_task_that_is_being_stopped_is_waited_for(site: Deployments) -> None:
    other = site.ecs.add(Plan(exited(143), polls=5), started_by="somebody")
    site.ecs.change(other, desiredStatus="STOPPED", lastStatus="STOPPING")
    site.ecs.answers = [Plan(exited(0))]
    site.deploy(PROPERTIES)
    assert site.ecs.most_running == 1


def test_the_result_of_a_task_that_ended_before_does_not_count(site: Deployments) -> None:
    # GIVEN a failed task of an earlier deployment of the same image that ECS still shows
    earlier = site.ecs.add(Plan(None), started_by=read_job(PROPERTIES).started_by)
    site.ecs.end(earlier, exited(1))
    site.ecs.now += 60
    # WHEN it is deployed again THEN it migrates again
    site.ecs.answers = [Plan(exited(0))]
    assert site.deploy(PROPERTIES)["Task"] != earlier


# ---- the parts


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name != "ServiceToken"])
def test_fails_when_a_property_is_missing(site: Deployments, name: str) -> None:
    with pytest.raises(DeployError, match=f"lacks the properties {name}"):
        site.deploy({key: value for key, value in PROPERTIES.items() if key != name})


@pytest.mark.parametrize("seconds", ["0", "3601", "-5", "soon", "1.5"])
def test_fails_when_the_timeout_is_out_of_range(site: Deployments, seconds: str) -> None:
    with pytest.raises(DeployError, match=f"TimeoutSeconds must be between 1 and {LONGEST_TIMEOUT}, got"):
        site.deploy({**PROPERTIES, "TimeoutSeconds": seconds})


@pytest.mark.parametrize(
    ("lines", "is_good", "result"),
    [
        (DONE, True, "done"),
        (["dify-migration: unchanged: the schema is at abc"], True, "unchanged"),
        (UNKNOWN, True, "unknown-revision"),
        (["Database migration skipped", "dify-migration: done: the schema is at abc"], True, "done"),
        (["dify-migration: upgrading: to abc"], False, "upgrading"),
        ([], True, "done"),
    ],
)
def test_the_last_marker_is_the_result(lines: list[str], is_good: bool, result: str) -> None:
    verdict = judge(lines)
    assert (verdict.is_good, verdict.result) == (is_good, result)


JOB = read_job(PROPERTIES)
tasks = st.builds(
    Task,
    arn=st.text(max_size=3),
    started_by=st.sampled_from([JOB.started_by, "other"]),
    is_stopped=st.booleans(),
    stop_code=st.sampled_from(["", "SpotInterruption", "EssentialContainerExited"]),
    reason=st.sampled_from(["Capacity is unavailable", "x"]),
    exit_code=st.none() | st.integers(0, 2),
    created_at=st.floats(NOON - 100, NOON + 100),
    stopped_at=st.floats(NOON - 100, NOON + 100) | st.just(float("inf")),
)


@given(st.lists(tasks, max_size=6), st.integers(0, 2 * TIMEOUT))
def test_nothing_is_started_while_a_task_runs_or_after_the_timeout(found: list[Task], seconds: int) -> None:
    decision = decide(JOB, Run(token="t", started_at=NOON), found, NOON + seconds)
    if any(not task.is_stopped for task in found) or seconds >= TIMEOUT:
        assert decision.step is not Step.START
    if seconds >= TIMEOUT:
        assert decision.step is not Step.WAIT
    if decision.step is Step.FINISH:
        assert decision.task is not None
        assert decision.task.started_by == JOB.started_by
        assert decision.task.exit_code == 0


def test_image_and_database_do_not_run_together() -> None:
    def key(image: str, database: str) -> str:
        return read_job({**PROPERTIES, "Image": image, "Database": database}).key

    assert key("a", "bc") != key("ab", "c")


def test_the_mark_has_characters_that_ecs_allows() -> None:
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,36}", JOB.started_by)


def test_the_handlers_make_their_own_clients(site: Deployments, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: dict[str, Any] = {"ecs": site.ecs, "logs": site.logs}
    monkeypatch.setattr("boto3.client", lambda name: clients[name])
    site.ecs.answers = [Plan(exited(0), polls=1)]
    event = {"RequestType": "Create", "RequestId": "r", "ResourceProperties": PROPERTIES}
    event |= migration.on_event(event, None)
    while not (answer := migration.is_complete(event, None))["IsComplete"]:
        assert site.ecs.looks < 10
    assert answer["PhysicalResourceId"] == f"{JOB.started_by}/abc"
