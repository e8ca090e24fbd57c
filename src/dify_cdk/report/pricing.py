"""What the resources of templates cost in a month, line by line, computed from the templates alone."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk.report.usage import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLine:
    """One reason to pay. ``amount`` is ``quantity`` times ``unit_price``, unknown if one of them is.

    Attributes:
        part: Name of the template that the resource is in.
        logical_id: Logical id of the resource; empty where all resources of a type are counted together.
        type: CloudFormation type.
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
        lines: Every reason to pay, in the order of the templates.
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
