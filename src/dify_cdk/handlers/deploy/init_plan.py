"""What a cluster should have (roles, databases, extensions, settings), and the statements that are missing.

Pure: what exists comes in as values, what is to be executed goes out as texts. ``init_database`` looks and
executes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared import DeployError, require

HOME = "postgres"
"""The database every cluster has: ours may not exist yet."""

VERIFIER = "{verifier}"
"""Stands in a statement for the verifier of a password, which no log may show."""

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[A-Za-z0-9_.]{1,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedDatabase:
    """A database, the extensions in it, and what it sets otherwise than the cluster: a parameter's value."""

    name: str
    extensions: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


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
    """What is known of a database.

    Attributes:
        owner: Name of the role that owns it.
        is_public: Every role may connect.
        admits_owner: Its owner may connect.
        inside: What it contains; None while the master user may not look into it.
        settings: What it sets for whoever connects: a parameter's value, as it was written.
    """

    owner: str
    is_public: bool
    admits_owner: bool
    inside: Inside | None
    settings: Mapping[str, str] = field(default_factory=dict)


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
ADOPTION = """
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
        settings = database.get("Settings", {})
        databases.append(WantedDatabase(name=database["Name"], extensions=extensions, settings=settings))
        for each in (database["Name"], *extensions, *settings):
            quote(each)
        for value in settings.values():
            _quote_value(value)
    quote(name)
    return WantedRole(name=name, secret_arn=secret_arn, databases=tuple(databases))


def quote(name: str) -> str:
    """The name as an SQL identifier.

    Raises:
        DeployError: If it is not lower-case letters, digits, ``_`` and ``-``, at most 63, or is reserved.
    """
    if not _NAME.fullmatch(name) or name.startswith("pg_"):
        raise DeployError(
            f"{name!r} cannot be the name of a role, database, extension or setting: use at most 63 "
            "lower-case letters, digits, _ and -, not starting with a digit or pg_"
        )
    return f'"{name}"'


def _quote_value(value: str) -> str:
    """The value of a setting as an SQL literal."""
    if not _VALUE.fullmatch(value):
        raise DeployError(
            f"{value!r} cannot be the value of a setting: use at most 63 letters, digits, _ and dots"
        )
    return f"'{value}'"


def literals(names: Iterable[str]) -> str:
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
        sql = f"CREATE ROLE {name} LOGIN PASSWORD {VERIFIER}"
        statements.append(Statement(sql=sql, password_of=role.name))
    elif state.is_master or state.is_superuser:
        kind = "the cluster's master user" if state.is_master else "a superuser"
        raise DeployError(f"the role {role.name} is {kind}: Dify's own roles must not be")
    elif not (state.can_log_in and state.password_works):
        sql = f"ALTER ROLE {name} LOGIN PASSWORD {VERIFIER}"
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
    present = {} if state is None else state.settings
    statements += [
        Statement(sql=f"ALTER DATABASE {name} SET {quote(setting)} TO {_quote_value(value)}")
        for setting, value in database.settings.items()
        if present.get(setting) != value
    ]
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
    commands = ADOPTION.format(owner=literals([owner]))
    return (
        f"DO $adopt$ DECLARE one record; BEGIN FOR one IN {commands} "
        "LOOP EXECUTE one.command; END LOOP; END $adopt$"
    )
