"""How many connections to the database an installation opens, and how many its database takes.

Every process of Dify has a pool of its own. PostgreSQL refuses what is beyond ``max_connections``, and
Aurora derives that from the largest capacity of the cluster: what fits is decided here, for every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from dify_cdk.dify.components import Component

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


_POOLED = (Component.API, Component.API_WEBSOCKET, Component.WORKER, Component.BEAT)
"""Components whose processes have both pools. The migration runs alone and is among the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """What one process may open at most.

    Attributes:
        size: Connections that api, worker and beat keep (``SQLALCHEMY_POOL_SIZE``).
        overflow: Connections beyond these (``SQLALCHEMY_MAX_OVERFLOW``).
        vectors: Connections to the vectors, in a pool of their own (``PGVECTOR_MAX_CONNECTION``).
        plugins: Connections of the plugin daemon (``DB_MAX_OPEN_CONNS``).
        jobs: Jobs that one worker runs at once (``CELERY_WORKER_AMOUNT``).
    """

    size: int = 30
    overflow: int = 10
    vectors: int = 5
    plugins: int = 30
    jobs: int = 16


DEFAULT_POOLS = Pools()
"""Dify's own sizes, where the database is large enough."""

FUNCTION_POOLS = Pools(size=2, overflow=2, vectors=1)
"""Those of an environment of AWS Lambda, which answers one request at a time: five connections."""


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
    connections: int
    doubles: bool

    @property
    def total(self) -> int:
        """All their connections, while a deployment runs."""
        return self.most * self.connections * (2 if self.doubles else 1)

    def __str__(self) -> str:
        factors = [str(self.most), str(self.connections), *(["2"] if self.doubles else [])]
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


def pools_for(available: int, processes: int) -> Pools:
    """Pools with which everything fits, as large as Dify's own where there is room.

    Args:
        available: ``max_connections`` of the database.
        processes: How many tasks of api, worker and api_websocket run at most.
    """
    vectors = 5 if available >= 300 else 2  # noqa: PLR2004
    plugins = min(30, max(10, available // 20))
    # A deployment runs old and new ones side by side, and beat alone.
    left = available - _OTHERS - 2 * plugins - 2 * processes * vectors - vectors
    pool = max(_SMALLEST_POOL, min(_LARGEST_POOL, left // (2 * processes + 1)))
    size = pool * 3 // 4
    fewest, most = _JOBS
    jobs = max(fewest, min(most, int(pool / _CONNECTIONS_PER_JOB)))
    return Pools(size=size, overflow=pool - size, vectors=vectors, plugins=plugins, jobs=jobs)


def connections_of(component: Component, variables: Mapping[str, str]) -> int:
    """What one process of a component opens at most, by its variables; 0 for components without a database.

    A variable that is no number, such as a token, counts as Dify's default.
    """
    names = {
        "SQLALCHEMY_POOL_SIZE": DEFAULT_POOLS.size,
        "SQLALCHEMY_MAX_OVERFLOW": DEFAULT_POOLS.overflow,
        "PGVECTOR_MAX_CONNECTION": DEFAULT_POOLS.vectors,
    }
    if component is Component.PLUGIN_DAEMON:
        names = {"DB_MAX_OPEN_CONNS": DEFAULT_POOLS.plugins}
    elif component not in _POOLED:
        return 0
    return sum(_number(variables.get(name), default) for name, default in names.items())


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def too_many(parts: Iterable[Part], available: int) -> str | None:
    """The sum in words, if it is more than the database takes; None if all fits."""
    found: Sequence[Part] = [part for part in parts if part.total]
    total = sum(part.total for part in found) + _OTHERS
    if total <= available:
        return None
    summands = " + ".join([*map(str, found), f"others {_OTHERS}"])
    return f"{summands} = {total}"
