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


def parts_of(pools: Pools, *, processes: int) -> list[Part]:
    """All that runs: processes of the api image, beat, which never runs twice, and the plugin daemon."""
    of_each = pools.size + pools.overflow + pools.vectors
    return [
        Part(name="api", most=processes, connections=of_each, doubles=True),
        Part(name="beat", most=1, connections=of_each, doubles=False),
        Part(name="plugin_daemon", most=1, connections=pools.plugins, doubles=True),
    ]


class TestPools:
    @pytest.mark.parametrize(("max_acu", "processes"), [(2, 3), (4, 3), (8, 8), (16, 12)])
    def test_dify_s_own_where_there_is_room(self, max_acu: float, processes: int) -> None:
        found = pools_for(max_connections(min_acu=0.5, max_acu=max_acu), processes)
        assert (found.size, found.overflow, found.vectors, found.jobs) == (30, 10, 5, 16)

    @pytest.mark.parametrize(
        ("max_acu", "processes", "expected"),
        [
            (1, 3, Pools(size=15, overflow=5, vectors=2, plugins=10, jobs=8)),
            (2, 8, Pools(size=11, overflow=4, vectors=5, plugins=20, jobs=6)),
            (4, 8, Pools(size=29, overflow=10, vectors=5, plugins=30, jobs=15)),
        ],
    )
    def test_smaller_ones_where_there_is_none(self, max_acu: float, processes: int, expected: Pools) -> None:
        assert pools_for(max_connections(min_acu=0.5, max_acu=max_acu), processes) == expected

    @given(capacities, st.integers(2, 100))
    def test_they_fit_unless_they_are_as_small_as_dify_can_work_with(
        self, max_acu: float, processes: int
    ) -> None:
        available = max_connections(min_acu=0.5, max_acu=max_acu)
        found = pools_for(available, processes)
        excess = too_many(parts_of(found, processes=processes), available)
        assert excess is None or found.size + found.overflow == 15
        assert 4 <= found.jobs <= 16

    @given(st.integers(100, 5000), st.integers(2, 60))
    def test_more_processes_never_get_larger_ones(self, available: int, processes: int) -> None:
        fewer, more = pools_for(available, processes), pools_for(available, processes + 1)
        assert fewer.size + fewer.overflow >= more.size + more.overflow

    def test_an_environment_of_lambda_opens_five(self) -> None:
        assert FUNCTION_POOLS.size + FUNCTION_POOLS.overflow + FUNCTION_POOLS.vectors == 5


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
            *(
                (component, 45)
                for component in (Component.API, Component.API_WEBSOCKET, Component.WORKER, Component.BEAT)
            ),
            *((component, 0) for component in (Component.WEB, Component.SANDBOX, Component.SSRF_PROXY)),
            (Component.PLUGIN_DAEMON, 30),
        ],
    )
    def test_a_process_without_variables_opens_what_dify_opens(
        self, component: Component, connections: int
    ) -> None:
        assert connections_of(component, {}) == connections

    def test_variables_count(self) -> None:
        found = {"SQLALCHEMY_POOL_SIZE": "3", "SQLALCHEMY_MAX_OVERFLOW": "2", "PGVECTOR_MAX_CONNECTION": "1"}
        assert connections_of(Component.API, found) == 6
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "7"}) == 7

    def test_what_is_known_at_deployment_only_counts_as_dify_s_own(self) -> None:
        assert connections_of(Component.PLUGIN_DAEMON, {"DB_MAX_OPEN_CONNS": "${Token[A.1]}"}) == 30

    def test_dify_s_own_are_the_defaults(self) -> None:
        assert (DEFAULT_POOLS.size, DEFAULT_POOLS.overflow, DEFAULT_POOLS.vectors) == (30, 10, 5)
