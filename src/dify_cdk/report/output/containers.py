"""Containers: image, size, port, private name and number of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dify_cdk.report.comparison import Compared
from dify_cdk.report.output.sections import Column, Grid, Line, Row, Section, Style, row
from dify_cdk.report.output.words import decimal, gigabytes, short_image
from dify_cdk.report.phrases import plural
from dify_cdk.report.traffic.containers import ContainerRow

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
    entries = one.whole.containers
    if not entries:
        return Section(title=one.name, text="No ECS task definition in this template.")
    namespace = _common_namespace(entries)
    grid = Grid(columns=_COLUMNS, rows=tuple(_rows(entries, namespace)))
    notes = tuple(Line(text=note) for note in _notes(entries, namespace))
    return Section(title=one.name, grids=(grid,), notes=notes)


def _rows(entries: Sequence[ContainerRow], namespace: str) -> Iterator[Row]:
    previous = None
    for entry in entries:
        task = (entry.task_definition, entry.service)
        size = ("", "") if task == previous else (decimal(entry.vcpu), gigabytes(entry.memory_mib))
        names = ", ".join(name.removesuffix(namespace) for name in entry.private_names)
        ports = ", ".join(map(str, entry.ports))
        tasks = "" if task == previous else _tasks(entry)
        yield row(entry.name, short_image(entry.image), *size, ports, names, tasks, style=Style.NAMED)
        previous = task


def _common_namespace(entries: Sequence[ContainerRow]) -> str:
    """The dotted ending that all private names share, so that it is said once; empty if they differ."""
    endings = {
        f".{name.partition('.')[2]}" for entry in entries for name in entry.private_names if "." in name
    }
    return endings.pop() if len(endings) == 1 else ""


def _tasks(entry: ContainerRow) -> str:
    if entry.service is None:
        return "-"
    fewest, most = ("?" if count is None else str(count) for count in (entry.min_tasks, entry.max_tasks))
    return fewest if fewest == most else f"{fewest}-{most}"


def _notes(entries: Sequence[ContainerRow], namespace: str) -> Iterator[str]:
    tasks = {entry.service or entry.task_definition: entry for entry in entries}.values()
    running = [entry for entry in tasks if entry.service is not None]
    known = [(entry.min_tasks, entry.vcpu, entry.memory_mib) for entry in running]
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
    yield from _grouped("Processor", ((entry.architecture, entry.name) for entry in entries))
    yield from _grouped("Capacity", ((" + ".join(entry.capacity), entry.name) for entry in entries))
    idle = [entry.name for entry in entries if entry.service is None]
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
