"""The SQL of docs/moving-in.md, then our initialisation, on a database as the predecessor leaves it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
import pytest

from documentation.pages import ROOT, read
from documentation.shell import commands
from handlers.postgres import MASTER, Postgres
from handlers.test_init_database import PASSWORDS, Site

PAGE = ROOT / "docs" / "moving-in.md"
OLD_TABLES = {
    "main": "CREATE TABLE accounts (id uuid DEFAULT uuid_generate_v4(), email text)",
    "pgvector": "CREATE TABLE embedding_vector_index_1 (id uuid, embedding vector(3))",
    "dify_plugin": "CREATE TABLE plugins (id uuid)",
}
# What the next migration may do to them: only their owner can.
MIGRATIONS = {
    "main": ("dify", "ALTER TABLE accounts ADD COLUMN nickname text"),
    "pgvector": ("dify", "CREATE INDEX ON embedding_vector_index_1 USING hnsw (embedding vector_l2_ops)"),
    "dify_plugin": ("dify_plugin", "ALTER TABLE plugins ADD COLUMN source text"),
}


def statements() -> list[tuple[str, str]]:
    """Database and SQL of every ``aws rds-data execute-statement`` on the page, in order."""
    found = []
    for block in read(PAGE).blocks:
        for command in commands(block.code) if block.language == "sh" else ():
            words = dict(zip(command.arguments, command.arguments[1:], strict=False))
            if "rds-data" in command.arguments:
                found.append((words["--database"], words["--sql"]))
    return found


@pytest.fixture(params=["postgres", "newer_postgres"])
def old(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The predecessor's cluster: one master user, who owns everything, three databases, no other role."""
    server: Postgres = request.getfixturevalue(request.param)
    site = Site(server)
    site.create_master()
    for database, table in OLD_TABLES.items():
        as_master(site, "postgres", f"CREATE DATABASE {database}")
        as_master(site, database, 'CREATE EXTENSION "uuid-ossp"')
        if database == "pgvector":
            as_master(site, database, "CREATE EXTENSION vector")
        as_master(site, database, table)
    as_master(site, "main", "INSERT INTO accounts (email) VALUES ('a@example.com')")
    yield site
    site.clean()


def as_master(site: Site, database: str, sql: str) -> None:
    with contextlib.closing(site.postgres.connect(MASTER, PASSWORDS[MASTER], database)) as opened:
        opened.cursor().execute(sql)


def test_the_page_has_the_statements() -> None:
    assert {database for database, _ in statements()} == {"main", "pgvector"}


def test_after_them_our_initialisation_works_and_the_new_owners_can_migrate(old: Site) -> None:
    for database, sql in statements():
        as_master(old, database, sql)
    old.run()
    assert old.owners() == {"main": "dify", "pgvector": "dify", "dify_plugin": "dify_plugin"}
    for database, (role, sql) in MIGRATIONS.items():
        old.as_role(role, database, sql)
    assert old.as_role("dify", "main", "SELECT email FROM accounts") == [("a@example.com",)]
    assert old.second_run() == []


def test_after_them_a_plugin_sees_its_own_database_only(old: Site) -> None:
    old.run()
    for database in ("main", "pgvector"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            old.as_role("dify_plugin", database)


def test_fails_when_another_than_the_master_user_made_the_tables(old: Site) -> None:
    """What the page says does not come along."""
    old.postgres.as_superuser("ALTER TABLE accounts OWNER TO rdsadmin", "main")
    old.run()
    role, sql = MIGRATIONS["main"]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="must be owner of table accounts"):
        old.as_role(role, "main", sql)
