"""The init handler against a real PostgreSQL, through a Data API that executes for real."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import init_database
import psycopg2
import pytest
from init_database import handle
from psycopg2.pool import SimpleConnectionPool
from shared import SETTLE_SECONDS, DeployError, Retry

from handlers.data_api_fake import CLUSTER_ARN, FakeDataApi, FakeSecrets, resuming
from handlers.postgres import MASTER, Postgres
from handlers.refusals import refusal

PASSWORDS = {MASTER: "masterPassword0", "dify": "difyPassword0", "dify_plugin": "pluginPassword0"}
DATABASES = {"main": "dify", "pgvector": "dify", "dify_plugin": "dify_plugin"}
EXTENSIONS = {"main": {"uuid-ossp"}, "pgvector": {"uuid-ossp", "vector"}, "dify_plugin": {"uuid-ossp"}}
SETTINGS = {"pgvector": {"idle_session_timeout": "0"}}
ID = f"{CLUSTER_ARN}/databases"
MINUTES_15 = 900.0


def secret_arn(name: str) -> str:
    return f"arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:{name}"


def request(kind: str = "Create", **properties: Any) -> dict[str, Any]:
    roles: dict[str, list[dict[str, Any]]] = {"dify": [], "dify_plugin": []}
    for database, owner in DATABASES.items():
        item: dict[str, Any] = {"Name": database, "Extensions": sorted(EXTENSIONS[database])}
        roles[owner].append(item | ({"Settings": SETTINGS[database]} if database in SETTINGS else {}))
    event = {
        "RequestType": kind,
        "ResourceProperties": {
            "ServiceToken": "arn:token",
            "ClusterArn": CLUSTER_ARN,
            "MasterSecretArn": secret_arn(MASTER),
            "Roles": [
                {"Name": name, "SecretArn": secret_arn(name), "Databases": owned}
                for name, owned in roles.items()
            ],
            "Revision": "1",
            **properties,
        },
    }
    return event if kind == "Create" else {**event, "PhysicalResourceId": ID}


def denied(action: str) -> Exception:
    return refusal("AccessDeniedException", f"User: arn:x is not authorized to perform: {action}", 403)


class Site:
    """A cluster with its master user, the Data API in front of it, and the handler's clock."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        contents = {
            secret_arn(name): {"username": name, "password": text} for name, text in PASSWORDS.items()
        }
        self.secrets = FakeSecrets(contents)
        self.api = FakeDataApi(postgres, self.secrets)
        self.seconds = MINUTES_15
        self.slept: list[float] = []

    def create_master(self, options: str = "CREATEDB CREATEROLE") -> None:
        self.postgres.as_superuser(f"CREATE ROLE {MASTER} LOGIN {options} PASSWORD '{PASSWORDS[MASTER]}'")

    def clean(self) -> None:
        for database in DATABASES:
            self.postgres.as_superuser(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        for role in ("dify", "dify_plugin", MASTER):
            self.postgres.as_superuser(f"DROP ROLE IF EXISTS {role}")

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds -= seconds

    def run(self, event: dict[str, Any] | None = None, api: FakeDataApi | None = None) -> dict[str, Any]:
        retry = Retry(lambda: int(self.seconds * 1000), sleep=self.sleep)
        client: Any = api or self.api
        secrets: Any = self.secrets
        return handle(event or request(), client=client, secrets=secrets, retry=retry)

    def second_run(self) -> list[str]:
        """The statements of a run that should have nothing to do."""
        before = len(self.api.writes)
        self.run()
        return self.api.writes[before:]

    def as_role(self, name: str, database: str, sql: str = "SELECT 1") -> list[tuple[Any, ...]]:
        password = self.secrets.contents[secret_arn(name)]["password"]
        return self.postgres.query(name, password, database, sql)

    def owners(self) -> dict[str, str]:
        names = ", ".join(f"'{name}'" for name in DATABASES)
        sql = f"SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ({names})"
        return {str(name): str(owner) for name, owner in self.postgres.as_superuser(sql)}

    def extensions(self, database: str) -> set[str]:
        rows = self.postgres.as_superuser("SELECT extname FROM pg_extension", database)
        return {name for (name,) in rows} - {"plpgsql"}

    def settings(self) -> dict[str, list[str]]:
        """What databases set for whoever connects."""
        rows = self.postgres.as_superuser(
            "SELECT datname, setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        )
        return {str(name): list(lines) for name, lines in rows}

    def pool(self, owner: str, database: str) -> SimpleConnectionPool:
        """Connections as Dify opens them to its vectors: one at once, more when they are needed."""
        password = self.secrets.contents[secret_arn(owner)]["password"]
        where = {"host": "127.0.0.1", "port": self.postgres.port, "database": database}
        return SimpleConnectionPool(1, 5, **where, user=owner, password=password)


@pytest.fixture
def bare_site(postgres: Postgres) -> Iterator[Site]:
    """A cluster without our master user."""
    site = Site(postgres)
    yield site
    site.clean()


@pytest.fixture
def site(bare_site: Site) -> Site:
    """A new cluster."""
    bare_site.create_master()
    return bare_site


@pytest.fixture
def newer_site(newer_postgres: Postgres) -> Iterator[Site]:
    """A new cluster of a newer version."""
    site = Site(newer_postgres)
    site.create_master()
    yield site
    site.clean()


def assert_complete(site: Site) -> None:
    assert site.owners() == DATABASES
    assert {database: site.extensions(database) for database in DATABASES} == EXTENSIONS
    assert site.settings() == {"pgvector": ["idle_session_timeout=0"]}
    for database, owner in DATABASES.items():
        site.as_role(owner, database)


# ---- what it makes


def test_the_first_run_makes_everything(site: Site) -> None:
    answer = site.run()
    assert_complete(site)
    assert answer == {"PhysicalResourceId": ID, "Data": {"Databases": "main,pgvector,dify_plugin"}}


def test_the_second_run_writes_nothing(site: Site) -> None:
    site.run()
    assert site.second_run() == []


def test_the_roles_can_do_nothing_but_log_in(site: Site) -> None:
    site.run()
    columns = "rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    rows = site.postgres.as_superuser(
        f"SELECT {columns} FROM pg_roles WHERE rolname LIKE 'dify%' AND rolname <> '{MASTER}'"
    )
    assert rows == [(True, False, False, False, False, False)] * 2


def test_dify_can_work_in_its_databases(site: Site) -> None:
    site.run()
    site.as_role("dify", "main", 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
    site.as_role("dify", "main", "CREATE TABLE accounts (id uuid DEFAULT uuid_generate_v4())")
    site.as_role("dify", "main", "INSERT INTO accounts DEFAULT VALUES")
    site.as_role("dify", "pgvector", "CREATE EXTENSION IF NOT EXISTS vector")
    site.as_role("dify", "pgvector", "CREATE TABLE chunks (v vector(3))")
    site.as_role("dify", "pgvector", "CREATE INDEX ON chunks USING hnsw (v vector_cosine_ops)")
    site.as_role("dify", "pgvector", "INSERT INTO chunks VALUES ('[1,2,3]')")
    assert site.as_role("dify", "pgvector", "SELECT v <-> '[1,2,4]' FROM chunks") == [(1.0,)]


def test_the_plugin_daemon_can_work_in_its_database(site: Site) -> None:
    site.run()
    site.as_role("dify_plugin", "dify_plugin", "CREATE TABLE plugins (id uuid DEFAULT uuid_generate_v4())")
    site.as_role("dify_plugin", "dify_plugin", "INSERT INTO plugins DEFAULT VALUES")


@pytest.mark.parametrize(
    ("role", "database"), [("dify_plugin", "main"), ("dify_plugin", "pgvector"), ("dify", "dify_plugin")]
)
def test_fails_when_a_role_enters_a_database_of_another(site: Site, role: str, database: str) -> None:
    site.run()
    with pytest.raises(psycopg2.OperationalError, match=f'permission denied for database "{database}"'):
        site.as_role(role, database)


def test_fails_when_the_plugin_role_takes_the_rights_of_dify(site: Site) -> None:
    site.run()
    with pytest.raises(psycopg2.Error, match="permission denied"):
        site.as_role("dify_plugin", "dify_plugin", "SET ROLE dify")


def test_a_database_that_was_dropped_comes_back(site: Site) -> None:
    # GIVEN a complete cluster with data in one database
    site.run()
    site.as_role("dify", "main", "CREATE TABLE kept (id int)")
    # WHEN another database is lost
    site.postgres.as_superuser("DROP DATABASE pgvector")
    writes = site.second_run()
    # THEN it alone is made again
    assert_complete(site)
    assert writes[0] == 'CREATE DATABASE "pgvector" OWNER "dify"'
    assert all("pgvector" in text or "EXTENSION" in text for text in writes)
    assert 'ALTER DATABASE "pgvector" SET "idle_session_timeout" TO \'0\'' in writes
    assert site.as_role("dify", "main", "SELECT count(*) FROM kept") == [(0,)]


def test_a_database_that_the_cluster_brought_along_is_taken_over(site: Site) -> None:
    # GIVEN the database that Aurora makes for the master user, open to everybody
    site.postgres.as_superuser(f"CREATE DATABASE main OWNER {MASTER}")
    site.run()
    assert_complete(site)
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        site.as_role("dify_plugin", "main")
    assert site.second_run() == []


def test_what_the_master_user_made_in_a_restored_cluster_becomes_its_owners(site: Site) -> None:
    """As in an installation that logged in as the master user for everything."""
    site.postgres.as_superuser(f"CREATE DATABASE main OWNER {MASTER}")
    site.as_role(MASTER, "main", "CREATE TYPE mood AS ENUM ('good')")
    site.as_role(MASTER, "main", "CREATE TABLE apps (id serial PRIMARY KEY, name text, mood mood)")
    site.as_role(MASTER, "main", "CREATE TABLE logs (at int) PARTITION BY RANGE (at)")
    site.as_role(MASTER, "main", "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (9)")
    site.as_role(MASTER, "main", "CREATE SEQUENCE numbers")
    site.as_role(MASTER, "main", "CREATE VIEW names AS SELECT name FROM apps")
    site.as_role(MASTER, "main", "CREATE FUNCTION one(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    site.as_role(MASTER, "main", "INSERT INTO apps (name) VALUES ('kept')")
    site.run()
    assert_complete(site)
    assert site.as_role("dify", "main", "SELECT name FROM names") == [("kept",)]
    for change in (
        "ALTER TABLE apps ADD COLUMN added int",
        "ALTER TABLE logs ADD COLUMN added int",
        "ALTER SEQUENCE numbers RESTART",
        "ALTER TYPE mood ADD VALUE 'bad'",
        "DROP FUNCTION one(int)",
        "DROP TABLE logs_1",
        "INSERT INTO apps (name) VALUES ('new')",
    ):
        site.as_role("dify", "main", change)
    owners = site.postgres.as_superuser(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "main",
    )
    assert owners == [("dify",)]
    assert site.second_run() == []


def test_an_update_adds_a_database(site: Site) -> None:
    small = request()
    small["ResourceProperties"]["Roles"] = small["ResourceProperties"]["Roles"][:1]
    site.run(small)
    assert set(site.owners()) == {"main", "pgvector"}
    answer = site.run({**request("Update"), "OldResourceProperties": small["ResourceProperties"]})
    assert_complete(site)
    assert answer["PhysicalResourceId"] == ID


def test_an_extension_a_schema_and_rights_that_are_lost_come_back(site: Site) -> None:
    site.run()
    site.postgres.as_superuser("DROP EXTENSION vector", "pgvector")
    site.postgres.as_superuser("DROP SCHEMA public CASCADE", "dify_plugin")
    site.postgres.as_superuser("GRANT CONNECT ON DATABASE main TO PUBLIC")
    site.postgres.as_superuser("REVOKE CONNECT ON DATABASE pgvector FROM dify")
    site.postgres.as_superuser("ALTER ROLE dify_plugin NOLOGIN")
    assert site.second_run()
    assert_complete(site)
    assert site.second_run() == []


def test_the_master_user_gets_its_rights_back(site: Site) -> None:
    # GIVEN a closed database into which the master user may not look any more
    site.run()
    site.postgres.as_superuser(f"REVOKE dify FROM {MASTER} GRANTED BY {MASTER}")
    site.postgres.as_superuser("DROP EXTENSION vector", "pgvector")
    # WHEN the handler runs THEN it takes its rights first, and sees only then what is missing
    assert site.second_run() == [
        'GRANT "dify" TO CURRENT_USER',
        'CREATE EXTENSION IF NOT EXISTS "vector" WITH SCHEMA public',
    ]


@pytest.mark.slow
def test_a_newer_postgresql_gives_the_same(newer_site: Site) -> None:
    site = newer_site
    site.run()
    assert_complete(site)
    assert site.second_run() == []
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        site.as_role("dify_plugin", "main")
    site.secrets.contents[secret_arn("dify")]["password"] = "newPassword1"
    assert len(site.second_run()) == 1
    site.as_role("dify", "main")


@pytest.mark.slow
def test_fails_when_a_function_of_the_migration_has_a_namesake(site: Site, newer_site: Site) -> None:
    """Why the cluster's engine is older than 18: Dify's migration names its function without arguments."""
    for each in (site, newer_site):
        each.run()
        each.as_role("dify", "main", "CREATE FUNCTION uuidv7() RETURNS text LANGUAGE sql AS 'SELECT 1'")
    site.as_role("dify", "main", "COMMENT ON FUNCTION uuidv7 IS 'of Dify'")
    with pytest.raises(psycopg2.Error, match='function name "uuidv7" is not unique'):
        newer_site.as_role("dify", "main", "COMMENT ON FUNCTION uuidv7 IS 'of Dify'")


# ---- idle sessions

IDLE_SECONDS = 0.3


def end_idle_sessions(postgres: Postgres) -> None:
    """As the parameter group of a cluster that may pause does, after a shorter time."""
    postgres.as_superuser(f"ALTER SYSTEM SET idle_session_timeout = '{IDLE_SECONDS * 1000:.0f}ms'")
    postgres.as_superuser("SELECT pg_reload_conf()")


@pytest.fixture(params=["site", pytest.param("newer_site", marks=pytest.mark.slow)])
def impatient_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A complete cluster of either version that ends idle sessions."""
    site: Site = request.getfixturevalue(request.param)
    site.run()
    end_idle_sessions(site.postgres)
    yield site
    site.postgres.as_superuser("ALTER SYSTEM RESET idle_session_timeout")
    site.postgres.as_superuser("SELECT pg_reload_conf()")


def store_after_embedding(site: Site, owner: str, database: str) -> None:
    """Dify's order: it connects, waits for the model, and stores; whatever happened, it commits."""
    pool = site.pool(owner, database)
    try:
        time.sleep(4 * IDLE_SECONDS)
        opened = pool.getconn()
        try:
            opened.cursor().execute("CREATE TABLE chunks (id int)")
        finally:
            opened.commit()
    finally:
        pool.closeall()


def test_a_connection_to_the_vectors_outlives_the_embedding(impatient_site: Site) -> None:
    store_after_embedding(impatient_site, "dify", "pgvector")
    assert impatient_site.as_role("dify", "pgvector", "SELECT count(*) FROM chunks") == [(0,)]


@pytest.mark.parametrize(("owner", "database"), [("dify", "main"), ("dify_plugin", "dify_plugin")])
def test_fails_when_a_connection_to_another_database_stays_idle(
    impatient_site: Site, owner: str, database: str
) -> None:
    with pytest.raises(psycopg2.InterfaceError, match="connection already closed"):
        store_after_embedding(impatient_site, owner, database)


def test_a_cluster_from_before_gets_the_setting_with_the_update(site: Site) -> None:
    # GIVEN a cluster that was made when the layout had no settings
    before = request()
    for role in before["ResourceProperties"]["Roles"]:
        for database in role["Databases"]:
            database.pop("Settings", None)
    site.run(before)
    assert site.settings() == {}
    # WHEN CloudFormation updates the resource, whose properties have changed
    writes = len(site.api.writes)
    site.run({**request("Update"), "OldResourceProperties": before["ResourceProperties"]})
    # THEN that is all there is to do, and it is done once
    assert site.api.writes[writes:] == ['ALTER DATABASE "pgvector" SET "idle_session_timeout" TO \'0\'']
    assert_complete(site)
    assert site.second_run() == []


@pytest.mark.parametrize(
    "change", ["SET idle_session_timeout = '5min'", "RESET idle_session_timeout", "RESET ALL"]
)
def test_a_setting_that_somebody_changed_is_put_back(site: Site, change: str) -> None:
    site.run()
    site.postgres.as_superuser(f"ALTER DATABASE pgvector {change}")
    assert len(site.second_run()) == 1
    assert_complete(site)


def test_other_settings_of_a_database_stay(site: Site) -> None:
    site.run()
    site.postgres.as_superuser("ALTER DATABASE pgvector SET search_path = '$user', public")
    site.postgres.as_superuser("ALTER DATABASE pgvector SET idle_session_timeout = '1s'")
    site.run()
    assert sorted(site.settings()["pgvector"]) == ["idle_session_timeout=0", 'search_path="$user", public']


def test_a_setting_of_one_role_is_none_of_the_database(site: Site) -> None:
    site.run()
    site.postgres.as_superuser("ALTER DATABASE pgvector RESET ALL")
    site.postgres.as_superuser("ALTER ROLE dify_plugin IN DATABASE pgvector SET idle_session_timeout = '0'")
    assert site.second_run() == ['ALTER DATABASE "pgvector" SET "idle_session_timeout" TO \'0\'']
    # Now both have settings, which are two rows for the database.
    assert site.second_run() == []


def test_the_vectors_of_a_snapshot_get_the_setting(site: Site) -> None:
    """There the master user owns the database, and is no superuser."""
    site.postgres.as_superuser(f"CREATE DATABASE pgvector OWNER {MASTER}")
    site.as_role(MASTER, "pgvector", "CREATE TABLE embeddings (id int)")
    site.run()
    assert_complete(site)
    assert site.second_run() == []


# ---- passwords


def test_a_rotated_password_is_set(site: Site) -> None:
    # GIVEN a secret with a new password
    site.run()
    site.secrets.contents[secret_arn("dify")]["password"] = "newPassword1"
    # WHEN the handler runs
    [statement] = site.second_run()
    # THEN the new one works, the old one does not, and nothing else was touched
    assert statement.startswith("""ALTER ROLE "dify" LOGIN PASSWORD 'SCRAM-SHA-256$4096:""")
    site.as_role("dify", "main")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        site.postgres.query("dify", PASSWORDS["dify"], "main", "SELECT 1")
    assert site.second_run() == []


def test_a_rotation_names_a_new_secret_and_a_rollback_the_old_one_again(site: Site) -> None:
    # GIVEN a role with a password, and a template that names another secret for it, as DifyData.rotation does
    site.run()
    rotated = f"{secret_arn('dify')}-rotation-1"
    site.secrets.contents[rotated] = {"username": "dify", "password": "rotatedPassword1"}
    roles = request()["ResourceProperties"]["Roles"]
    roles[0] = {**roles[0], "SecretArn": rotated}
    # WHEN CloudFormation updates the resource
    site.run(request("Update", Roles=roles))
    # THEN the new secret opens the databases, the old one does not
    assert site.postgres.query("dify", "rotatedPassword1", "main", "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        site.as_role("dify", "main")
    # WHEN the deployment is rolled back THEN it is the other way round
    site.run(request("Update"))
    site.as_role("dify", "main")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        site.postgres.query("dify", "rotatedPassword1", "main", "SELECT 1")


def test_a_password_changed_behind_our_back_is_put_right(site: Site) -> None:
    site.run()
    site.postgres.as_superuser("ALTER ROLE dify_plugin PASSWORD 'somethingElse'")
    assert len(site.second_run()) == 1
    site.as_role("dify_plugin", "dify_plugin")


def test_no_password_is_in_any_statement_or_log_line(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    # GIVEN a run that creates roles, and one that sets a password again
    caplog.set_level(logging.DEBUG)
    site.run()
    site.secrets.contents[secret_arn("dify")]["password"] = "newPassword1"
    site.run()
    # WHEN everything is collected that leaves the handler
    sent = [repr(call) for call in site.api.calls]
    logged = [record.getMessage() for record in caplog.records]
    # THEN no password is in it, and in the log not even a verifier
    assert any('CREATE ROLE "dify"' in text for text in sent)
    assert any('CREATE ROLE "dify"' in text for text in logged)
    for password in {*PASSWORDS.values(), "newPassword1"}:
        assert not [text for text in [*sent, *logged] if password in text]
    assert not [text for text in logged if "SCRAM" in text]


def test_postgresql_stores_what_was_computed_here(site: Site) -> None:
    site.run()
    [(stored,)] = site.postgres.as_superuser("SELECT rolpassword FROM pg_authid WHERE rolname = 'dify'")
    assert f"'{stored}'" in next(text for text in site.api.writes if 'CREATE ROLE "dify" ' in text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"username": "dify", "password": "with a space"}, "role dify: the password must consist of letters"),
        ({"username": "someone", "password": "good0"}, "role dify must have that name as its username"),
        ({"username": "dify"}, "role dify must be JSON with username and password"),
    ],
)
def test_fails_when_a_secret_is_not_usable(site: Site, content: dict[str, str], message: str) -> None:
    site.secrets.contents[secret_arn("dify")] = content
    with pytest.raises(DeployError, match=message) as caught:
        site.run()
    assert content.get("password", "nothing to hide") not in str(caught.value)
    assert site.slept == []


# ---- refusals that stay


def test_fails_when_the_master_password_is_wrong(site: Site) -> None:
    site.secrets.contents[secret_arn(MASTER)]["password"] = "wrongPassword0"
    with pytest.raises(DeployError, match=r"as the master user.*password authentication failed") as caught:
        site.run()
    assert SETTLE_SECONDS <= sum(site.slept) <= SETTLE_SECONDS + Retry.LONGEST
    assert "wrongPassword0" not in str(caught.value)


def test_a_new_master_password_may_take_a_moment(site: Site) -> None:
    # GIVEN a cluster on which RDS is still setting the master's new password
    site.run()
    site.secrets.contents[secret_arn("dify")]["password"] = "newPassword1"
    early = refusal("DatabaseErrorException", "FATAL: password authentication failed; SQLState: 28P01")
    site.api.faults = [early, early]
    # WHEN the handler runs THEN it waits, and goes on
    assert len(site.second_run()) == 1
    assert len(site.slept) == 2
    site.as_role("dify", "main")


def test_fails_when_the_api_keeps_denying_access(site: Site) -> None:
    site.api.faults = [denied("rds-data:ExecuteStatement")] * 1000
    with pytest.raises(DeployError, match=r"^looking for roles as the master user: AccessDeniedException: "):
        site.run()
    assert SETTLE_SECONDS <= sum(site.slept) <= SETTLE_SECONDS + Retry.LONGEST
    assert site.api.calls == []


def test_fails_when_secrets_manager_keeps_denying_access(site: Site) -> None:
    site.secrets.faults = [denied("secretsmanager:GetSecretValue")] * 1000
    with pytest.raises(DeployError, match=r"^reading the secret of the role dify: AccessDeniedException: "):
        site.run()
    assert SETTLE_SECONDS <= sum(site.slept) <= SETTLE_SECONDS + Retry.LONGEST
    assert site.api.writes == []


def test_fails_when_the_secret_of_a_role_may_not_be_read(site: Site) -> None:
    # GIVEN a complete cluster, where every second call is the log-in as dify
    site.run()
    site.api.faults = [None, denied("secretsmanager:GetSecretValue")] * 1000
    # WHEN that is denied THEN nobody takes it for a wrong password
    before = len(site.api.writes)
    with pytest.raises(DeployError, match="logging in as dify: AccessDenied"):
        site.run()
    assert site.api.writes[before:] == []


def test_fails_at_once_when_access_is_denied_late(site: Site) -> None:
    # GIVEN a cluster that needs longer to wake up than IAM to learn a policy
    site.api.faults = [*[resuming()] * 25, denied("rds-data:ExecuteStatement")]
    with pytest.raises(DeployError, match="AccessDeniedException"):
        site.run()
    assert len(site.slept) == 25


def test_fails_when_the_master_user_may_not_make_roles(bare_site: Site) -> None:
    bare_site.create_master("CREATEDB NOCREATEROLE")
    with pytest.raises(
        DeployError, match=r'CREATE ROLE "dify".*permission denied to create role.*42501'
    ) as caught:
        bare_site.run()
    assert "SCRAM" not in str(caught.value)
    assert bare_site.slept == []


def test_fails_when_the_role_is_a_superuser(site: Site) -> None:
    site.postgres.as_superuser("CREATE ROLE dify SUPERUSER")
    with pytest.raises(DeployError, match="the role dify is a superuser"):
        site.run()


def test_fails_when_the_role_is_the_master_user(site: Site) -> None:
    event = request(Roles=[{"Name": MASTER, "SecretArn": secret_arn(MASTER), "Databases": []}])
    with pytest.raises(DeployError, match=f"the role {MASTER} is the cluster's master user"):
        site.run(event)


def test_fails_when_a_statement_has_no_effect(site: Site) -> None:
    # GIVEN an API that logs in with another password than the one that was set
    site.run()
    other = FakeSecrets(
        {**site.secrets.contents, secret_arn("dify"): {"username": "dify", "password": "other0"}}
    )
    api = FakeDataApi(site.postgres, other)
    # WHEN the handler sets the one it knows THEN it does not go on for ever
    with pytest.raises(
        DeployError, match='executed 4 times without effect: ALTER ROLE "dify" LOGIN PASSWORD'
    ):
        site.run(api=api)


# ---- refusals that pass


@pytest.mark.parametrize("tries", [1, 6])
def test_a_policy_made_moments_ago_is_waited_for(site: Site, tries: int) -> None:
    # GIVEN a role whose permissions come one after the other, each some tries late
    site.api.faults = [denied("rds-data:ExecuteStatement")] * tries
    site.secrets.faults = [denied("secretsmanager:GetSecretValue")]
    # WHEN the handler runs THEN it waits as often, and makes everything
    site.run()
    assert_complete(site)
    assert len(site.slept) == tries + 1
    assert site.second_run() == []


def test_a_disabled_endpoint_is_waited_for(site: Site) -> None:
    message = "HttpEndpoint is not enabled for resource " + CLUSTER_ARN
    site.api.faults = [
        refusal("BadRequestException", message),
        *[refusal("HttpEndpointNotEnabledException")] * 3,
    ]
    site.run()
    assert_complete(site)
    assert len(site.slept) == 4


def test_a_resuming_cluster_is_waited_for(site: Site) -> None:
    # GIVEN a cluster that pauses again in the middle of the work
    site.api.faults = [resuming(), resuming(), *[None] * 5, resuming()]
    site.run()
    assert_complete(site)
    assert len(site.slept) == 3


@pytest.mark.parametrize("statement", ["CREATE DATABASE", "CREATE EXTENSION", "CREATE ROLE", "REVOKE"])
def test_a_statement_that_outlives_the_time_limit_counts(site: Site, statement: str) -> None:
    site.api.late = [statement]
    site.run()
    assert_complete(site)
    assert len(site.slept) == 1
    assert site.second_run() == []


def test_fails_when_the_endpoint_stays_disabled(site: Site) -> None:
    site.api.faults = [refusal("HttpEndpointNotEnabledException", "not enabled")] * 1000
    with pytest.raises(
        DeployError, match=r"gave up after .* tries: .*HttpEndpointNotEnabledException"
    ) as caught:
        site.run()
    assert len(str(caught.value)) <= 1000
    assert MINUTES_15 - Retry.RESERVE - Retry.LONGEST <= sum(site.slept) <= MINUTES_15 - Retry.RESERVE
    assert site.api.calls == []


def test_runs_at_the_same_time_end_well(site: Site) -> None:
    # GIVEN four runs that start at once
    barrier = threading.Barrier(4)
    failures: list[Exception] = []

    def run() -> None:
        retry = Retry(lambda: 900_000, sleep=lambda seconds: time.sleep(seconds / 50))
        barrier.wait()
        try:
            handle(request(), client=site.api, secrets=site.secrets, retry=retry)  # type: ignore[arg-type]
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # THEN all succeed, and nothing is left to do
    assert failures == []
    assert_complete(site)
    assert site.second_run() == []


# ---- the edge


def test_delete_touches_nothing(site: Site) -> None:
    site.run()
    calls = len(site.api.calls)
    assert site.run(request("Delete")) == {"PhysicalResourceId": ID}
    assert len(site.api.calls) == calls
    assert_complete(site)


def test_delete_succeeds_when_everything_is_gone(bare_site: Site) -> None:
    # GIVEN a resource whose creation failed, without one usable property
    event = {"RequestType": "Delete", "PhysicalResourceId": "anything", "ResourceProperties": {}}
    assert bare_site.run(event) == {"PhysicalResourceId": "anything"}


def test_the_handler_makes_its_own_clients(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: dict[str, Any] = {"rds-data": site.api, "secretsmanager": site.secrets}

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 900_000

    def make(name: str, **_: Any) -> Any:
        return clients[name]

    monkeypatch.setattr("boto3.client", make)
    assert init_database.on_event(request(), Context())["PhysicalResourceId"] == ID
    assert_complete(site)
