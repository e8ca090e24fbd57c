"""v1 deployed, updated, rolled back and destroyed by the real CDK command line, on an emulator of AWS.

Real: the CDK's CLI, the synthesized template, CloudFormation's order, replacements and rollbacks as MiniStack
follows them, the custom resources with our handlers and the CDK's own framework, the policies of their roles
(IAM is enforced), the SQL on a PostgreSQL with pgvector, and the listener rules with requests through them.

What a success does not prove:

- ECS runs nothing. Services count as stable at once: no image is pulled, no health check is made, no
  security group is asked. The migration's task is a record that ``repairs.one_off_tasks_end`` ends after two
  seconds with exit code 0 and one line of output; its script has tests of its own.
- Addresses, instances, rules of security groups and capacity providers are checked records, see
  ``stubs.SHAPES``. ElastiCache has nothing behind its endpoint, the load balancer lets everyone in.
- The database's master user comes from ``repairs.clusters_are_served_by_postgres``. It has no auto-pause, no
  TLS, and snapshots of it are records.
- That nothing stands in the way of a deletion: AWS keeps a network as long as anything retained is in it.
- ``repairs.apply`` lists what else MiniStack answers differently from AWS and is put right.
- Races: resources come one at a time, so that a dependency which is missing may still be met.

The stages build on one another: each fixture takes the deployment one step further and keeps what it saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from deployed.cdk import STACK, Outcome
from deployed.repairs import TASK_RESULT
from deployed.stages import (
    CLUSTER,
    ROWS,
    Stage,
    State,
    as_role,
    assert_custom_resources_answered,
    assert_data_stayed,
    assert_nothing_changed,
    assert_only_what_must_stay_was_skipped,
    assert_what_costs_money_is_gone,
    leave_traces,
    step,
    succeed,
    unprotect,
)
from deployed.targets import Answer, ask, start_targets
from deployed.world import World
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import routes_to
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON, route_of
from support import Template

pytestmark = pytest.mark.slow

VARIANT = "v1"
OTHER_TAG = "1.17.0"
MISSING_EXTENSION = "no_such_extension"
OWNERS = {"main": "dify", "pgvector": "dify", "dify_plugin": "dify_plugin"}
EXTENSIONS = {"main": {"uuid-ossp"}, "pgvector": {"uuid-ossp", "vector"}, "dify_plugin": {"uuid-ossp"}}
EMULATORS_OWN_PATH = "/health"  # answered by the emulator itself, whatever the host
BEHIND_THE_FRONTEND = {Component.API, Component.WEB, Component.PLUGIN_DAEMON}


# ---- stages


@pytest.fixture(scope="module")
def deployed(world: World) -> World:
    world.cdk.must(world.cdk.deploy())
    leave_traces(world)
    return world


@pytest.fixture(scope="module")
def repeated(deployed: World) -> Stage:
    return succeed(deployed)


@pytest.fixture(scope="module")
def failed(deployed: World, repeated: Stage) -> Stage:
    """An upgrade that also asks for an extension which the database does not have."""
    stage = step(deployed, image_tag=OTHER_TAG, revision="2", extension=MISSING_EXTENSION)
    deployed.cdk.must(stage.outcome, code=1)
    return stage


@pytest.fixture(scope="module")
def recovered(deployed: World, failed: Stage) -> Stage:
    """The same upgrade without the mistake."""
    return succeed(deployed, image_tag=OTHER_TAG, revision="2")


@pytest.fixture(scope="module")
def refused(deployed: World, recovered: Stage) -> Outcome:
    """A first attempt to destroy."""
    return deployed.cdk.must(deployed.cdk.destroy(), code=1)


@pytest.fixture(scope="module")
def destroyed(deployed: World, recovered: Stage, refused: Outcome) -> State:
    """The second attempt, after what the first one asks for; what was there before."""
    unprotect(deployed, recovered.after.ids[CLUSTER])
    deployed.cdk.must(deployed.cdk.destroy())
    return recovered.after


# ---- the first deployment


def test_every_custom_resource_was_invoked_and_answered(deployed: World) -> None:
    assert_custom_resources_answered(deployed)


@pytest.mark.parametrize(
    ("role", "needing"),
    [("AWSServiceRoleForECS", "AWS::ECS::Cluster"), ("AWSServiceRoleForRDS", "AWS::RDS::DBSubnetGroup")],
)
def test_a_service_linked_role_is_made_before_it_is_needed(deployed: World, role: str, needing: str) -> None:
    path = deployed.client("iam").get_role(RoleName=role)["Role"]["Path"]
    assert path.startswith("/aws-service-role/")
    (answer,) = [row for row in deployed.emulator.journal("custom_resource") if row["physical_id"] == role]
    assert answer["data"] == {"Result": "created"}
    (id,) = Template(deployed.cdk.template()).of_type(needing)
    order = [(row["LogicalResourceId"], row["ResourceStatus"]) for row in deployed.cdk.events()]
    made = order.index((answer["logical_id"], "CREATE_COMPLETE"))
    assert made < order.index((id, "CREATE_IN_PROGRESS"))


def test_the_default_security_group_is_empty(deployed: World) -> None:
    vpc = deployed.cdk.physical_ids()["NetworkVpc7FB7348F"]
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    (group,) = deployed.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    assert (group["IpPermissions"], group["IpPermissionsEgress"]) == ([], [])


def test_databases_belong_to_their_roles(deployed: World) -> None:
    rows = deployed.postgres.as_superuser("SELECT datname, pg_get_userbyid(datdba) FROM pg_database")
    assert {name: owner for name, owner in rows if name in OWNERS} == OWNERS


@pytest.mark.parametrize("database", OWNERS)
def test_extensions_are_there(deployed: World, database: str) -> None:
    rows = deployed.postgres.as_superuser("SELECT extname FROM pg_extension", database)
    assert {name for (name,) in rows} - {"plpgsql"} == EXTENSIONS[database]


@pytest.mark.parametrize(("database", "owner"), OWNERS.items())
def test_each_role_logs_in_with_its_secret_and_works(deployed: World, database: str, owner: str) -> None:
    assert as_role(deployed, owner, database, "SELECT current_user::text") == [(owner,)]
    as_role(deployed, owner, database, "CREATE TABLE probe (id int); DROP TABLE probe")


def test_vectors_work(deployed: World) -> None:
    assert as_role(deployed, "dify", "pgvector", "SELECT '[0,3]'::vector <-> '[4,0]'::vector") == [(5.0,)]


@pytest.mark.parametrize("database", ["main", "pgvector"])
def test_plugins_cannot_connect_to_other_databases(deployed: World, database: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        as_role(deployed, "dify_plugin", database, "SELECT 1")


def test_the_migration_ran_once_in_the_app_subnets(deployed: World) -> None:
    (run,) = deployed.emulator.journal("run_task")
    request, ec2 = run["request"], deployed.client("ec2")
    network = request["networkConfiguration"]["awsvpcConfiguration"]
    subnets = ec2.describe_subnets(SubnetIds=network["subnets"])["Subnets"]
    names = {tag["Value"] for subnet in subnets for tag in subnet["Tags"] if tag["Key"] == "Name"}
    assert names == {"Dify/Network/Vpc/AppSubnet1", "Dify/Network/Vpc/AppSubnet2"}
    (group,) = ec2.describe_security_groups(GroupIds=network["securityGroups"])["SecurityGroups"]
    assert group["Description"] == "Dify migration"
    assert network["assignPublicIp"] == "DISABLED"
    definition = deployed.client("ecs").describe_task_definition(taskDefinition=request["taskDefinition"])
    (container,) = definition["taskDefinition"]["containerDefinitions"]
    assert (container["name"], container["image"]) == ("migration", "langgenius/dify-api:1.17.1")


def test_the_migration_waited_for_its_task_and_read_its_output(deployed: World) -> None:
    answers = deployed.emulator.journal("custom_resource")
    (answer,) = [row for row in answers if row["type"] == "Custom::DifyMigration"]
    (run,) = deployed.emulator.journal("run_task")
    assert answer["data"] == {"Result": TASK_RESULT, "Task": run["tasks"][0], "Warning": ""}
    assert answer["time"] > run["time"] + 2


@pytest.mark.parametrize("role", [Component.API, Component.WORKER, Component.BEAT])
def test_dify_starts_after_the_migration(deployed: World, role: str) -> None:
    template = Template(deployed.cdk.template())
    containers = {
        id: row["ContainerDefinitions"][0]["Name"]
        for id, row in template.properties("AWS::ECS::TaskDefinition").items()
    }
    services = template.properties("AWS::ECS::Service").items()
    (service,) = [id for id, row in services if containers[row["TaskDefinition"]["Ref"]] == role]
    (migration,) = template.of_type("Custom::DifyMigration")
    order = [(row["LogicalResourceId"], row["ResourceStatus"]) for row in deployed.cdk.events()]
    assert order.index((migration, "CREATE_COMPLETE")) < order.index((service, "CREATE_IN_PROGRESS"))


def test_every_container_finds_and_may_read_its_secrets(deployed: World) -> None:
    """ECS would ask for them when a task starts."""
    ecs, iam, manager = (deployed.client(name) for name in ("ecs", "iam", "secretsmanager"))
    asked = {}
    for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
        definition = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        (container,) = definition["containerDefinitions"]
        for secret in container.get("secrets", []):
            *parts, field = secret["valueFrom"].removesuffix("::").split(":", 7)
            source, field = (":".join(parts), field) if len(parts) > 6 else (secret["valueFrom"], "")
            value = manager.get_secret_value(SecretId=source)["SecretString"]
            (answer,) = iam.simulate_principal_policy(
                PolicySourceArn=definition["executionRoleArn"],
                ActionNames=["secretsmanager:GetSecretValue"],
                ResourceArns=[source],
            )["EvaluationResults"]
            found = json.loads(value)[field] if field else value
            asked[container["name"], secret["name"]] = (bool(found), answer["EvalDecision"])
    assert set(asked.values()) == {(True, "allowed")}
    assert {role for role, _ in asked} >= {"api", "worker", "plugin_daemon", "sandbox", "migration"}


# ---- requests


@pytest.fixture(scope="module")
def frontend(deployed: World) -> Iterator[Callable[[str], Answer]]:
    """Asks the load balancer for a path, with a test server registered for every role behind it."""
    template, ids = Template(deployed.cdk.template()), deployed.cdk.physical_ids()
    groups = {
        balancer["ContainerName"]: ids[balancer["TargetGroupArn"]["Ref"]]
        for service in template.services().values()
        for balancer in service.get("LoadBalancers", ())
    }
    assert set(groups) == BEHIND_THE_FRONTEND
    elbv2 = deployed.client("elbv2")
    (balancer,) = elbv2.describe_load_balancers()["LoadBalancers"]
    with start_targets(groups) as ports:
        targets = {role: [{"Id": "127.0.0.1", "Port": port}] for role, port in ports.items()}
        for role, group in groups.items():
            elbv2.register_targets(TargetGroupArn=group, Targets=targets[role])
        yield lambda path: ask(deployed.emulator.port, balancer["DNSName"], path)


@pytest.mark.parametrize(("path", "role"), LEADS_TO.items())
def test_a_request_reaches_its_role(frontend: Callable[[str], Answer], path: str, role: str) -> None:
    answer = frontend(path)
    assert (answer.status, answer.role, answer.path) == (200, role, path)


@pytest.mark.parametrize("path", [path for path in NEVER_AT_API_OR_DAEMON if path != EMULATORS_OWN_PATH])
def test_a_private_path_reaches_web_only(frontend: Callable[[str], Answer], path: str) -> None:
    assert frontend(path).role == Component.WEB


def test_the_query_arrives(frontend: Callable[[str], Answer]) -> None:
    path = "/files/1/file-preview?timestamp=1&nonce=a%2Fb&sign=c%3D"
    answer = frontend(path)
    assert (answer.status, answer.role, answer.path) == (200, Component.API, path)


def test_requests_cover_every_prefix_of_the_route_table() -> None:
    prefixes = {route.prefix for route in routes_to(BEHIND_THE_FRONTEND)}
    assert {route_of(path, BEHIND_THE_FRONTEND).prefix for path in LEADS_TO} == prefixes


# ---- updates


def test_a_second_deployment_changes_nothing(repeated: Stage) -> None:
    assert_nothing_changed(repeated)


def test_a_failing_initialisation_says_why(deployed: World, failed: Stage) -> None:
    assert f'extension "{MISSING_EXTENSION}" is not available' in " ".join(failed.outcome.output.split())
    assert [(row["type"], row["request"], row["status"]) for row in failed.answers] == [
        ("Custom::DifyDatabaseInit", "Update", "FAILED"),
        ("Custom::DifyDatabaseInit", "Update", "SUCCESS"),  # back to the old layout
    ]


def test_a_failing_initialisation_rolls_back(deployed: World, failed: Stage) -> None:
    events = deployed.cdk.events(failed.outcome.since)
    statuses = [row["ResourceStatus"] for row in events if row["LogicalResourceId"] == STACK]
    assert statuses[-1] == "UPDATE_ROLLBACK_COMPLETE"
    assert failed.after == failed.before


def test_a_failed_upgrade_leaves_the_old_images(failed: Stage, repeated: Stage) -> None:
    assert failed.images == repeated.images


def test_nothing_is_migrated_when_the_initialisation_fails(failed: Stage) -> None:
    assert failed.migrations == []


def test_the_next_deployment_succeeds_and_loses_nothing(recovered: Stage) -> None:
    assert recovered.after == recovered.before
    assert recovered.after.rows == ROWS


def test_another_image_migrates_once(deployed: World, recovered: Stage) -> None:
    (run,) = recovered.migrations
    ecs = deployed.client("ecs")
    definition = ecs.describe_task_definition(taskDefinition=run["request"]["taskDefinition"])
    (container,) = definition["taskDefinition"]["containerDefinitions"]
    assert container["image"] == f"langgenius/dify-api:{OTHER_TAG}"
    migrations = [row for row in recovered.answers if row["type"] == "Custom::DifyMigration"]
    # The new id makes CloudFormation send a Delete for the old one, which does nothing.
    assert [row["request"] for row in migrations] == ["Update", "Delete"]
    assert {row["status"] for row in recovered.answers} == {"SUCCESS"}


def test_another_image_reaches_the_services(recovered: Stage) -> None:
    found = recovered.images
    assert {found[role] for role in ("api", "worker", "beat")} == {f"langgenius/dify-api:{OTHER_TAG}"}
    assert found["web"] == f"langgenius/dify-web:{OTHER_TAG}"


# ---- the end


def test_destroy_stops_at_the_protected_cluster(deployed: World, refused: Outcome) -> None:
    events = deployed.cdk.events(refused.since)
    stopped = [row["LogicalResourceId"] for row in events if row["ResourceStatus"] == "DELETE_FAILED"]
    assert stopped == [CLUSTER, STACK]
    assert "deletion protection" in refused.output


def test_destroy_then_deletes_all_but_what_must_stay(deployed: World, destroyed: State) -> None:
    assert_only_what_must_stay_was_skipped(deployed, buckets=2)


def test_what_must_stay_is_there(deployed: World, destroyed: State) -> None:
    assert_data_stayed(deployed, destroyed)


def test_what_costs_money_is_gone(deployed: World, destroyed: State) -> None:
    assert_what_costs_money_is_gone(deployed)


def test_no_role_ever_lacked_a_permission(deployed: World, destroyed: State) -> None:
    assert deployed.emulator.journal("refusal") == []
