"""Monthly cost: by service side by side, line by line for one subject, and where two cost the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.cost.pricing import NOT_COUNTED, CostLine, MonthlyCost
from dify_cdk.report.output import crossings
from dify_cdk.report.output.grid import Column, Grid, Row, Style
from dify_cdk.report.output.words import decimal, money
from dify_cdk.report.phrases import plural

NO_REGION = "The region is unknown: --region tells whose prices count."

_CENT = 0.01


def by_service(comparison: Comparison) -> Grid:
    """A row per service, then the total and what it costs when nobody uses it."""
    compared = comparison.compared
    columns = (Column(name="USD a month"), *(Column(name=one.name, right=True) for one in compared))
    services = dict.fromkeys(line.service for one in compared for line in one.cost.lines)
    rows = []
    for service in sorted(services, key=lambda name: -max(_sum(one.cost, name) for one in compared)):
        rows.append(Row(cells=(service, *(_service(one.cost, service) for one in compared))))
    rows.append(
        Row(cells=(f"usage {comparison.usage}", *(_total(one.cost) for one in compared)), style=Style.TOTAL)
    )
    rows.append(Row(cells=("nobody uses it", *(_total(one.floor) for one in compared)), style=Style.TOTAL))
    return Grid(columns=columns, rows=tuple(rows), notes=tuple(_notes(comparison)))


def _of(cost: MonthlyCost, service: str) -> list[CostLine]:
    return [line for line in cost.lines if line.service == service]


def _sum(cost: MonthlyCost, service: str) -> float:
    return math.fsum(line.amount or 0 for line in _of(cost, service))


def _service(cost: MonthlyCost, service: str) -> str:
    lines = _of(cost, service)
    if not lines:
        return "-"
    unknown = any(line.amount is None for line in lines)
    text = money(_sum(cost, service))
    if unknown:
        return "?" if text == money(0) else f"≥ {text}"
    return text


def _total(cost: MonthlyCost) -> str:
    return f"≥ {money(cost.total)}" if cost.is_lower_bound else money(cost.total)


def _notes(comparison: Comparison) -> Iterator[str]:
    regions = dict.fromkeys(one.cost.region or "an unknown region" for one in comparison.compared)
    date = comparison.prices_as_of.isoformat()
    yield f"List prices of {date} in {', '.join(regions)}, without taxes and discounts."
    for one in comparison.compared:
        missing = tuple(_missing(one))
        if missing:
            yield f"{one.name} costs more, not counted: {'; '.join(missing)}."
    unknown = crossings.not_comparable(comparison)
    if unknown:
        yield f"Most costs of {', '.join(unknown)} are unknown: the totals say little and compare with none."
    yield from crossings.crossings(comparison)
    yield f"Never counted: {'; '.join(NOT_COUNTED)}."


def _missing(one: Compared) -> Iterator[str]:
    """What makes a total a lower bound."""
    if one.cost.region is None:
        yield "the region is unknown, give --region"
        return
    lines = dict.fromkeys(f"{line.service}, {line.what}" for line in one.cost.lines if line.amount is None)
    yield from lines
    yield from (f"{type} has no price rule" for type in one.cost.unpriced)


def items(cost: MonthlyCost, *, formulas: bool = False) -> Grid:
    """Every reason to pay, the largest first; what is below a cent is counted together.

    Args:
        cost: The cost.
        formulas: Whether there is room for how a quantity came about.
    """
    shown = [line for line in cost.lines if line.amount is None or abs(line.amount) >= _CENT / 2]
    shown.sort(key=lambda line: (line.amount is None, -(line.amount or 0)))
    rows = [Row(cells=(_place(line), line.what, _quantity(line), money(line.amount))) for line in shown]
    if formulas:
        rows = [replace(row, cells=(*row.cells, line.formula)) for row, line in zip(rows, shown, strict=True)]
    rest = ("",) if formulas else ()
    small = len(cost.lines) - len(shown)
    if small:
        amount = math.fsum(line.amount or 0 for line in cost.lines if line not in shown)
        rows.append(Row(cells=(f"{plural(small, 'line')} below a cent", "", "", money(amount), *rest)))
    rows.append(Row(cells=("total", "", "", _total(cost), *rest), style=Style.TOTAL))
    columns = (
        Column(name="resource"),
        Column(name="what"),
        Column(name="quantity", right=True),
        Column(name="USD", right=True),
        *((Column(name="how"),) if formulas else ()),
    )
    return Grid(columns=columns, rows=tuple(rows))


def _place(line: CostLine) -> str:
    return line.logical_id or line.service


def _quantity(line: CostLine) -> str:
    if line.quantity is None:
        return "?"
    return f"{decimal(round(line.quantity, 2))} {line.unit}"


def is_needed(compared: Sequence[Compared]) -> bool:
    """Whether one of them has anything that may have to be paid for."""
    return any(one.cost.lines or one.cost.unpriced for one in compared)


def is_known(compared: Sequence[Compared]) -> bool:
    """Whether one of them has anything to pay for in a known region."""
    return any(one.cost.lines and one.cost.region is not None for one in compared)
