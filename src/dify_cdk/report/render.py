"""Inventories as text: a table for people and JSON for programs.

JSON, schema ``dify-cdk/compare/1``. Fields may be added within a version; a removed or changed one makes a
new version. Numbers that are only known when CloudFormation deploys are ``null``::

    {
      "schema": "dify-cdk/compare/1",
      "templates": [
        {
          "name": "v1",
          "source": null,                        file that the template was read from
          "region": "ap-northeast-1",            null where it is left open or the template came from a file
          "resources": {
            "total": 2,
            "conditional": 0,                    how many exist only if a condition of the template holds
            "types": [{"service": "ECS", "name": "Service", "type": "AWS::ECS::Service", "count": 2}]
          },
          "roles": [...],                        one per container, see ``RoleRow``
          "listeners": [{..., "routes": [...]}], see ``Listener``, ``RouteRow`` and ``Destination``
          "other_doors": [...],                  types of public entry points whose routes are not followed
          "messages": [...]                      what the CDK recorded, see ``Message``
        }
      ],
      "differences": [                           types that the templates do not have equally often
        {"type": "AWS::WAFv2::WebACL", "counts": {"v1": 0, "v2": 1}}
      ]
    }

Names of templates are unique. Routes stand in the order in which they are tried.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from dify_cdk.report.containers import RoleRow
from dify_cdk.report.distributions import DISTRIBUTION
from dify_cdk.report.http_apis import HTTP_API
from dify_cdk.report.inventory import Inventory, TypeCount
from dify_cdk.report.listeners import Destination, Listener, RouteRow

if TYPE_CHECKING:  # the terminal library is an extra: JSON must work without it
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

SCHEMA = "dify-cdk/compare/1"

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_CDK_ASSETS = re.compile(r"/cdk-[^/]*-container-assets-")


def to_json(inventories: Sequence[Inventory]) -> str:
    """The comparison in the JSON schema that this module documents."""
    document = {
        "schema": SCHEMA,
        "templates": [_document(inventory) for inventory in inventories],
        "differences": [
            {"type": type, "counts": {inventory.name: _count(inventory, type) for inventory in inventories}}
            for type in differing_types(inventories)
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _document(inventory: Inventory) -> dict[str, object]:
    document = asdict(inventory)
    types = document.pop("types")
    head = {key: document.pop(key) for key in ("name", "source", "region")}
    resources = {"total": inventory.total, "conditional": document.pop("conditional"), "types": types}
    return {**head, "resources": resources, **document}


def differing_types(inventories: Sequence[Inventory]) -> list[str]:
    """The types that not every template has equally often, ordered by service and name."""
    return [
        entry.type
        for entry in _all_types(inventories)
        if len({_count(inventory, entry.type) for inventory in inventories}) > 1
    ]


def only_in(inventory: Inventory, inventories: Sequence[Inventory]) -> list[TypeCount]:
    """What one template has that none of the others has."""
    others = [other for other in inventories if other is not inventory]
    return [entry for entry in inventory.types if not any(_count(other, entry.type) for other in others)]


def _all_types(inventories: Sequence[Inventory]) -> list[TypeCount]:
    known = {entry.type: entry for inventory in inventories for entry in inventory.types}
    return sorted(known.values(), key=lambda entry: (entry.service.lower(), entry.name.lower(), entry.type))


def _count(inventory: Inventory, type: str) -> int:
    return sum(entry.count for entry in inventory.types if entry.type == type)


# --- the table ------------------------------------------------------------------------------------------


def to_table(inventories: Sequence[Inventory], *, width: int = 100, colour: bool = False) -> str:
    """The comparison for a terminal of this many columns.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    from rich.console import Console

    output = io.StringIO()
    console = Console(
        file=output, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    for part in _parts(inventories):
        console.print(part, soft_wrap=False)
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").split("\n")) + "\n"


def _parts(inventories: Sequence[Inventory]) -> Iterator[RenderableType]:
    if len(inventories) > 1:
        yield from _side_by_side(inventories)
    for inventory in inventories:
        yield from _one(inventory, with_resources=len(inventories) == 1)


def _one(inventory: Inventory, *, with_resources: bool) -> Iterator[RenderableType]:
    from rich.rule import Rule
    from rich.text import Text

    yield Rule(Text(_clean(inventory.name), style="bold cyan"), align="left", style="cyan")
    yield _text(_summary(inventory))
    if with_resources and inventory.types:
        yield _title("Resources")
        yield _resources(inventory)
    yield _title("Containers")
    yield from _roles(inventory.roles)
    yield _title("Routes")
    yield from _routes(inventory)
    if inventory.messages:
        mild = all(message.level == "warning" for message in inventory.messages)
        yield _title("Warnings" if mild else "Errors and warnings")
        yield from _messages(inventory)
    yield _text("")


def _summary(inventory: Inventory) -> str:
    rules = sum(len(listener.routes) for listener in inventory.listeners)
    warnings = sum(message.level == "warning" for message in inventory.messages)
    errors = sum(message.level == "error" for message in inventory.messages)
    parts = [
        inventory.region or "",
        _plural(inventory.total, "resource")
        + (f" ({inventory.conditional} under a condition)" if inventory.conditional else ""),
        _plural(len(inventory.roles), "container"),
        _plural(rules, "route"),
        _plural(warnings, "warning") if warnings else "",
        _plural(errors, "error") if errors else "",
    ]
    return ", ".join(filter(None, parts))


# --- resources ------------------------------------------------------------------------------------------


def _resources(inventory: Inventory) -> Table:
    """One line per service: sixty types read better as a sentence each than as sixty lines."""
    table = _table(("service", "left"), ("count", "right"), ("types", "left"))
    for service, group in groupby(inventory.types, key=lambda entry: entry.service):
        entries = sorted(group, key=lambda entry: -entry.count)
        names = ", ".join(
            f"{entry.name} {entry.count}" if entry.count > 1 else entry.name for entry in entries
        )
        table.add_row(_text(service), str(sum(entry.count for entry in entries)), _text(names))
    return table


def _side_by_side(inventories: Sequence[Inventory]) -> Iterator[RenderableType]:
    yield _title("Resources side by side")
    table = _table(("type", "left"), *((inventory.name, "right") for inventory in inventories))
    differing = set(differing_types(inventories))
    for service, group in groupby(_all_types(inventories), key=lambda entry: entry.service):
        entries = list(group)
        totals = [sum(_count(one, entry.type) for entry in entries) for one in inventories]
        table.add_row(_text(service, "bold"), *(_number(total, "bold") for total in totals))
        for entry in entries:
            style = "yellow" if entry.type in differing else ""
            counts = (_number(_count(one, entry.type), style) for one in inventories)
            table.add_row(_text(f"  {entry.name}", style), *counts)
    table.add_row(_text("all", "bold"), *(_number(one.total, "bold") for one in inventories))
    yield table
    yield _text("")
    for inventory in inventories:
        yield _labelled(f"only in {inventory.name}:", _by_service(only_in(inventory, inventories)), "bold")
    yield _text("")


def _by_service(entries: Iterable[TypeCount]) -> str:
    """``ECS (Cluster, Service), SQS (Queue)``."""
    groups = groupby(entries, key=lambda entry: entry.service)
    parts = [f"{service} ({', '.join(entry.name for entry in group)})" for service, group in groups]
    return ", ".join(parts) or "nothing"


# --- containers -----------------------------------------------------------------------------------------


def _roles(roles: Sequence[RoleRow]) -> Iterator[RenderableType]:
    if not roles:
        yield _text("No ECS task definition in this template.")
        return
    namespace = _common_namespace(roles)
    columns = [("container", "left"), ("image", "left"), ("vCPU", "right"), ("GB", "right")]
    table = _table(*columns, ("port", "right"), ("private name", "left"), ("tasks", "right"))
    previous = None
    for role in roles:
        task = (role.task_definition, role.service)
        table.add_row(
            _text(role.name, "bold"),
            _text(short_image(role.image)),
            *(("", "") if task == previous else (_decimal(role.vcpu), _gigabytes(role.memory_mib))),
            ", ".join(map(str, role.ports)),
            _text(", ".join(name.removesuffix(namespace) for name in role.private_names)),
            "" if task == previous else _tasks(role),
        )
        previous = task
    yield table
    yield _text("")
    for note in _role_notes(roles, namespace):
        yield _text(note, "dim")


def _common_namespace(roles: Sequence[RoleRow]) -> str:
    """The dotted ending that all private names share, so that it is said once; empty if they differ."""
    endings = {f".{name.partition('.')[2]}" for role in roles for name in role.private_names if "." in name}
    return endings.pop() if len(endings) == 1 else ""


def _tasks(role: RoleRow) -> str:
    if role.service is None:
        return "-"
    fewest, most = ("?" if number is None else str(number) for number in (role.min_tasks, role.max_tasks))
    return fewest if fewest == most else f"{fewest}-{most}"


def _role_notes(roles: Sequence[RoleRow], namespace: str) -> Iterator[str]:
    tasks = {role.service or role.task_definition: role for role in roles}.values()
    running = [role for role in tasks if role.service is not None]
    known = [(role.min_tasks, role.vcpu, role.memory_mib) for role in running]
    numbers = [(count, vcpu, memory) for count, vcpu, memory in known if None not in (count, vcpu, memory)]
    if numbers:
        vcpu = sum((count or 0) * (vcpu or 0) for count, vcpu, _ in numbers)
        memory = sum((count or 0) * (memory or 0) for count, _, memory in numbers)
        count = sum(count or 0 for count, _, _ in numbers)
        rest = len(running) - len(numbers)
        unknown = f"; {_plural(rest, 'service')} of unknown size not counted" if rest else ""
        yield f"At least {_plural(count, 'task')}: {_decimal(vcpu)} vCPU, {_gigabytes(memory)} GB{unknown}"
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


def short_image(image: str) -> str:
    """An image reference for reading: a private registry's host and a digest take more room than they say."""
    match = _DIGEST.search(image)
    if match and _CDK_ASSETS.search(image):
        return f"CDK asset {match[1]}"
    host, slash, rest = image.partition("/")
    if slash and ".dkr.ecr." in host:
        image = f"ECR {rest}"
    return _DIGEST.sub(r"\1", image)


_WITHOUT_RANKS = (DISTRIBUTION, HTTP_API)  # their routes are chosen by order or by length

# --- routes ---------------------------------------------------------------------------------------------


def _routes(inventory: Inventory) -> Iterator[RenderableType]:
    if not inventory.listeners:
        yield _text("No load balancer, HTTP API or distribution in this template.")
    for number, listener in enumerate(inventory.listeners):
        yield _text(("\n" if number else "") + _listener_line(listener), "italic")
        table = _table(("rank", "right"), ("requests", "left"), ("lead to", "left"))
        for route in listener.routes:
            alone = len(listener.routes) == 1
            rank = "" if listener.kind in _WITHOUT_RANKS and not route.default else _rank(route)
            table.add_row(rank, _text(_when(route, alone=alone)), _text(_leads_to(route)))
        yield table
    if inventory.other_doors:
        yield _text("")
        yield _text(f"Also public, routes not followed: {', '.join(inventory.other_doors)}", "yellow")


def _listener_line(listener: Listener) -> str:
    port = "" if listener.port is None else str(listener.port)
    entry = " ".join(filter(None, (listener.protocol, port))) or f"listener {listener.id}"
    kind = listener.kind if listener.kind in _WITHOUT_RANKS else f"{listener.kind} load balancer"
    where = " ".join(filter(None, (listener.scheme, kind, listener.load_balancer)))
    known = listener.load_balancer or listener.scheme
    return f"{entry} on the {where}" if known else f"{entry}, not in this template"


def _rank(route: RouteRow) -> str:
    if route.default:
        return "default"
    return "?" if route.priority is None else str(route.priority)


def _when(route: RouteRow, *, alone: bool) -> str:
    if route.default:
        return "everything" if alone else "everything else"
    parts = (", ".join(route.paths), " and ".join(route.conditions))
    return " if ".join(filter(None, parts)) or "everything"


def _leads_to(route: RouteRow) -> str:
    ends = " | ".join(_destination(destination) for destination in route.destinations)
    return ", then ".join(filter(None, (*route.actions, ends))) or "nowhere"


def _destination(destination: Destination) -> str:
    port = "" if destination.port is None else f":{destination.port}"
    place = f"{destination.role}{port}" if destination.role else f"target group {destination.target_group}"
    return place if destination.weight is None else f"{place} (weight {destination.weight})"


# --- small things ---------------------------------------------------------------------------------------


def _messages(inventory: Inventory) -> Iterator[RenderableType]:
    for message in inventory.messages:
        style = "red" if message.level == "error" else "yellow"
        yield _labelled(f"{message.level}:", f"{message.path}: {message.text}", style)


def _labelled(label: str, text: str, style: str) -> Table:
    """A long line whose continuation is indented below its text, not below its label."""
    from rich.table import Table

    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(_text(label, style), _text(text))
    return line


def _table(*columns: tuple[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, justify in columns:
        right = justify == "right"
        table.add_column(_text(name), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _title(text: str) -> RenderableType:
    return _text(f"\n{text}", "bold")


def _text(value: str, style: str = "") -> Text:
    """Text that the terminal prints as it is: a template may hold control characters and markup."""
    from rich.text import Text

    return Text("\n".join(map(_clean, value.split("\n"))) if value.startswith("\n") else _clean(value), style)


def _clean(value: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in value)


def _number(count: int, style: str = "") -> Text:
    return _text(str(count) if count else "-", style)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _decimal(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _gigabytes(mebibytes: int | None) -> str:
    return "?" if mebibytes is None else f"{mebibytes / 1024:.3g}"
