"""Comparisons for a terminal: what it carries and costs first, then where that comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.inventory import Inventory
from dify_cdk.report.output import containers, costs, limits, resources, routes, terminal

if TYPE_CHECKING:  # the terminal library is an extra: other formats must work without it
    from rich.console import RenderableType

MORE = "The types of all resources, and the containers, routes and cost lines of each: --details"


def to_table(comparison: Comparison, *, width: int = 100, colour: bool = False, details: bool = False) -> str:
    """The comparison for a terminal of this many columns.

    Args:
        comparison: What to show.
        width: Columns of the terminal.
        colour: Whether it shows colours.
        details: Whether to show what is about one subject only although there are several; what is about
            the only subject is always shown.

    Raises:
        ImportError: If ``rich`` is not installed.
    """
    return terminal.printed(_parts(comparison, details=details), width=width, colour=colour)


def _parts(comparison: Comparison, *, details: bool) -> Iterator[RenderableType]:
    compared = comparison.compared
    alone = len(compared) == 1
    if alone:
        yield from _heading(compared[0])
    yield from _limits(comparison)
    yield from _costs(comparison)
    yield from _messages(compared)
    yield from _reasons(comparison)
    yield terminal.title("Resources" if alone else "Resources side by side")
    if alone:
        yield terminal.table(resources.by_service(compared[0].whole))
        yield from _details(compared[0])
        return
    yield from _side_by_side([one.whole for one in compared], types=details)
    if not details:
        yield terminal.text(f"\n{MORE}", "dim")
        return
    for one in compared:
        yield terminal.text("")
        yield from _heading(one)
        yield from _details(one)


# --- about all subjects ---------------------------------------------------------------------------------


def _limits(comparison: Comparison) -> Iterator[RenderableType]:
    yield terminal.title("Effective limits")
    if any(one.limits for one in comparison.compared):
        yield terminal.table(limits.limits(comparison.compared).grid)
    else:
        yield terminal.text(limits.NONE)


def _costs(comparison: Comparison) -> Iterator[RenderableType]:
    if not costs.is_needed(comparison.compared):
        return
    yield terminal.title("Monthly cost")
    if costs.is_known(comparison.compared):
        yield from terminal.grid(costs.by_service(comparison))
    else:
        yield terminal.text(costs.NO_REGION)


def _messages(compared: Sequence[Compared]) -> Iterator[RenderableType]:
    """What the CDK had to say, each behind the name of its subject if there are several."""
    found = [(one.name, message) for one in compared for message in one.whole.messages]
    if not found:
        return
    mild = all(message.level == "warning" for _, message in found)
    yield terminal.title("Warnings" if mild else "Errors and warnings")
    for name, message in found:
        style = "red" if message.level == "error" else "yellow"
        label = f"{name}: {message.level}:" if len(compared) > 1 else f"{message.level}:"
        yield terminal.labelled(label, f"{message.path}: {message.text}", style)


def _reasons(comparison: Comparison) -> Iterator[RenderableType]:
    """What the numbers in the cells of the limits refer to."""
    found = limits.limits(comparison.compared).reasons
    if not found:
        return
    yield terminal.title("What sets these limits")
    for reason in found:
        yield terminal.labelled(limits.mark(reason.number), reason.text, "dim")
    yield terminal.text("The pages that prove these limits: --format markdown or json", "dim")


def _side_by_side(inventories: list[Inventory], *, types: bool) -> Iterator[RenderableType]:
    yield terminal.table(resources.side_by_side(inventories, types=types))
    yield terminal.text("")
    for label, text in resources.alone(inventories):
        yield terminal.labelled(label, text, "bold")


# --- about one subject ----------------------------------------------------------------------------------


def _heading(one: Compared) -> Iterator[RenderableType]:
    yield terminal.heading(one.name)
    yield terminal.text(resources.summary(one))


def _details(one: Compared) -> Iterator[RenderableType]:
    inventory = one.whole
    yield terminal.title("Containers")
    if inventory.containers:
        yield from terminal.grid(containers.containers(inventory.containers))
    else:
        yield terminal.text(containers.NONE)
    yield terminal.title("Routes")
    yield from _routes(inventory)
    if costs.is_known([one]):
        yield terminal.title("Cost line by line")
        yield terminal.table(costs.items(one.cost))
        yield terminal.text("How each quantity came about: --format markdown or json", "dim")


def _routes(inventory: Inventory) -> Iterator[RenderableType]:
    if not inventory.listeners:
        yield terminal.text(routes.NONE)
    for number, listener in enumerate(inventory.listeners):
        yield terminal.text(("\n" if number else "") + routes.caption(listener), "italic")
        yield terminal.table(routes.routes(listener))
    if inventory.other_doors:
        yield terminal.text("")
        yield terminal.text(routes.also_public(inventory.other_doors), "yellow")
