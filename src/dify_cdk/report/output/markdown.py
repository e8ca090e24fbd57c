"""Comparisons as Markdown with the tables of GitHub, for a README or a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.output import containers, costs, limits, resources, routes
from dify_cdk.report.output import markdown_text as page


def to_markdown(comparison: Comparison) -> str:
    """The comparison as sections with a heading of the third level each."""
    return "\n\n".join(_sections(comparison)) + "\n"


def _sections(comparison: Comparison) -> Iterator[str]:
    compared = comparison.compared
    inventories = [one.whole for one in compared]
    yield "### Effective limits"
    yield from _limits(comparison)
    if costs.is_needed(compared):
        yield "### Monthly cost"
        yield from _costs(comparison)
    yield "### Resources"
    if len(compared) > 1:
        yield page.listed(f"{label} {text}" for label, text in resources.alone(inventories))
        yield page.folded("All types side by side")
        yield page.table(resources.side_by_side(inventories))
        yield page.UNFOLDED
    for one in compared:
        yield from _details(one, with_resources=len(compared) == 1)


def _limits(comparison: Comparison) -> Iterator[str]:
    if not any(one.limits for one in comparison.compared):
        yield limits.NONE
        return
    table = limits.limits(comparison.compared)
    yield page.table(table.grid)
    yield page.folded("What sets these limits, and the pages that prove them")
    yield "\n".join(
        f"{reason.number}. {page.escaped(reason.text)}"
        + (f" ([page]({reason.source}))" if reason.source else "")
        for reason in table.reasons
    )
    yield page.UNFOLDED


def _costs(comparison: Comparison) -> Iterator[str]:
    if not costs.is_known(comparison.compared):
        yield costs.NO_REGION
        return
    grid = costs.by_service(comparison)
    yield page.table(grid)
    yield page.listed(grid.notes)


def _details(one: Compared, *, with_resources: bool) -> Iterator[str]:
    """What is about one subject only, folded."""
    inventory = one.whole
    yield page.folded(f"{one.name}: {resources.summary(one)}")
    if with_resources and inventory.types:
        yield page.table(resources.by_service(inventory))
    grid = containers.containers(inventory.containers)
    yield "#### Containers"
    yield page.table(grid) if inventory.containers else containers.NONE
    if grid.notes:
        yield page.listed(grid.notes)
    yield "#### Routes"
    if not inventory.listeners:
        yield routes.NONE
    for listener in inventory.listeners:
        yield page.escaped(f"{routes.caption(listener)}:")
        yield page.table(routes.routes(listener))
    if inventory.other_doors:
        yield page.escaped(routes.also_public(inventory.other_doors))
    if costs.is_known([one]):
        yield "#### Cost"
        yield page.table(costs.items(one.cost, formulas=True))
    if inventory.messages:
        yield "#### Warnings"
        yield page.listed(
            f"{message.level}: {message.path}: {message.text}" for message in inventory.messages
        )
    yield page.UNFOLDED
