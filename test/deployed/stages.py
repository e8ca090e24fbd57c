"""The steps of a deployment, what is kept of each, and what every variant promises about its end."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployed.cdk import STACK, Outcome
from deployed.world import World
from support import DATA, Template

CLUSTER, CACHE, BUCKET = "DataDatabaseCluster9D84B022", "DataCache3513A55E", "DataStorageBucket80E5F8B8"
ROWS = [("kept",)]
CONTENT = b"kept"

_FILE = "upload_files/kept.txt"
_RETAINING = {"Retain", "RetainExceptOnCreate"}
_SECRET = "AWS::SecretsManager::Secret"
_RETAINED = {
    "AWS::ElastiCache::ReplicationGroup": 1,
    "AWS::ElastiCache::User": 3,
    "AWS::ElastiCache::UserGroup": 1,
    _SECRET: 11,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What must outlive every update.

    Attributes:
        ids: Physical ids of the resources in the contract file.
        secrets: ARN to value, of the secrets in the contract file.
        databases: Everything about databases and roles that making them anew would change.
        rows: What the application wrote.
        file: What it stored.
    """

    ids: Mapping[str, str]
    secrets: Mapping[str, str]
    databases: object
    rows: object
    file: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One step of the deployment.

    Attributes:
        outcome: What the command said.
        before: State before it.
        after: State after it.
        migrations: The RunTask requests of the step.
        answers: The custom resources that were invoked.
        images: Image of each role's service after it.
        changed: Types of the resources whose part of the template is another one after it.
    """

    outcome: Outcome
    before: State
    after: State
    migrations: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    images: Mapping[str, str]
    changed: list[str]


def as_role(world: World, role: str, database: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a statement, logged in with what the role's secret says."""
    secret = _secret_of(world, f"Dify: database role {role}")
    return world.postgres.query(secret["username"], secret["password"], database, sql)


def leave_traces(world: World) -> None:
    """Write what an application would write: a row and a file."""
    as_role(world, "dify", "main", "CREATE TABLE notes (text text)")
    as_role(world, "dify", "main", "INSERT INTO notes VALUES ('kept')")
    bucket = world.cdk.physical_ids()[BUCKET]
    world.client("s3").put_object(Bucket=bucket, Key=_FILE, Body=CONTENT)


def observe(world: World) -> State:
    """The state now."""
    contract = json.loads((DATA / "stateful-ids.json").read_text(encoding="utf-8"))
    ids = world.cdk.physical_ids()
    manager = world.client("secretsmanager")
    kept = [ids[logical_id] for logical_id, type in contract.items() if type == _SECRET]
    return State(
        ids={logical_id: ids[logical_id] for logical_id in contract},
        secrets={arn: manager.get_secret_value(SecretId=arn)["SecretString"] for arn in kept},
        databases=world.postgres.as_superuser(
            "SELECT oid, datname, datacl::text FROM pg_database "
            "UNION SELECT oid, rolname, rolpassword FROM pg_authid ORDER BY 1, 2"
        ),
        rows=world.postgres.as_superuser("SELECT text FROM notes", "main"),
        file=_stored(world, ids[BUCKET]),
    )


def step(world: World, **changes: str) -> Stage:
    """Deploy and keep what happened."""
    before, template = observe(world), Template(world.cdk.template()).resources
    seen = {kind: len(world.emulator.journal(kind)) for kind in ("run_task", "custom_resource")}
    outcome = world.cdk.deploy(**changes)
    return Stage(
        outcome=outcome,
        before=before,
        after=observe(world),
        migrations=world.emulator.journal("run_task")[seen["run_task"] :],
        answers=world.emulator.journal("custom_resource")[seen["custom_resource"] :],
        images={role: container["image"] for role, container in containers(world).items()},
        changed=_changed(template, Template(world.cdk.template()).resources),
    )


def succeed(world: World, **changes: str) -> Stage:
    """Deploy, which has to succeed, and keep what happened."""
    stage = step(world, **changes)
    world.cdk.must(stage.outcome)
    return stage


def containers(world: World) -> dict[str, dict[str, Any]]:
    """The container definition of each role whose service is active, as ECS sees it."""
    ecs = world.client("ecs")
    (cluster,) = ecs.list_clusters()["clusterArns"]
    arns = ecs.list_services(cluster=cluster, maxResults=100)["serviceArns"]
    services = ecs.describe_services(cluster=cluster, services=arns)["services"]
    found = {}
    for service in services:
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        (container,) = definition["taskDefinition"]["containerDefinitions"]
        found[container["name"]] = container
    return found


def unprotect(world: World, cluster: str) -> None:
    """Do what a destroy that stops at the protected cluster asks for."""
    rds = world.client("rds")
    (row,) = rds.describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"]
    assert row["DeletionProtection"]
    rds.modify_db_cluster(DBClusterIdentifier=cluster, DeletionProtection=False)


# ---- promises


def assert_custom_resources_answered(world: World) -> None:
    """Every custom resource of the template was invoked, and none failed so far."""
    resources = Template(world.cdk.template()).resources
    expected = {id: row["Type"] for id, row in resources.items() if row["Type"].startswith("Custom::")}
    answers = world.emulator.journal("custom_resource")
    created = {row["logical_id"]: row["type"] for row in answers if row["request"] == "Create"}
    assert created == expected
    assert set(expected.values()) >= {"Custom::DifyDatabaseInit", "Custom::DifyMigration"}
    assert {row["status"] for row in answers} == {"SUCCESS"}


def assert_nothing_changed(stage: Stage) -> None:
    """A deployment of what is deployed already did nothing."""
    assert f"{STACK} (no changes)" in stage.outcome.output
    assert stage.after == stage.before
    assert (stage.changed, stage.migrations, stage.answers) == ([], [], [])


def assert_only_what_must_stay_was_skipped(world: World, *, buckets: int, since: float = 0) -> None:
    """After a destroy: the retained resources were skipped, and all others deleted.

    Args:
        world: Where.
        buckets: How many of the retained resources are buckets.
        since: When it began, if an update before it left something behind.
    """
    template = Template(world.cdk.template())
    ends = {row["LogicalResourceId"]: row["ResourceStatus"] for row in world.cdk.events(since)}
    assert ends.pop(STACK) == "DELETE_COMPLETE"
    retained = {id for id, row in template.resources.items() if row.get("DeletionPolicy") in _RETAINING}
    assert {id for id, status in ends.items() if status == "DELETE_SKIPPED"} == retained
    assert {ends[id] for id in template.resources.keys() - retained} == {"DELETE_COMPLETE"}
    types = Counter(template.resources[id]["Type"] for id in retained)
    assert types == {**_RETAINED, "AWS::S3::Bucket": buckets}


def assert_data_stayed(world: World, before: State) -> None:
    """After a destroy: secrets, files, cache and a snapshot of the cluster are still there."""
    manager = world.client("secretsmanager")
    for arn, value in before.secrets.items():
        kept = manager.get_secret_value(SecretId=arn)["SecretString"]
        assert kept == value or _credentials(kept) == _credentials(value)
    assert _stored(world, before.ids[BUCKET]) == before.file == CONTENT
    (group,) = world.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert group["ReplicationGroupId"] == before.ids[CACHE]
    (snapshot,) = world.client("rds").describe_db_cluster_snapshots()["DBClusterSnapshots"]
    assert snapshot["DBClusterIdentifier"] == before.ids[CLUSTER]


def assert_what_costs_money_is_gone(world: World) -> None:
    """After a destroy: no database server, no task, no frontend and no function is left."""
    rds, ecs = world.client("rds"), world.client("ecs")
    assert rds.describe_db_clusters()["DBClusters"] == rds.describe_db_instances()["DBInstances"] == []
    assert ecs.list_clusters()["clusterArns"] == []
    assert world.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert world.client("apigatewayv2").get_apis()["Items"] == []
    assert world.client("cloudfront").list_distributions()["DistributionList"]["Quantity"] == 0
    assert world.client("lambda").list_functions()["Functions"] == []


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    differing = [id for id in sorted(old.keys() | new.keys()) if old.get(id) != new.get(id)]
    return [(new.get(id) or old[id])["Type"] for id in differing]


def _stored(world: World, bucket: str) -> bytes:
    body = world.client("s3").get_object(Bucket=bucket, Key=_FILE)["Body"]
    with contextlib.closing(body):
        return bytes(body.read())


def _secret_of(world: World, description: str) -> dict[str, str]:
    """Content of the secret with a description, as an operator would find it."""
    manager = world.client("secretsmanager")
    (arn,) = [row["ARN"] for row in _secrets(world) if row["Description"] == description]
    content: dict[str, str] = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
    return content


def _secrets(world: World) -> list[dict[str, Any]]:
    pages = world.client("secretsmanager").get_paginator("list_secrets").paginate()
    return [row for page in pages for row in page["SecretList"]]


def _credentials(secret: str) -> tuple[str, str]:
    """The part that stays when the cluster goes, which takes its address out of the master user's secret."""
    content = json.loads(secret)
    return content["username"], content["password"]
