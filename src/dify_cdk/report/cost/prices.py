"""Unit prices of AWS with their sources; nothing is fetched, they come with the package."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType

PRICES_FILE = Path(__file__).parents[1] / "data" / "prices.json"
"""The prices of the package; ``tools/refresh_prices.py`` brings them up to date."""

MAX_AGE = timedelta(days=180)
"""How old prices may be until a report should say so."""

EVERYWHERE = "*"
"""The region of a price that is the same in all of them."""

UNITS: Mapping[str, float] = MappingProxyType(
    {
        "1M calls": 1e6,
        "1M requests": 1e6,
        "10,000 requests": 1e4,
        "1,000 requests": 1e3,
        "ACU-hour": 1,
        "GB": 1,
        "GB-hour": 1,
        "GB-month": 1,
        "GB-second": 1,
        "LCU-hour": 1,
        "address-hour": 1,
        "alarm-month": 1,
        "hour": 1,
        "metric-month": 1,
        "month": 1,
        "rule-month": 1,
        "user-month": 1,
        "vCPU-hour": 1,
        "zone-hour": 1,
        "zone-month": 1,
    }
)
"""What AWS sells, and how many single things are one unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one unit of something costs in one region.

    Attributes:
        key: What it is the price of, for example ``lambda.requests``.
        unit: What is counted, a key of :data:`UNITS`, for example ``1M requests``.
        value: USD for one unit, without tax and discounts; None if no source is known.
        source: Where the value was read; empty if unknown.
        seen: Date in or on the source: ``2026-08``, ``2026-08-21``; empty if it shows none.
        note: What a reader should know beside it, or empty.
    """

    key: str
    unit: str
    value: float | None
    source: str
    seen: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What an account gets free of charge every month, for as long as it exists.

    Attributes:
        name: For example ``lambda requests``.
        quantity: Single things: requests, GB.
        unit: The unit of the prices that it covers.
        covers: Keys of these prices.
        source: Where it was read.
        seen: Date of the source; empty if it shows none.
    """

    name: str
    quantity: float
    unit: str
    covers: frozenset[str]
    source: str
    seen: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """All prices.

    Attributes:
        as_of: Day on which they were put together.
        hours: Hours of a month.
        rows: Price by key and region.
        allowances: What is free every month.
    """

    as_of: date
    hours: float
    rows: Mapping[tuple[str, str], Price]
    allowances: tuple[Allowance, ...]

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that have a price of their own, sorted."""
        return tuple(sorted({region for _, region in self.rows} - {EVERYWHERE}))

    def find(self, key: str, region: str | None) -> Price | None:
        """The price in a region; None if the key or the region is not in the list."""
        return self.rows.get((key, region or "")) or self.rows.get((key, EVERYWHERE))

    def is_old(self, today: date) -> bool:
        """Whether they are older than 180 days, which a report should say."""
        return today - self.as_of > MAX_AGE


def load_prices(path: Path = PRICES_FILE) -> Prices:
    """Read and check a price list.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no price list; the message names the entry.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    return parse_prices(document)


def parse_prices(document: object) -> Prices:
    """Check a price list, the content of ``prices.json``.

    Raises:
        ValueError: If it is no price list; the message names the entry.
    """
    top = _object(document, "the price list")
    if top.get("currency") != "USD":
        raise ValueError(f"currency must be USD, got {top.get('currency')!r}")
    rows = {
        (price.key, region): price
        for key, entry in _object(top.get("prices"), "prices").items()
        for region, price in _row(key, _object(entry, key)).items()
    }
    allowances = _object(top.get("allowances"), "allowances").items()
    return Prices(
        as_of=_date(top.get("as_of")),
        hours=_amount(top.get("hours"), "hours"),
        rows=MappingProxyType(rows),
        allowances=tuple(_allowance(name, _object(entry, name)) for name, entry in allowances),
    )


def _row(key: str, entry: Mapping[str, object]) -> dict[str, Price]:
    unit = _unit(entry.get("unit"), key)
    note = _text(entry.get("note", ""), f"{key}: note")
    regions = _object(entry.get("regions"), f"{key}: regions")
    return {region: _price(key, region, unit, note, value) for region, value in regions.items()}


def _price(key: str, region: str, unit: str, note: str, entry: object) -> Price:
    where = f"{key} in {region}"
    if entry is None:
        return Price(key=key, unit=unit, value=None, source="", seen="", note=note)
    fields = _object(entry, where)
    source = _text(fields.get("source"), f"{where}: source")
    if not source:
        raise ValueError(f"{where}: a value needs a source")
    own = _text(fields.get("note", ""), f"{where}: note")
    return Price(
        key=key,
        unit=unit,
        value=_amount(fields.get("value"), where),
        source=source,
        seen=_text(fields.get("seen"), f"{where}: seen"),
        note="; ".join(filter(None, (note, own))),
    )


def _allowance(name: str, entry: Mapping[str, object]) -> Allowance:
    covers = entry.get("covers")
    if not isinstance(covers, list) or not all(isinstance(key, str) for key in covers):
        raise ValueError(f"{name}: covers must be a list of price keys, got {covers!r}")
    return Allowance(
        name=name,
        quantity=_amount(entry.get("quantity"), f"{name}: quantity"),
        unit=_unit(entry.get("unit"), name),
        covers=frozenset(covers),
        source=_text(entry.get("source"), f"{name}: source"),
        seen=_text(entry.get("seen"), f"{name}: seen"),
    )


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, got {value!r}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, got {value!r}")
    return value


def _unit(value: object, what: str) -> str:
    if value not in UNITS:
        raise ValueError(f"{what}: unit must be one of {', '.join(UNITS)}, got {value!r}")
    return str(value)


def _amount(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{what} must be a number of 0 or more, got {value!r}")
    return value


def _date(value: object) -> date:
    try:
        return date.fromisoformat(_text(value, "as_of"))
    except ValueError as error:
        raise ValueError(f"as_of must be a date such as 2026-11-22, got {value!r}") from error
