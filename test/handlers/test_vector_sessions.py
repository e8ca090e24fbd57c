"""What pgvector's connections cost, with the pool class that Dify uses, against a real PostgreSQL."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
from psycopg2.pool import SimpleConnectionPool

from dify_cdk.dify.components import Component
from dify_cdk.dify.connections import connections_of
from handlers.postgres import Postgres

ROLE, PASSWORD = "searcher", "searcherPassword0"
SESSIONS = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'"
SECONDS = 10


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    postgres.as_superuser(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    yield postgres
    postgres.as_superuser(f"DROP ROLE {ROLE}")


class VectorObject:
    """What Dify makes for each search and each part of a document: it owns a pool, and one thread uses it."""

    def __init__(self, server: Postgres, least: int, most: int) -> None:
        where = {"host": "127.0.0.1", "port": server.port, "database": "postgres"}
        self._pool = SimpleConnectionPool(least, most, **where, user=ROLE, password=PASSWORD)

    def search(self) -> object:
        opened = self._pool.getconn()
        with opened.cursor() as cursor:
            cursor.execute("SELECT 1")
            found = cursor.fetchone()
        opened.commit()
        self._pool.putconn(opened)
        return found


def sessions(server: Postgres, expected: int) -> int:
    """How many are open; a server needs a moment to see that one was closed."""
    end = time.monotonic() + SECONDS
    while (found := int(server.as_superuser(SESSIONS)[0][0])) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("objects", "least"), [(16, 1), (40, 1), (5, 3)])
def test_every_object_opens_its_own_and_the_sum_counts_them(
    server: Postgres, objects: int, least: int
) -> None:
    """A worker with a pool of so many counts as many vectors, however large the pool of an object is."""
    variables = {
        "SQLALCHEMY_POOL_SIZE": str(objects),
        "SQLALCHEMY_MAX_OVERFLOW": "0",
        "PGVECTOR_MIN_CONNECTION": str(least),
        "PGVECTOR_MAX_CONNECTION": "5",
    }
    counted = connections_of(Component.WORKER, variables) - objects
    found = [VectorObject(server, least, 5) for _ in range(objects)]
    assert sessions(server, objects * least) == counted
    assert [each.search() for each in found] == [(1,)] * objects
    assert sessions(server, objects * least) == counted, "one thread needs no second connection"
    del found
    gc.collect()
    assert sessions(server, 0) == 0, "they end with their object"
