"""Warnings for cost-saving choices that reduce availability or save nothing."""

from __future__ import annotations

from collections.abc import Mapping

from dify_cdk.dify.components import Component
from dify_cdk.options.sizes import ComponentSize

_NO_SCHEDULER = (
    "scheduler=None: scheduled workflows, polled triggers, human-input timeouts, plugin upgrades and "
    "clean-ups do not run"
)
_AWAKE = (
    "DatabaseCapacity.min_acu=0 saves nothing: the plugin daemon asks the database every minute, with "
    "scheduler=None as well, so that it never pauses and costs what min_acu=0.5 costs: leave min_acu out"
)


def saving_warnings(
    sizes: Mapping[Component, ComponentSize], *, has_scheduler: bool, database_pauses: bool
) -> dict[str, str]:
    """The warnings, keyed by the id that acknowledges them.

    Args:
        sizes: Size of every component.
        has_scheduler: Whether beat runs.
        database_pauses: Whether the database would pause without connections.
    """
    found = {}
    for component in Component:
        spot, effect = sizes[component].spot, component.spec.without_tasks
        if effect is not None and spot is not None and spot.on_demand_base == 0:
            found[f"DifyWorkersSpot{component.construct_id}"] = (
                f"every task of {component} runs on Spot: while there is no spare capacity, {effect}"
            )
    if not has_scheduler:
        found["DifyWorkersScheduler"] = _NO_SCHEDULER
    if database_pauses:
        found["DifyDatabaseAwake"] = _AWAKE
    return found
