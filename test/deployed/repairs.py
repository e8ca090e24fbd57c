"""What MiniStack answers differently from AWS and our stack meets: put right in its own process.

Every function says which defect it repairs. They reach into MiniStack, which is why its version is pinned;
none of it touches what is deployed. MiniStack has no types, so all of it is ``Any`` here.
"""

from __future__ import annotations

import json
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from handlers.postgres import Postgres

MACHINE_IMAGES = "/aws/service/ami-amazon-linux-latest"
TASK_RESULT = "unchanged"
"""What the one-off task's output says: not the word that the handler takes when it finds no output."""

_TASK_OUTPUT = f"dify-migration: {TASK_RESULT}: no task runs here, this line comes from the test"
_TASK_SECONDS = 2
_LONGEST_CUSTOM_RESOURCE = 180
_SERVICE_LINKED_ROLES = {
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "rds.amazonaws.com": "AWSServiceRoleForRDS",
}


def module(name: str) -> Any:
    """A module of MiniStack."""
    return import_module(f"ministack.{name}")


def _repository(_: str, request: Mapping[str, Any]) -> str:
    responses = module("core.responses")
    name = request.get("repositoryName") or next(iter(request.get("repositoryNames", ())), "*")
    return f"arn:aws:ecr:{responses.get_region()}:{responses.get_account_id()}:repository/{name}"


_RESOURCES: Mapping[tuple[str, str], Callable[[str, Mapping[str, Any]], str]] = {
    ("ecs", "RunTask"): lambda _, request: str(request["taskDefinition"]),
    ("ecs", "DescribeTasks"): lambda _, request: str(request["tasks"][0]),
    ("ecs", "ListTasks"): lambda *_: "*",
    ("ecr", "DescribeRepositories"): _repository,
    ("ecr", "DescribeImages"): _repository,
    ("logs", "GetLogEvents"): lambda group, request: f"{group}:log-stream:{request['logStreamName']}",
}
"""What AWS checks the permission on, from the resource that MiniStack found and the request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the server is told.

    Attributes:
        account: Account number.
        region: Region of the stack.
        postgres_port: Port of the PostgreSQL server that stands for the Aurora cluster.
        journal: File to write what happened to, one JSON object a line.
        images: Folder with the container images, see ``docker``.
    """

    account: str
    region: str
    postgres_port: int
    journal: str
    images: str


class Journal:
    """What tests ask about afterwards."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        line = json.dumps({"kind": kind, "time": time.time(), **fields}, default=str)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def apply(settings: Settings, journal: Journal) -> None:
    """Repair what every variant meets, before the server starts."""
    requests_arrive_encrypted()
    machine_images_have_parameters(settings)
    generated_secrets_are_plain()
    secrets_are_known_by_arn()
    service_linked_roles_have_their_names()
    networks_know_their_addresses()
    replacements_follow_the_schemas(settings)
    updates_are_recorded(journal)
    custom_resources_are_recorded(journal)
    refusals_are_recorded(journal)
    calls_are_authorized_on_their_resource()
    service_linked_roles_are_authorized_by_path()
    run_task_passes_roles()
    data_api_reads_the_secret_as_the_caller()
    clusters_are_served_by_postgres(Postgres(port=settings.postgres_port))
    users_of_caches_are_recorded(journal)
    protected_clusters_stay()
    container_secrets_are_kept()
    one_off_tasks_end(journal)


def handlers_of(type_name: str) -> dict[str, Any]:
    """The functions that create, update and delete a type."""
    handlers: dict[str, Any] = module("services.cloudformation.provisioners")._RESOURCE_HANDLERS[type_name]
    return handlers


def requests_arrive_encrypted() -> None:
    """Plain HTTP to loopback stands for TLS: bucket policies with enforceSSL refuse it otherwise."""
    app = module("app")
    original = app.pin_request_origin
    app.pin_request_origin = lambda address, _encrypted: original(address, True)


def machine_images_have_parameters(settings: Settings) -> None:
    """AWS's public parameters with the newest machine images are missing, and their names are reserved."""
    parameters = module("services.ssm")._parameters
    name = f"{MACHINE_IMAGES}/al2023-ami-kernel-6.1-arm64"
    with module("core.responses").request_scope(settings.account, settings.region):
        parameters[name] = {
            "Name": name,
            "Value": "ami-0123456789abcdef0",
            "OriginalValue": "ami-0123456789abcdef0",
            "Type": "String",
            "KeyId": "",
            "Version": 1,
            "ARN": f"arn:aws:ssm:{settings.region}::parameter{name}",
            "LastModifiedDate": 0,
            "DataType": "aws:ec2:image",
            "Tier": "Standard",
            "Policies": [],
            "Labels": [],
        }


def generated_secrets_are_plain() -> None:
    """``ExcludePunctuation`` is ignored, so that no generated password is letters and digits only."""
    engine = module("services.cloudformation.provisioners")
    original = engine._sm_secret_string

    def secret_string(props: Mapping[str, Any]) -> str:
        options = dict(props.get("GenerateSecretString") or {})
        if str(options.get("ExcludePunctuation")).lower() == "true":
            options["ExcludeCharacters"] = options.get("ExcludeCharacters", "") + string.punctuation
        generated: str = original({**props, "GenerateSecretString": options})
        return generated

    engine._sm_secret_string = secret_string


def secrets_are_known_by_arn() -> None:
    """Ref of a secret is its name instead of its ARN, so that no policy statement fits it."""
    secrets, handlers = module("services.secretsmanager"), handlers_of("AWS::SecretsManager::Secret")
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def by_arn(created: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
        return created[1]["Arn"], created[1]

    def name_of(arn: str) -> str:
        return str(secrets._resolve(arn)[0])

    handlers["create"] = lambda *rest: by_arn(create(*rest))
    handlers["update"] = lambda arn, *rest: by_arn(update(name_of(arn), *rest))
    handlers["delete"] = lambda arn, props: delete(name_of(arn), props)


def service_linked_roles_have_their_names() -> None:
    """They are named after the first part of the service, and refused with another code where they exist.

    Not a defect: a new role is known everywhere at once here, so that it counts as old and nobody waits.
    """
    iam = module("services.iam")
    original, roles = iam._IAM_HANDLERS["CreateServiceLinkedRole"], iam._roles

    def create(request: Mapping[str, Any]) -> Any:
        service = iam._p(request, "AWSServiceName")
        name = _SERVICE_LINKED_ROLES[service]
        if name in roles:
            taken = f"Service role name {name} has been taken in this account, please try a different suffix."
            return iam._error(400, "InvalidInput", taken, ns="iam")
        before = set(roles)
        answer = original(request)
        (made,) = set(roles) - before
        role = roles.pop(made)
        old = "2026-01-01T00:00:00Z"
        roles[name] = {**role, "RoleName": name, "Arn": role["Arn"].replace(made, name), "CreateDate": old}
        return answer

    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = create


def networks_know_their_addresses() -> None:
    """``Fn::GetAtt`` of a VPC knows no ``CidrBlock``."""
    handlers = handlers_of("AWS::EC2::VPC")
    for name, place in (("create", 1), ("update", 2)):
        handlers[name] = _with_property(handlers[name], "CidrBlock", place)


def _with_property(original: Callable[..., Any], name: str, place: int) -> Callable[..., Any]:
    """A handler that also answers a property of the resource, which is its argument at ``place``."""

    def handle(*arguments: Any) -> tuple[str, dict[str, str]]:
        physical_id, attributes = original(*arguments)
        return physical_id, {**attributes, name: arguments[place][name]}

    return handle


def replacements_follow_the_schemas(settings: Settings) -> None:
    """Of most types no property counts as create-only: ask the provider schemas, as AWS does."""
    engine, stacks = module("services.cloudformation.provisioners"), module("services.cloudformation.stacks")
    original, replacing = engine._property_recreation, engine._REPLACING_PROPERTIES
    manager: Any = import_module("cfnlint.schema").PROVIDER_SCHEMA_MANAGER

    def property_recreation(type_name: str, name: str) -> str:
        if type_name.startswith("AWS::") and type_name not in replacing:
            schema = manager.get_resource_schema(settings.region, type_name).schema
            pointers = schema.get("createOnlyProperties", ())
            replacing[type_name] = tuple(pointer.removeprefix("/properties/") for pointer in pointers)
        recreation: str = original(type_name, name)
        return recreation

    engine._property_recreation = stacks._property_recreation = property_recreation


def updates_are_recorded(journal: Journal) -> None:
    """All resources of a stack have events of its update, whether or not anything about them changes."""
    stacks = module("services.cloudformation.stacks")
    original = stacks._update_resource

    def update(type_name: str, physical_id: str, old: Any, new: Any, stack: str, *rest: Any) -> Any:
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        updated = original(type_name, physical_id, old, new, stack, *rest)
        if changed:
            journal.write("update", stack=stack, logical_id=rest[0], type=type_name, changed=changed)
        return updated

    stacks._update_resource = update


def custom_resources_are_recorded(journal: Journal) -> None:
    """Write every invocation and its answer down, and wait minutes instead of an hour for a lost answer."""
    custom_resource = module("services.cloudformation.custom_resource")
    original = custom_resource.invoke_custom_resource

    def invoke(request_type: str, logical_id: str, props: Mapping[str, Any], *rest: str, **named: Any) -> Any:
        longest = min(int(props.get("ServiceTimeout", 3600)), _LONGEST_CUSTOM_RESOURCE)
        hurried = {**props, "ServiceTimeout": longest}
        entry = {"request": request_type, "logical_id": logical_id, "type": rest[-1]}
        try:
            physical_id, data = original(request_type, logical_id, hurried, *rest, **named)
        except Exception as error:
            journal.write("custom_resource", **entry, status="FAILED", reason=str(error))
            raise
        journal.write("custom_resource", **entry, status="SUCCESS", physical_id=physical_id, data=data)
        return physical_id, data

    custom_resource.invoke_custom_resource = invoke


def refusals_are_recorded(journal: Journal) -> None:
    """Not a defect: an answer names the refused action, but not the resource that was asked for."""
    evaluator = module("core.iam_evaluator")
    original = evaluator.enforce

    def enforce(key: str, action: str, *rest: Any, **named: Any) -> object | None:
        refusal: object | None = original(key, action, *rest, **named)
        if refusal is not None:
            journal.write("refusal", action=action, answer=refusal, asked=[*rest, named])
        return refusal

    evaluator.enforce = enforce


def calls_are_authorized_on_their_resource() -> None:
    """ECS calls count as on the cluster and know no ``ecs:cluster``, reading a log as on its whole group.

    Calls of ECR count as on no repository in particular.
    """
    actions = module("core.iam_actions")
    resource_of, context_of = actions.extract_resource_arn, actions.request_tag_context

    def extract_resource_arn(service: str, *rest: Any) -> str:
        found: str = resource_of(service, *rest)
        _method, _path, headers, body = rest[:4]
        operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        narrow = _RESOURCES.get((service, operation))
        return narrow(found, read_json(body)) if narrow else found

    def request_tag_context(service: str, action: str, body: bytes, params: Any) -> dict[str, Any]:
        context: dict[str, Any] = context_of(service, action, body, params)
        return {**context, "ecs:cluster": read_json(body).get("cluster")} if service == "ecs" else context

    actions.extract_resource_arn, actions.request_tag_context = extract_resource_arn, request_tag_context


def service_linked_roles_are_authorized_by_path() -> None:
    """Such a role counts as one without a path, making it as on no role in particular and for no service."""
    actions = module("core.iam_actions")
    resource_of, context_of = actions.extract_resource_arn, actions.request_tag_context
    paths = {name: f"aws-service-role/{service}/{name}" for service, name in _SERVICE_LINKED_ROLES.items()}

    def extract_resource_arn(service: str, *rest: Any) -> str:
        found: str = resource_of(service, *rest)
        asked = actions._query_param(rest[4], "AWSServiceName")
        name = _SERVICE_LINKED_ROLES.get(asked) or found.rpartition("/")[2]
        if service != "iam" or name not in paths:
            return found
        return f"arn:aws:iam::{module('core.responses').get_account_id()}:role/{paths[name]}"

    def request_tag_context(service: str, action: str, body: bytes, params: Any) -> dict[str, Any]:
        context: dict[str, Any] = context_of(service, action, body, params)
        asked = actions._query_param(params, "AWSServiceName")
        return {**context, "iam:AWSServiceName": asked} if asked else context

    actions.extract_resource_arn, actions.request_tag_context = extract_resource_arn, request_tag_context


def run_task_passes_roles() -> None:
    """RunTask needs ``iam:PassRole`` for the task's two roles, which is not asked for."""
    evaluator, ecs = module("core.iam_evaluator"), module("services.ecs")
    original = evaluator.enforce

    def enforce(key: str, action: str, service: str, region: str, **named: Any) -> object | None:
        refusal: object | None = original(key, action, service, region, **named)
        if refusal is not None or action != "ecs:RunTask":
            return refusal
        task = ecs._task_defs[ecs._resolve_td_key(named["resource_arn"])]
        context = {"iam:passedtoservice": "ecs-tasks.amazonaws.com"}
        answers = [
            original(key, "iam:PassRole", "iam", region, resource_arn=task[role], service_context=context)
            for role in ("taskRoleArn", "executionRoleArn")
        ]
        return next((answer for answer in answers if answer is not None), None)

    evaluator.enforce = enforce


def data_api_reads_the_secret_as_the_caller() -> None:
    """The Data API reads the secret with the caller's permissions; MiniStack reads it with none."""
    app = module("app")
    original = app._enforce_rds_data

    def enforce(method: str, path: str, headers: Any, body: bytes, *rest: Any) -> object | None:
        refusal: object | None = original(method, path, headers, body, *rest)
        if refusal is not None:
            return refusal
        secret = read_json(body).get("secretArn", "")
        answer: object | None = app._enforce_data_plane(
            "secretsmanager", "secretsmanager:GetSecretValue", headers, *rest, resource_arn=secret
        )
        return answer

    app._enforce_rds_data = enforce


def clusters_are_served_by_postgres(server: Postgres) -> None:
    """A cluster is only a record: give it a master user in a real server, and lead the Data API there."""
    rds = module("services.rds")
    cluster, instance = handlers_of("AWS::RDS::DBCluster"), handlers_of("AWS::RDS::DBInstance")
    create_cluster, create_instance = cluster["create"], instance["create"]
    update_cluster = cluster["update"]

    def login_of(props: Mapping[str, Any]) -> tuple[str, str]:
        user, password = props["MasterUsername"], props["MasterUserPassword"]
        if not (user.isidentifier() and password.isalnum()):
            raise ValueError("the master user's name and password have to be resolved and plain")
        return user, password

    def cluster_with_master(logical_id: str, props: Mapping[str, Any], stack_name: str) -> Any:
        user, password = login_of(props)
        server.as_superuser(f"CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
        return create_cluster(logical_id, props, stack_name)

    def cluster_with_new_password(physical_id: str, old: Any, new: Any, *rest: Any) -> Any:
        user, password = login_of(new)
        if password != login_of(old)[1]:
            server.as_superuser(f"ALTER ROLE {user} PASSWORD '{password}'")
        return update_cluster(physical_id, old, new, *rest)

    def instance_with_address(logical_id: str, props: Mapping[str, Any], stack_name: str) -> Any:
        created = create_instance(logical_id, props, stack_name)
        rds._instances[created[0]].update(
            _docker_container_id="postgres", _internal_address="127.0.0.1", _internal_port=server.port
        )
        return created

    cluster["create"], cluster["update"] = cluster_with_master, cluster_with_new_password
    instance["create"] = instance_with_address


def users_of_caches_are_recorded(journal: Journal) -> None:
    """Write down who may do what with which passwords: the last line of a user is what holds."""
    handlers = handlers_of("AWS::ElastiCache::User")
    create, update = handlers["create"], handlers["update"]

    def record(props: Mapping[str, Any]) -> None:
        fields = {"name": props["UserName"], "access": props["AccessString"], "passwords": props["Passwords"]}
        journal.write("cache_user", **fields)

    def created(logical_id: str, props: Mapping[str, Any], stack_name: str) -> Any:
        made = create(logical_id, props, stack_name)
        record(props)
        return made

    def updated(physical_id: str, old: Any, new: Any, *rest: Any) -> Any:
        made = update(physical_id, old, new, *rest)
        record(new)
        return made

    handlers["create"], handlers["update"] = created, updated


def protected_clusters_stay() -> None:
    """CloudFormation deletes, and snapshots before that, a cluster that RDS's own API would refuse to."""
    rds, cluster = module("services.rds"), handlers_of("AWS::RDS::DBCluster")

    def guarded(original: Callable[..., None]) -> Callable[..., None]:
        def act(physical_id: str, props: Mapping[str, Any]) -> None:
            if rds._clusters.get(physical_id, {}).get("DeletionProtection"):
                raise ValueError("Cannot delete protected Cluster, please disable deletion protection")
            original(physical_id, props)

        return act

    cluster["delete"], cluster["snapshot"] = guarded(cluster["delete"]), guarded(cluster["snapshot"])


def container_secrets_are_kept() -> None:
    """A container's secrets and repository credentials keep CloudFormation's spelling, which no API shows."""
    engine = module("services.cloudformation.provisioners")
    original = engine._normalize_container_defs

    def normalize(definitions: Any) -> list[dict[str, Any]]:
        containers: list[dict[str, Any]] = original(definitions)
        for container in containers:
            secrets = container.get("secrets", [])
            container["secrets"] = [
                {"name": each["Name"], "valueFrom": each["ValueFrom"]} for each in secrets
            ]
        return containers

    engine._normalize_container_defs = normalize


def one_off_tasks_end(journal: Journal) -> None:
    """RunTask's task runs for ever and prints nothing: end it with exit code 0 and one line of output."""
    ecs, responses = module("services.ecs"), module("core.responses")
    original = ecs._ACTION_MAP["RunTask"]

    def finish(account: str, region: str, arn: str) -> None:
        with responses.request_scope(account, region):
            task = ecs._tasks[arn]
            definition = ecs._task_defs[ecs._resolve_td_key(task["taskDefinitionArn"])]
            config = ecs._awslogs_config(definition["containerDefinitions"][0], arn.rsplit("/", 1)[-1], "")
            if ecs._ensure_awslogs_stream(config):
                ecs._emit_awslogs_event(config, _TASK_OUTPUT)
            reason = "Essential container in task exited"
            ecs._mark_task_stopped(arn, task, reason, "EssentialContainerExited", exit_code=0)

    def run_task(request: Mapping[str, Any]) -> Any:
        answer = original(request)
        arns = [task["taskArn"] for task in read_json(answer[2]).get("tasks", [])]
        journal.write("run_task", request=request, tasks=arns)
        for arn in arns:
            scope = (responses.get_account_id(), responses.get_region(), arn)
            timer = threading.Timer(_TASK_SECONDS, finish, scope)
            timer.daemon = True
            timer.start()
        return answer

    ecs._ACTION_MAP["RunTask"] = run_task


def read_json(body: Any) -> dict[str, Any]:
    """A request's or an answer's object, empty if there is none."""
    loaded: dict[str, Any] = json.loads(body or b"{}")
    return loaded
