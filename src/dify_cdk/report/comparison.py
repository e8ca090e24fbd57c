"""What is compared, with everything that was computed about it: what every way to show it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dify_cdk.report.inventory import Inventory
from dify_cdk.report.limits import Limit
from dify_cdk.report.pricing import MonthlyCost
from dify_cdk.report.subject import Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One subject and what is known about it.

    Attributes:
        subject: Its templates, and how the reader calls it.
        inventories: What each of its parts contains, in the order of the parts.
        limits: What it carries.
        floor: What it costs in a month in which nobody uses it.
        cost: What it costs in a month of the usage of the comparison.
    """

    subject: Subject
    inventories: tuple[Inventory, ...]
    limits: tuple[Limit, ...]
    floor: MonthlyCost
    cost: MonthlyCost

    @property
    def name(self) -> str:
        """How the reader calls it."""
        return self.subject.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Subjects side by side.

    Attributes:
        compared: In the order in which the reader named them; their names are unique.
        usage: What the usage is called: a profile such as ``team``, or the file it was read from.
        prices_as_of: Day on which the prices were put together.
    """

    compared: tuple[Compared, ...]
    usage: str
    prices_as_of: date
