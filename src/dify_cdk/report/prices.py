"""Unit prices of AWS with their sources; nothing is fetched, they come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

PRICES_FILE = Path(__file__).parent / "data" / "prices.json"
"""The prices of the package; ``tools/refresh_prices.py`` writes it."""

MAX_AGE = timedelta(days=180)
"""How old prices may be until a report should say so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one unit of something costs in one region.

    Attributes:
        key: What it is the price of, for example ``lambda.requests``.
        unit: What is counted, for example ``1M requests``.
        per: How many single things make one unit, for example 1,000,000.
        value: USD for one unit, without tax and discounts; None if no source is known.
        source: Where the value was read; empty if unknown.
        seen: Date in or on the source: ``2026-08``, ``2026-08-21``; empty if it shows none.
        note: What a reader should know beside it, or empty.
    """

    key: str
    unit: str
    per: float
    value: float | None
    source: str
    seen: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """All prices.

    Attributes:
        as_of: Day on which they were put together.
        hours: Hours of a month.
        rows: Price by key and region.
    """

    as_of: date
    hours: float
    rows: Mapping[tuple[str, str], Price]

    def is_old(self, today: date) -> bool:
        """Whether they are older than 180 days, which a report should say."""
        return today - self.as_of > MAX_AGE
