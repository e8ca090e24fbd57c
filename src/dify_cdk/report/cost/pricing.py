"""What the resources of templates cost in a month, line by line, computed from the templates alone.

The totals are list prices for what the templates define: the number and size of tasks, not the number that a
load would need. What no template shows is listed in :data:`NOT_COUNTED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from types import MappingProxyType

from dify_cdk.report.cost import (
    apis,
    data,
    edge,
    fargate,
    functions,
    instances,
    load_balancers,
    network,
    operations,
)
from dify_cdk.report.cost.charge import Charge, Rule, SharedRule, Site, shown
from dify_cdk.report.cost.free import FREE_TYPES
from dify_cdk.report.cost.load import find_paths
from dify_cdk.report.cost.prices import UNITS, Allowance, Prices
from dify_cdk.report.cost.products import PRODUCTS
from dify_cdk.report.cost.usage import USAGES, ZERO, Usage
from dify_cdk.report.templates.deployments import deployment_only
from dify_cdk.report.templates.joined import view_of
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.containers import read_containers

_MODULES = (apis, data, edge, fargate, functions, instances, load_balancers, network, operations)
_SHARING = (data, network, operations)

RULES: Mapping[str, Rule] = MappingProxyType(
    {type: rule for module in _MODULES for type, rule in module.RULES.items()}
)
"""What each resource of a type costs."""

SHARED_RULES: Mapping[str, SharedRule] = MappingProxyType(
    {type: rule for module in _SHARING for type, rule in module.SHARED.items()}
)
"""What all resources of a type cost together."""

NOT_COUNTED = (
    "models and other services outside the templates",
    "traffic between availability zones",
    "image storage in the repository that the CDK's bootstrap makes",
    "backups beyond the size of the database, and old versions of files",
    "access logs in buckets, DNS queries, reads of secrets, calls of keys",
    "cold starts of functions, and streamed answers beyond 6 MB",
    "what deployments themselves use: tasks and functions that run once, image builds and pulls",
    "taxes, discounts, reservations and trial credits",
)
"""What no template shows, in words for a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLine:
    """One reason to pay. ``amount`` is ``quantity`` times ``unit_price``, unknown if one of them is.

    Attributes:
        part: Name of the template that the resource is in; empty for an allowance of the account.
        logical_id: Logical id of the resource; empty where all resources of a type are counted together.
        type: CloudFormation type; empty for an allowance of the account.
        service: The service as AWS bills it, for example ``AWS Fargate``.
        what: What is paid for, for example ``vCPU, on demand``.
        quantity: Units in a month; negative for a free allowance; None if the template does not say.
        unit: What is counted, for example ``vCPU-hour``.
        unit_price: USD for one unit; None if it is not known.
        amount: USD in a month; None if unknown.
        formula: How the quantity came about, in words: ``2 tasks x 0.5 vCPU x 730 h``.
        source: Where the unit price was read; empty if it is not known.
        seen: Date of that source; empty if it shows none.
    """

    part: str
    logical_id: str
    type: str
    service: str
    what: str
    quantity: float | None
    unit: str
    unit_price: float | None
    amount: float | None
    formula: str
    source: str
    seen: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthlyCost:
    """What a subject costs in a month.

    Attributes:
        region: Region whose prices were used for the main template; None if none is known.
        usage: The usage it was computed for.
        lines: Every reason to pay, in the order of the templates; then what is free in every account.
        total: USD, the sum of all amounts that are known.
        is_lower_bound: Whether something is missing: an amount is unknown, or a type has no rule.
        unpriced: Types that have no rule and are not known to be free, sorted.
    """

    region: str | None
    usage: Usage
    lines: tuple[CostLine, ...]
    total: float
    is_lower_bound: bool
    unpriced: tuple[str, ...]

    @property
    def is_mostly_unknown(self) -> bool:
        """Whether the total says little: for example in a region that few prices are known of."""
        return 2 * sum(line.amount is None for line in self.lines) > len(self.lines)


def monthly_cost(subject: Subject, *, region: str | None, usage: Usage, prices: Prices) -> MonthlyCost:
    """What a subject costs in a month of this usage. Never raises, whatever the templates contain.

    Args:
        subject: A variant, a template, or the stacks of an app.
        region: Where to price the main template and all parts in its region or without one; parts that name
            another region (Lambda@Edge is always in us-east-1) stay there. None: where the parts say.
        usage: What happens in the month.
        prices: The price list.
    """
    return _Bill(subject, region=region, prices=prices).for_usage(usage)


def floor(subject: Subject, *, region: str | None, prices: Prices) -> MonthlyCost:
    """What a subject costs in a month in which nobody uses it."""
    return monthly_cost(subject, region=region, usage=ZERO, prices=prices)


_STEPS = 32  # costs are made of few straight pieces; crossings closer together than this are one
_HALVINGS = 20  # of a step: less than a ten-thousandth of a person


def break_evens(
    subjects: Sequence[Subject], *, region: str | None, prices: Prices, usage: Usage | None = None
) -> tuple[Usage | None, ...]:
    """The usage at which the dearer of two subjects becomes the cheaper one, for each two of them.

    Amounts that are unknown are left out on both sides, so ask :attr:`MonthlyCost.is_lower_bound` of both.

    Args:
        subjects: The subjects.
        region: As for :func:`monthly_cost`.
        prices: The price list.
        usage: The largest usage, of which a share is found; default: the company profile.

    Returns:
        The smallest such share of the usage, or None if one of them is never dearer than the other; in the
        order of ``itertools.combinations``.
    """
    largest = usage or USAGES["company"]
    totals = [cache(_totals(_Bill(subject, region=region, prices=prices), largest)) for subject in subjects]
    shares = (_break_even(a, b) for a, b in combinations(totals, 2))
    return tuple(None if share is None else largest.scaled(share) for share in shares)


def _totals(bill: _Bill, largest: Usage) -> Callable[[float], float]:
    """The total of a bill by the share of the largest usage."""
    return lambda share: bill.for_usage(largest.scaled(share)).total


def _break_even(a: Callable[[float], float], b: Callable[[float], float]) -> float | None:
    """The smallest share at which the dearer one becomes the cheaper one."""

    def difference(share: float) -> float:
        return a(share) - b(share)

    known = [(step / _STEPS, difference(step / _STEPS)) for step in range(_STEPS + 1)]
    unequal = [(share, value) for share, value in known if abs(value) > _NOTHING]
    for (low, before), (high, after) in pairwise(unequal):
        if before * after < 0:
            return _crossing(difference, low, high)
    return None


def _crossing(difference: Callable[[float], float], low: float, high: float) -> float:
    """Where a difference changes its sign between two shares."""
    sign = difference(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if difference(middle) * sign > 0:
            low = middle
        else:
            high = middle
    return high


_NOTHING = 1e-9  # USD; less is rounding


@dataclass(frozen=True, slots=True)
class _Item:
    """A charge and the part that has it; the resource is missing where several are charged together."""

    part: Part
    type: str
    logical_id: str
    charge: Charge


class _Bill:
    """A subject that was read once and may be priced for several usages."""

    def __init__(self, subject: Subject, *, region: str | None, prices: Prices) -> None:
        self._prices = prices
        self._own = subject.parts[0].region if subject.parts else None
        self._region = region or self._own
        self._parts = subject.parts
        self._views = tuple(view_of(part) for part in subject.parts)
        self._containers = tuple(read_containers(view) for view in self._views)
        self._deployments = tuple(deployment_only(view) for view in self._views)
        self._paths = find_paths(subject)

    def for_usage(self, usage: Usage) -> MonthlyCost:
        """Price every resource and every type that resources share."""
        sites = [self._site(index, usage) for index in range(len(self._views))]
        items = [*self._single(sites), *self._shared(sites)]
        paid = [(item, self._line(item)) for item in items]
        lines = [*(line for _, line in paid), *self._allowances(paid)]
        amounts = [line.amount for line in lines]
        unpriced = self._unpriced()
        return MonthlyCost(
            region=self._region,
            usage=usage,
            lines=tuple(lines),
            total=math.fsum(amount for amount in amounts if amount is not None),
            is_lower_bound=bool(unpriced) or None in amounts,
            unpriced=unpriced,
        )

    def _site(self, index: int, usage: Usage) -> Site:
        return Site(
            view=self._views[index],
            views=self._views,
            containers=self._containers[index],
            usage=usage,
            hours=self._prices.hours,
            loads=self._paths.loads(index, usage),
            entries=self._paths.entries_of(index),
            deployment_only=self._deployments[index],
        )

    def _single(self, sites: list[Site]) -> Iterator[_Item]:
        for part, site in zip(self._parts, sites, strict=True):
            for resource in site.view.resources:
                rule = RULES.get(resource.type)
                for charge in rule(resource, site) if rule else ():
                    yield _Item(part, resource.type, resource.id, _if_it_exists(resource, charge))

    def _shared(self, sites: list[Site]) -> Iterator[_Item]:
        for type, rule in SHARED_RULES.items():
            places = [
                (part, site, resource)
                for part, site in zip(self._parts, sites, strict=True)
                for resource in site.view.of_type(type)
            ]
            if places:
                part, site, only = places[0]
                for charge in rule(tuple(resource for _, _, resource in places), site):
                    yield _Item(part, type, only.id if len(places) == 1 else "", charge)

    def _unpriced(self) -> tuple[str, ...]:
        types = {resource.type for view in self._views for resource in view.resources}
        return tuple(sorted(type or _NO_TYPE for type in types - _KNOWN_TYPES))

    def _line(self, item: _Item) -> CostLine:
        charge, product = item.charge, PRODUCTS[item.charge.product]
        price = self._prices.find(charge.price, self._region_of(item.part))
        value = price.value if price and price.unit == product.unit else None
        quantity = None if charge.quantity is None else charge.quantity / UNITS[product.unit]
        return CostLine(
            part=item.part.name,
            logical_id=item.logical_id,
            type=item.type,
            service=product.service,
            what=charge.what or product.what,
            quantity=quantity,
            unit=product.unit,
            unit_price=value,
            amount=_amount(quantity, value),
            formula=charge.formula,
            source=price.source if price else "",
            seen=price.seen if price else "",
        )

    def _region_of(self, part: Part) -> str | None:
        return self._region if part.region in (None, self._own) else part.region

    def _allowances(self, paid: list[tuple[_Item, CostLine]]) -> Iterator[CostLine]:
        """What accounts get free of charge, taken off in the order of the lines, as lines of their own."""
        for allowance in self._prices.allowances:
            left = allowance.quantity
            for item, line in paid:
                if item.charge.price in allowance.covers and line.amount:
                    used = min(left, item.charge.quantity or 0)
                    left -= used
                    if used:
                        yield _taken_off(line, allowance, used)


def _taken_off(line: CostLine, allowance: Allowance, used: float) -> CostLine:
    quantity = -used / UNITS[allowance.unit]
    return replace(
        line,
        part="",
        logical_id="",
        type="",
        what=f"free every month: {line.what}",
        quantity=quantity,
        amount=_amount(quantity, line.unit_price),
        formula=f"up to {shown(allowance.quantity)} a month and account, taken as unused by others",
        source=allowance.source,
        seen=allowance.seen,
    )


_NO_TYPE = "(no type)"
_KNOWN_TYPES = RULES.keys() | SHARED_RULES.keys() | FREE_TYPES.keys()


def _if_it_exists(resource: Resource, charge: Charge) -> Charge:
    """A charge as it stands, or unknown where only a condition decides whether there is anything to pay."""
    if not resource.conditional:
        return charge
    return replace(charge, quantity=None, formula=f"only under a condition: {charge.formula}")


def _amount(quantity: float | None, unit_price: float | None) -> float | None:
    if quantity == 0:
        return 0.0  # nothing of something costs nothing, whatever its price
    return None if quantity is None or unit_price is None else quantity * unit_price
