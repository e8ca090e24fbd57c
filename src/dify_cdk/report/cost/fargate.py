"""Containers on Fargate: what tasks are sized for, and how many of them run on spare capacity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Rule,
    Site,
    counted,
    is_decided_later,
    number,
    setting,
    shown,
    times,
    word_or,
)
from dify_cdk.report.cost.network import address
from dify_cdk.report.cost.placement import Share, capacity, split
from dify_cdk.report.templates.template import Resource, items, mapping
from dify_cdk.report.traffic.containers import SERVICE, ContainerRow, task_definition_of

_FREE_STORAGE_GB = 20  # of every task


def ecs_service(resource: Resource, site: Site) -> Iterator[Charge]:
    """Processor and memory of the tasks that run all month, by the kind of capacity they run on.

    Without autoscaling these are the desired tasks. With autoscaling the fewest run always, and the most for
    the busy share of the month. Tasks on instances cost nothing here: the instances do.
    """
    task = task_definition_of(site.view, resource)
    row = next((row for row in site.containers if row.service == resource.id), None)
    if row is None or (strategy := capacity(site.view, resource, task)) is None:
        return
    tasks = _running(row, site.usage.busy_share)
    for share in split(strategy, tasks):
        yield from _size(row, task, share, site.hours)
        yield from _storage(task, share, site.hours)
    network = setting(resource, "NetworkConfiguration", "AwsvpcConfiguration")
    if setting(resource, "NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp") == "ENABLED":
        yield address(tasks, site.hours, "task")
    elif is_decided_later(network):
        yield address(None, site.hours, "task")


def ecs_cluster(resource: Resource, site: Site) -> Iterator[Charge]:
    """Metrics of containers, if the cluster collects them; AWS does not say how many there are."""
    for entry in map(mapping, items(setting(resource, "ClusterSettings"))):
        if entry.get("Name") == "containerInsights" and entry.get("Value") != "disabled":
            words = "metrics of every task, whose number AWS does not publish"
            yield Charge("cloudwatch.container_metric_month", None, words)


def _running(row: ContainerRow, busy: float) -> float | None:
    fewest, most = number(row.min_tasks), number(row.max_tasks)
    if fewest is None or most is None:
        return None
    return fewest + busy * max(most - fewest, 0)


def _size(row: ContainerRow, task: Resource | None, share: Share, hours: float) -> Iterator[Charge]:
    system = word_or(setting(task, "RuntimePlatform", "OperatingSystemFamily") if task else None, "LINUX")
    processor = row.architecture.lower() if system == "LINUX" else f"{row.architecture}.{system}".lower()
    gb = times(number(row.memory_mib), 1 / 1024)
    spot = "spot_" if share.spot else ""
    for price, size, word in (("vcpu_hour", number(row.vcpu), "vCPU"), ("gb_hour", gb, "GB")):
        yield Charge(
            f"fargate.{spot}{price}",
            times(share.tasks, size, hours),
            f"{counted(share.tasks, 'task')} x {shown(size)} {word} x {shown(hours)} h",
            variant=processor,
        )


def _storage(task: Resource | None, share: Share, hours: float) -> Iterator[Charge]:
    size = setting(task, "EphemeralStorage", "SizeInGiB") if task else None
    if size is None:
        return
    known = number(size)
    above = None if known is None else max(known - _FREE_STORAGE_GB, 0)
    size_in_words = f"{shown(above)} GB above {_FREE_STORAGE_GB}"
    words = f"{counted(share.tasks, 'task')} x {size_in_words} x {shown(hours)} h"
    yield Charge("fargate.ephemeral_gb_hour", times(share.tasks, above, hours), words)


RULES: Mapping[str, Rule] = MappingProxyType({SERVICE: ecs_service, "AWS::ECS::Cluster": ecs_cluster})
