"""Which containers a template runs: image, size, port, private name and number of tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping, remembered

TASK_DEFINITION = "AWS::ECS::TaskDefinition"
SERVICE = "AWS::ECS::Service"
_NAMESPACES = tuple(f"AWS::ServiceDiscovery::{kind}DnsNamespace" for kind in ("Private", "Public"))

_UNITS = {"": 1.0, "vcpu": 1024.0, "gb": 1024.0}
_QUANTITY = re.compile(r"(\d{1,9}|\d{0,9}\.\d{1,9})\s*(vcpu|gb|)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerRow:
    """One container of one task.

    Attributes:
        name: Container name; in our templates the component.
        image: Image reference as text.
        vcpu: Processor share of the whole task; None if it is only known at deploy time.
        memory_mib: Memory of the whole task, likewise.
        architecture: ``X86_64`` or ``ARM64``.
        ports: TCP and UDP ports that the container listens on.
        private_names: Names of the task in service discovery, with the namespace.
        min_tasks: Fewest tasks; equal to ``max_tasks`` without autoscaling; None if known at deploy time.
        max_tasks: Most tasks.
        capacity: Where tasks run, for example ``FARGATE`` and ``FARGATE_SPOT``.
        service: Logical id of the ECS service; None for a task that something starts when needed.
        task_definition: Logical id of the task definition, or what the service refers to instead.
        task_containers: Number of containers in the task that share its size.
    """

    name: str
    image: str
    vcpu: float | None
    memory_mib: int | None
    architecture: str
    ports: tuple[int, ...]
    private_names: tuple[str, ...]
    min_tasks: int | None
    max_tasks: int | None
    capacity: tuple[str, ...]
    service: str | None
    task_definition: str
    task_containers: int


@remembered
def read_containers(view: Template) -> tuple[ContainerRow, ...]:
    """Every container: those of services first, then those of tasks that something starts when needed."""
    return tuple(_containers_of(view))


def task_definition_of(view: Template, service: Resource) -> Resource | None:
    """The task definition of a service; None if it is not in the template."""
    return view.find(service.properties.get("TaskDefinition"), TASK_DEFINITION)


def container_definitions(task: Resource | None) -> Iterator[Mapping[str, object]]:
    """The containers of a task definition, as they stand in the template."""
    return map(mapping, items(task.properties.get("ContainerDefinitions")) if task else ())


def _containers_of(view: Template) -> Iterator[ContainerRow]:
    run: set[str] = set()
    for service in view.of_type(SERVICE):
        task = task_definition_of(view, service)
        if task is None:
            yield _service_without_task(view, service)
        else:
            run.add(task.id)
            yield from _containers(view, task, service)
    for task in view.of_type(TASK_DEFINITION):
        if task.id not in run:
            yield from _containers(view, task, None)


def _containers(view: Template, task: Resource, service: Resource | None) -> Iterator[ContainerRow]:
    containers = list(container_definitions(task))
    names = _private_names(view, service) if service else {}
    fewest, most = _task_count(view, service) if service else (None, None)
    vcpu, memory = _size(task, containers)
    for container in containers:
        name = view.text(container.get("Name"))
        yield ContainerRow(
            name=name,
            image=view.text(container.get("Image")),
            vcpu=vcpu,
            memory_mib=memory,
            architecture=view.text(mapping(task.properties.get("RuntimePlatform")).get("CpuArchitecture"))
            or "X86_64",
            ports=_ports(container),
            private_names=tuple(host for host, owner in names.items() if owner in ("", name)),
            min_tasks=fewest,
            max_tasks=most,
            capacity=_capacity(view, task, service),
            service=service.id if service else None,
            task_definition=task.id,
            task_containers=len(containers),
        )


def _service_without_task(view: Template, service: Resource) -> ContainerRow:
    fewest, most = _task_count(view, service)
    return ContainerRow(
        name=service.id,
        image="",
        vcpu=None,
        memory_mib=None,
        architecture="",
        ports=(),
        private_names=tuple(_private_names(view, service)),
        min_tasks=fewest,
        max_tasks=most,
        capacity=_capacity(view, None, service),
        service=service.id,
        task_definition=view.text(service.properties.get("TaskDefinition")),
        task_containers=0,
    )


def _size(task: Resource, containers: list[Mapping[str, object]]) -> tuple[float | None, int | None]:
    """Processor share and MiB of a task; on EC2 the task may leave them to its containers."""
    units = _quantity(task.properties.get("Cpu"))
    memory = _quantity(task.properties.get("Memory"))
    if "Cpu" not in task.properties:
        units = _sum(_quantity(container.get("Cpu")) for container in containers)
    if "Memory" not in task.properties:
        memory = _sum(
            _quantity(container.get("Memory", container.get("MemoryReservation"))) for container in containers
        )
    return None if units is None else units / 1024, None if memory is None else round(memory)


def _sum(values: Iterator[float | None]) -> float | None:
    known = list(values)
    return sum(value for value in known if value is not None) if known and None not in known else None


def _quantity(value: object) -> float | None:
    """CPU units or MiB from ``512``, ``"512"``, ``".5 vCPU"`` or ``"1 GB"``."""
    number = integer(value)
    if number is not None:
        return float(number) if 0 <= number <= 10**9 else None
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) * _UNITS[match[2].lower()] if match else None


def _ports(container: Mapping[str, object]) -> tuple[int, ...]:
    mappings = (mapping(item) for item in items(container.get("PortMappings")))
    ports = (integer(entry.get("ContainerPort")) for entry in mappings)
    return tuple(dict.fromkeys(port for port in ports if port is not None))


def _private_names(view: Template, service: Resource) -> dict[str, str]:
    """Host name to the container that it belongs to; an empty one where the whole task has the name."""
    names = {}
    for registry in map(mapping, items(service.properties.get("ServiceRegistries"))):
        registered = view.find(registry.get("RegistryArn"), "AWS::ServiceDiscovery::Service")
        if registered is None:
            continue
        dns = mapping(registered.properties.get("DnsConfig"))
        wanted = registered.properties.get("NamespaceId") or dns.get("NamespaceId")
        namespace = view.find(wanted, *_NAMESPACES)
        suffix = view.text(namespace.properties.get("Name") if namespace else wanted)
        label = view.text(registered.properties.get("Name")) or registered.id
        names[f"{label}.{suffix}" if suffix else label] = view.text(registry.get("ContainerName"))
    return names


def _task_count(view: Template, service: Resource) -> tuple[int | None, int | None]:
    """Fewest and most tasks: from autoscaling if there is any, else the desired count, else ECS's default."""
    for target in view.naming(service, "ResourceId", "AWS::ApplicationAutoScaling::ScalableTarget"):
        return integer(target.properties.get("MinCapacity")), integer(target.properties.get("MaxCapacity"))
    if view.text(service.properties.get("SchedulingStrategy")) == "DAEMON":
        return None, None
    desired = integer(service.properties.get("DesiredCount", 1))
    return desired, desired


def _capacity(view: Template, task: Resource | None, service: Resource | None) -> tuple[str, ...]:
    properties = service.properties if service else {}
    strategy = [mapping(item) for item in items(properties.get("CapacityProviderStrategy"))]
    if strategy:
        return tuple(view.text(item.get("CapacityProvider")) for item in strategy)
    if "LaunchType" in properties:
        return (view.text(properties["LaunchType"]),)
    compatible = items(task.properties.get("RequiresCompatibilities")) if task else []
    return tuple(view.text(item) for item in compatible)
