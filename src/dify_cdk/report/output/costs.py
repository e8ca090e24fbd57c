"""Monthly cost: by service side by side, line by line for one subject, and where two cost the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.cost.pricing import NOT_COUNTED, CostLine, MonthlyCost
from dify_cdk.report.output import crossings
from dify_cdk.report.output.sections import Bar, Cell, Column, Grid, Line, Piece, Row, Section, Style, row
from dify_cdk.report.output.words import decimal, money
from dify_cdk.report.phrases import plural

_CENT = 0.01
_COLOURS = 8  # that a drawing has; the last one is for all services that have none of their own


def total(cost: MonthlyCost) -> str:
    """The total in words that say when something is missing."""
    if not crossings.is_priced(cost):
        return "unknown"
    bound = (
        "mostly unknown, at least" if cost.is_mostly_unknown else "at least" if cost.is_lower_bound else ""
    )
    return f"{bound} ${money(cost.total)}".lstrip()


# --- by service -----------------------------------------------------------------------------------------


def cost_section(comparison: Comparison) -> Section:
    """A row per service, then the total and what it costs when nobody uses it."""
    title, compared = "Monthly cost", comparison.compared
    if not any(one.cost.lines or one.cost.unpriced for one in compared):
        return Section(title=title, text="Nothing in these templates has to be paid for.")
    if not any(map(_is_known, compared)):
        return Section(title=title, text="The region is unknown: --region tells whose prices count.")
    costs, floors = [one.cost for one in compared], [one.floor for one in compared]
    services = sorted(_services(costs), key=lambda name: -max(_sum(cost, name) for cost in costs))
    used, unused = _totals(f"usage {comparison.usage}", costs), _totals("nobody uses it", floors)
    grid = _by_service(comparison, services, costs, used, unused)
    floor = Section(title="If nobody uses it", grids=(_by_service(comparison, services, floors, unused),))
    return Section(
        title=title,
        bars=tuple(
            bar
            for one in compared
            if crossings.is_priced(one.cost)
            for bar in _bars(one, comparison, services)
        ),
        grids=(grid,),
        notes=tuple(Line(text=note) for note in _notes(comparison)),
        folded=(floor, _usage(comparison)),
    )


def _by_service(
    comparison: Comparison, services: Sequence[str], costs: Sequence[MonthlyCost], *last: Row
) -> Grid:
    columns = [Column(name=one.name, right=True) for one in comparison.compared]
    rows = (
        row(service, *(_service(cost, service) for cost in costs), colour=min(number, _COLOURS))
        for number, service in enumerate(services, 1)
    )
    return Grid(columns=(Column(name="USD a month"), *columns), rows=(*rows, *last))


def _totals(name: str, costs: Sequence[MonthlyCost]) -> Row:
    return row(name, *map(_total, costs), style=Style.TOTAL)


def _services(costs: Sequence[MonthlyCost]) -> dict[str, None]:
    return dict.fromkeys(line.service for cost in costs for line in cost.lines)


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


def _bars(one: Compared, comparison: Comparison, services: Sequence[str]) -> Iterator[Bar]:
    """One of a month of the usage, and one of a month without any."""
    for cost, what in ((one.cost, comparison.usage), (one.floor, "if nobody uses it")):
        pieces = (
            Piece(text=f"{service} ${money(size)}", size=size, colour=min(number, _COLOURS))
            for number, service in enumerate(services, 1)
            if (size := _sum(cost, service)) > 0
        )
        yield Bar(name=one.name, amount=total(cost), what=what, pieces=tuple(pieces))


def _usage(comparison: Comparison) -> Section:
    columns = (Column(name="usage"), Column(name="a month", right=True))
    usage = comparison.compared[0].cost.usage.items()
    rows = tuple(row(name.replace("_", " "), f"{value:,.6g}") for name, value in usage)
    return Section(
        title=f"What the usage {comparison.usage} means", grids=(Grid(columns=columns, rows=rows),)
    )


# --- what is missing ------------------------------------------------------------------------------------


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


# --- line by line ---------------------------------------------------------------------------------------

_COLUMNS = (
    Column(name="resource"),
    Column(name="what"),
    Column(name="quantity", right=True),
    Column(name="USD", right=True),
    Column(name="unit price", right=True, roomy=True),
    Column(name="how", roomy=True),
    Column(name="source", roomy=True),
)


def cost_lines(one: Compared) -> Section:
    """Every reason to pay, the largest first; what is below a cent is counted together."""
    if not _is_known(one):
        return Section(title=one.name, text="Without prices there are no amounts.")
    lines = one.cost.lines
    shown = [line for line in lines if line.amount is None or abs(line.amount) >= _CENT / 2]
    shown.sort(key=lambda line: (line.amount is None, -(line.amount or 0)))
    rows = [_item(line) for line in shown]
    small = [line.amount or 0 for line in lines if line not in shown]
    if small:
        amount = money(math.fsum(small))
        rows.append(row(f"{plural(len(small), 'line')} below a cent", "", "", amount, "", "", ""))
    rows.append(row("total", "", "", _total(one.cost), "", "", "", style=Style.TOTAL))
    return Section(title=one.name, grids=(Grid(columns=_COLUMNS, rows=tuple(rows)),))


def _is_known(one: Compared) -> bool:
    """Whether there is anything to pay for in a known region."""
    return bool(one.cost.lines) and one.cost.region is not None


def _item(line: CostLine) -> Row:
    quantity = "?" if line.quantity is None else f"{decimal(round(line.quantity, 2))} {line.unit}"
    price = "?" if line.unit_price is None else f"{line.unit_price:.6g}"
    source = Cell(text=line.seen or "page", source=line.source)
    if not line.source.startswith("http"):
        source = Cell(text=", ".join(filter(None, (line.source, line.seen))))
    return row(
        line.logical_id or line.service, line.what, quantity, money(line.amount), price, line.formula, source
    )
