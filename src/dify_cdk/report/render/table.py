"""Comparisons for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.inventory import Inventory
from dify_cdk.report.render import containers, costs, limits, resources, routes, terminal

if TYPE_CHECKING:  # the terminal library is an extra: other formats must work without it
    from rich.console import RenderableType


def to_table(comparison: Comparison, *, width: int = 100, colour: bool = False) -> str:
    """The comparison for a terminal of this many columns.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    return terminal.printed(_parts(comparison), width=width, colour=colour)


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    compared = comparison.compared
    if len(compared) > 1:
        yield from _side_by_side([one.whole for one in compared])
        yield from _together(comparison)
    for one in compared:
        yield from _one(one, comparison, alone=len(compared) == 1)


def _together(comparison: Comparison) -> Iterator[RenderableType]:
    """Limits and costs of all subjects."""
    yield terminal.title("Effective limits")
    yield from _limits(comparison)
    if costs.is_needed(comparison.compared):
        yield terminal.title("Monthly cost")
        if costs.is_known(comparison.compared):
            yield from terminal.grid(costs.by_service(comparison))
        else:
            yield terminal.text(costs.NO_REGION)
    yield terminal.text("")


def _one(one: Compared, comparison: Comparison, *, alone: bool) -> Iterator[RenderableType]:
    inventory = one.whole
    yield terminal.heading(one.name)
    yield terminal.text(resources.summary(one))
    if alone and inventory.types:
        yield terminal.title("Resources")
        yield terminal.table(resources.by_service(inventory))
    yield terminal.title("Containers")
    if inventory.roles:
        yield from terminal.grid(containers.containers(inventory.roles))
    else:
        yield terminal.text(containers.NONE)
    yield terminal.title("Routes")
    yield from _routes(inventory)
    if alone:
        yield from _together(comparison)
    if costs.is_known([one]):
        yield terminal.title("Cost line by line")
        yield terminal.table(costs.items(one.cost))
    if inventory.messages:
        mild = all(message.level == "warning" for message in inventory.messages)
        yield terminal.title("Warnings" if mild else "Errors and warnings")
        yield from _messages(inventory)
    yield terminal.text("")


def _side_by_side(inventories: list[Inventory]) -> Iterator[RenderableType]:
    yield terminal.title("Resources side by side")
    yield terminal.table(resources.side_by_side(inventories))
    yield terminal.text("")
    for label, text in resources.alone(inventories):
        yield terminal.labelled(label, text, "bold")


def _limits(comparison: Comparison) -> Iterator[RenderableType]:
    if not any(one.limits for one in comparison.compared):
        yield terminal.text(limits.NONE)
        return
    found = limits.limits(comparison.compared)
    yield terminal.table(found.grid)
    yield terminal.text("")
    for reason in found.reasons:
        yield terminal.labelled(limits.mark(reason.number), reason.text, "dim")
    yield terminal.text("The pages that prove these limits: --format markdown or json", "dim")


def _routes(inventory: Inventory) -> Iterator[RenderableType]:
    if not inventory.listeners:
        yield terminal.text(routes.NONE)
    for number, listener in enumerate(inventory.listeners):
        yield terminal.text(("\n" if number else "") + routes.caption(listener), "italic")
        yield terminal.table(routes.routes(listener))
    if inventory.other_doors:
        yield terminal.text("")
        yield terminal.text(routes.also_public(inventory.other_doors), "yellow")


def _messages(inventory: Inventory) -> Iterator[RenderableType]:
    for message in inventory.messages:
        style = "red" if message.level == "error" else "yellow"
        yield terminal.labelled(f"{message.level}:", f"{message.path}: {message.text}", style)
