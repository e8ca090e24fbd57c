"""Resources: of one subject by service, and of several side by side with what each has that others lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from dify_cdk.report.comparison import Comparison
from dify_cdk.report.inventory import Inventory, TypeCount
from dify_cdk.report.output.sections import Column, Grid, Line, Row, Section, Style, row
from dify_cdk.report.output.words import number


def resources(comparison: Comparison) -> Section:
    """Services side by side with what each subject alone has; one alone has room for all its types."""
    inventories = [one.whole for one in comparison.compared]
    if len(inventories) == 1:
        return Section(title="Resources", grids=(_with_types(inventories[0]),))
    only = (Line(label=f"only in {one.name}:", text=_named(only_in(one, inventories))) for one in inventories)
    types = Section(title="All types side by side", grids=(_side_by_side(inventories, types=True),))
    grid = _side_by_side(inventories, types=False)
    return Section(title="Resources", grids=(grid,), notes=tuple(only), folded=(types,))


def differing_types(inventories: Sequence[Inventory]) -> list[str]:
    """The types that not every subject has equally often, ordered by service and name."""
    return [
        entry.type
        for entry in all_types(inventories)
        if len({count(inventory, entry.type) for inventory in inventories}) > 1
    ]


def only_in(inventory: Inventory, inventories: Sequence[Inventory]) -> list[TypeCount]:
    """What one subject has that none of the others has."""
    others = [other for other in inventories if other is not inventory]
    return [entry for entry in inventory.types if not any(count(other, entry.type) for other in others)]


def all_types(inventories: Sequence[Inventory]) -> list[TypeCount]:
    """Every type that one of the subjects has, ordered by service and name."""
    known = {entry.type: entry for inventory in inventories for entry in inventory.types}
    return sorted(known.values(), key=lambda entry: (entry.service.lower(), entry.name.lower(), entry.type))


def count(inventory: Inventory, type: str) -> int:
    """How many resources of a type a subject has."""
    return sum(entry.count for entry in inventory.types if entry.type == type)


def _with_types(inventory: Inventory) -> Grid:
    """One line per service: sixty types read better as a sentence each than as sixty lines."""
    rows = []
    for service, group in groupby(inventory.types, key=lambda entry: entry.service):
        entries = sorted(group, key=lambda entry: -entry.count)
        names = ", ".join(
            f"{entry.name} {entry.count}" if entry.count > 1 else entry.name for entry in entries
        )
        rows.append(row(service, str(sum(entry.count for entry in entries)), names))
    columns = (Column(name="service"), Column(name="count", right=True), Column(name="types"))
    return Grid(columns=columns, rows=tuple(rows))


def _side_by_side(inventories: Sequence[Inventory], *, types: bool) -> Grid:
    """One row per service, and below it one per type unless ``types`` is false."""
    first = "type" if types else "service"
    columns = (Column(name=first), *(Column(name=one.name, right=True) for one in inventories))
    return Grid(columns=columns, rows=tuple(_rows(inventories, types=types)))


def _rows(inventories: Sequence[Inventory], *, types: bool) -> Iterator[Row]:
    differing = set(differing_types(inventories))
    for service, group in groupby(all_types(inventories), key=lambda entry: entry.service):
        entries = list(group)
        totals = (number(sum(count(one, entry.type) for entry in entries)) for one in inventories)
        changed = any(entry.type in differing for entry in entries)
        plain = Style.DIFFERENT if changed else Style.PLAIN
        yield row(service, *totals, style=Style.TOTAL if types else plain)
        for entry in entries if types else ():
            counts = (number(count(one, entry.type)) for one in inventories)
            style = Style.DIFFERENT if entry.type in differing else Style.PLAIN
            yield row(entry.name, *counts, style=style, level=1)
    yield row("all", *(number(one.total) for one in inventories), style=Style.TOTAL)


def _named(entries: Iterable[TypeCount]) -> str:
    """``ECS (Cluster, Service), SQS (Queue)``."""
    groups = groupby(entries, key=lambda entry: entry.service)
    parts = [f"{service} ({', '.join(entry.name for entry in group)})" for service, group in groups]
    return ", ".join(parts) or "nothing"
