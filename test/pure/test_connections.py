"""Connections to the database: what it takes, what each process may open, and whether it fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.dify.components import Component
from dify_cdk.dify.connections import (
    DEFAULT_POOLS,
    FUNCTION_POOLS,
    Part,
    Pools,
    connections_of,
    max_connections,
    pools_for,
    too_many,
)

capacities = st.integers(2, 512).map(lambda halves: halves / 2)


class TestDatabase:
    @pytest.mark.parametrize(
        ("max_acu", "connections"), [(1, 189), (4, 823), (8, 1669), (16, 3360), (32, 5000), (256, 5000)]
    )
    def test_aws_s_own_numbers(self, max_acu: float, connections: int) -> None:
        assert max_connections(min_acu=1, max_acu=max_acu) == connections

    @pytest.mark.parametrize("min_acu", [0, 0.5])
    def test_a_small_start_takes_two_thousand_at_most(self, min_acu: float) -> None:
        assert max_connections(min_acu=min_acu, max_acu=64) == 2000
        assert max_connections(min_acu=min_acu, max_acu=4) == 823

    @given(capacities, capacities)
    def test_more_capacity_never_takes_fewer(self, one: float, other: float) -> None:
        less, more = sorted((one, other))
        assert max_connections(min_acu=1, max_acu=less) <= max_connections(min_acu=1, max_acu=more)


def tasks_of(most: int) -> dict[Component, int]:
    """One worker, one api_websocket, and so many tasks of api."""
    return {Component.API: most, Component.API_WEBSOCKET: 1, Component.WORKER: 1}


def parts_of(pools: Pools, tasks: dict[Component, int]) -> list[Part]:
    """All that runs: processes of the api image, beat, which never runs twice, and the plugin daemon."""
    texts = {"SQLALCHEMY_POOL_SIZE": str(pools.size), "SQLALCHEMY_MAX_OVERFLOW": str(pools.overflow)}
    return [
        *(
            Part(name=component, most=most, connections=connections_of(component, texts), doubles=True)
            for component, most in tasks.items()
        ),
        Part(name="beat", most=1, connections=pools.size + pools.overflow, doubles=False),
        Part(name="plugin_daemon", most=1, connections=pools.plugins, doubles=True),
    ]


class TestPools:
    @pytest.mark.parametrize(("max_acu", "most"), [(3, 1), (4, 2), (8, 8), (16, 12)])
    def test_dify_s_own_where_there_is_room(self, max_acu: float, most: int) -> None:
        found = pools_for(max_connections(min_acu=0.5, max_acu=max_acu), tasks_of(most))
        assert found == DEFAULT_POOLS

    @pytest.mark.parametrize(
        ("max_acu", "most", "expected"),
        [
            (1, 1, Pools(size=11, overflow=4, plugins=10, jobs=6)),
            (2, 1, Pools(size=25, overflow=9, plugins=20, jobs=13)),
            (4, 6, Pools(size=21, overflow=8, plugins=30, jobs=11)),
        ],
    )
    def test_smaller_ones_where_there_is_none(self, max_acu: float, most: int, expected: Pools) -> None:
        assert pools_for(max_connections(min_acu=0.5, max_acu=max_acu), tasks_of(most)) == expected

    @given(capacities, st.integers(1, 100), st.integers(1, 20))
    def test_they_fit_unless_they_are_as_small_as_dify_can_work_with(
        self, max_acu: float, most: int, workers: int
    ) -> None:
        available = max_connections(min_acu=0.5, max_acu=max_acu)
        tasks = {**tasks_of(most), Component.WORKER: workers}
        found = pools_for(available, tasks)
        excess = too_many(parts_of(found, tasks), available)
        assert excess is None or found.size + found.overflow == 15
        assert 4 <= found.jobs <= 16

    @given(st.integers(100, 5000), st.integers(1, 60))
    def test_more_processes_never_get_larger_ones(self, available: int, most: int) -> None:
        fewer, more = pools_for(available, tasks_of(most)), pools_for(available, tasks_of(most + 1))
        assert fewer.size + fewer.overflow >= more.size + more.overflow

    def test_an_environment_of_lambda_opens_six(self) -> None:
        """Four of its pool, and two vectors for a search by meaning and by words."""
        texts = {
            "SQLALCHEMY_POOL_SIZE": str(FUNCTION_POOLS.size),
            "SQLALCHEMY_MAX_OVERFLOW": str(FUNCTION_POOLS.overflow),
        }
        assert connections_of(Component.API, texts) == 6


class TestSum:
    def test_what_fits_is_no_excess(self) -> None:
        parts = [Part(name="api", most=2, connections=45, doubles=True)]
        assert too_many(parts, 195) is None

    def test_what_does_not_is_written_out(self) -> None:
        parts = [
            Part(name="api", most=2, connections=45, doubles=True),
            Part(name="beat", most=1, connections=45, doubles=False),
            Part(name="web", most=4, connections=0, doubles=True),
        ]
        assert too_many(parts, 239) == "api 2 x 45 x 2 + beat 1 x 45 + others 15 = 240"

    def test_what_has_no_limit_is_called_so(self) -> None:
        parts = [Part(name="api", most=2, connections=float("inf"), doubles=True)]
        assert too_many(parts, 5000) == "api 2 x unlimited x 2 + others 15 = unlimited"

    @pytest.mark.parametrize(
        ("component", "connections"),
        [
            (Component.API, 60),  # searches: half as many vectors
            (Component.API_WEBSOCKET, 40),
            (Component.WORKER, 80),  # indexes: as many vectors
            (Component.BEAT, 40),
            *((component, 0) for component in (Component.WEB, Component.SANDBOX, Component.SSRF_PROXY)),
            (Component.PLUGIN_DAEMON, 30),
            *(
                (one, 0)
                for one in (Component.WEB, Component.SANDBOX, Component.SSRF_PROXY, Component.MIGRATION)
            ),
        ],
    )
    def test_a_task_without_variables_opens_what_dify_opens(
        self, component: Component, connections: int
    ) -> None:
        assert connections_of(component, {}) == connections

    def test_variables_count(self) -> None:
        found = {"SQLALCHEMY_POOL_SIZE": "3", "SQLALCHEMY_MAX_OVERFLOW": "2", "PGVECTOR_MIN_CONNECTION": "3"}
        assert connections_of(Component.API, found) == 5 + 2 * 3
        assert connections_of(Component.WORKER, found) == 5 + 5 * 3
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "7"}) == 7

    def test_the_largest_pool_of_a_vector_object_is_never_reached(self) -> None:
        assert connections_of(Component.WORKER, {"PGVECTOR_MAX_CONNECTION": "50"}) == 80

    @pytest.mark.parametrize(
        ("component", "variables", "connections"),
        [
            (Component.API, {"SERVER_WORKER_AMOUNT": "4"}, 4 * 60),
            (Component.API_WEBSOCKET, {"SERVER_WORKER_AMOUNT": "1"}, 40),
            (Component.BEAT, {"SERVER_WORKER_AMOUNT": "4"}, 40),
            (Component.WORKER, {"SERVER_WORKER_AMOUNT": "4"}, 80),
            (Component.WORKER, {"CELERY_WORKER_AMOUNT": "8"}, 80),
            (Component.WORKER, {"CELERY_WORKER_CLASS": "gevent", "CELERY_WORKER_AMOUNT": "8"}, 80),
            (Component.WORKER, {"CELERY_WORKER_CLASS": "prefork", "CELERY_WORKER_AMOUNT": "8"}, 8 * 80),
            (Component.WORKER, {"CELERY_WORKER_CLASS": "prefork"}, 80),
            (Component.WORKER, {"CELERY_WORKER_POOL": "processes", "CELERY_WORKER_AMOUNT": "2"}, 2 * 80),
            (
                Component.WORKER,
                {
                    "CELERY_WORKER_POOL": "gevent",
                    "CELERY_WORKER_CLASS": "prefork",
                    "CELERY_WORKER_AMOUNT": "8",
                },
                80,
            ),
            (
                Component.WORKER,
                {
                    "CELERY_WORKER_POOL": "prefork",
                    "CELERY_WORKER_AMOUNT": "8",
                    "CELERY_WORKER_CONCURRENCY": "3",
                },
                3 * 80,
            ),
            (
                Component.WORKER,
                {
                    "CELERY_WORKER_POOL": "prefork",
                    "CELERY_WORKER_AMOUNT": "8",
                    "CELERY_AUTO_SCALE": "True",
                    "CELERY_MAX_WORKERS": "5",
                },
                5 * 80,
            ),
        ],
    )
    def test_every_process_of_a_task_has_its_own_pools(
        self, component: Component, variables: dict[str, str], connections: int
    ) -> None:
        assert connections_of(component, variables) == connections

    @pytest.mark.parametrize(
        ("component", "name"),
        [
            *((component, "SQLALCHEMY_POOL_SIZE") for component in (Component.API, Component.WORKER)),
            (Component.PLUGIN_DAEMON, "DB_MAX_OPEN_CONNS"),
        ],
    )
    def test_zero_is_no_limit(self, component: Component, name: str) -> None:
        """SQLAlchemy's and Go's word for it."""
        assert connections_of(component, {name: "0"}) == float("inf")

    def test_what_is_known_at_deployment_only_counts_as_dify_s_own(self) -> None:
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "${Token[A.1]}"}) == 30

    def test_dify_s_own_are_the_defaults(self) -> None:
        assert (DEFAULT_POOLS.size, DEFAULT_POOLS.overflow) == (30, 10)
