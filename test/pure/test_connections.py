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


def parts_of(pools: Pools, *, api: int, worker: int, websocket: int) -> list[Part]:
    """All that runs, as the constructs count it."""
    variables = {
        "SQLALCHEMY_POOL_SIZE": str(pools.size),
        "SQLALCHEMY_MAX_OVERFLOW": str(pools.overflow),
        "DB_MAX_OPEN_CONNS": str(pools.plugins),
        "CELERY_WORKER_AMOUNT": str(pools.jobs),
    }
    tasks = {
        Component.API: api,
        Component.WORKER: worker,
        Component.API_WEBSOCKET: websocket,
        Component.BEAT: 1,
        Component.PLUGIN_DAEMON: 1,
    }
    return [
        Part(
            name=component,
            most=most,
            connections=connections_of(component, variables),
            doubles=component is not Component.BEAT,
        )
        for component, most in tasks.items()
    ]


class TestPools:
    @pytest.mark.parametrize(("max_acu", "api", "worker"), [(4, 1, 1), (4, 2, 2), (8, 4, 4), (16, 6, 6)])
    def test_dify_s_own_where_there_is_room(self, max_acu: float, api: int, worker: int) -> None:
        available = max_connections(min_acu=0.5, max_acu=max_acu)
        assert pools_for(available, api=api, worker=worker, websocket=1) == DEFAULT_POOLS

    @pytest.mark.parametrize(
        ("max_acu", "api", "expected"),
        [
            (1, 1, Pools(size=11, overflow=4, plugins=10, jobs=6)),
            (2, 1, Pools(size=26, overflow=9, plugins=20, jobs=14)),
            (4, 4, Pools(size=18, overflow=6, plugins=30, jobs=9)),
        ],
    )
    def test_smaller_ones_where_there_is_none(self, max_acu: float, api: int, expected: Pools) -> None:
        available = max_connections(min_acu=0.5, max_acu=max_acu)
        assert pools_for(available, api=api, worker=api, websocket=1) == expected

    @given(capacities, st.integers(1, 50), st.integers(1, 50), st.integers(1, 3))
    def test_they_fit_unless_they_are_as_small_as_dify_can_work_with(
        self, max_acu: float, api: int, worker: int, websocket: int
    ) -> None:
        available = max_connections(min_acu=0.5, max_acu=max_acu)
        found = pools_for(available, api=api, worker=worker, websocket=websocket)
        excess = too_many(parts_of(found, api=api, worker=worker, websocket=websocket), available)
        assert excess is None or found.size + found.overflow == 15
        assert 4 <= found.jobs <= 16

    @given(st.integers(100, 5000), st.integers(1, 60))
    def test_more_processes_never_get_larger_ones(self, available: int, api: int) -> None:
        fewer, more = (pools_for(available, api=n, worker=1, websocket=1) for n in (api, api + 1))
        assert fewer.size + fewer.overflow >= more.size + more.overflow


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

    @pytest.mark.parametrize(
        ("component", "connections"),
        [
            (Component.API, 40 + 40),  # its pool, and vectors for as many requests
            (Component.API_WEBSOCKET, 40),
            (Component.WORKER, 40 + 16),  # its pool, and vectors for each job
            (Component.BEAT, 40),
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
        found = {"SQLALCHEMY_POOL_SIZE": "3", "SQLALCHEMY_MAX_OVERFLOW": "2"}
        assert connections_of(Component.API, found) == 10
        assert connections_of(Component.WORKER, {**found, "CELERY_WORKER_AMOUNT": "4"}) == 9
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "7"}) == 7

    @pytest.mark.parametrize(
        ("component", "variables", "connections"),
        [
            (Component.API, {"SERVER_WORKER_AMOUNT": "3"}, 3 * 80),
            (Component.WORKER, {"CELERY_WORKER_CLASS": "prefork", "CELERY_WORKER_AMOUNT": "4"}, 4 * 40 + 4),
            (
                Component.WORKER,
                {"CELERY_WORKER_POOL": "prefork", "CELERY_WORKER_CONCURRENCY": "2"},
                2 * 40 + 2,
            ),
            (Component.WORKER, {"CELERY_WORKER_POOL": "gevent", "CELERY_WORKER_CLASS": "prefork"}, 40 + 16),
        ],
    )
    def test_every_process_of_a_task_has_pools_of_its_own(
        self, component: Component, variables: dict[str, str], connections: int
    ) -> None:
        assert connections_of(component, variables) == connections

    @pytest.mark.parametrize(
        ("component", "name"),
        [(Component.API, "SQLALCHEMY_POOL_SIZE"), (Component.PLUGIN_DAEMON, "DB_MAX_OPEN_CONNS")],
    )
    def test_a_pool_of_nought_has_no_limit(self, component: Component, name: str) -> None:
        part = Part(name=component, most=1, connections=connections_of(component, {name: "0"}), doubles=True)
        assert too_many([part], 5000) == f"{component} 1 x no limit x 2 + others 15 = no limit"

    def test_what_is_known_at_deployment_only_counts_as_dify_s_own(self) -> None:
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "${Token[A.1]}"}) == 30

    def test_dify_s_own_are_the_defaults(self) -> None:
        assert (DEFAULT_POOLS.size, DEFAULT_POOLS.overflow) == (30, 10)

    def test_an_environment_of_lambda_opens_eight(self) -> None:
        found = {
            "SQLALCHEMY_POOL_SIZE": str(FUNCTION_POOLS.size),
            "SQLALCHEMY_MAX_OVERFLOW": str(FUNCTION_POOLS.overflow),
        }
        assert connections_of(Component.API, found) == 8
