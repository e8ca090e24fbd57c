"""Rotation: one argument renews what may be renewed, restarts who reads it, and replaces nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import (
    Access,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyHttpApiFrontend,
    DifyNetwork,
    DifyWorkers,
    Purpose,
    SesMail,
)
from dify_cdk.data.secrets import KEY_LENGTH
from dify_cdk.dify.rotation import RENEWALS, Renewal, renewal_of
from support import REGION, Template
from synth.test_contract import CONTRACT, stateful_ids

KEPT_FOR_ONE_MORE = {Purpose.CACHE, Purpose.PLUGIN_CACHE}
RENEWED = {purpose for purpose in Purpose if renewal_of(purpose) is Renewal.BY_DEPLOYING}


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "alb": (DifyAlbFrontend, {}),
    "together": (DifyAlbFrontend, {"collaboration": True}),
    "http_api": (DifyHttpApiFrontend, {}),
    "functions": (DifyCloudFrontLambdaFrontend, {}),
}


def scope_of(frontend: str) -> str:
    return f"Frontend{frontend.title().replace('_', '')}"


def synthesize(outdir: str, rotation: int, *frontends: str, own_key: bool = False) -> Template:
    app = cdk.App(outdir=outdir, analytics_reporting=False)
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    key = secretsmanager.Secret.from_secret_name_v2(stack, "Key", "dify/secret-key") if own_key else None
    vpc = DifyNetwork(stack, "Network").vpc
    data = DifyData(stack, "Data", vpc=vpc, rotation=rotation, secret_key=key)
    mail = SesMail(sender="dify@example.com")
    workers = DifyWorkers(stack, "Workers", data=data, mail=mail)
    for frontend in frontends:
        kind, options = KINDS[frontend]
        announce = frontend == frontends[0]
        kind(stack, scope_of(frontend), workers=workers, access=Access.anyone(), announce=announce, **options)
    return Template(Synthesized.from_stack(stack).to_json())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Template, Template]:
    """Before and after a rotation."""
    before, after = (synthesize(str(tmp_path_factory.mktemp("rotation")), number, "alb") for number in (0, 1))
    return before, after


def init(template: Template) -> dict[str, Any]:
    (properties,) = template.properties("Custom::DifyDatabaseInit").values()
    return properties


def test_no_rotation_keeps_the_ids_of_the_contract(pair: tuple[Template, Template]) -> None:
    assert stateful_ids(pair[0]) == CONTRACT


def test_a_rotation_defines_new_secrets_and_touches_nothing_else_that_holds_data(
    pair: tuple[Template, Template],
) -> None:
    before, after = (stateful_ids(template) for template in pair)
    gone, new = before.keys() - after.keys(), after.keys() - before.keys()
    master_user, stay = 1, len(KEPT_FOR_ONE_MORE)
    assert len(gone) + stay == len(new) == len(RENEWED) + master_user
    assert {before[id] for id in gone} | {after[id] for id in new} == {"AWS::SecretsManager::Secret"}
    for word in ("SecretKey", "InitPassword", "CacheToken", "CachePluginToken"):
        assert not [id for id in gone if word in id], word


def test_old_secrets_stay_for_a_rollback(pair: tuple[Template, Template]) -> None:
    before, after = pair
    for id in stateful_ids(before).keys() - stateful_ids(after).keys():
        assert before.resources[id]["DeletionPolicy"] == "RetainExceptOnCreate", id


def test_the_init_handler_is_called_with_the_new_secrets(pair: tuple[Template, Template]) -> None:
    before, after = (init(template) for template in pair)
    assert before["MasterSecretArn"] != after["MasterSecretArn"]
    for old, new in zip(before["Roles"], after["Roles"], strict=True):
        assert old["Name"] == new["Name"]
        assert old["SecretArn"] != new["SecretArn"]


def test_the_cluster_gets_the_new_master_password_in_place(pair: tuple[Template, Template]) -> None:
    before, after = (next(iter(t.properties("AWS::RDS::DBCluster").values())) for t in pair)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"MasterUserPassword"}  # the user's name would replace the cluster


def passwords(template: Template) -> dict[str, list[str]]:
    """Name of each user of the cache to the ids of the secrets with its passwords."""
    return {
        user["UserName"]: re.findall(r"DataCache\w+", json.dumps(user["Passwords"]))
        for user in template.properties("AWS::ElastiCache::User").values()
    }


def test_users_of_the_cache_have_the_new_password_and_the_one_before(
    pair: tuple[Template, Template], tmp_path: Path
) -> None:
    """So that neither old nor new tasks are refused while tasks are replaced."""
    third = synthesize(str(tmp_path), 2, "alb")
    generations = [passwords(template) for template in (*pair, third)]
    for user in ("dify", "plugin-daemon"):
        first, second, last = (one[user] for one in generations)
        assert [len(first), len(second), len(last)] == [1, 2, 2]
        assert second[1:] == first
        assert last[1:] == second[:1]
        assert len({*first, *second, *last}) == 3
    assert {len(one["default"]) for one in generations} == {1}


def test_what_reads_a_password_of_the_cache_waits_until_the_users_have_it(
    pair: tuple[Template, Template],
) -> None:
    after = pair[1]
    users = set(after.of_type("AWS::ElastiCache::User"))
    services = after.of_type("AWS::ECS::Service")
    (daemon,) = [row for id, row in services.items() if "PluginDaemon" in id]
    (migration_id,) = after.of_type("Custom::DifyMigration")
    migration = after.resources[migration_id]
    assert users <= set(daemon["DependsOn"])
    assert users <= set(migration["DependsOn"])
    for component in (Component.API, Component.WORKER, Component.BEAT):
        (service,) = [row for id, row in services.items() if f"{component.construct_id}Service" in id]
        assert migration_id in service["DependsOn"], component


def test_the_broker_s_url_has_the_newest_password(pair: tuple[Template, Template]) -> None:
    for template in pair:
        (url,) = [
            str(one["SecretString"])
            for id, one in template.properties("AWS::SecretsManager::Secret").items()
            if id.startswith("DataCacheBrokerUrl")
        ]
        assert "rediss://dify:{{resolve:secretsmanager:" in url
        assert re.findall(r"DataCache\w*Token\w+", url) == passwords(template)["dify"][:1]


def test_the_cache_is_not_touched(pair: tuple[Template, Template]) -> None:
    before, after = (t.properties("AWS::ElastiCache::ReplicationGroup") for t in pair)
    assert before == after


def test_every_task_with_a_renewed_secret_is_replaced_after_the_database_is_ready(
    pair: tuple[Template, Template],
) -> None:
    before, after = pair
    for component in before.containers():
        reads = bool(before.secrets(component))
        assert (before.task_of(component) != after.task_of(component)) == reads, component
        old, new = str(before.secrets(component)), str(after.secrets(component))
        assert ("Rotation1" in new) == reads, component
        assert "Rotation" not in old, component
    (initialization,) = after.of_type("Custom::DifyDatabaseInit")
    (migration,) = after.of_type("Custom::DifyMigration").values()
    assert initialization in migration["DependsOn"]


def test_secret_key_is_the_same_for_everybody(pair: tuple[Template, Template]) -> None:
    before, after = pair
    for component in (Component.API, Component.WORKER, Component.BEAT):
        assert before.secrets(component)["SECRET_KEY"] == after.secrets(component)["SECRET_KEY"]


@pytest.fixture(scope="module", params=[False, True])
def all_frontends(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Template, ...]:
    """Before and after a rotation, with a frontend of every kind, without and with a key of the caller."""
    folders = [str(tmp_path_factory.mktemp("readers")) for _ in range(2)]
    return tuple(
        synthesize(folder, number, *KINDS, own_key=request.param) for number, folder in enumerate(folders)
    )


def readers_of_secret_key(template: Template, frontend: str) -> dict[str, object]:
    """What starts anew when its definition changes, of everything that reads the key when it starts."""
    found: dict[str, object] = {}
    for id, properties in template.properties("AWS::ECS::TaskDefinition", "AWS::Lambda::Function").items():
        if id.startswith(("Workers", scope_of(frontend))) and '"SECRET_KEY' in json.dumps(properties).replace(
            "\\", ""
        ):
            name = properties.get("Description") or properties["ContainerDefinitions"][0]["Name"]
            assert name not in found
            found[name] = properties
    return found


@pytest.mark.parametrize("frontend", KINDS)
def test_a_rotation_replaces_everything_that_reads_secret_key(
    all_frontends: tuple[Template, ...], frontend: str
) -> None:
    """So that it is how a new value of the key, put into the same secret, reaches them all."""
    before, after = (readers_of_secret_key(template, frontend) for template in all_frontends)
    more = {
        "functions": "Dify: api",
        "together": Component.API_WEBSOCKET,
    }  # plugins call a task of api in any case
    expected = {
        Component.WORKER,
        Component.BEAT,
        Component.MIGRATION,
        Component.API,
        more.get(frontend, Component.API),
    }
    assert before.keys() == after.keys() == expected
    assert [id for id in before if before[id] == after[id]] == []


def test_a_new_secret_key_is_as_long_as_a_generated_one() -> None:
    (row,) = [row for row in RENEWALS if row.purposes == (Purpose.SECRET_KEY,)]
    assert any(f"--password-length {KEY_LENGTH} " in step for step in row.steps)


def test_ses_gets_another_access_key_and_new_credentials(pair: tuple[Template, Template]) -> None:
    before, after = (next(iter(t.properties("AWS::IAM::AccessKey").values())) for t in pair)
    assert "Serial" not in before
    assert after["Serial"] == 1
    (resource,) = pair[1].properties("Custom::DifySmtpCredentials").values()
    assert resource["AccessKeyId"]["Ref"] in pair[1].of_type("AWS::IAM::AccessKey")


def test_functions_are_told_of_the_new_secrets(tmp_path_factory: pytest.TempPathFactory) -> None:
    template = synthesize(str(tmp_path_factory.mktemp("functions")), 2, "functions")
    (api,) = [
        p
        for p in template.properties("AWS::Lambda::Function").values()
        if p.get("Description") == "Dify: api"
    ]
    assert "Rotation2" in json.dumps(api["Environment"]["Variables"]["DIFY_CDK_SECRETS"])


@pytest.mark.parametrize("rotation", [-1, 1.5])
def test_fails_when_the_rotation_is_no_count(stack: cdk.Stack, rotation: Any) -> None:
    vpc = DifyNetwork(stack, "Network").vpc
    with pytest.raises(ValueError, match=r"^DifyData\.rotation must be a count such as 0, 1 or 2, got "):
        DifyData(stack, "Data", vpc=vpc, rotation=rotation)
