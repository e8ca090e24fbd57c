"""Sizes of tasks: what Fargate offers, what every component needs, what may run only once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dify_cdk.dify.components import Component
from dify_cdk.options.sizes import (
    DEFAULT_SIZES,
    SINGLETON_COMPONENTS,
    ComponentSize,
    Scaling,
    Spot,
    sizes_with,
    with_room_for_proxy,
)
from dify_facts import COMPONENTS

# GiB of memory that Fargate pairs with CPU units, from its documentation: first, last, step.
FARGATE = {
    512: (1, 4, 1),
    1024: (2, 8, 1),
    2048: (4, 16, 1),
    4096: (8, 30, 1),
    8192: (16, 60, 4),
    16384: (32, 120, 8),
}
OFFERED = {(256, 512), (256, 1024), (256, 2048)} | {
    (cpu, gib * 1024) for cpu, (first, last, step) in FARGATE.items() for gib in range(first, last + 1, step)
}

# Memory in MiB below which a component was seen to be killed or to come close to it.
FLOORS = {component: row["floor"] for component, row in COMPONENTS.items()}
SCALING = [component for component, row in COMPONENTS.items() if row["scales"]]

NUMBER_TOKEN = -1.8881545897087503e289
SMALL = ComponentSize(cpu_units=256, memory_mib=1024)


class TestRoleSize:
    @pytest.mark.parametrize(("cpu", "memory"), sorted(OFFERED))
    def test_every_size_that_fargate_offers_passes(self, cpu: int, memory: int) -> None:
        assert ComponentSize(cpu_units=cpu, memory_mib=memory).tasks == 1

    @pytest.mark.parametrize("cpu", [256, *FARGATE])
    def test_fails_when_fargate_does_not_pair_the_memory_with_the_cpu(self, cpu: int) -> None:
        others = {memory for memory in range(0, 131072 + 1, 512) if (cpu, memory) not in OFFERED}
        for memory in others | {-512, 1000, 1023, 2049}:
            message = (
                rf"^ComponentSize\.memory_mib must be one of \d+, .* with cpu_units={cpu}, got {memory}$"
            )
            with pytest.raises(ValueError, match=message):
                ComponentSize(cpu_units=cpu, memory_mib=memory)

    @pytest.mark.parametrize("cpu", [0, 1, 255, 300, 3072, 32768, -256])
    def test_fails_when_fargate_has_no_such_cpu(self, cpu: int) -> None:
        choices = "256, 512, 1024, 2048, 4096, 8192, 16384"
        with pytest.raises(
            ValueError, match=rf"^ComponentSize\.cpu_units must be one of {choices}, got {cpu}$"
        ):
            ComponentSize(cpu_units=cpu, memory_mib=2048)

    @pytest.mark.parametrize("tasks", [0, -1, 5001])
    def test_fails_when_a_service_cannot_have_so_many_tasks(self, tasks: int) -> None:
        with pytest.raises(
            ValueError, match=rf"^ComponentSize\.tasks must be between 1 and 5000, got {tasks}$"
        ):
            ComponentSize(cpu_units=256, memory_mib=512, tasks=tasks)

    def test_the_most_tasks_pass(self) -> None:
        assert ComponentSize(cpu_units=256, memory_mib=512, tasks=5000).tasks == 5000

    @pytest.mark.parametrize(
        "size",
        [
            {"cpu_units": NUMBER_TOKEN, "memory_mib": 3},
            {"cpu_units": 256, "memory_mib": NUMBER_TOKEN},
            {"cpu_units": 256, "memory_mib": 512, "tasks": NUMBER_TOKEN},
        ],
        ids=["cpu", "memory", "tasks"],
    )
    def test_numbers_known_at_deployment_pass(self, size: dict[str, Any]) -> None:
        assert ComponentSize(**size).memory_mib == size["memory_mib"]


class TestDefaults:
    @pytest.mark.parametrize("component", Component)
    def test_every_component_starts_above_its_floor(self, component: Component) -> None:
        cpu, memory = FLOORS[component]
        assert DEFAULT_SIZES[component].cpu_units >= cpu
        assert DEFAULT_SIZES[component].memory_mib >= memory
        assert DEFAULT_SIZES[component].tasks == 1

    def test_what_must_not_run_twice(self) -> None:
        assert set(SINGLETON_COMPONENTS) == {Component.BEAT, Component.PLUGIN_DAEMON, Component.MIGRATION}


class TestSizesWith:
    def test_own_sizes_replace_the_defaults_and_nothing_else(self) -> None:
        big = ComponentSize(cpu_units=2048, memory_mib=8192, tasks=3)
        assert sizes_with({Component.WORKER: big}) == {**DEFAULT_SIZES, Component.WORKER: big}
        assert sizes_with({}) == DEFAULT_SIZES

    @pytest.mark.parametrize("component", SINGLETON_COMPONENTS)
    def test_a_singleton_may_grow(self, component: Component) -> None:
        assert sizes_with({component: SMALL})[component] is SMALL

    @pytest.mark.parametrize("component", SINGLETON_COMPONENTS)
    def test_fails_when_a_singleton_would_run_twice(self, component: Component) -> None:
        twice = ComponentSize(cpu_units=256, memory_mib=1024, tasks=2)
        message = rf"^sizes of {component}: exactly one task can run, got tasks=2$"
        with pytest.raises(ValueError, match=message):
            sizes_with({component: twice})

    def test_fails_when_the_tasks_of_a_singleton_are_known_only_at_deployment(self) -> None:
        """The message names the rule and not the token's number, which says nothing to anybody."""
        unknown = ComponentSize(cpu_units=256, memory_mib=1024, tasks=int(NUMBER_TOKEN))
        with pytest.raises(ValueError, match="literal") as caught:
            sizes_with({Component.BEAT: unknown})
        assert not re.search(r"\de\+?\d|\d{20}", str(caught.value))


class TestScaling:
    def test_bounds_and_target_are_kept(self) -> None:
        scaling = Scaling(min_tasks=2, max_tasks=5000, cpu_percent=90)
        assert (scaling.min_tasks, scaling.max_tasks, scaling.cpu_percent) == (2, 5000, 90)
        assert ComponentSize(cpu_units=256, memory_mib=1024, tasks=scaling).most_tasks == 5000

    @pytest.mark.parametrize("percent", [0, 1, 9, 91, 100])
    def test_fails_when_the_target_could_never_or_always_be_exceeded(self, percent: int) -> None:
        with pytest.raises(ValueError, match=r"^Scaling\.cpu_percent must be between 10 and 90, got "):
            Scaling(max_tasks=2, cpu_percent=percent)

    @pytest.mark.parametrize(("low", "high"), [(1, 1), (5, 4)])
    def test_fails_when_the_bounds_leave_nothing_to_scale(self, low: int, high: int) -> None:
        message = rf"^Scaling\.max_tasks must be more than min_tasks={low}, got {high}: write tasks="
        with pytest.raises(ValueError, match=message):
            Scaling(min_tasks=low, max_tasks=high)

    @pytest.mark.parametrize("component", Component)
    def test_only_components_whose_cpu_tells_their_load_scale(self, component: Component) -> None:
        size = ComponentSize(cpu_units=512, memory_mib=2048, tasks=Scaling(max_tasks=2))
        if component in SCALING:
            assert sizes_with({component: size})[component] is size
            return
        with pytest.raises(ValueError, match=rf"^sizes of {component}: only {', '.join(SCALING)} can scale"):
            sizes_with({component: size})

    @pytest.mark.parametrize("most", [1, 4, 1000, NUMBER_TOKEN])
    def test_the_worker_may_say_how_many_jobs_wait(self, most: float) -> None:
        tasks = Scaling(max_tasks=2, waiting_jobs=most)  # type: ignore[arg-type]
        size = ComponentSize(cpu_units=512, memory_mib=2048, tasks=tasks)
        assert sizes_with({Component.WORKER: size})[Component.WORKER] is size

    @pytest.mark.parametrize("most", [0, -1, 1001])
    def test_fails_when_so_many_jobs_cannot_wait(self, most: int) -> None:
        message = rf"^Scaling\.waiting_jobs must be between 1 and 1000, got {most}$"
        with pytest.raises(ValueError, match=message):
            Scaling(max_tasks=2, waiting_jobs=most)

    @pytest.mark.parametrize("component", [Component.API, Component.WEB])
    def test_fails_when_jobs_shall_wait_for_a_component_that_takes_none(self, component: Component) -> None:
        size = ComponentSize(cpu_units=512, memory_mib=2048, tasks=Scaling(max_tasks=2, waiting_jobs=4))
        message = rf"^sizes of {component}: jobs wait for the worker only, got Scaling\.waiting_jobs=4; leave"
        with pytest.raises(ValueError, match=message):
            sizes_with({component: size})


class TestSpot:
    def test_a_base_stays_on_demand_unless_said_otherwise(self) -> None:
        assert Spot().on_demand_base == 1
        assert ComponentSize(cpu_units=256, memory_mib=1024).spot is None

    @pytest.mark.parametrize("tasks", [1, 2, Scaling(max_tasks=2)])
    def test_fails_when_the_base_takes_all_tasks(self, tasks: int | Scaling) -> None:
        message = r"^ComponentSize\.spot has no effect: Spot\.on_demand_base=2 keeps all of at most \d tasks"
        with pytest.raises(ValueError, match=message):
            ComponentSize(cpu_units=256, memory_mib=1024, tasks=tasks, spot=Spot(on_demand_base=2))

    @pytest.mark.parametrize(
        "component", [component for component in Component if component is not Component.MIGRATION]
    )
    def test_every_service_may_run_on_it(self, component: Component) -> None:
        size = ComponentSize(cpu_units=512, memory_mib=2048, spot=Spot(on_demand_base=0))
        assert sizes_with({component: size})[component] is size

    def test_fails_when_the_migration_could_be_interrupted(self) -> None:
        size = ComponentSize(cpu_units=512, memory_mib=2048, spot=Spot(on_demand_base=0))
        with pytest.raises(ValueError, match=r"^sizes of migration: it always runs on demand"):
            sizes_with({Component.MIGRATION: size})


class TestWithRoomForProxy:
    def test_a_grown_size_keeps_how_many_run_and_where(self) -> None:
        default = DEFAULT_SIZES[Component.WEB]
        scaling, spot = Scaling(max_tasks=3), Spot()
        size = ComponentSize(
            cpu_units=default.cpu_units, memory_mib=default.memory_mib, tasks=scaling, spot=spot
        )
        grown = with_room_for_proxy(Component.WEB, size)
        assert grown == ComponentSize(cpu_units=512, memory_mib=1024, tasks=scaling, spot=spot)
