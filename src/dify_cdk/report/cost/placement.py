"""On which kind of Fargate capacity ECS places the tasks of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dify_cdk.report.cost.charge import number_or
from dify_cdk.report.templates.template import Resource, Template, items

_ASSOCIATIONS = "AWS::ECS::ClusterCapacityProviderAssociations"
_PROVIDERS = ("FARGATE", "FARGATE_SPOT")


@dataclass(frozen=True, slots=True)
class Share:
    """Tasks of a service on one kind of capacity.

    Attributes:
        spot: Whether it is spare capacity.
        tasks: How many, on average over many placements: not a whole number; None if unknown.
    """

    spot: bool
    tasks: float | None


def capacity(view: Template, service: Resource, task: Resource | None) -> list[object] | None:
    """The strategy by which tasks are placed; None if they run on instances."""
    launch = service.properties.get("LaunchType")
    strategy = items(service.properties.get("CapacityProviderStrategy"))
    if not strategy and launch is None:
        strategy = _default_strategy(view, service)
    if not strategy and launch is None and task and runs_on_fargate(task):
        launch = "FARGATE"
    if launch is not None:
        strategy = [{"CapacityProvider": launch, "Weight": 1}]
    providers = [entry.get("CapacityProvider") if isinstance(entry, Mapping) else None for entry in strategy]
    on_instances = all(isinstance(name, str) and name not in _PROVIDERS for name in providers)
    return None if on_instances else strategy


def runs_on_fargate(task: Resource) -> bool:
    """Whether a task definition is made for Fargate."""
    return "FARGATE" in items(task.properties.get("RequiresCompatibilities"))


def split(strategy: list[object], tasks: float | None) -> list[Share]:
    """Tasks on demand and on Spot: first the bases, then the rest by weight."""
    entries = [_entry(entry) for entry in strategy]
    if tasks is None or any(entry is None for entry in entries):
        return [Share(False, None)]
    known = [entry for entry in entries if entry is not None]
    placed = dict.fromkeys(_PROVIDERS, 0.0)
    rest = tasks
    for provider, base, _ in known:
        taken = min(base, rest)
        placed[provider] += taken
        rest -= taken
    weights = sum(weight for _, _, weight in known)
    for provider, _, weight in known:
        placed[provider] += rest * weight / weights if weights else rest / len(known)
    return [Share(provider == "FARGATE_SPOT", count) for provider, count in placed.items() if count]


def _default_strategy(view: Template, service: Resource) -> list[object]:
    cluster = view.find(service.properties.get("Cluster"), "AWS::ECS::Cluster")
    if cluster is None:
        return []
    for association in view.naming(cluster, "Cluster", _ASSOCIATIONS):
        return items(association.properties.get("DefaultCapacityProviderStrategy"))
    return items(cluster.properties.get("DefaultCapacityProviderStrategy"))


def _entry(entry: object) -> tuple[str, float, float] | None:
    if not isinstance(entry, Mapping) or entry.get("CapacityProvider") not in _PROVIDERS:
        return None
    base, weight = number_or(entry.get("Base"), 0), number_or(entry.get("Weight"), 0)
    return None if base is None or weight is None else (entry["CapacityProvider"], base, weight)
