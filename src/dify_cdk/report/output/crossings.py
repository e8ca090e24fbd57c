"""Where two subjects cost the same, in sentences that every format shows."""

from __future__ import annotations

from collections.abc import Iterator

from dify_cdk.report.comparison import BreakEven, Compared, Comparison
from dify_cdk.report.cost.pricing import MonthlyCost
from dify_cdk.report.cost.usage import USAGES, Usage

_LARGEST = "company"
_CENT = 0.01


def crossings(comparison: Comparison) -> Iterator[str]:
    """A sentence for each two of them whose totals can be compared."""
    known = {one.name: one for one in comparison.compared if _says_something(one)}
    for pair in comparison.break_evens:
        if pair.first in known and pair.second in known:
            yield _sentence(pair, known[pair.first], known[pair.second])


def not_comparable(comparison: Comparison) -> tuple[str, ...]:
    """Names of those with so many unknown costs that nothing follows from their totals."""
    return tuple(one.name for one in comparison.compared if not _says_something(one))


def is_priced(cost: MonthlyCost) -> bool:
    """Whether there are prices at all: without a region hardly anything has one."""
    return cost.region is not None or not cost.is_lower_bound


def _says_something(one: Compared) -> bool:
    return is_priced(one.cost) and not one.cost.is_mostly_unknown


def _sentence(pair: BreakEven, first: Compared, second: Compared) -> str:
    bounds = first.cost.is_lower_bound or second.cost.is_lower_bound
    known = " (as far as known)" if bounds else ""
    if pair.usage is not None:
        return f"{_at(pair.usage, first, second)}{known}."
    pairs = ((first.floor.total, second.floor.total), (first.cost.total, second.cost.total))
    gap = sum(a - b for a, b in pairs)
    if all(abs(a - b) < _CENT for a, b in pairs):
        return f"{first.name} and {second.name} cost the same{known}."
    cheap, dear = (first, second) if gap < 0 else (second, first)
    return f"{cheap.name} costs less than {dear.name} at every usage up to the {_LARGEST} profile{known}."


def _at(usage: Usage, first: Compared, second: Compared) -> str:
    """Both sides of the usage, if the costs without any tell which one starts as the cheaper one."""
    place = f"{usage.users:,.0f} users, {usage.users / USAGES[_LARGEST].users:.0%} of the {_LARGEST} profile"
    gap = first.floor.total - second.floor.total
    if abs(gap) < _CENT:
        return f"{first.name} and {second.name} cost the same at {place}"
    cheap, dear = (first, second) if gap < 0 else (second, first)
    return (
        f"{cheap.name} costs less than {dear.name} up to {place}, where {dear.name} becomes the cheaper one"
    )
