"""How many connections to the database an installation opens, and how many its database takes.

Every process of Dify has a pool of its own, and beside it every ``Vector`` object opens a connection of its
own. PostgreSQL refuses what is beyond ``max_connections``, and Aurora derives that from the largest capacity
of the cluster: what fits is decided here, for every process.
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

_JOBS = (4, 16)
"""Fewest and most jobs of a worker. With fewer, jobs that wait for others stand in their way."""
_LARGEST_POOL = 40  # Dify's own: 30 and 10 beyond
_SMALLEST_POOL = 15  # SQLAlchemy's own: 5 and 10 beyond
_CONNECTIONS_PER_JOB = 2.5  # Dify's own pool for the most jobs: several green threads of a job use one each
_KEPT = (3, 4)  # of four connections of a pool, how many stay open, as with Dify's own

_PLUGINS = (10, 30)
"""Fewest and most connections of the plugin daemon: as many as it keeps idle, and Dify's own."""
_OF_PLUGINS = 20  # a twentieth of all: it looks up what is installed, and holds none while a plugin runs

_VECTORS = {Component.API: 0.5, Component.WORKER: 1.0}
"""``Vector`` objects for each connection of the pool, at most, where a component has any.

Dify makes one for each search and for each part of a document that it stores, and every one opens
``PGVECTOR_MIN_CONNECTION`` connections at once: pgvector's pool belongs to the object, not to the process.
One thread uses an object, so ``PGVECTOR_MAX_CONNECTION`` is never reached.

Worker: one indexing job has up to ten, and each of them also holds a connection of the process's pool while
it embeds, so that there are as many as that pool has. Api: half of them, an assumption; a search is a short
part of a request, which needs a connection of the pool before and after it.

Read in ``api/providers/vdb/vdb-pgvector``, ``api/core/indexing_runner.py`` and
``api/core/rag/embedding/cached_embedding.py`` of Dify 1.14.2.
"""

_OPENED_BY_A_VECTOR = 1  # Dify's own PGVECTOR_MIN_CONNECTION
_PREFORK = ("prefork", "processes")  # names that Celery has for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """What one process may open at most, without its vectors.

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
"""Those of an environment of AWS Lambda, which answers one request at a time: a hybrid search has two
vectors, which makes six connections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Processes of one kind.

    Attributes:
        name: What they are.
        most: How many run at most, without a deployment.
        connections: What each opens at most, vectors included; infinite where nothing limits it.
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


def pools_for(available: int, tasks: Mapping[Component, int]) -> Pools:
    """Pools with which everything fits, as large as Dify's own where there is room.

    Args:
        available: ``max_connections`` of the database.
        tasks: How many tasks of api, worker and api_websocket run at most.
    """
    fewest, most = _PLUGINS
    plugins = min(most, max(fewest, available // _OF_PLUGINS))
    # A deployment runs old and new ones side by side, and beat alone.
    shares = 1 + 2 * sum(number * (1 + _VECTORS.get(component, 0)) for component, number in tasks.items())
    left = available - _OTHERS - 2 * plugins
    pool = max(_SMALLEST_POOL, min(_LARGEST_POOL, int(left / shares)))
    kept, of = _KEPT
    size = pool * kept // of
    fewest, most = _JOBS
    jobs = max(fewest, min(most, int(pool / _CONNECTIONS_PER_JOB)))
    return Pools(size=size, overflow=pool - size, plugins=plugins, jobs=jobs)


def connections_of(component: Component, variables: Mapping[str, str]) -> float:
    """What one task of a component opens at most, by its variables; 0 for components without a database.

    A variable that is no number, such as a token, counts as Dify's default. A pool of 0 has no limit.
    """
    if component.spec.settings is Settings.PLUGIN_DAEMON:
        return _number(variables.get("DB_MAX_OPEN_CONNS"), DEFAULT_POOLS.plugins) or inf
    if component.spec.settings is not Settings.BACKEND or component.spec.host is Host.MIGRATION:
        return 0  # the migration runs alone and is among the others
    size = _number(variables.get("SQLALCHEMY_POOL_SIZE"), DEFAULT_POOLS.size)
    if size == 0:
        return inf
    pool = size + _number(variables.get("SQLALCHEMY_MAX_OVERFLOW"), DEFAULT_POOLS.overflow)
    each = _number(variables.get("PGVECTOR_MIN_CONNECTION"), _OPENED_BY_A_VECTOR)
    vectors = int(pool * _VECTORS.get(component, 0)) * each
    return (pool + vectors) * _processes(component, variables)


def _processes(component: Component, variables: Mapping[str, str]) -> int:
    """How many processes one task has, each with pools of its own: gunicorn's workers, Celery's if it forks.

    Which variable counts is what the image's entry point says.
    """
    if component in (Component.API, Component.API_WEBSOCKET):
        return max(1, _number(variables.get("SERVER_WORKER_AMOUNT"), 1))
    pool = variables.get("CELERY_WORKER_POOL") or variables.get("CELERY_WORKER_CLASS")
    if pool not in _PREFORK:
        return 1
    scales = variables.get("CELERY_AUTO_SCALE", "").lower() == "true"
    most = variables.get("CELERY_MAX_WORKERS" if scales else "CELERY_WORKER_AMOUNT")
    return max(1, _number(variables.get("CELERY_WORKER_CONCURRENCY") or most, 1))


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


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def too_many(parts: Iterable[Part], available: int) -> str | None:
    """The sum in words, if it is more than the database takes; None if all fits."""
    found: Sequence[Part] = [part for part in parts if part.total]
    total = sum(part.total for part in found) + _OTHERS
    if total <= available:
        return None
    summands = " + ".join([*map(str, found), f"others {_OTHERS}"])
    return f"{summands} = {_words(total)}"


def _words(number: float) -> str:
    return "unlimited" if number == inf else f"{number:.0f}"
