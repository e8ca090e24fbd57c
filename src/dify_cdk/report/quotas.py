"""What a stack takes from the quotas of an account and region, counted from its template.

Every figure is the most that may be needed at once. Services of a stack are not updated in a known order, so
a rollout counts as if all of them were replaced at the same time, while a task that runs once runs too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dify_cdk.report.cost.charge import number, number_or, setting, times
from dify_cdk.report.cost.placement import capacity, runs_on_fargate, split
from dify_cdk.report.templates.deployments import deployment_only
from dify_cdk.report.templates.template import Template
from dify_cdk.report.traffic.containers import (
    SERVICE,
    TASK_DEFINITION,
    ContainerRow,
    read_containers,
    task_definition_of,
)
from dify_cdk.report.traffic.facts import Fact, fact
from dify_cdk.report.traffic.targets import ALIAS, FUNCTION, VERSION, function_of

_MAXIMUM_PERCENT = 200  # where a service gives none, see DeploymentConfiguration in the API of ECS


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """A quota of an account in a region, as Service Quotas knows it.

    Attributes:
        service: Service code, as in ``aws service-quotas get-service-quota --service-code``.
        code: Quota code, as in ``--quota-code``.
        new: What a new account has that asked for nothing, with the page that says so.
    """

    service: str
    code: str
    new: Fact


def _quota(service: str, code: str, new: str) -> Quota:
    return Quota(service=service, code=code, new=fact(new))


QUOTAS: Mapping[str, Quota] = MappingProxyType(
    {
        "on_demand": _quota("fargate", "L-3032A538", "fargate.on_demand"),
        "spot": _quota("fargate", "L-36FBB829", "fargate.spot"),
        "executions": _quota("lambda", "L-B99A9384", "lambda.concurrency_new"),
        "elastic_ips": _quota("ec2", "L-0263D0A3", "ec2.elastic_ips"),
        "vpcs": _quota("vpc", "L-F678F1CE", "vpc.vpcs"),
    }
)
"""By what they limit: ``on_demand`` and ``spot`` of :class:`Processors`, others of :class:`Demand`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processors:
    """vCPU of Fargate that tasks take at one moment; None where the template does not tell.

    Attributes:
        on_demand: Of tasks on demand.
        spot: Of tasks on Fargate Spot, which have a quota of their own.
    """

    on_demand: float | None = 0
    spot: float | None = 0

    def __add__(self, other: Processors) -> Processors:
        return Processors(
            on_demand=_sum((self.on_demand, other.on_demand)), spot=_sum((self.spot, other.spot))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a stack takes from the quotas; add those of all stacks in one account and region.

    Attributes:
        steady: With the fewest tasks of every service.
        rollout: While all services replace these, and each task that runs once runs.
        scaled_out: With the most tasks of every service.
        scaled_out_rollout: While all services replace those.
        executions: Executions of functions that are reserved or kept ready; None if unknown. All other
            functions share what is left of the quota.
        functions: Logical ids of the functions that are called outside of deployments.
        elastic_ips: Number of Elastic IP addresses.
        vpcs: Number of VPCs.
    """

    steady: Processors = Processors()
    rollout: Processors = Processors()
    scaled_out: Processors = Processors()
    scaled_out_rollout: Processors = Processors()
    executions: float | None = 0
    functions: tuple[str, ...] = ()
    elastic_ips: int = 0
    vpcs: int = 0

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            steady=self.steady + other.steady,
            rollout=self.rollout + other.rollout,
            scaled_out=self.scaled_out + other.scaled_out,
            scaled_out_rollout=self.scaled_out_rollout + other.scaled_out_rollout,
            executions=_sum((self.executions, other.executions)),
            functions=self.functions + other.functions,
            elastic_ips=self.elastic_ips + other.elastic_ips,
            vpcs=self.vpcs + other.vpcs,
        )


def demand(view: Template) -> Demand:
    """Count what the resources of a template take, those included that a condition may leave out."""
    rows = {row.service or row.task_definition: row for row in read_containers(view)}.values()
    services = [row for row in rows if row.service]
    once = _total(_once(view, row) for row in rows if not row.service)
    passing = deployment_only(view)
    return Demand(
        steady=_total(_running(view, row, number(row.min_tasks)) for row in services),
        rollout=once + _total(_replaced(view, row, number(row.min_tasks)) for row in services),
        scaled_out=_total(_running(view, row, number(row.max_tasks)) for row in services),
        scaled_out_rollout=once + _total(_replaced(view, row, number(row.max_tasks)) for row in services),
        executions=_sum(_executions(view)),
        functions=tuple(one.id for one in view.of_type(FUNCTION) if one.id not in passing),
        elastic_ips=len(view.of_type("AWS::EC2::EIP")),
        vpcs=len(view.of_type("AWS::EC2::VPC")),
    )


def _once(view: Template, row: ContainerRow) -> Processors:
    """A task that something starts when needed: one of them, and on demand, because nothing asks for Spot."""
    task = view.find({"Ref": row.task_definition}, TASK_DEFINITION)
    return Processors(on_demand=row.vcpu) if task and runs_on_fargate(task) else Processors()


def _running(view: Template, row: ContainerRow, tasks: float | None) -> Processors:
    """So many tasks of a service."""
    service = view.find({"Ref": row.service}, SERVICE)
    if service is None:
        return Processors()
    task = task_definition_of(view, service)
    strategy = capacity(view, service, task)
    if strategy is None:
        return Processors()
    placed = {share.spot: share.tasks for share in split(strategy, tasks)}
    if None in placed.values():
        return Processors(on_demand=None, spot=None)
    return Processors(on_demand=_whole(placed.get(False), row.vcpu), spot=_whole(placed.get(True), row.vcpu))


def _replaced(view: Template, row: ContainerRow, tasks: float | None) -> Processors:
    """So many tasks of a service, and as many new ones as may run beside them."""
    service = view.find({"Ref": row.service}, SERVICE)
    given = setting(service, "DeploymentConfiguration", "MaximumPercent") if service else None
    percent = number_or(given, _MAXIMUM_PERCENT)
    beside = None if tasks is None or percent is None else max(0, math.floor(tasks * percent / 100) - tasks)
    return _running(view, row, tasks) + _running(view, row, beside)


def _whole(tasks: float | None, vcpu: float | None) -> float | None:
    """The weights of a strategy hold on average: of a fraction one task may be there."""
    return times(math.ceil(tasks), vcpu) if tasks else 0


def _executions(view: Template) -> Iterator[float | None]:
    """Of each function what is reserved, else what is kept ready, which is taken from the quota too."""
    reserved = {one.id: setting(one, "ReservedConcurrentExecutions") for one in view.of_type(FUNCTION)}
    yield from (number(value) for value in reserved.values() if value is not None)
    for alias in view.of_type(ALIAS, VERSION):
        ready = setting(alias, "ProvisionedConcurrencyConfig", "ProvisionedConcurrentExecutions")
        owner = function_of(view, {"Ref": alias.id})
        if ready is not None and (owner is None or reserved[owner.id] is None):
            yield number(ready)


def _total(values: Iterable[Processors]) -> Processors:
    return sum(values, Processors())


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else math.fsum(value for value in known if value is not None)
