"""How large the container of a component is, and how many run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from dify_cdk._checks import is_token, require_literal, require_one_of, require_whole
from dify_cdk.dify.components import Component, Host, Replicas, components_with, require_components

_FARGATE_MEMORY_MIB: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        256: (512, 1024, 2048),
        512: tuple(range(1024, 4096 + 1, 1024)),
        1024: tuple(range(2048, 8192 + 1, 1024)),
        2048: tuple(range(4096, 16384 + 1, 1024)),
        4096: tuple(range(8192, 30720 + 1, 1024)),
        8192: tuple(range(16384, 61440 + 1, 4096)),
        16384: tuple(range(32768, 122880 + 1, 8192)),
    }
)

_MAX_TASKS = 5000  # tasks of one service
_MAX_WAITING = 1000
_CPU_PERCENT = (10, 90)  # an idle component is above less already, and more is too late to start a task


class Architecture(StrEnum):
    """Processor of tasks and of v3's functions.

    The sandbox always runs on x86-64, where its syscall list is complete.
    """

    X86_64 = "x86_64"
    """Intel and AMD processors."""
    ARM64 = "arm64"
    """AWS Graviton processors, which cost less; images of your own have to be built for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """A number of tasks that follows their load: ECS keeps their average CPU near a target.

    Above the target for three minutes, tasks are added; well below it for longer, they are removed. A task
    that is removed has two minutes to finish: a streamed answer or a job of the worker that takes longer is
    cut off.

    The worker also follows its queue, because a worker that waits for models uses little CPU however long the
    queue is. When more than ``waiting_jobs`` wait for each worker for three minutes, tasks are added, in
    proportion to the queue. They are removed only when CPU and queue are both low, and never while the queue
    cannot be measured. Running jobs do not count: with an empty queue a task may be removed while it runs
    jobs, which have those two minutes to finish.

    Every task opens its own connections to the database, whose maximum follows from
    ``DatabaseCapacity.max_acu``.

    Attributes:
        max_tasks: Upper bound, more than ``min_tasks``, up to 5000.
        min_tasks: Lower bound, 1 to 5000: without a task there is no load to measure.
        cpu_percent: Target for the average CPU, in percent of the task's size, 10 to 90.
        waiting_jobs: How many jobs may wait for each worker task, 1 to 1000; only for ``worker``. Default: 4,
            a quarter of the 16 jobs that a worker runs at once with a large enough database. A job then waits
            for about a quarter of the time that jobs take: where they take eight minutes, for two, which is
            CloudFront's idle timeout.

    Raises:
        ValueError: If a value is out of range, or ``max_tasks`` is not more than ``min_tasks``.

    See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
    and https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
    """

    max_tasks: int
    min_tasks: int = 1
    cpu_percent: int = 60
    waiting_jobs: int | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        require_whole("Scaling.min_tasks", self.min_tasks, 1, _MAX_TASKS)
        require_whole("Scaling.max_tasks", self.max_tasks, 1, _MAX_TASKS)
        require_whole("Scaling.cpu_percent", self.cpu_percent, *_CPU_PERCENT)
        if self.waiting_jobs is not None:
            require_whole("Scaling.waiting_jobs", self.waiting_jobs, 1, _MAX_WAITING)
        if is_token(self.min_tasks) or is_token(self.max_tasks):
            return
        if self.min_tasks >= self.max_tasks:
            raise ValueError(
                f"Scaling.max_tasks must be more than min_tasks={self.min_tasks}, got {self.max_tasks}: "
                "write tasks= with one number if nothing has to scale"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """Fargate Spot for the tasks beyond a base: up to 70 percent cheaper, but AWS can interrupt them.

    An interrupted task is told to stop, as at a deployment, and ends after at most two minutes. ECS starts
    another one as soon as there is Spot capacity; it never falls back to on-demand capacity, so that tasks
    may be missing for hours. What that means for a component that has no other task:

    - ``api`` and ``web``: nobody can use Dify, which raises a warning. The default base prevents it.
    - ``plugin_daemon``: no model and no tool answers until the next task has installed every plugin again,
      which takes minutes. Raises a warning.
    - ``worker``: documents, workflows and chatflows wait; a job that takes longer than those two minutes is
      lost.
    - ``beat``: schedules that come due are late. ECS starts no second one before the first has stopped.
    - ``sandbox`` and ``ssrf_proxy``: code and HTTP nodes fail.

    The migration always runs on demand. Adding, changing or removing it updates the service in place.

    Attributes:
        on_demand_base: How many tasks run on demand, 0 to 5000; only those beyond it run on Spot.

    Raises:
        ValueError: If ``on_demand_base`` is out of range.

    See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
    """

    on_demand_base: int = 1

    def __post_init__(self) -> None:
        """Check the base."""
        require_literal("Spot.on_demand_base", self.on_demand_base, "the capacity providers follow from it")
        require_whole("Spot.on_demand_base", self.on_demand_base, 0, _MAX_TASKS)


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentSize:
    """Size and number of the tasks of one component.

    Attributes:
        cpu_units: CPU units of a task, 1024 for one vCPU: 256, 512, 1024, 2048, 4096, 8192 or 16384.
        memory_mib: Memory in MiB, one of the values that Fargate pairs with ``cpu_units``.
        tasks: Number of tasks, 1 to 5000, or a :class:`Scaling` for api, web or worker. beat, plugin_daemon
            and migration run exactly one.
        spot: Which of the tasks run on Fargate Spot. Default: all run on demand.

    Raises:
        ValueError: If Fargate does not offer the size, ``tasks`` is out of range, or ``spot`` keeps all tasks
            on demand.

    See https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecs-taskdefinition.html
    """

    cpu_units: int
    memory_mib: int
    tasks: int | Scaling = 1
    spot: Spot | None = None

    def __post_init__(self) -> None:
        """Check the pair against Fargate's table, and the number of tasks."""
        require_one_of("ComponentSize.cpu_units", self.cpu_units, _FARGATE_MEMORY_MIB.keys())
        if not isinstance(self.tasks, Scaling):
            require_whole("ComponentSize.tasks", self.tasks, 1, _MAX_TASKS)
        if self.spot is not None:
            _require_effect(self.spot, self.most_tasks)
        if is_token(self.cpu_units) or is_token(self.memory_mib):
            return
        allowed = _FARGATE_MEMORY_MIB[self.cpu_units]
        if self.memory_mib not in allowed:
            raise ValueError(
                f"ComponentSize.memory_mib must be one of {', '.join(map(str, allowed))} "
                f"with cpu_units={self.cpu_units}, got {self.memory_mib}"
            )

    @property
    def most_tasks(self) -> int:
        """How many tasks run at most (may be a token)."""
        return self.tasks.max_tasks if isinstance(self.tasks, Scaling) else self.tasks


def _require_effect(spot: Spot, most_tasks: int) -> None:
    if spot.on_demand_base < most_tasks or is_token(most_tasks):
        return
    raise ValueError(
        f"ComponentSize.spot has no effect: Spot.on_demand_base={spot.on_demand_base} keeps all of at most "
        f"{most_tasks} tasks on demand; ask for more tasks, or for a smaller base"
    )


DEFAULT_SIZES: Mapping[Component, ComponentSize] = MappingProxyType(
    {one: ComponentSize(cpu_units=one.spec.cpu_units, memory_mib=one.spec.memory_mib) for one in Component}
)
"""Floors that hold with a handful of users; every installed plugin is one more process of the daemon."""

DEFAULT_WAITING_JOBS = 4
"""A quarter of the 16 jobs that a worker runs at once where the database is large enough."""

SINGLETON_COMPONENTS = components_with(Replicas.ONE, Replicas.NEVER_TWO)
"""Components of which exactly one task may run: two schedulers run every job twice."""

SCALABLE_COMPONENTS = components_with(Replicas.SCALABLE)
"""Components whose number of tasks may follow their load; the CPU of the others says little about theirs."""


_PROXY_CPU_UNITS = 256
"""What the proxy of ECS Service Connect takes from a task, beside 64 MiB of memory.

See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
"""


def with_room_for_proxy(component: Component, size: ComponentSize) -> ComponentSize:
    """The size of a component whose tasks also run the proxy of ECS Service Connect.

    A default size grows by what is missing; a size of the user's has to be large enough.

    Raises:
        ValueError: If a size of the user's leaves no processor time for Dify beside the proxy.
    """
    floor = DEFAULT_SIZES[component]
    if is_token(size.cpu_units) or size.cpu_units > _PROXY_CPU_UNITS:
        return size
    if (size.cpu_units, size.memory_mib) != (floor.cpu_units, floor.memory_mib):
        raise ValueError(
            f"sizes of {component}: cpu_units must be 512 or more, since the proxy of Service Connect takes "
            f"{_PROXY_CPU_UNITS}, got {size.cpu_units}"
        )
    return replace(size, cpu_units=2 * _PROXY_CPU_UNITS, memory_mib=max(1024, floor.memory_mib))


def sizes_with(own: Mapping[Component, ComponentSize]) -> dict[Component, ComponentSize]:
    """The default sizes with the user's own in their place.

    Raises:
        ValueError: If there is more than one task of a singleton, a ``Scaling`` for a component that cannot
            scale, or Spot for the migration.
    """
    require_components("sizes", own)
    for component, size in own.items():
        _require_runnable(component, size)
    return {**DEFAULT_SIZES, **own}


def _require_runnable(component: Component, size: ComponentSize) -> None:
    if isinstance(size.tasks, Scaling):
        if component not in SCALABLE_COMPONENTS:
            raise ValueError(
                f"sizes of {component}: only {', '.join(SCALABLE_COMPONENTS)} can scale, got "
                f"tasks={size.tasks}; give one number"
            )
        if component != Component.WORKER and size.tasks.waiting_jobs is not None:
            raise ValueError(
                f"sizes of {component}: jobs wait for the worker only, got Scaling.waiting_jobs="
                f"{size.tasks.waiting_jobs}; leave it out"
            )
    elif component in SINGLETON_COMPONENTS:
        require_literal(f"sizes of {component}: tasks", size.tasks, "exactly one task can run")
        if size.tasks != 1:
            raise ValueError(f"sizes of {component}: exactly one task can run, got tasks={size.tasks}")
    if component.spec.host is Host.MIGRATION and size.spot is not None:
        raise ValueError(
            f"sizes of {component}: it always runs on demand, since nothing starts before it is done, "
            f"got spot={size.spot}; leave spot out"
        )
