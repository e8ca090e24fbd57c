"""What must hold for every variant: secrets, deletion, images, logs and least privilege."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from dify_cdk.dify.components import BACKEND_COMPONENTS, NAMED_COMPONENTS, Component
from dify_cdk.dify.environment import Purpose, secret_variables
from dify_cdk.dify.release import DifyRelease
from dify_defaults import dropped_names, known_names, read_table
from iam import allows, statements_of, text
from support import VARIANTS, Template, strings

STATEFUL = {
    "AWS::RDS::DBCluster": ("Snapshot", "Snapshot"),
    "AWS::ElastiCache::ReplicationGroup": ("RetainExceptOnCreate", "Retain"),
    "AWS::S3::Bucket": ("RetainExceptOnCreate", "Retain"),
    "AWS::SecretsManager::Secret": ("RetainExceptOnCreate", "Retain"),
}
GENERATED_LETTERS_AND_DIGITS = {"ExcludePunctuation": True, "IncludeSpace": False}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY(?!_PREFIX)|^API_KEY|BROKER_URL")
DYNAMIC_REFERENCE = "{{resolve:"


@pytest.mark.parametrize("type", STATEFUL)
def test_stateful_resources_survive_deletion_and_replacement(template: Template, type: str) -> None:
    # A frontend's own secret is stateless: it only has to be the same at both ends of one hop.
    found = {id: r for id, r in template.of_type(type).items() if "OriginHeader" not in id}
    assert found
    for id, resource in found.items():
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == STATEFUL[type], id


def test_cluster_is_protected_encrypted_and_backed_up(template: Template) -> None:
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    assert cluster["DeletionProtection"] is True
    assert cluster["StorageEncrypted"] is True
    assert cluster["BackupRetentionPeriod"] == 7
    (group,) = template.properties("AWS::RDS::DBClusterParameterGroup").values()
    assert group["Parameters"]["rds.force_ssl"] == "1"


def test_the_vectors_are_exempt_from_the_end_of_idle_sessions(template: Template) -> None:
    """As a property of the resource: with a new value CloudFormation asks the handler again."""
    (init,) = template.properties("Custom::DifyDatabaseInit").values()
    databases = [database for role in init["Roles"] for database in role["Databases"]]
    settings = {database["Name"]: database.get("Settings") for database in databases}
    assert settings == {"main": None, "pgvector": {"idle_session_timeout": "0"}, "dify_plugin": None}


def test_engine_is_one_on_which_the_migration_of_dify_runs(template: Template) -> None:
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    assert int(cluster["EngineVersion"].split(".")[0]) < 18  # see the test of PostgreSQL 18


def test_bucket_of_the_data_is_private_and_versioned(template: Template) -> None:
    (bucket,) = [
        p for id, p in template.properties("AWS::S3::Bucket").items() if id.startswith("DataStorage")
    ]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}


def test_bucket_of_the_data_refuses_plain_http(template: Template) -> None:
    (bucket,) = (id for id in template.of_type("AWS::S3::Bucket") if id.startswith("Data"))
    policies = template.properties("AWS::S3::BucketPolicy").values()
    (policy,) = (policy for policy in policies if policy["Bucket"] == {"Ref": bucket})
    denied = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
    conditions = [one["Condition"] for one in denied if one["Action"] == "s3:*"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions


def test_cache_is_encrypted_and_asks_for_users(template: Template) -> None:
    (cache,) = template.properties("AWS::ElastiCache::ReplicationGroup").values()
    assert cache["AtRestEncryptionEnabled"] is True
    assert cache["TransitEncryptionEnabled"] is True
    assert cache["TransitEncryptionMode"] == "required"
    assert "AuthToken" not in cache, "nobody else than its users"
    (group,) = template.of_type("AWS::ElastiCache::UserGroup")
    assert cache["UserGroupIds"] == [{"Ref": group}]


def test_replaced_objects_stay_readable_for_a_while(template: Template) -> None:
    (bucket,) = [
        p for id, p in template.properties("AWS::S3::Bucket").items() if id.startswith("DataStorage")
    ]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert "ExpirationInDays" not in rule


def test_tasks_have_time_to_start_and_to_stop(template: Template) -> None:
    for component, container in template.containers().items():
        assert container["StopTimeout"] == 120, component  # Fargate's longest
        if "HealthCheck" in container:
            assert container["HealthCheck"]["StartPeriod"] >= 120, component


def test_a_worker_without_a_broker_has_five_minutes_and_a_server_that_is_silent_less_than_one(
    template: Template,
) -> None:
    """ElastiCache needs minutes to put another node in a failed one's place, and a new task loses jobs."""
    for component, container in template.containers().items():
        if "HealthCheck" in container:
            check = container["HealthCheck"]
            assert check["Timeout"] < check["Interval"], component
            patience = check["Interval"] * check["Retries"]
            assert patience == 300 if component in ("worker", "beat") else 30 <= patience < 60, component


def test_a_health_check_asks_its_own_container_and_nobody_behind_it(template: Template) -> None:
    asks = {
        "api": ["localhost:5001/health"],
        "api_websocket": ["localhost:5001/health"],
        "web": ["127.0.0.1:3000/favicon.ico"],  # a page would be rendered with an answer of api
        "plugin_daemon": ["localhost:5002/health/check"],
        "sandbox": ["localhost:8194/health"],
        # Both read whether they are connected to the broker.
        **{"worker": [], "beat": []},
    }
    for component, container in template.containers().items():
        if component in ("migration", "ssrf_proxy"):
            assert "HealthCheck" not in container
            continue
        command = container["HealthCheck"]["Command"][-1]
        assert re.findall(r"https?://([\w.:/-]+)", command) == asks[component]
        assert ("/proc/net/tcp" in command) is (component in ("worker", "beat"))


def test_default_security_group_lets_nobody_in(template: Template) -> None:
    (restricted,) = template.properties("Custom::VpcRestrictDefaultSG").values()
    assert restricted["DefaultSecurityGroupId"]["Fn::GetAtt"][1] == "DefaultSecurityGroup"


def test_plugin_daemon_waits_for_its_database(template: Template) -> None:
    (init,) = template.of_type("Custom::DifyDatabaseInit")
    (daemon,) = [r for id, r in template.of_type("AWS::ECS::Service").items() if "PluginDaemon" in id]
    assert init in daemon["DependsOn"]


def test_services_wait_until_their_secrets_are_readable(template: Template) -> None:
    for id, service in template.of_type("AWS::ECS::Service").items():
        task = template.resources[service["Properties"]["TaskDefinition"]["Ref"]]["Properties"]
        role = task["ExecutionRoleArn"]["Fn::GetAtt"][0]
        policies = [
            p
            for p, r in template.of_type("AWS::IAM::Policy").items()
            if {"Ref": role} in r["Properties"]["Roles"]
        ]
        assert set(policies) <= set(service["DependsOn"]), id


def test_log_groups_expire_and_go_with_the_stack(template: Template) -> None:
    groups = template.of_type("AWS::Logs::LogGroup")
    assert groups
    for id, group in groups.items():
        assert group["Properties"]["RetentionInDays"] == 30, id
        assert group["DeletionPolicy"] == "Delete", id


def test_secrets_are_generated_one_per_purpose(template: Template) -> None:
    secrets = template.properties("AWS::SecretsManager::Secret")
    master_user = 1
    assert len([id for id in secrets if id.startswith("Data")]) == len(Purpose) + master_user
    for id, secret in secrets.items():
        if "BrokerUrl" in id:  # made of the cache's password, see below
            continue
        generator = secret["GenerateSecretString"]
        assert generator.items() >= GENERATED_LETTERS_AND_DIGITS.items(), id
        assert "SecretString" not in secret, id
        assert json.loads(generator.get("SecretStringTemplate", "{}")).keys() <= {"username"}, id


def test_init_password_is_short_enough_for_dify(template: Template) -> None:
    (password,) = [
        p for id, p in template.properties("AWS::SecretsManager::Secret").items() if "InitPassword" in id
    ]
    assert password["GenerateSecretString"]["PasswordLength"] <= 30


def test_secret_values_appear_only_as_the_allowed_dynamic_references(template: Template) -> None:
    allowed = re.compile(
        r"/DataCache\w*User[0-9A-F]{8}/Properties/Passwords/"
        r"|/DataDatabaseCluster[0-9A-F]{8}/Properties/MasterUserPassword/"
        r"|/DataCacheBrokerUrl[0-9A-F]{8}/Properties/SecretString/"
        r"|/FrontendEdgeDistribution[0-9A-F]{8}/Properties/DistributionConfig/Origins/\d+/OriginCustomHeaders/"
    )
    found = [path for path, text in strings(template.resources) if DYNAMIC_REFERENCE in text]
    assert len([path for path in found if path.startswith("/Data")]) == 5
    assert [path for path in found if not allowed.search(path)] == []


def test_no_parameter_or_output_reads_a_secret(template: Template) -> None:
    outside = {key: value for key, value in template.body.items() if key != "Resources"}
    assert [path for path, text in strings(outside) if DYNAMIC_REFERENCE in text] == []


def test_secret_names_are_never_plain_variables(template: Template) -> None:
    for component in template.containers():
        variables = template.environment(component).items()
        assert {name for name, value in variables if SECRET_NAME.search(name) and value} == set(), component


def test_functions_have_no_secret_in_their_configuration(template: Template) -> None:
    for id, function in template.properties("AWS::Lambda::Function").items():
        texts = [text for _, text in strings(function.get("Environment", {}))]
        assert not any(DYNAMIC_REFERENCE in text for text in texts), id


def test_containers_emit_only_names_their_component_reads(template: Template) -> None:
    for component in template.containers():
        names = {*template.environment(component), *template.secrets(component)}
        assert names - known_names(Component(component)) == set(), component


def test_containers_never_emit_names_that_dify_dropped(template: Template) -> None:
    for component in template.containers():
        assert {*template.environment(component), *template.secrets(component)} & dropped_names() == set(), (
            component
        )


def test_every_variable_of_a_container_has_a_row_in_the_table_of_defaults(template: Template) -> None:
    table = read_table()
    for component in template.containers():
        names = {*template.environment(component), *template.secrets(component)}
        assert [name for name in names if table.find(Component(component), name) is None] == [], component


def test_containers_get_every_secret_of_the_table(template: Template) -> None:
    for component in template.containers():
        assert set(template.secrets(component)) == set(secret_variables(Component(component))), component


def test_backend_components_share_one_environment(template: Template) -> None:
    present = [component for component in BACKEND_COMPONENTS if component in template.containers()]
    own = {
        "MODE",
        "MIGRATION_ENABLED",
        "GUNICORN_TIMEOUT",
        "APP_MAX_EXECUTION_TIME",
        "PLUGIN_DAEMON_TIMEOUT",
        "SERVER_WORKER_CLASS",
        "SERVER_WORKER_AMOUNT",
        "SERVER_WORKER_CONNECTIONS",
        "GUNICORN_CMD_ARGS",
        "FORWARDED_ALLOW_IPS",
        "DEBUG",
        "CELERY_WORKER_AMOUNT",
        "PLUGIN_DAEMON_KEY",
        "INNER_API_KEY_FOR_PLUGIN",
        "CODE_EXECUTION_API_KEY",
    }  # of one component by nature
    announced = {**template.environment(Component.WORKER)}
    for component in present:
        environment = template.environment(component)
        shared = {name: value for name, value in announced.items() if name not in own}
        if component is Component.MIGRATION:  # runs before there is a URL
            shared = {name: value for name, value in shared.items() if name in environment}
        assert {name: value for name, value in environment.items() if name not in own} == shared, component
        assert template.secrets(component).items() <= template.secrets(Component.API).items(), component


def test_migration_knows_no_url_so_that_it_can_run_first(template: Template) -> None:
    assert not {"CONSOLE_API_URL", "FILES_URL", "TRIGGER_URL"} & set(
        template.environment(Component.MIGRATION)
    )


def test_only_the_migration_migrates(template: Template) -> None:
    for component in template.containers():
        if component in BACKEND_COMPONENTS:
            expected = "true" if component == Component.MIGRATION else "false"
            assert template.environment(component)["MIGRATION_ENABLED"] == expected, component


OWN_OBJECTS = ("plugin/p", "plugin_packages/p", "assets/a", "persistence/t/d")
FOREIGN_OBJECTS = ("privkeys/t/private.pem", "upload_files/t/f", "tools/t/f", "keyword_files/t/f", "plug/p")
OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
OBJECTS = {
    Component.API: {*OWN_OBJECTS, *FOREIGN_OBJECTS},
    Component.WORKER: {*OWN_OBJECTS, *FOREIGN_OBJECTS},
    Component.PLUGIN_DAEMON: {*OWN_OBJECTS},
}  # all others: none


def test_objects_are_open_to_components_that_use_files_only(template: Template) -> None:
    (bucket,) = [id for id in template.of_type("AWS::S3::Bucket") if "Storage" in id]
    arn = f"<{bucket}.Arn>"
    for component in template.containers():
        role = str(template.task_of(component)["TaskRoleArn"]["Fn::GetAtt"][0])
        statements = statements_of(template, role)
        expected = OBJECTS.get(Component(component), set())
        for key in (*OWN_OBJECTS, *FOREIGN_OBJECTS):
            allowed = {allows(statements, action, f"{arn}/{key}") for action in OBJECT_ACTIONS}
            assert allowed == {key in expected}, (component, key)
            prefix = {"s3:prefix": f"{key.split('/')[0]}/"}
            assert allows(statements, "s3:ListBucket", arn, prefix) == (key in expected), (component, key)
        whole = Component(component) in (Component.API, Component.WORKER)
        for context in ({}, {"s3:prefix": ""}):
            assert allows(statements, "s3:ListBucket", arn, context) == whole, component


def test_images_are_the_pinned_ones(template: Template) -> None:
    """From Docker Hub, or from the registry of a network that cannot reach it."""
    release = DifyRelease()
    for component, container in template.containers().items():
        image = text(container["Image"]).rpartition(".amazonaws.com/dify/")[2]
        assert image == release.reference(Component(component)), component


def test_every_component_has_its_own_service_group_and_logs(template: Template) -> None:
    services = template.services()
    background = {
        Component.WORKER,
        Component.PLUGIN_DAEMON,
        Component.SANDBOX,
        Component.SSRF_PROXY,
    }  # beat: a choice, see below
    assert background <= set(services)
    groups = [
        json.dumps(s["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"])
        for s in services.values()
    ]
    assert len(set(groups)) == len(services)
    logs = [
        json.dumps(c["LogConfiguration"]["Options"]["awslogs-group"]) for c in template.containers().values()
    ]
    assert len(set(logs)) == len(logs)


def test_listening_components_have_a_private_name(template: Template) -> None:
    names = {
        properties["Name"] for properties in template.properties("AWS::ServiceDiscovery::Service").values()
    }
    assert names == {component.dns_label for component in NAMED_COMPONENTS}
    for component, service in template.services().items():
        assert bool(service.get("ServiceRegistries")) == (component in NAMED_COMPONENTS), component


def test_internal_urls_are_full_private_names(template: Template) -> None:
    (namespace,) = template.properties("AWS::ServiceDiscovery::PrivateDnsNamespace").values()
    zone = namespace["Name"]
    assert not zone.endswith(".local")
    worker = template.environment(Component.WORKER)
    assert worker["PLUGIN_DAEMON_URL"] == f"http://plugin-daemon.{zone}:5002"
    assert worker["CODE_EXECUTION_ENDPOINT"] == f"http://sandbox.{zone}:8194"
    assert worker["INTERNAL_FILES_URL"] == f"http://api.{zone}:5001"
    assert template.environment(Component.PLUGIN_DAEMON)["DIFY_INNER_API_URL"] == f"http://api.{zone}:5001"
    assert template.environment(Component.SANDBOX)["HTTP_PROXY"] == f"http://ssrf-proxy.{zone}:3128"


def test_services_roll_back(template: Template) -> None:
    for id, service in template.properties("AWS::ECS::Service").items():
        breaker = service["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
        assert breaker == {"Enable": True, "Rollback": True}, id


def test_migration_waits_for_databases_and_cache(template: Template) -> None:
    (migration,) = template.of_type("Custom::DifyMigration").values()
    (init,) = template.of_type("Custom::DifyDatabaseInit")
    (cache,) = template.of_type("AWS::ElastiCache::ReplicationGroup")
    assert {init, cache} <= set(migration["DependsOn"])
    assert migration["Properties"]["ServiceTimeout"] == "3600"
    assert int(migration["Properties"]["TimeoutSeconds"]) < 3600  # ours comes first, with a reason
    (init_resource,) = template.of_type("Custom::DifyDatabaseInit").values()
    assert set(template.of_type("AWS::RDS::DBInstance")) <= set(init_resource["DependsOn"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_scheduler_never_runs_twice(templates: Callable[[str], Template], variant: str) -> None:
    beat = templates(variant).services()[Component.BEAT]
    assert beat["DesiredCount"] == 1
    assert beat["DeploymentConfiguration"]["MaximumPercent"] == 100
    assert beat["DeploymentConfiguration"]["MinimumHealthyPercent"] == 0
    assert beat["AvailabilityZoneRebalancing"] == "DISABLED"


def test_plugin_daemon_writes_load_balancers_and_service_connect_out(template: Template) -> None:
    daemon = template.services()[Component.PLUGIN_DAEMON]
    assert isinstance(daemon["LoadBalancers"], list)
    assert "Enabled" in daemon["ServiceConnectConfiguration"]


@pytest.mark.parametrize("component", [Component.SANDBOX, Component.SSRF_PROXY])
def test_untrusted_components_have_no_permissions(template: Template, component: Component) -> None:
    task_role = template.task_of(component)["TaskRoleArn"]["Fn::GetAtt"][0]
    attached = [
        id for id, p in template.properties("AWS::IAM::Policy").items() if {"Ref": task_role} in p["Roles"]
    ]
    assert attached == []
    resource = template.resources[task_role]["Properties"]
    assert "ManagedPolicyArns" not in resource
    assert "Policies" not in resource
    assert template.services()[component]["EnableExecuteCommand"] is False


def test_task_roles_allow_the_bucket_and_nothing_else(template: Template) -> None:
    for component in template.containers():
        statements = _statements_of(template, template.task_of(component)["TaskRoleArn"]["Fn::GetAtt"][0])
        actions = {action for s in statements for action in _list(s["Action"])}
        if component == Component.PLUGIN_DAEMON:  # models are a choice, see test_models.py
            actions = {action for action in actions if not action.startswith("bedrock:")}
        expected = {*OBJECT_ACTIONS, "s3:ListBucket"} if Component(component) in OBJECTS else set()
        assert actions == expected, component
    daemon = _statements_of(
        template, template.task_of(Component.PLUGIN_DAEMON)["TaskRoleArn"]["Fn::GetAtt"][0]
    )
    paths = [
        text for statement in daemon for _, text in strings(statement["Resource"]) if text.startswith("/")
    ]
    assert sorted(paths) == ["/assets/*", "/persistence/*", "/plugin/*", "/plugin_packages/*"]


def test_policies_allow_no_action_everywhere_without_a_condition(template: Template) -> None:
    # These take no resource.
    unlimited = {
        "ecr:GetAuthorizationToken",
        "ec2:DescribeManagedPrefixLists",
        "servicediscovery:ListServices",
        "bedrock:ListFoundationModels",
        "bedrock:ListInferenceProfiles",
        "bedrock:Rerank",
    }
    for id, policy in template.properties("AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Resource"] == "*" and "Condition" not in statement:
                assert set(_list(statement["Action"])) <= unlimited, id


def _statements_of(template: Template, role: str) -> list[dict[str, Any]]:
    policies = [p for p in template.properties("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
