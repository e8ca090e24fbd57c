"""Custom resource that gives a cluster its roles, databases and extensions, through the Data API.

It looks, plans what is missing and executes that, until nothing is missing any more. A second run therefore
writes nothing, two runs at once end in the same state, and a statement that outlives the API's time limit is
met again at the next look. Delete touches nothing.

Properties of the resource::

    ClusterArn, MasterSecretArn
    Roles: [{Name, SecretArn, Databases: [{Name, Extensions: [..]}]}]
    Revision: any text; a new one makes CloudFormation call again, for example after a rotated secret

IAM of ``on_event``: ``rds-data:ExecuteStatement`` on the cluster, ``secretsmanager:GetSecretValue`` on the
master's secret and on each role's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scram
from data_api import DataApi, DataApiError, Value
from shared import LOG, CallError, Context, DeployError, Event, Retry, calling, require

if TYPE_CHECKING:
    from mypy_boto3_rds_data import RDSDataServiceClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOME = "postgres"
"""The database every cluster has: ours may not exist yet."""

MAX_ROUNDS = 4
"""Rounds of statements that all succeeded; one or two do, more means that one has no effect."""

_VERIFIER = "{verifier}"
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,62}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedDatabase:
    """A database and the extensions in it."""

    name: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedRole:
    """A log-in role, the secret with its password, and the databases it owns."""

    name: str
    secret_arn: str
    databases: tuple[WantedDatabase, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleState:
    """What is known of a role.

    Attributes:
        can_log_in: It has LOGIN.
        is_superuser: It has SUPERUSER.
        is_master: It is the user we are logged in as.
        is_granted: The master user has its rights, which it needs to make databases for it and work in them.
        password_works: The Data API can log in with the role's secret.
    """

    can_log_in: bool
    is_superuser: bool
    is_master: bool
    is_granted: bool
    password_works: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """What a database contains.

    Attributes:
        has_schema: There is a schema ``public``.
        can_create: The wanted owner may create in it.
        extensions: Names of the extensions.
        is_adopted: Nothing in that schema belongs to the master user, which in a restored cluster may have
            made what Dify works with. What an extension brought along stays the master user's.
    """

    has_schema: bool
    can_create: bool
    extensions: frozenset[str]
    is_adopted: bool = True


_FRESH = Inside(has_schema=True, can_create=True, extensions=frozenset())


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseState:
    """What is known of a database; ``inside`` is None while the master user may not look into it."""

    owner: str
    is_public: bool
    admits_owner: bool
    inside: Inside | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """The part of the cluster that the wanted layout speaks of, by name; what is missing is not there."""

    roles: Mapping[str, RoleState]
    databases: Mapping[str, DatabaseState]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One statement; ``{verifier}`` in it stands for the verifier of ``password_of``'s password."""

    sql: str
    database: str = HOME
    password_of: str | None = None


# What the master user owns in the schema, as statements that give it to the wanted owner, {owner}.
# Sequences of columns follow their tables.
_ADOPTION = """
SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, {owner}) AS command
FROM pg_class c
WHERE c.relnamespace = to_regnamespace('public')
AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, {owner})
FROM pg_proc p
WHERE p.pronamespace = to_regnamespace('public')
AND p.proowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    AND d.deptype = 'e')
UNION ALL SELECT format('ALTER TYPE %s OWNER TO %I', t.oid::regtype, {owner})
FROM pg_type t
WHERE t.typnamespace = to_regnamespace('public')
AND t.typowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
AND t.typtype IN ('e', 'd')
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
    AND d.deptype = 'e')
"""


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


def wanted_roles(properties: Mapping[str, Any]) -> tuple[WantedRole, ...]:
    """The layout that the resource asks for, with every name checked.

    Raises:
        DeployError: If a name is not usable, or a database has two owners.
    """
    (items,) = require(properties, "Roles")
    roles = tuple(_wanted_role(item) for item in items)
    for kind, names in (
        ("role", [role.name for role in roles]),
        ("database", [database.name for role in roles for database in role.databases]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            raise DeployError(f"the {kind} {name} is asked for more than once")
    return roles


def _wanted_role(item: Mapping[str, Any]) -> WantedRole:
    name, secret_arn = require(item, "Name", "SecretArn")
    databases = []
    for database in item.get("Databases", ()):
        extensions = tuple(database.get("Extensions", ()))
        databases.append(WantedDatabase(name=database["Name"], extensions=extensions))
        for each in (database["Name"], *extensions):
            quote(each)
    quote(name)
    return WantedRole(name=name, secret_arn=secret_arn, databases=tuple(databases))


def quote(name: str) -> str:
    """The name as an SQL identifier.

    Raises:
        DeployError: If it is not lower-case letters, digits, ``_`` and ``-``, at most 63, or is reserved.
    """
    if not _NAME.fullmatch(name) or name.startswith("pg_"):
        raise DeployError(
            f"{name!r} cannot be the name of a role, database or extension: use at most 63 lower-case "
            "letters, digits, _ and -, not starting with a digit or pg_"
        )
    return f'"{name}"'


def _literals(names: Iterable[str]) -> str:
    """A list for SQL's IN; the names are checked by :func:`quote`, so none has a quote in it."""
    return ", ".join(f"'{quote(name)[1:-1]}'" for name in names)


def plan(existing: Existing, wanted: Sequence[WantedRole]) -> list[Statement]:
    """The statements that are missing, in an order in which they work; nothing when all is there.

    Raises:
        DeployError: If a wanted role is one that we must not change.
    """
    statements = []
    for role in wanted:
        statements += _plan_role(role, existing.roles.get(role.name))
        for database in role.databases:
            statements += _plan_database(role.name, database, existing.databases.get(database.name))
    return statements


def _plan_role(role: WantedRole, state: RoleState | None) -> list[Statement]:
    name = quote(role.name)
    statements = []
    if state is None:
        sql = f"CREATE ROLE {name} LOGIN PASSWORD {_VERIFIER}"
        statements.append(Statement(sql=sql, password_of=role.name))
    elif state.is_master or state.is_superuser:
        kind = "the cluster's master user" if state.is_master else "a superuser"
        raise DeployError(f"the role {role.name} is {kind}: Dify's own roles must not be")
    elif not (state.can_log_in and state.password_works):
        sql = f"ALTER ROLE {name} LOGIN PASSWORD {_VERIFIER}"
        statements.append(Statement(sql=sql, password_of=role.name))
    if state is None or not state.is_granted:
        # PostgreSQL 16 and newer: whoever makes a role may administer it but does not have its rights.
        statements.append(Statement(sql=f"GRANT {name} TO CURRENT_USER"))
    return statements


def _plan_database(owner: str, database: WantedDatabase, state: DatabaseState | None) -> list[Statement]:
    name, role = quote(database.name), quote(owner)
    statements = []
    if state is None:
        statements.append(Statement(sql=f"CREATE DATABASE {name} OWNER {role}"))
    elif state.owner != owner:
        statements.append(Statement(sql=f"ALTER DATABASE {name} OWNER TO {role}"))
    if state is None or state.is_public:
        statements.append(Statement(sql=f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"))
    elif not state.admits_owner:
        statements.append(Statement(sql=f"GRANT CONNECT ON DATABASE {name} TO {role}"))
    inside = _FRESH if state is None else state.inside
    if inside is not None:
        statements += _plan_inside(role, database, inside)
    return statements


def _plan_inside(role: str, database: WantedDatabase, inside: Inside) -> list[Statement]:
    sql = []
    if not inside.has_schema:
        sql.append(f"CREATE SCHEMA public AUTHORIZATION {role}")
    elif not inside.can_create:
        sql.append(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    sql += [
        f"CREATE EXTENSION IF NOT EXISTS {quote(extension)} WITH SCHEMA public"
        for extension in database.extensions
        if extension not in inside.extensions
    ]
    if not inside.is_adopted:
        sql.append(_adopt(role[1:-1]))
    return [Statement(sql=text, database=database.name) for text in sql]


def _adopt(owner: str) -> str:
    commands = _ADOPTION.format(owner=_literals([owner]))
    return (
        f"DO $adopt$ DECLARE one record; BEGIN FOR one IN {commands} "
        "LOOP EXECUTE one.command; END LOOP; END $adopt$"
    )


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
            f"FROM pg_roles WHERE rolname IN ({_literals(role.name for role in wanted)})",
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
            "has_database_privilege(datdba, oid, 'CONNECT') "
            f"FROM pg_database WHERE datname IN ({_literals(owners)})",
            "databases",
        )
        states = {}
        for name, owner, is_public, admits_owner in rows:
            role = owners[str(name)]
            # Until all this is right the master user may be shut out; then the next look shows more.
            is_open = owner == role and bool(admits_owner) and role in roles and roles[role].is_granted
            states[str(name)] = DatabaseState(
                owner=str(owner),
                is_public=bool(is_public),
                admits_owner=bool(admits_owner),
                inside=self._inside(str(name), role, must_open=is_open),
            )
        return states

    def _inside(self, database: str, owner: str, *, must_open: bool) -> Inside | None:
        try:
            rows = self._rows(
                database,
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public'), "
                "EXISTS (SELECT FROM pg_namespace n, pg_roles r WHERE n.nspname = 'public' "
                f"AND r.rolname IN ({_literals([owner])}) AND has_schema_privilege(r.oid, n.oid, 'CREATE') "
                "AND has_schema_privilege(r.oid, n.oid, 'USAGE')), "
                "coalesce((SELECT string_agg(extname::text, ' ') FROM pg_extension), ''), "
                f"NOT EXISTS ({_ADOPTION.format(owner=_literals([owner]))})",
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


def _text(
    statement: Statement, secrets: Mapping[str, WantedRole], password: Callable[[WantedRole], str]
) -> str:
    if statement.password_of is None:
        return statement.sql
    secret = password(secrets[statement.password_of])
    try:
        return statement.sql.replace(_VERIFIER, f"'{scram.verifier(secret)}'")
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
