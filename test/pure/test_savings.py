"""Warnings about cheap choices: said exactly where something stops, and by an id of their own."""

from __future__ import annotations

import itertools

import pytest

from dify_cdk.dify.components import Component
from dify_cdk.options.savings import saving_warnings
from dify_cdk.options.sizes import DEFAULT_SIZES, ComponentSize, Spot

RISKY = {
    Component.API: "nobody can use Dify",
    Component.WEB: "nobody can open Dify",
    Component.PLUGIN_DAEMON: "no model and no tool answers",
}


def on_spot(component: Component, base: int, tasks: int = 1) -> dict[Component, ComponentSize]:
    spot = Spot(on_demand_base=base)
    return {**DEFAULT_SIZES, component: ComponentSize(cpu_units=512, memory_mib=2048, tasks=tasks, spot=spot)}


def test_defaults_raise_none() -> None:
    assert saving_warnings(DEFAULT_SIZES, has_scheduler=True, database_pauses=False) == {}


@pytest.mark.parametrize("component", RISKY)
def test_a_component_wholly_on_spot_is_warned_about_where_it_stops_dify(component: Component) -> None:
    found = saving_warnings(on_spot(component, 0), has_scheduler=True, database_pauses=False)
    ((id, text),) = found.items()
    assert id == f"DifyWorkersSpot{component.construct_id}"
    assert text.startswith(f"every task of {component} runs on Spot: while there is no spare capacity, ")
    assert RISKY[component] in text


@pytest.mark.parametrize(
    "component", [Component.WORKER, Component.SANDBOX, Component.SSRF_PROXY, Component.BEAT]
)
def test_components_whose_work_waits_are_not_warned_about(component: Component) -> None:
    assert saving_warnings(on_spot(component, 0), has_scheduler=True, database_pauses=False) == {}


@pytest.mark.parametrize("component", [Component.API, Component.WEB])
def test_a_base_on_demand_needs_no_warning(component: Component) -> None:
    assert saving_warnings(on_spot(component, 1, tasks=2), has_scheduler=True, database_pauses=False) == {}


def test_no_scheduler_says_what_stops() -> None:
    found = saving_warnings(DEFAULT_SIZES, has_scheduler=False, database_pauses=False)
    assert set(found) == {"DifyWorkersScheduler"}
    for what in ("scheduled workflows", "triggers", "human-input timeouts", "plugin upgrades", "clean-ups"):
        assert what in found["DifyWorkersScheduler"]


@pytest.mark.parametrize("has_scheduler", [True, False])
def test_a_database_that_may_pause_never_does_beside_the_plugin_daemon(has_scheduler: bool) -> None:
    found = saving_warnings(DEFAULT_SIZES, has_scheduler=has_scheduler, database_pauses=True)
    assert set(found) - {"DifyWorkersScheduler"} == {"DifyDatabaseAwake"}
    text = found["DifyDatabaseAwake"]
    assert text.startswith("DatabaseCapacity.min_acu=0 saves nothing: the plugin daemon asks")
    assert "never pauses" in text
    assert "pass scheduler=None" not in text  # which would not help


def test_no_warning_promises_a_pause() -> None:
    found = saving_warnings(DEFAULT_SIZES, has_scheduler=False, database_pauses=True)
    assert not [text for text in found.values() if "pauses when" in text or "can pause" in text]


def test_every_warning_has_an_id_of_its_own() -> None:
    sizes = {component: size for risky in RISKY for component, size in on_spot(risky, 0).items() if size.spot}
    ids: set[str] = set()
    for has_scheduler, pauses in itertools.product([True, False], repeat=2):
        ids |= set(
            saving_warnings({**DEFAULT_SIZES, **sizes}, has_scheduler=has_scheduler, database_pauses=pauses)
        )
    assert len(ids) == len(RISKY) + 2
