"""Lambda: calls and their duration, in a region and at the edge, and environments kept ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Load,
    Rule,
    Site,
    counted,
    number_or,
    setting,
    shown,
    times,
    word_or,
)
from dify_cdk.report.templates.template import Resource, Template, items, remembered
from dify_cdk.report.traffic.targets import ALIAS, FUNCTION, VERSION, function_of

_DEFAULT_MB = 128
_FREE_STORAGE_MB = 512


def function(resource: Resource, site: Site) -> Iterator[Charge]:
    """Calls and GB-seconds of functions that requests pass through.

    A function that runs only during deployments costs nothing in a month. How often any other one runs, the
    template does not say. What cold starts add is not counted; an authorizer is counted for every request,
    although API Gateway remembers its answers for a while.
    """
    load = site.loads.get(resource.id)
    if _runs_at_the_edge(site.view, resource):
        yield from _at_the_edge(resource, load or Load())
    elif load is not None or resource.id not in site.deployment_only:
        yield from _in_a_region(resource, site.view, load)


def ready_environments(resource: Resource, site: Site) -> Iterator[Charge]:
    """Provisioned concurrency of a version or an alias, for the whole month."""
    wanted = setting(resource, "ProvisionedConcurrencyConfig", "ProvisionedConcurrentExecutions")
    owner = function_of(site.view, {"Ref": resource.id})
    if wanted is None:
        return
    count = number_or(wanted, 0)
    gb = _gigabytes(owner) if owner else None
    seconds = site.hours * 3600
    yield Charge(
        "lambda.provisioned_gb_second",
        times(count, gb, seconds),
        f"{counted(count, 'environment')} x {shown(gb)} GB x {shown(seconds)} s",
        variant=_processor(owner),
    )


def _in_a_region(resource: Resource, view: Template, load: Load | None) -> Iterator[Charge]:
    processor, gb = _processor(resource), _gigabytes(resource)
    requests, seconds = (load.requests, load.seconds) if load else (None, None)
    kind = "provisioned_duration_gb_second" if _is_kept_ready(view, resource) else "gb_second"
    why = "" if load else ", started by events"
    words = f"{shown(seconds)} s x {shown(gb)} GB{why}"
    yield Charge("lambda.requests", requests, f"{counted(requests, 'call')}{why}")
    yield Charge(f"lambda.{kind}", times(seconds, gb), words, variant=processor)
    yield from _storage(resource, seconds)


def _storage(resource: Resource, seconds: float | None) -> Iterator[Charge]:
    size = number_or(setting(resource, "EphemeralStorage", "Size"), _FREE_STORAGE_MB)
    if size is not None and size <= _FREE_STORAGE_MB:
        return
    gb = None if size is None else (size - _FREE_STORAGE_MB) / 1024
    words = f"{shown(seconds)} s x {shown(gb)} GB above {_FREE_STORAGE_MB} MB"
    yield Charge("lambda.ephemeral_gb_second", times(seconds, gb), words)


def _at_the_edge(resource: Resource, load: Load) -> Iterator[Charge]:
    gb = _gigabytes(resource)
    words = f"{shown(load.seconds)} s x {shown(gb)} GB"
    yield Charge("lambda_edge.requests", load.requests, counted(load.requests, "call"))
    yield Charge("lambda_edge.gb_second", times(load.seconds, gb), words)


def _gigabytes(resource: Resource) -> float | None:
    return times(number_or(setting(resource, "MemorySize"), _DEFAULT_MB), 1 / 1024)


def _processor(resource: Resource | None) -> str:
    """``x86_64`` unless the function says otherwise; empty if it is not known."""
    named = setting(resource, "Architectures") if resource else {"Ref": "unknown"}
    if named is None:
        return "x86_64"
    return word_or(items(named)[0], "") if isinstance(named, list) and len(items(named)) == 1 else ""


@remembered
def _is_kept_ready(view: Template, resource: Resource) -> bool:
    return any(
        setting(other, "ProvisionedConcurrencyConfig") is not None
        and function_of(view, {"Ref": other.id}) is resource
        for other in view.of_type(VERSION, ALIAS)
    )


@remembered
def _runs_at_the_edge(view: Template, function: Resource) -> bool:
    """Whether a function is Lambda@Edge: its role says so by whom it trusts."""
    role = view.find(function.properties.get("Role"), "AWS::IAM::Role")
    trust = role.properties.get("AssumeRolePolicyDocument") if role else None
    return "edgelambda.amazonaws.com" in view.text(trust)


RULES: Mapping[str, Rule] = MappingProxyType(
    {FUNCTION: function, VERSION: ready_environments, ALIAS: ready_environments}
)
