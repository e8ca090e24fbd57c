"""How many connections to the database an installation opens, and how many its database takes.

Every process of Dify has a pool of its own. PostgreSQL refuses what is beyond ``max_connections``, and
Aurora derives that from the largest capacity of the cluster: what fits is decided here, for every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from dify_cdk.dify.components import Component, Host, Settings

_MAX_CONNECTIONS = ((1, 189), (4, 823), (8, 1669), (16, 3360), (32, 5000))
"""Largest capacity in ACU to ``max_connections`` of Aurora PostgreSQL; between the rows the line is straight.

See https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
"""
_MOST_FROM_A_SMALL_START = 2000  # where the smallest capacity is 0 or 0.5 ACU
_SMALL_START_ACU = 0.5

_OTHERS = 15
"""Sessions that are not Dify's: those that PostgreSQL and Aurora keep for themselves, the initialisation and
the migration, and a person who looks."""

_LARGEST_POOL, _SMALLEST_POOL = 40, 15  # the larger one is Dify's own: 30 and 10 beyond
_CONNECTIONS_PER_JOB = 2.5  # a running workflow has several green threads, of which some hold a connection
_JOBS = (4, 16)  # with fewer, jobs that wait for others stand in their way
_PLUGINS = (10, 30)  # the larger one is the plugin daemon's own
_PLUGINS_SHARE = 20  # it stores what plugins remember, and little else


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """What one process may open at most.

    Attributes:
        size: Connections that api, worker and beat keep (``SQLALCHEMY_POOL_SIZE``).
        overflow: Connections beyond these (``SQLALCHEMY_MAX_OVERFLOW``).
        plugins: Connections of the plugin daemon (``DB_MAX_OPEN_CONNS``).
        jobs: Jobs that one worker runs at once (``CELERY_WORKER_AMOUNT``).
    """

    size: int = 30
    overflow: int = 10
    plugins: int = 30
    jobs: int = 16


DEFAULT_POOLS = Pools()
"""Dify's own sizes, where the database is large enough."""

FUNCTION_POOLS = Pools(size=2, overflow=2)
"""Those of an environment of AWS Lambda, which answers one request at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Processes of one kind.

    Attributes:
        name: What they are.
        most: How many run at most, without a deployment.
        connections: What each opens at most.
        doubles: Whether a deployment starts the new ones before it stops the old ones.
    """

    name: str
    most: int
    connections: float
    doubles: bool

    @property
    def total(self) -> float:
        """All their connections, while a deployment runs."""
        return self.most * self.connections * (2 if self.doubles else 1)

    def __str__(self) -> str:
        factors = [str(self.most), _words(self.connections), *(["2"] if self.doubles else [])]
        return f"{self.name} {' x '.join(factors)}"


def max_connections(*, min_acu: float, max_acu: float) -> int:
    """``max_connections`` of a cluster."""
    (low_acu, low), *rows = _MAX_CONNECTIONS
    found: float = low
    for high_acu, high in rows:
        if max_acu <= low_acu:
            break
        share = min(1, (max_acu - low_acu) / (high_acu - low_acu))
        found = low + share * (high - low)
        low_acu, low = high_acu, high
    most = _MOST_FROM_A_SMALL_START if min_acu <= _SMALL_START_ACU else inf
    return int(min(found, most))


def pools_for(available: int, *, api: int, worker: int, websocket: int) -> Pools:
    """Pools with which everything fits, as large as Dify's own where there is room.

    Args:
        available: ``max_connections`` of the database.
        api: How many tasks of api run at most.
        worker: How many of worker.
        websocket: How many of api_websocket.
    """
    plugins = min(_PLUGINS[1], max(_PLUGINS[0], available // _PLUGINS_SHARE))
    # A deployment runs old and new ones side by side, and beat alone. See _vectors for what comes on top.
    left = available - _OTHERS - 2 * plugins
    of_pools = 2 * (2 * api + worker * (1 + 1 / _CONNECTIONS_PER_JOB) + websocket) + 1
    pool = max(_SMALLEST_POOL, min(_LARGEST_POOL, int(left / of_pools)))
    size = pool * 3 // 4
    fewest, most = _JOBS
    jobs = max(fewest, min(most, int(pool / _CONNECTIONS_PER_JOB)))
    return Pools(size=size, overflow=pool - size, plugins=plugins, jobs=jobs)


def connections_of(component: Component, variables: Mapping[str, str]) -> float:
    """What one task of a component opens at most, by its variables; 0 for components without a database.

    A variable that is no number, such as a token, counts as Dify's default. Infinite if a pool has no limit,
    which Dify and the plugin daemon take 0 for.
    """
    read = _Variables(variables)
    match component.spec.settings:
        case Settings.PLUGIN_DAEMON:
            return read.limit("DB_MAX_OPEN_CONNS", DEFAULT_POOLS.plugins)
        case Settings.BACKEND if component.spec.host is not Host.MIGRATION:
            pool = read.limit("SQLALCHEMY_POOL_SIZE", DEFAULT_POOLS.size)
            pool += read.number("SQLALCHEMY_MAX_OVERFLOW", DEFAULT_POOLS.overflow)
            return read.processes(component) * pool + _vectors(component, read, pool)
    return 0  # the migration runs alone and is among the others


def _vectors(component: Component, read: _Variables, pool: float) -> float:
    """Connections to vectors: not pooled by Dify, which opens one for every knowledge base that is in use.

    ``PGVECTOR_MAX_CONNECTION`` is the size of a pool that each object of ``PGVector`` has, of which it uses
    one. A worker has about one object for each job. Of api's requests those that search also hold a
    connection of the pool, so that they are as many at most.

    Read in ``api/providers/vdb/vdb-pgvector/src/dify_vdb_pgvector/pgvector.py`` of dify at ad96501e0.
    """
    if component is Component.WORKER:
        return read.number(
            "CELERY_WORKER_CONCURRENCY", read.number("CELERY_WORKER_AMOUNT", DEFAULT_POOLS.jobs)
        )
    return read.processes(component) * pool if component is Component.API else 0


@dataclass(frozen=True, slots=True)
class _Variables:
    """Variables as the start script of Dify's image reads them: ``api/docker/entrypoint.sh`` at ad96501e0."""

    texts: Mapping[str, str]

    def number(self, name: str, default: int) -> int:
        text = self.texts.get(name)
        return int(text) if text is not None and text.isdecimal() else default

    def limit(self, name: str, default: int) -> float:
        return self.number(name, default) or inf

    def processes(self, component: Component) -> int:
        """How many processes a task runs, each with pools of its own."""
        if component is not Component.WORKER:
            return self.number("SERVER_WORKER_AMOUNT", 1)
        pool = self.texts.get("CELERY_WORKER_POOL") or self.texts.get("CELERY_WORKER_CLASS")
        jobs = self.number(
            "CELERY_WORKER_CONCURRENCY", self.number("CELERY_WORKER_AMOUNT", DEFAULT_POOLS.jobs)
        )
        return jobs if pool == "prefork" else 1


def too_many(parts: Iterable[Part], available: int) -> str | None:
    """The sum in words, if it is more than the database takes; None if all fits."""
    found: Sequence[Part] = [part for part in parts if part.total]
    total = sum(part.total for part in found) + _OTHERS
    if total <= available:
        return None
    summands = " + ".join([*map(str, found), f"others {_OTHERS}"])
    return f"{summands} = {_words(total)}"


def _words(number: float) -> str:
    return "no limit" if number == inf else str(int(number))
