"""Containers: image, size, port, private name and number of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dify_cdk.report.comparison import Compared
from dify_cdk.report.output.sections import Column, Grid, Line, Row, Section, Style, row
from dify_cdk.report.output.words import decimal, gigabytes, short_image
from dify_cdk.report.phrases import plural
from dify_cdk.report.traffic.containers import RoleRow

_COLUMNS = (
    Column(name="container"),
    Column(name="image"),
    Column(name="vCPU", right=True),
    Column(name="GB", right=True),
    Column(name="port", right=True),
    Column(name="private name"),
    Column(name="tasks", right=True),
)


def containers(one: Compared) -> Section:
    """One row per container; containers of one task share its size."""
    roles = one.whole.roles
    if not roles:
        return Section(title=one.name, text="No ECS task definition in this template.")
    namespace = _common_namespace(roles)
    grid = Grid(columns=_COLUMNS, rows=tuple(_rows(roles, namespace)))
    notes = tuple(Line(text=note) for note in _notes(roles, namespace))
    return Section(title=one.name, grids=(grid,), notes=notes)


def _rows(roles: Sequence[RoleRow], namespace: str) -> Iterator[Row]:
    previous = None
    for role in roles:
        task = (role.task_definition, role.service)
        size = ("", "") if task == previous else (decimal(role.vcpu), gigabytes(role.memory_mib))
        names = ", ".join(name.removesuffix(namespace) for name in role.private_names)
        ports = ", ".join(map(str, role.ports))
        tasks = "" if task == previous else _tasks(role)
        yield row(role.name, short_image(role.image), *size, ports, names, tasks, style=Style.NAMED)
        previous = task


def _common_namespace(roles: Sequence[RoleRow]) -> str:
    """The dotted ending that all private names share, so that it is said once; empty if they differ."""
    endings = {f".{name.partition('.')[2]}" for role in roles for name in role.private_names if "." in name}
    return endings.pop() if len(endings) == 1 else ""


def _tasks(role: RoleRow) -> str:
    if role.service is None:
        return "-"
    fewest, most = ("?" if count is None else str(count) for count in (role.min_tasks, role.max_tasks))
    return fewest if fewest == most else f"{fewest}-{most}"


def _notes(roles: Sequence[RoleRow], namespace: str) -> Iterator[str]:
    tasks = {role.service or role.task_definition: role for role in roles}.values()
    running = [role for role in tasks if role.service is not None]
    known = [(role.min_tasks, role.vcpu, role.memory_mib) for role in running]
    numbers = [(count, vcpu, memory) for count, vcpu, memory in known if None not in (count, vcpu, memory)]
    if numbers:
        vcpu = sum((count or 0) * (vcpu or 0) for count, vcpu, _ in numbers)
        memory = sum((count or 0) * (memory or 0) for count, _, memory in numbers)
        count = sum(count or 0 for count, _, _ in numbers)
        rest = len(running) - len(numbers)
        unknown = f"; {plural(rest, 'service')} of unknown size not counted" if rest else ""
        yield f"At least {plural(count, 'task')}: {decimal(vcpu)} vCPU, {gigabytes(memory)} GB{unknown}"
    if namespace:
        yield f"Private names end in {namespace}"
    yield from _grouped("Processor", ((role.architecture, role.name) for role in roles))
    yield from _grouped("Capacity", ((" + ".join(role.capacity), role.name) for role in roles))
    idle = [role.name for role in roles if role.service is None]
    if idle:
        yield f"Without a service, started when needed: {', '.join(idle)}"


def _grouped(label: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """``Processor: ARM64; X86_64: sandbox``: the value of most containers, then the exceptions by name."""
    groups: dict[str, list[str]] = {}
    for value, name in pairs:
        groups.setdefault(value, []).append(name)
    groups.pop("", None)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    if ordered:
        usual, *others = ordered
        exceptions = "".join(f"; {value}: {', '.join(names)}" for value, names in others)
        yield f"{label}: {usual[0]}{exceptions}"
