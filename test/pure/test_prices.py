"""The price list of the package, and what makes a file no price list."""

from __future__ import annotations

import copy
import json
import re
from datetime import date, timedelta
from typing import Any

import pytest

from dify_cdk.report.cost.prices import EVERYWHERE, PRICES_FILE, UNITS, load_prices, parse_prices
from dify_cdk.report.regions import REGIONS

DOCUMENT: dict[str, Any] = json.loads(PRICES_FILE.read_text(encoding="utf-8"))
PRICES = load_prices()
SMALL: dict[str, Any] = {
    "as_of": "2026-11-22",
    "currency": "USD",
    "hours": 730,
    "allowances": {
        "calls": {"quantity": 10, "unit": "1M calls", "covers": ["a.calls"], "source": "s", "seen": "2026-01"}
    },
    "prices": {
        "a.calls": {
            "unit": "1M calls",
            "note": "first million",
            "regions": {
                "us-east-1": {"value": 0.2, "source": "s", "seen": "2026-02-03", "note": "own"},
                "eu-west-1": None,
            },
        },
        "a.zone": {"unit": "zone-month", "regions": {"*": {"value": 0.5, "source": "s", "seen": ""}}},
    },
}


def changed(*path: str, to: object) -> dict[str, Any]:
    """The small price list with one entry replaced."""
    document = copy.deepcopy(SMALL)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return document


class TestThePriceListOfThePackage:
    def test_it_is_one(self) -> None:
        assert PRICES.hours == 730
        assert {"ap-northeast-1", "us-east-1", "us-west-2"} == set(PRICES.regions)
        assert len({key for key, _ in PRICES.rows}) > 50

    def test_its_regions_exist(self) -> None:
        assert set(PRICES.regions) <= REGIONS

    def test_every_value_says_where_it_was_read(self) -> None:
        for price in PRICES.rows.values():
            assert (price.value is None) == (price.source == ""), price

    def test_every_date_is_one(self) -> None:
        for price in PRICES.rows.values():
            assert re.fullmatch(r"|\d{4}(-\d{2}(-\d{2})?|-Q\d)?", price.seen), price

    def test_nothing_was_seen_after_the_list_was_put_together(self) -> None:
        for price in PRICES.rows.values():
            assert price.seen[:7].replace("Q", "0") <= PRICES.as_of.isoformat()[:7], price

    def test_prices_of_the_main_region_are_known_but_for_a_few(self) -> None:
        unknown = {
            key
            for (key, region), price in PRICES.rows.items()
            if region == "us-east-1" and price.value is None
        }
        assert unknown == {"cloud_map.discover_calls"}

    def test_allowances_cover_prices_of_the_list_in_their_unit(self) -> None:
        units = {price.key: price.unit for price in PRICES.rows.values()}
        for allowance in PRICES.allowances:
            assert allowance.covers
            assert {units[key] for key in allowance.covers} == {allowance.unit}

    def test_it_is_written_as_the_refreshing_tool_writes_it(self) -> None:
        assert (
            PRICES_FILE.read_text(encoding="utf-8")
            == json.dumps(DOCUMENT, indent=2, ensure_ascii=False) + "\n"
        )

    def test_it_names_no_place_of_work(self) -> None:
        text = PRICES_FILE.read_text(encoding="utf-8")
        assert "from_memory" not in text
        assert "stored" not in text


class TestReading:
    def test_a_price_has_its_unit_source_date_and_notes(self) -> None:
        price = parse_prices(SMALL).find("a.calls", "us-east-1")
        assert price is not None
        assert (price.value, price.unit, price.source, price.seen) == (0.2, "1M calls", "s", "2026-02-03")
        assert price.note == "first million; own"

    def test_an_unknown_price_is_known_to_be_unknown(self) -> None:
        price = parse_prices(SMALL).find("a.calls", "eu-west-1")
        assert price is not None
        assert (price.value, price.source, price.seen) == (None, "", "")

    @pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "mars-1", None])
    def test_what_is_the_same_everywhere_is_found_in_every_region(self, region: str | None) -> None:
        price = parse_prices(SMALL).find("a.zone", region)
        assert price is not None
        assert price.value == 0.5

    @pytest.mark.parametrize(
        ("key", "region"), [("a.calls", "mars-1"), ("a.calls", None), ("b", "us-east-1")]
    )
    def test_what_is_not_in_the_list_is_not_found(self, key: str, region: str | None) -> None:
        assert parse_prices(SMALL).find(key, region) is None

    def test_everywhere_is_no_region(self) -> None:
        assert parse_prices(SMALL).regions == ("eu-west-1", "us-east-1")
        assert EVERYWHERE not in parse_prices(SMALL).regions

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (None, "the price list must be an object, got None"),
            (changed("currency", to="EUR"), "currency must be USD, got 'EUR'"),
            (changed("as_of", to="yesterday"), "as_of must be a date such as 2026-11-22, got 'yesterday'"),
            (changed("as_of", to=20261122), "as_of must be a date such as 2026-11-22, got 20261122"),
            (changed("hours", to=-1), "hours must be a number of 0 or more, got -1"),
            (changed("prices", to=[]), r"prices must be an object, got \[\]"),
            (
                changed("prices", "a.zone", "unit", to="pound"),
                r"a\.zone: unit must be one of .*, got 'pound'",
            ),
            (
                changed("prices", "a.zone", "regions", "*", to=0.5),
                r"a\.zone in \* must be an object, got 0\.5",
            ),
            (
                changed("prices", "a.zone", "regions", "*", "value", to="0.5"),
                r"a\.zone in \* must be a number",
            ),
            (
                changed("prices", "a.zone", "regions", "*", "value", to=True),
                r"a\.zone in \* must be a number",
            ),
            (
                changed("prices", "a.zone", "regions", "*", "value", to=float("nan")),
                "must be a number .* got nan",
            ),
            (changed("prices", "a.zone", "regions", "*", "source", to=""), "a value needs a source"),
            (changed("prices", "a.zone", "regions", "*", "seen", to=2026), r"seen must be text, got 2026"),
            (changed("allowances", "calls", "covers", to="a"), "calls: covers must be a list of price keys"),
            (changed("allowances", "calls", "unit", to="x"), "calls: unit must be one of"),
        ],
    )
    def test_fails_when_it_is_no_price_list(self, document: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_prices(document)

    def test_units_of_many_say_how_many(self) -> None:
        assert (UNITS["1M requests"], UNITS["10,000 requests"], UNITS["GB"]) == (1_000_000, 10_000, 1)


class TestAge:
    @pytest.mark.parametrize(
        ("days", "old"), [(0, False), (180, False), (181, True), (4000, True), (-5, False)]
    )
    def test_prices_are_old_after_180_days(self, days: int, old: bool) -> None:
        assert PRICES.is_old(PRICES.as_of + timedelta(days=days)) is old

    def test_the_day_is_the_day_of_the_list(self) -> None:
        assert PRICES.as_of == date.fromisoformat(DOCUMENT["as_of"])
