"""The tool that reads AWS's price list, on a recorded answer and on small ones; never on the internet.

``AmazonECS.us-east-1.csv`` holds the lines of the price list of 2022-11-21 for one service and one region.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dify_cdk.report.cost.prices import EVERYWHERE, PRICES_FILE, parse_prices

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "test" / "data" / "price-list" / "AmazonECS.us-east-1.csv"
TODAY = date(2027, 1, 31)
COLUMNS = (
    *("SKU", "TermType", "StartingRange", "PricePerUnit", "Currency", "Product Family", "Volume Type"),
    *("Cache Engine", "usageType", "operation"),
)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh_prices", ROOT / "tools" / "refresh_prices.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def document() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(PRICES_FILE.read_text(encoding="utf-8"))
    return content


def recorded(tool: ModuleType) -> dict[str, Any]:
    with RECORDED.open(encoding="utf-8", newline="") as lines:
        found: dict[str, Any] = tool.read_offer(lines, tool.SELECTORS, "us-east-1", "https://example.com/f")
    return found


def offer(*rows: Mapping[str, str]) -> Iterable[str]:
    """A file of the price list with some lines; what a line leaves out is an ordinary price on demand."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["Publication Date", "2027-01-05T00:00:00Z"])
    writer.writerow(COLUMNS)
    ordinary = {"SKU": "A", "TermType": "OnDemand", "StartingRange": "0", "Currency": "USD"}
    for row in rows:
        writer.writerow([{**ordinary, **row}.get(column, "") for column in COLUMNS])
    return io.StringIO(text.getvalue())


def values(
    tool: ModuleType, *rows: Mapping[str, str], region: str = "us-east-1"
) -> dict[str, tuple[float, ...]]:
    found = tool.read_offer(offer(*rows), tool.SELECTORS, region, "https://example.com/f")
    return {key: finding.values for key, finding in found.items()}


class TestTheRecordedFile:
    def test_each_price_of_fargate_is_found_and_no_other(self, tool: ModuleType) -> None:
        assert {key: finding.values for key, finding in recorded(tool).items()} == {
            "fargate.vcpu_hour.x86_64": (0.04048,),
            "fargate.gb_hour.x86_64": (0.004445,),
            "fargate.vcpu_hour.arm64": (0.03238,),
            "fargate.gb_hour.arm64": (0.00356,),
            "fargate.ephemeral_gb_hour": (0.000111,),
        }

    def test_it_says_where_and_when(self, tool: ModuleType) -> None:
        found = recorded(tool)["fargate.gb_hour.arm64"]
        assert (found.source, found.seen) == ("https://example.com/f", "2022-11-21")

    def test_it_agrees_with_the_price_list_of_the_package(self, tool: ModuleType) -> None:
        """Fargate's prices have not changed since."""
        rows = parse_prices(json.loads(PRICES_FILE.read_text(encoding="utf-8"))).rows
        for key, finding in recorded(tool).items():
            assert (rows[key, "us-east-1"].value,) == finding.values


class TestSelectors:
    def test_every_selector_is_for_a_price_of_the_list(
        self, tool: ModuleType, document: dict[str, Any]
    ) -> None:
        assert {one.key for one in tool.SELECTORS} <= document["prices"].keys()

    def test_no_price_has_two_selectors(self, tool: ModuleType) -> None:
        keys = [one.key for one in tool.SELECTORS]
        assert len(keys) == len(set(keys))

    @pytest.mark.parametrize("prefix", ["", "USE1-", "APN1-", "USW2-", "EU-", "us-east-1-"])
    def test_a_usage_type_may_begin_with_the_region(self, tool: ModuleType, prefix: str) -> None:
        row = {"usageType": f"{prefix}KMS-Keys", "PricePerUnit": "1"}
        assert values(tool, row) == {"kms.key_month": (1.0,)}

    @pytest.mark.parametrize(
        "usage",
        [
            "USE1-SpotUsage-Fargate-GB-Hours",
            "USE1-Fargate-Windows-GB-Hours",
            "APN1-ExtendedSupportYr3-NodeUsage:cache.t4g.micro",
            "NatGateway-Hours-Other",
            "RegionalNatGateway-Hours",
        ],
    )
    def test_a_longer_usage_type_is_another_price(self, tool: ModuleType, usage: str) -> None:
        assert values(tool, {"usageType": usage, "PricePerUnit": "1", "Cache Engine": "Redis"}) == {}

    def test_a_further_column_tells_two_products_apart(self, tool: ModuleType) -> None:
        usage = {"usageType": "APN1-NodeUsage:cache.t4g.micro"}
        redis = {**usage, "SKU": "R", "Cache Engine": "Redis", "PricePerUnit": "0.025"}
        valkey = {**usage, "SKU": "V", "Cache Engine": "Valkey", "PricePerUnit": "0.02"}
        assert values(tool, redis, valkey) == {
            "elasticache.hour.redis.cache.t4g.micro": (0.025,),
            "elasticache.hour.valkey.cache.t4g.micro": (0.02,),
        }

    def test_cloudfront_is_priced_for_the_part_of_the_world(self, tool: ModuleType) -> None:
        rows = [
            {"SKU": edge, "usageType": f"{edge}-DataTransfer-Out-Bytes", "PricePerUnit": price}
            for edge, price in (("JP", "0.114"), ("US", "0.085"), ("EU", "0.085"))
        ]
        # The same usage type, with a region's code, is what leaves a region by other ways than CloudFront.
        keep = "cloudfront.out_gb"
        assert values(tool, *rows, region="ap-northeast-1")[keep] == (0.114,)
        assert values(tool, *rows, region="us-west-2")[keep] == (0.085,)
        assert keep not in values(tool, *rows, region="eu-west-1")


class TestReading:
    def test_the_first_step_that_is_not_free_counts(self, tool: ModuleType) -> None:
        usage = {"usageType": "Lambda-GB-Second"}
        steps = [("6000000000", "0.000015"), ("0", "0"), ("400000", "0.0000166667")]
        rows = [{**usage, "StartingRange": start, "PricePerUnit": price} for start, price in steps]
        assert values(tool, *rows) == {"lambda.gb_second.x86_64": (1.66667e-05,)}

    @pytest.mark.parametrize("other", [{"TermType": "Reserved"}, {"Currency": "CNY"}, {"PricePerUnit": "0"}])
    def test_what_is_not_paid_in_usd_on_demand_is_left_out(
        self, tool: ModuleType, other: dict[str, str]
    ) -> None:
        assert values(tool, {"usageType": "USE1-KMS-Keys", "PricePerUnit": "1", **other}) == {}

    def test_different_prices_are_all_told(self, tool: ModuleType) -> None:
        rows = [{"SKU": price, "usageType": "Request", "PricePerUnit": price} for price in ("3", "2", "2")]
        assert values(tool, *rows) == {"lambda.requests": (2.0, 3.0)}

    @pytest.mark.parametrize("text", ["", '"FormatVersion","v1.0"\n', "<html>not found</html>\n\n"])
    def test_fails_when_the_file_is_no_price_list(self, tool: ModuleType, text: str) -> None:
        with pytest.raises(ValueError, match=r"^https://example\.com/f: no line of column names .* SKU$"):
            tool.read_offer(io.StringIO(text), tool.SELECTORS, "us-east-1", "https://example.com/f")


class TestRenewing:
    def found(self, tool: ModuleType, *prices: float) -> Any:
        return tool.Found(values=prices, source="https://example.com/new", seen="2027-01-05")

    def test_a_value_found_replaces_the_old_one_in_its_unit(
        self, tool: ModuleType, document: dict[str, Any]
    ) -> None:
        at = ("lambda.requests", "ap-northeast-1")
        new, lines = tool.renewed(document, {at: self.found(tool, 0.00000025)}, TODAY)
        assert new["prices"]["lambda.requests"]["regions"]["ap-northeast-1"] == {
            "value": 0.25,
            "source": "https://example.com/new",
            "seen": "2027-01-05",
        }
        assert new["as_of"] == "2027-01-31"
        assert "lambda.requests in ap-northeast-1: 0.2 is now 0.25" in lines

    def test_an_unknown_value_becomes_known(self, tool: ModuleType, document: dict[str, Any]) -> None:
        at = ("alb.lcu_hour", "us-west-2")
        assert document["prices"][at[0]]["regions"][at[1]] is None
        new, _ = tool.renewed(document, {at: self.found(tool, 0.008)}, TODAY)
        assert parse_prices(new).rows[at].value == 0.008

    def test_what_is_not_found_stays_and_is_named(self, tool: ModuleType, document: dict[str, Any]) -> None:
        new, lines = tool.renewed(document, {}, TODAY)
        assert new["prices"] == document["prices"]
        assert "fargate.spot_vcpu_hour.x86_64 in us-east-1: not found, stays 0.01288871" in lines

    def test_what_is_found_twice_stays_and_is_named(self, tool: ModuleType, document: dict[str, Any]) -> None:
        new, lines = tool.renewed(document, {("alb.hour", "us-east-1"): self.found(tool, 1.0, 2.0)}, TODAY)
        assert new["prices"] == document["prices"]
        assert "alb.hour in us-east-1: several values (1.0, 2.0), stays 0.0225" in lines

    def test_the_old_list_is_not_touched(self, tool: ModuleType, document: dict[str, Any]) -> None:
        before = json.dumps(document)
        tool.renewed(document, {("alb.hour", "us-east-1"): self.found(tool, 1.0)}, TODAY)
        tool.with_regions(document, ["eu-west-1"])
        assert json.dumps(document) == before

    def test_a_further_region_is_unknown_at_first(self, tool: ModuleType, document: dict[str, Any]) -> None:
        prices = parse_prices(tool.with_regions(document, ["eu-west-1"]))
        assert "eu-west-1" in prices.regions
        assert prices.rows["alb.hour", "eu-west-1"].value is None
        assert ("route53.zone_month", "eu-west-1") not in prices.rows


class TestLookingUp:
    def test_each_file_is_read_once_for_the_regions_that_need_it(
        self, tool: ModuleType, document: dict[str, Any]
    ) -> None:
        opened: list[str] = []

        @contextmanager
        def open_recorded(url: str) -> Iterator[Iterable[str]]:
            opened.append(url)
            with RECORDED.open(encoding="utf-8", newline="") as lines:
                yield lines if "AmazonECS" in url else offer()

        found = tool.look_up(document, open_recorded)
        assert f"{tool.BASE}/AmazonECS/current/us-east-1/index.csv" in opened
        assert f"{tool.BASE}/AmazonRoute53/current/index.csv" in opened
        assert sum("AmazonEC2/" in url for url in opened) == 3, "it is the largest file by far"
        assert found["fargate.gb_hour.x86_64", "us-east-1"].values == (0.004445,)
        assert {region for _, region in found} <= set(parse_prices(document).regions) | {EVERYWHERE}
