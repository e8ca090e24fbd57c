"""Monthly cost as bars and tables: by service, in a month of the usage and in one without any."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.cost.pricing import NOT_COUNTED, CostLine, MonthlyCost
from dify_cdk.report.output.crossings import crossings
from dify_cdk.report.output.html_text import Content, Html, el, fitting, join, link, listed, table

_COLOURS = 8  # in the style sheet; the last one is for all services that have none of their own
_LEAST_FOR_NUMBER = 5.0  # per cent of the bar; a narrower piece has no room for its number
_CENT = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sum:
    """What one service costs: the amounts that are known, and whether one is missing."""

    amount: float
    known: bool


def section(comparison: Comparison) -> Iterator[Html]:
    """Everything about cost."""
    services = _services(comparison.compared)
    yield el("p", _introduction(comparison))
    yield _bars(comparison, services)
    yield _by_service(comparison, services)
    yield from _bounds(comparison.compared)
    yield from _crossings(comparison)
    for one in comparison.compared:
        summary = f"{one.name}: every line of the {comparison.usage} month, with formula and source"
        yield el("details", el("summary", summary), _lines(one))
    yield el("details", el("summary", f"What the usage {comparison.usage} means"), _usage(comparison))


def money(amount: float) -> str:
    """USD with cents; what is not nothing never reads as nothing."""
    return "under $0.01" if 0 < amount < _CENT else f"${amount:,.2f}"


def total(cost: MonthlyCost) -> str:
    """The total in words that say when something is missing."""
    if not _is_known(cost):
        return "unknown"
    if cost.is_mostly_unknown:
        return f"mostly unknown, at least {money(cost.total)}"
    return f"at least {money(cost.total)}" if cost.is_lower_bound else money(cost.total)


def _is_known(cost: MonthlyCost) -> bool:
    """Whether there are prices at all: without a region hardly anything has one."""
    return cost.region is not None or not cost.is_lower_bound


def _introduction(comparison: Comparison) -> str:
    regions = sorted({one.cost.region or "an unknown region" for one in comparison.compared})
    return (
        f"USD a month at list prices of {', '.join(regions)}, put together on"
        f" {comparison.prices_as_of.isoformat()}, for what the templates define. The floor is a month in"
        f" which nobody uses it; {comparison.usage} is the usage described below."
    )


# --- by service -----------------------------------------------------------------------------------------


def _sums(cost: MonthlyCost) -> dict[str, _Sum]:
    lines: dict[str, list[CostLine]] = {}
    for line in cost.lines:
        lines.setdefault(line.service, []).append(line)
    return {
        service: _Sum(
            amount=max(0.0, math.fsum(line.amount for line in own if line.amount is not None)),
            known=all(line.amount is not None for line in own),
        )
        for service, own in lines.items()
    }


def _services(compared: Sequence[Compared]) -> list[str]:
    """Every service, the dearest first."""
    most: dict[str, float] = {}
    for one in compared:
        for cost in (one.floor, one.cost):
            for service, found in _sums(cost).items():
                most[service] = max(most.get(service, 0.0), found.amount)
    return sorted(most, key=lambda service: (-round(most[service], 2), service))


def _colour(services: Sequence[str], service: str) -> int:
    """Number of a service's colour, from 1; all that are too small for one share the last."""
    return min(services.index(service) + 1, _COLOURS)


def _bars(comparison: Comparison, services: Sequence[str]) -> Html:
    known = [one for one in comparison.compared if _is_known(one.cost)]
    widest = max((max(one.cost.total, one.floor.total) for one in known), default=0.0) or 1.0
    rows = [
        el(
            "div",
            el("h3", one.name),
            el("p", el("strong", total(one.cost)), f" {comparison.usage}"),
            _bar(services, one.cost, widest, f"{one.name}, {comparison.usage}: {total(one.cost)}"),
            el("p", el("strong", total(one.floor)), " floor"),
            _bar(services, one.floor, widest, f"{one.name}, floor: {total(one.floor)}"),
            class_="bars",
        )
        for one in known
    ]
    return el("div", rows, class_="chart")


def _bar(services: Sequence[str], cost: MonthlyCost, widest: float, name: str) -> Html:
    """Pieces by service; lengths are per cent, so that the bar is as wide as its place."""
    sums = _sums(cost)
    groups: dict[int, list[str]] = {}
    for service in services:
        if service in sums and sums[service].amount > 0:
            groups.setdefault(_colour(services, service), []).append(service)
    pieces: list[Content] = []
    left = 0.0
    for colour, members in groups.items():
        width = 100 * math.fsum(sums[service].amount for service in members) / widest
        words = "; ".join(f"{service} {money(sums[service].amount)}" for service in members)
        shape = el("rect", x=f"{left:.2f}%", y="0", width=f"{width:.2f}%", height="24")
        number = el("text", str(colour), x=f"{left + width / 2:.2f}%", y="16", text_anchor="middle")
        shown = number if width >= _LEAST_FOR_NUMBER else None
        pieces.append(el("g", el("title", words), shape, shown, class_=f"c{colour}"))
        left += width
    return el("svg", pieces, class_="bar", width="100%", height="24", role="img", aria_label=name)


def _by_service(comparison: Comparison, services: Sequence[str]) -> Html:
    sums = [(one, _sums(one.cost), _sums(one.floor)) for one in comparison.compared]
    rows = [
        [
            _service(services, service),
            *(_amounts(cost.get(service), floor.get(service)) for _, cost, floor in sums),
        ]
        for service in services
    ]
    amounts = (money(cost.total) for one, _, _ in sums for cost in (one.cost, one.floor))
    last = [_two(total(one.cost), total(one.floor)) for one, _, _ in sums]
    return table(
        f"USD a month by service with usage {comparison.usage}; below it the floor where that differs",
        ["Service", *(one.name for one, _, _ in sums)],
        [*rows, [el("strong", "Total"), *last]],
        class_=f"numbers {fitting([one.name for one, _, _ in sums], amounts)}",
    )


def _service(services: Sequence[str], service: str) -> Content:
    number = _colour(services, service)
    return [el("span", str(number), class_=f"swatch c{number}", aria_hidden="true"), service]


def _amounts(cost: _Sum | None, floor: _Sum | None) -> Content:
    if cost is None and floor is None:
        return el("span", "none", class_="soft")
    return _two(_amount(cost), _amount(floor))


def _amount(found: _Sum | None) -> str:
    if found is None:
        return "none"
    if found.known:
        return money(found.amount)
    return f"at least {money(found.amount)}" if found.amount else "unknown"


def _two(usage: str, floor: str) -> Content:
    return usage if usage == floor else [usage, " ", el("small", f"floor {floor}")]


# --- what is missing ------------------------------------------------------------------------------------


def _bounds(compared: Sequence[Compared]) -> Iterator[Html]:
    """Why a total is only a lower bound, and what no total holds."""
    missing = [(one, list(_missing(one.cost))) for one in compared]
    if any(reasons for _, reasons in missing):
        yield el("h3", "Why at least, or unknown")
        yield listed([el("strong", f"{one.name}: "), "; ".join(why)] for one, why in missing if why)
    yield el("h3", "Not in any total")
    yield el("p", "; ".join(NOT_COUNTED), ".")


def _missing(cost: MonthlyCost) -> Iterator[str]:
    if cost.region is None:
        yield "the region is not known, so there are no prices: name one with --region"
        return
    lines = [line for line in cost.lines if line.amount is None]
    yield from dict.fromkeys(
        f"{one.service}, {one.what}: {one.formula}" for one in lines if one.quantity is None
    )
    unlisted = dict.fromkeys(f"{one.service} ({one.what})" for one in lines if one.quantity is not None)
    if unlisted:
        yield f"no price in {cost.region} is known for {', '.join(unlisted)}"
    if cost.unpriced:
        yield f"no price is known for {', '.join(cost.unpriced)}"


# --- where costs cross ----------------------------------------------------------------------------------


def _crossings(comparison: Comparison) -> Iterator[Html]:
    """The usage at which the dearer of two becomes the cheaper one."""
    sentences = list(crossings(comparison))
    if sentences:
        yield el("h3", "Where costs cross")
        yield el("p", "Up to a company of 1,000 people; amounts that are unknown count on neither side.")
        yield listed(sentences)


# --- details --------------------------------------------------------------------------------------------


def _lines(one: Compared) -> Html:
    return table(
        f"What {one.name} costs, line by line",
        ["What", "Resource", "Quantity", "Unit price", "USD a month", "Source"],
        (
            [
                [el("strong", line.service), " ", line.what],
                line.logical_id or "several",
                [_quantity(line), " ", el("small", line.formula)],
                el(
                    "span",
                    "unknown" if line.unit_price is None else f"${line.unit_price:.6g}",
                    class_="whole",
                ),
                "unknown" if line.amount is None else f"{line.amount:,.2f}",
                _source(line),
            ]
            for line in one.cost.lines
        ),
        class_="lines stack",
    )


def _quantity(line: CostLine) -> str:
    times = " x " if line.unit[:1].isdigit() else " "
    number = "unknown" if line.quantity is None else f"{line.quantity:,.6g}"
    return f"{number}{times}{line.unit}"


def _source(line: CostLine) -> Content:
    if not line.source:
        return "none"
    seen = f", {line.seen}" if line.seen else ""
    if line.source.startswith(("https://", "http://")):
        return [link("price", line.source), seen]
    return f"{line.source}{seen}"


def _usage(comparison: Comparison) -> Html:
    usage = comparison.compared[0].cost.usage if comparison.compared else None
    entries = usage.items() if usage else ()
    return listed((join(f"{name.replace('_', ' ')}: {value:,.6g}") for name, value in entries), "columns")
