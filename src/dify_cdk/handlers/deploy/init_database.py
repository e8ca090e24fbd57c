"""Custom resource that gives a cluster roles, databases, extensions and settings, through the Data API.

It looks, plans what is missing and executes that, until nothing is missing any more. A second run therefore
writes nothing, two runs at once end in the same state, and a statement that outlives the API's time limit is
met again at the next look. Delete touches nothing.

Properties of the resource::

    ClusterArn, MasterSecretArn
    Roles: [{Name, SecretArn, Databases: [{Name, Extensions: [..], Settings: {name: value}}]}]
    Revision: any text; a new one makes CloudFormation call again, for example after a rotated secret

IAM of ``on_event``: ``rds-data:ExecuteStatement`` on the cluster, ``secretsmanager:GetSecretValue`` on the
master's secret and on each role's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scram
from data_api import DataApi, DataApiError, Value
from init_plan import (
    ADOPTION,
    HOME,
    VERIFIER,
    DatabaseState,
    Existing,
    Inside,
    RoleState,
    Statement,
    WantedRole,
    literals,
    plan,
    wanted_roles,
)
from shared import LOG, CallError, Context, DeployError, Event, Retry, calling, require

if TYPE_CHECKING:
    from mypy_boto3_rds_data import RDSDataServiceClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_ROUNDS = 4
"""Rounds of statements that all succeeded; one or two do, more means that one has no effect."""


def on_event(event: Event, context: Context) -> dict[str, Any]:
    """Handle a request of the provider framework."""
    import boto3
    from botocore.config import Config

    # Our own retries know more; the API answers after 45 s at the latest.
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=10, read_timeout=50
    )
    return handle(
        event,
        client=boto3.client("rds-data", config=config),
        secrets=boto3.client("secretsmanager"),
        retry=Retry(context.get_remaining_time_in_millis, sleep=time.sleep),
    )


def handle(
    event: Event, *, client: RDSDataServiceClient, secrets: SecretsManagerClient, retry: Retry
) -> dict[str, Any]:
    """Do what a request asks for.

    Args:
        event: The request.
        client: Data API.
        secrets: Secrets Manager.
        retry: Pauses between tries.

    Raises:
        DeployError: With the reason for CloudFormation.
    """
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    properties = event["ResourceProperties"]
    cluster_arn, master = require(properties, "ClusterArn", "MasterSecretArn")
    wanted = wanted_roles(properties)
    cluster = _Cluster(api=DataApi(client=client, cluster_arn=cluster_arn), master=master)
    converge(cluster, wanted, lambda role: _password(secrets, role), retry)
    names = [database.name for role in wanted for database in role.databases]
    return {"PhysicalResourceId": f"{cluster_arn}/databases", "Data": {"Databases": ",".join(names)}}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cluster:
    """The cluster as its master user sees it."""

    api: DataApi
    master: str

    def look(self, wanted: Sequence[WantedRole]) -> Existing:
        roles = self._roles(wanted)
        return Existing(roles=roles, databases=self._databases(wanted, roles))

    def run(self, statement: Statement, sql: str) -> None:
        LOG.info("in %s: %s", statement.database, statement.sql)
        self.api.run(self.master, statement.database, sql, f"{statement.sql} in {statement.database}")

    def _rows(self, database: str, sql: str, what: str) -> list[list[Value]]:
        return self.api.rows(self.master, database, sql, f"looking for {what} as the master user")

    def _roles(self, wanted: Sequence[WantedRole]) -> dict[str, RoleState]:
        rows = self._rows(
            HOME,
            "SELECT rolname::text, rolcanlogin, rolsuper, rolname = current_user, "
            "pg_has_role(current_user, oid, 'USAGE') "
            f"FROM pg_roles WHERE rolname IN ({literals(role.name for role in wanted)})",
            "roles",
        )
        secrets = {role.name: role for role in wanted}
        states = {}
        for name, can_log_in, is_superuser, is_master, is_granted in rows:
            role = secrets[str(name)]
            states[role.name] = RoleState(
                can_log_in=bool(can_log_in),
                is_superuser=bool(is_superuser),
                is_master=bool(is_master),
                is_granted=bool(is_granted),
                password_works=self._can_log_in(role),
            )
        return states

    def _can_log_in(self, role: WantedRole) -> bool:
        """Whether the role's secret opens the database; where it may go after that does not matter."""
        database = role.databases[0].name if role.databases else HOME
        try:
            self.api.rows(role.secret_arn, database, "SELECT 1", f"logging in as {role.name}")
        except DataApiError as error:
            if error.is_authentication:
                return False
            if not error.is_after_login:
                raise
        return True

    def _databases(
        self, wanted: Sequence[WantedRole], roles: Mapping[str, RoleState]
    ) -> dict[str, DatabaseState]:
        owners = {database.name: role.name for role in wanted for database in role.databases}
        if not owners:
            return {}
        rows = self._rows(
            HOME,
            "SELECT datname::text, pg_get_userbyid(datdba)::text, "
            "EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) "
            "WHERE grantee = 0 AND privilege_type = 'CONNECT'), "
            "has_database_privilege(datdba, oid, 'CONNECT'), "
            "(SELECT array_to_string(setconfig, chr(10)) FROM pg_db_role_setting "
            "WHERE setdatabase = pg_database.oid AND setrole = 0) "
            f"FROM pg_database WHERE datname IN ({literals(owners)})",
            "databases",
        )
        states = {}
        for name, owner, is_public, admits_owner, settings in rows:
            role = owners[str(name)]
            # Until all this is right the master user may be shut out; then the next look shows more.
            is_open = owner == role and bool(admits_owner) and role in roles and roles[role].is_granted
            states[str(name)] = DatabaseState(
                owner=str(owner),
                is_public=bool(is_public),
                admits_owner=bool(admits_owner),
                inside=self._inside(str(name), role, must_open=is_open),
                settings=_settings(settings),
            )
        return states

    def _inside(self, database: str, owner: str, *, must_open: bool) -> Inside | None:
        try:
            rows = self._rows(
                database,
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public'), "
                "EXISTS (SELECT FROM pg_namespace n, pg_roles r WHERE n.nspname = 'public' "
                f"AND r.rolname IN ({literals([owner])}) AND has_schema_privilege(r.oid, n.oid, 'CREATE') "
                "AND has_schema_privilege(r.oid, n.oid, 'USAGE')), "
                "coalesce((SELECT string_agg(extname::text, ' ') FROM pg_extension), ''), "
                f"NOT EXISTS ({ADOPTION.format(owner=literals([owner]))})",
                f"what is in the database {database}",
            )
        except DataApiError as error:
            if error.is_privilege and not must_open:
                return None
            raise
        [[has_schema, can_create, extensions, is_adopted]] = rows
        return Inside(
            has_schema=bool(has_schema),
            can_create=bool(can_create),
            extensions=frozenset(str(extensions).split()),
            is_adopted=bool(is_adopted),
        )


def converge(
    cluster: _Cluster,
    wanted: Sequence[WantedRole],
    password: Callable[[WantedRole], str],
    retry: Retry,
) -> None:
    """Look, plan and execute until nothing is missing.

    Args:
        cluster: Where.
        wanted: The layout.
        password: Reads a role's password; asked for only when a password is set.
        retry: Pauses after errors that pass by themselves: also a lack of permissions, at first.

    Raises:
        DeployError: If an error does not pass, or not in time, or if statements have no effect.
    """
    secrets = {role.name: role for role in wanted}
    rounds = 0
    while True:
        try:
            statements = plan(cluster.look(wanted), wanted)
            if not statements:
                return
            if rounds == MAX_ROUNDS:
                texts = "; ".join(statement.sql for statement in statements)
                raise DeployError(f"these statements were executed {rounds} times without effect: {texts}")
            for statement in statements:
                cluster.run(statement, _text(statement, secrets, password))
            rounds += 1
        except CallError as error:
            if not error.passes_after(retry.seconds):
                raise
            retry.pause(error)


def _settings(lines: Value) -> dict[str, str]:
    """What a database sets, of lines like ``idle_session_timeout=0``; none if it sets nothing."""
    parts = (line.partition("=") for line in str(lines or "").splitlines())
    return {name: value for name, _, value in parts}


def _text(
    statement: Statement, secrets: Mapping[str, WantedRole], password: Callable[[WantedRole], str]
) -> str:
    if statement.password_of is None:
        return statement.sql
    secret = password(secrets[statement.password_of])
    try:
        return statement.sql.replace(VERIFIER, f"'{scram.verifier(secret)}'")
    except ValueError as error:
        raise DeployError(f"the secret of the role {statement.password_of}: {error}") from None


def _password(secrets: SecretsManagerClient, role: WantedRole) -> str:
    """The role's password; the user name in the secret is what the Data API logs in with, so it must fit."""
    with calling(f"reading the secret of the role {role.name}"):
        text = secrets.get_secret_value(SecretId=role.secret_arn).get("SecretString", "")
    try:
        content = json.loads(text)
        username, password = content["username"], content["password"]
    except (ValueError, KeyError, TypeError):
        # Not "from error": the text of the error may quote the secret.
        raise DeployError(
            f"the secret of the role {role.name} must be JSON with username and password"
        ) from None
    if username != role.name or not isinstance(password, str):
        raise DeployError(f"the secret of the role {role.name} must have that name as its username")
    return password
