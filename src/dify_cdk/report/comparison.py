"""What is compared, with everything that was computed about it: what every way to show it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import combinations

from dify_cdk.report.cost.prices import Prices
from dify_cdk.report.cost.pricing import MonthlyCost, break_evens, floor, monthly_cost
from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.inventory import Inventory, Message, read_view
from dify_cdk.report.limits.limits import Limit, effective_limits
from dify_cdk.report.templates.joined import join, view_of
from dify_cdk.report.templates.subject import Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One subject and what is known about it.

    Attributes:
        subject: Its templates, and what reports call it.
        inventories: What each of its parts contains, in the order of the parts.
        limits: What it supports.
        floor: What it costs in a month in which nobody uses it.
        cost: What it costs in a month of the usage of the comparison.
        whole: What all parts contain together, where references between them have been followed.
    """

    subject: Subject
    inventories: tuple[Inventory, ...]
    limits: tuple[Limit, ...]
    floor: MonthlyCost
    cost: MonthlyCost
    whole: Inventory = field(init=False)

    def __post_init__(self) -> None:
        """Read all parts together."""
        object.__setattr__(self, "whole", _whole(self.subject, self.inventories))

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.subject.name


def _whole(subject: Subject, parts: tuple[Inventory, ...]) -> Inventory:
    if len(parts) == 1:
        return replace(parts[0], name=subject.name)
    main = parts[0] if parts else None
    return replace(
        read_view(join(subject), subject.name),
        source=main.source if main else None,
        region=main.region if main else None,
        messages=tuple(message for part in parts for message in part.messages),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEven:
    """The usage at which two subjects cost the same.

    Attributes:
        first: Name of one.
        second: Name of the other.
        usage: The usage; None if one of them is cheaper, or as cheap, at every usage.
    """

    first: str
    second: str
    usage: Usage | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Subjects side by side.

    Attributes:
        compared: In the order in which the reader named them; their names are unique.
        usage: What the usage is called: a profile such as ``team``, or the file it was read from.
        prices_as_of: Day on which the prices were put together.
        break_evens: Where each two of them cost the same.
    """

    compared: tuple[Compared, ...]
    usage: str
    prices_as_of: date
    break_evens: tuple[BreakEven, ...] = ()


def inventories(
    subject: Subject,
    *,
    sources: Sequence[str] = (),
    messages: Mapping[str, tuple[Message, ...]] | None = None,
) -> tuple[Inventory, ...]:
    """What each part of a subject contains.

    Args:
        subject: The subject.
        sources: The file of each part. Default: it was synthesized here.
        messages: What the CDK had to say, by name of the part. Default: nothing.
    """
    found = []
    for number, part in enumerate(subject.parts):
        inventory = read_view(view_of(part), part.name)
        found.append(
            replace(
                inventory,
                region=part.region,
                source=sources[number] if sources else None,
                messages=(messages or {}).get(part.name, ()),
            )
        )
    return tuple(found)


def compare(
    subjects: Iterable[tuple[Subject, tuple[Inventory, ...]]],
    *,
    region: str | None,
    usage: Usage,
    usage_name: str,
    prices: Prices,
) -> Comparison:
    """Compute everything about subjects whose names are unique.

    Args:
        subjects: Each with what its parts contain, see :func:`inventories`.
        region: Where to price them. Default: where their parts say.
        usage: What happens in a month.
        usage_name: What the usage is called.
        prices: The price list.
    """
    compared = tuple(
        Compared(
            subject=subject,
            inventories=parts,
            limits=effective_limits(subject),
            floor=floor(subject, region=region, prices=prices),
            cost=monthly_cost(subject, region=region, usage=usage, prices=prices),
        )
        for subject, parts in subjects
    )
    usages = break_evens([one.subject for one in compared], region=region, prices=prices)
    pairs = combinations(compared, 2)
    crossings = tuple(
        BreakEven(first=a.name, second=b.name, usage=found)
        for (a, b), found in zip(pairs, usages, strict=True)
    )
    return Comparison(compared=compared, usage=usage_name, prices_as_of=prices.as_of, break_evens=crossings)
