"""Comparisons: what is computed together, and how limits and costs are shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.report.comparison import BreakEven, Comparison, compare, inventories
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import CostLine, MonthlyCost
from dify_cdk.report.cost.usage import USAGES, ZERO
from dify_cdk.report.inventory import Message
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output.compare_json import to_json
from dify_cdk.report.output.costs import cost_lines, cost_section
from dify_cdk.report.output.limits import limits_section
from dify_cdk.report.output.sections import Grid, Style
from dify_cdk.report.output.words import money
from dify_cdk.report.templates.subject import Part, Subject
from pure.test_inventory import DOCUMENTS, damaged
from reports import notes, texts, to_html, to_markdown, to_table
from support import TEMPLATES
from template_parts import (
    BEHIND_ALB,
    URL_ORIGIN,
    balancer,
    distribution,
    function,
    http_api,
    resource,
    service,
    url,
)

REGION = "us-east-1"

ALB = {**service(**BEHIND_ALB, DesiredCount=1), **balancer(idle="600")}
API = {**function(Timeout=900, MemorySize=1024), **http_api("$default")}
EDGE = {
    **function(Timeout=900, MemorySize=1024),
    **url(InvokeMode="RESPONSE_STREAM"),
    **distribution(URL_ORIGIN),
}


def subject(name: str, *templates: dict[str, Any], region: str | None = REGION) -> Subject:
    parts = (
        Part(name=f"{name}{number}", template={"Resources": one}, region=region)
        for number, one in enumerate(templates)
    )
    return Subject(name=name, parts=tuple(parts))


def compared(*subjects: Subject, usage: str = "team") -> Comparison:
    return compare(
        [(one, inventories(one)) for one in subjects],
        region=None,
        usage=USAGES[usage],
        usage_name=usage,
        prices=load_prices(),
    )


THREE = compared(subject("alb", ALB), subject("api", API), subject("edge", EDGE))


def with_limits(*texts: tuple[str, str, str, str]) -> Comparison:
    """One subject per name; each text is ``(subject, scope, text, hop)`` of one limit called ``speed``."""
    names = dict.fromkeys(name for name, *_ in texts)
    found = compared(*(subject(name, {}) for name in names))
    limits = {
        name: tuple(
            Limit(name="speed", scope=scope, value=1, unit="s", text=text, hop=hop, source="https://a/b")
            for owner, scope, text, hop in texts
            if owner == name
        )
        for name in names
    }
    return replace(found, compared=tuple(replace(one, limits=limits[one.name]) for one in found.compared))


def line(service: str, amount: float | None, *, id: str = "", quantity: float | None = 1) -> CostLine:
    return CostLine(
        part="p",
        logical_id=id,
        type="t",
        service=service,
        what="something",
        quantity=quantity,
        unit="hour",
        unit_price=amount,
        amount=amount,
        formula="1 x 1",
        source="https://a/b",
        seen="2026",
    )


def cost(*lines: CostLine, unpriced: tuple[str, ...] = (), region: str | None = REGION) -> MonthlyCost:
    amounts = [one.amount for one in lines]
    return MonthlyCost(
        region=region,
        usage=ZERO,
        lines=lines,
        total=sum(amount for amount in amounts if amount is not None),
        is_lower_bound=None in amounts or bool(unpriced),
        unpriced=unpriced,
    )


def with_costs(**costs: MonthlyCost) -> Comparison:
    found = compared(*(subject(name, {}) for name in costs))
    replaced = (replace(one, cost=costs[one.name], floor=costs[one.name]) for one in found.compared)
    return replace(found, compared=tuple(replaced), break_evens=())


class TestCompare:
    def test_everything_is_computed_for_the_usage(self) -> None:
        (alb, api, edge) = THREE.compared
        assert {limit.value for limit in edge.limits if limit.name == "request timeout"} == {30}
        assert [one.cost.usage.users for one in THREE.compared] == [50, 50, 50]
        assert all(one.floor.total < one.cost.total for one in (api, edge))
        assert alb.floor.total > 10
        assert THREE.prices_as_of == load_prices().as_of
        assert [(one.first, one.second) for one in THREE.break_evens] == [
            ("alb", "api"),
            ("alb", "edge"),
            ("api", "edge"),
        ]

    def test_parts_are_one_whole_with_all_messages(self) -> None:
        warning = Message(level="warning", path="a", text="t")
        two = subject("two", ALB, {"Queue": resource("SQS::Queue")})
        parts = inventories(two, sources=["a.json", "b.json"], messages={"two1": (warning,)})
        (found,) = compare(
            [(two, parts)], region=None, usage=ZERO, usage_name="none", prices=load_prices()
        ).compared
        assert found.whole.name == "two"
        assert found.whole.total == len(ALB) + 1
        assert found.whole.messages == (warning,)
        assert [part.source for part in found.inventories] == ["a.json", "b.json"]

    def test_routes_across_stacks_are_followed_in_the_whole(self) -> None:
        listener = ALB["Listener"]
        front = {
            "Outputs": {"Out": {"Value": {"Ref": "Listener"}, "Export": {"Name": "listener"}}},
            "Resources": ALB,
        }
        rule = resource(
            "ElasticLoadBalancingV2::ListenerRule",
            ListenerArn={"Fn::ImportValue": "listener"},
            Priority=1,
            Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        )
        both = Subject(
            name="both",
            parts=(
                Part(name="front", template=front),
                Part(name="rules", template={"Resources": {"Rule": rule}}),
            ),
        )
        (found,) = compared(both).compared
        (only,) = found.whole.listeners
        assert listener["Type"].endswith("Listener")
        assert [route.actions for route in only.routes] == [("answer 404",), ()]

    def test_nothing_to_compare_is_no_error(self) -> None:
        assert compared().compared == ()
        (empty,) = compared(Subject(name="empty", parts=())).compared
        assert (empty.whole.total, empty.limits, empty.cost.total) == (0, (), 0)


def limit_grid(found: Comparison) -> Grid:
    (grid,) = limits_section(found).grids
    return grid


def cost_grid(found: Comparison) -> Grid:
    (grid,) = cost_section(found).grids
    return grid


class TestLimitTable:
    def test_a_column_per_subject_with_the_hop_below(self) -> None:
        grid = limit_grid(THREE)
        assert [column.name for column in grid.columns] == ["limit", "alb", "api", "edge"]
        row = next(row for row in grid.rows if row.cells[0].text == "request timeout")
        assert [cell.text for cell in row.cells[1:]] == [
            *("600 s idle", "30 s total", "30 s idle, 900 s total"),
        ]
        first, _, third, *_ = grid.footnotes()
        assert first.text == "alb: idle timeout of load balancer Alb"
        assert third.text == "edge: origin read timeout of distribution Cdn; timeout of function Function"
        assert all(reason.source.startswith("https://") for reason in grid.footnotes()[:3])

    def test_a_reason_is_numbered_once_for_each_page_that_proves_it(self) -> None:
        found = with_limits(
            ("one", "app", "1 s", "a"), ("one", "web", "2 s", "a"), ("two", "app", "1 s", "a")
        )
        grid = limit_grid(found)
        assert [line.text for line in grid.footnotes()] == ["one: a", "two: a"]
        one = found.compared[0]
        other = replace(one.limits[1], source="https://c/d")
        two_pages = replace(found, compared=(replace(one, limits=(one.limits[0], other)),))
        assert [line.source for line in limit_grid(two_pages).footnotes()] == ["https://a/b", "https://c/d"]

    def test_scopes_share_a_row_where_every_subject_says_the_same(self) -> None:
        found = with_limits(
            ("one", "app", "1 s", "a"),
            ("one", "web", "1 s", "b"),
            ("one", "files", "2 s", "a"),
            ("two", "app", "3 s", "c"),
            ("two", "web", "3 s", "c"),
            ("two", "files", "3 s", "c"),
        )
        grid = limit_grid(found)
        assert texts(grid) == [("speed: app, web", "1 s", "3 s"), ("speed: files", "2 s", "3 s")]
        assert [line.text for line in grid.footnotes()] == ["one: a", "one: b", "two: c"]
        table = to_table(found)
        assert re.search(r"^speed: app, web +1 s \[1\]\[2\] +3 s \[3\]$", table, re.MULTILINE)
        assert re.search(r"^speed: files +2 s \[1\] +3 s \[3\]$", table, re.MULTILINE)

    def test_what_all_scopes_share_needs_no_scope_and_a_missing_one_is_a_dash(self) -> None:
        found = with_limits(
            ("one", "app", "1 s", "a"), ("one", "web", "1 s", "a"), ("two", "at X", "2 s", "b")
        )
        assert texts(limit_grid(found)) == [("speed: app, web", "1 s", "-"), ("speed: at X", "-", "2 s")]
        alone = with_limits(("one", "app", "1 s", "a"), ("one", "web", "1 s", "a"))
        assert texts(limit_grid(alone)) == [("speed", "1 s")]
        assert limit_grid(alone).footnotes()[0].text == "a"

    def test_rows_that_differ_stand_out(self) -> None:
        found = with_limits(("one", "", "1 s", "a"), ("two", "", "2 s", "b"))
        assert limit_grid(found).rows[0].style is Style.DIFFERENT
        same = with_limits(("one", "", "1 s", "a"), ("two", "", "1 s", "b"))
        assert limit_grid(same).rows[0].style is Style.PLAIN


class TestCosts:
    def test_services_add_up_to_the_total(self) -> None:
        *services, total, floor = texts(cost_grid(THREE))
        assert total[0] == "usage team"
        assert floor[0] == "nobody uses it"
        for number, one in enumerate(THREE.compared, start=1):
            amounts = [float(row[number].strip("≥ -?") or 0) for row in services]
            assert sum(amounts) == pytest.approx(one.cost.total, abs=0.05)

    def test_the_dearest_service_comes_first(self) -> None:
        found = with_costs(a=cost(line("S", 1), line("T", 5)), b=cost(line("U", 3)))
        assert [row[0] for row in texts(cost_grid(found))[:3]] == ["T", "U", "S"]
        assert texts(cost_grid(found))[0] == ("T", "5.00", "-")

    def test_what_is_unknown_makes_a_lower_bound_and_is_named(self) -> None:
        found = with_costs(a=cost(line("S", 1), line("S", None), line("T", None), unpriced=("X::Y::Z",)))
        cells = {name: amount for name, amount in texts(cost_grid(found))}
        assert (cells["S"], cells["T"], cells["usage team"]) == ("≥ 1.00", "?", "≥ 1.00")
        why = "a costs more, not counted: S, something; T, something; X::Y::Z has no price rule."
        assert why in notes(cost_section(found))
        known = with_costs(a=cost(line("S", 0)))
        assert ("S", "0.00") in texts(cost_grid(known))
        assert not [note for note in notes(cost_section(known)) if "costs more" in note]

    @pytest.mark.parametrize(
        ("a", "b", "usage", "sentence"),
        [
            (1.0, 2.0, None, "a costs less than b at every usage up to the company profile."),
            (2.0, 1.0, None, "b costs less than a at every usage up to the company profile."),
            (1.0, 1.004, None, "a and b cost the same."),
            (
                1.0,
                2.0,
                USAGES["company"].scaled(0.25),
                "a costs less than b up to 250 users, 25% of the company profile, where b becomes the cheaper"
                " one.",
            ),
            (
                2.0,
                2.0,
                USAGES["company"].scaled(0.25),
                "a and b cost the same at 250 users, 25% of the company profile.",
            ),
        ],
    )
    def test_where_two_cost_the_same(self, a: float, b: float, usage: Any, sentence: str) -> None:
        found = with_costs(a=cost(line("S", a)), b=cost(line("S", b)))
        crossing = BreakEven(first="a", second="b", usage=usage)
        assert sentence in notes(cost_section(replace(found, break_evens=(crossing,))))
        bound = with_costs(a=cost(line("S", a), line("T", None)), b=cost(line("S", b)))
        said = notes(cost_section(replace(bound, break_evens=(crossing,))))
        assert f"{sentence.removesuffix('.')} (as far as known)." in said

    def test_totals_with_little_known_in_them_are_not_compared(self) -> None:
        found = with_costs(a=cost(line("S", 1), line("T", None), line("U", None)), b=cost(line("S", 2)))
        pair = BreakEven(first="a", second="b", usage=None)
        said = notes(cost_section(replace(found, break_evens=(pair,))))
        assert "Most costs of a are unknown: the totals say little and compare with none." in said
        assert not [note for note in said if "costs less" in note]

    def test_a_subject_without_a_region_says_so(self) -> None:
        found = with_costs(a=cost(line("S", 1)), b=cost(line("S", None), region=None))
        said = notes(cost_section(found))
        assert f"List prices of {load_prices().as_of} in us-east-1, an unknown region" in said[0]
        assert "b costs more, not counted: the region is unknown, give --region." in said

    def test_lines_are_sorted_and_what_is_below_a_cent_is_counted(self) -> None:
        lines = (line("S", 0.004, id="C"), line("S", 1, id="A"), line("S", None, id="D", quantity=None))
        known = cost(*lines, line("S", 2), line("S", 0.0, id="E"), line("S", -0.5))
        (grid,) = cost_lines(with_costs(a=known).compared[0]).grids
        assert [row[:4] + row[5:6] for row in texts(grid)] == [
            ("S", "something", "1 hour", "2.00", "1 x 1"),
            ("A", "something", "1 hour", "1.00", "1 x 1"),
            ("S", "something", "1 hour", "-0.50", "1 x 1"),
            ("D", "something", "?", "?", "1 x 1"),
            ("2 lines below a cent", "", "", "0.00", ""),
            ("total", "", "", "≥ 2.50", ""),
        ]
        assert {(row[4], row[6]) for row in texts(grid)[:2]} == {("2", "2026"), ("1", "2026")}
        assert grid.rows[0].cells[6].source == "https://a/b"

    def test_a_terminal_leaves_out_what_it_has_no_room_for_and_says_so(self) -> None:
        found = with_costs(a=cost(line("S", 1)))
        text = to_table(found)
        assert re.search(r"^resource +what +quantity +USD$", text, re.MULTILINE)
        assert "\nNot shown here: unit price, how, source; --format markdown has room for it\n" in text
        assert "| resource | what | quantity | USD | unit price | how | source |" in to_markdown(found)

    def test_what_it_costs_when_nobody_uses_it_is_shown_by_service(self) -> None:
        floor, usage = cost_section(THREE).folded
        assert (floor.title, usage.title) == ("If nobody uses it", "What the usage team means")
        assert texts(floor.grids[0])[-1] == texts(cost_grid(THREE))[-1]
        amounts = [float(row[3].strip("≥ -?") or 0) for row in texts(floor.grids[0])[:-1]]
        assert sum(amounts) == pytest.approx(THREE.compared[2].floor.total, abs=0.05)
        assert ("users", "50") in texts(usage.grids[0])

    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            (None, "?"),
            (0.0, "0.00"),
            (0.004, "0.00"),
            (-0.004, "0.00"),
            (1234.5, "1,234.50"),
            (-2.0, "-2.00"),
        ],
    )
    def test_money_has_cents(self, amount: float | None, text: str) -> None:
        assert money(amount) == text


class TestTable:
    def test_sections_come_in_order_and_fit(self) -> None:
        text = to_table(THREE, width=100, details=True)
        first = ("At a glance", "Architecture", "Effective limits", "Monthly cost", "Warnings", "Resources")
        last = ("Containers", "Routes", "Cost line by line", "About these figures", "What sets these limits")
        titles = (*first, *last)
        places = [text.index(f"\n{title}\n") for title in titles]
        assert places == sorted(places)
        assert max(map(len, text.splitlines())) <= 100
        assert re.search(r"^usage team +(≥ )?[\d.]+ +(≥ )?[\d.]+ +(≥ )?[\d.]+$", text, re.MULTILINE)

    def test_long_names_leave_room_for_what_the_rows_are_about(self) -> None:
        costs = {f"{letter}/{'long-name-' * 3}": cost(line("Fargate", 123.45)) for letter in "abcd"}
        text = to_table(with_costs(**costs), width=60)
        assert max(map(len, text.splitlines())) <= 60
        assert re.search(r"^Fargate +(123\.45 *){4}$", text, re.MULTILINE)

    def test_one_subject_has_its_limits_and_costs_too(self) -> None:
        text = to_table(compared(subject("edge", EDGE)))
        assert "\nEffective limits\n" in text
        assert "\n[1] origin read timeout of distribution Cdn; timeout of function Function\n" in text
        assert "\nMonthly cost\n" in text

    def test_what_nobody_can_reach_has_no_limits(self) -> None:
        text = to_table(compared(subject("queue", {"Queue": resource("SQS::Queue")})))
        assert "\nNo public entry point in these templates.\n" in text

    def test_costs_of_an_unknown_region_are_not_a_column_of_question_marks(self) -> None:
        text = to_table(compared(subject("alb", ALB, region=None)))
        assert "The region is unknown: --region tells whose prices count.\n" in text
        assert "\nCost line by line\nWithout prices there are no amounts.\n" in text


class TestMarkdown:
    def test_tables_are_those_of_github(self) -> None:
        text = to_markdown(THREE)
        blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert len(blocks) >= 6
        for head, rule, *rows in blocks:
            columns = len(re.split(r"(?<!\\)\|", head))
            assert re.fullmatch(r"\|( (---|---:) \|)+", rule)
            assert {len(re.split(r"(?<!\\)\|", row)) for row in (rule, *rows)} == {columns}

    def test_reasons_are_numbered_as_the_cells_say_and_link_to_their_page(self) -> None:
        text = to_markdown(THREE)
        assert "| request timeout | 600 s idle <sup>1</sup> | 30 s total <sup>2</sup> |" in text
        assert "\n1. alb: idle timeout of load balancer Alb ([page](https://docs.aws.amazon.com/" in text
        assert "\n2. api: integration timeout of HTTP API Api ([page](https://docs.aws.amazon.com/" in text

    def test_what_is_folded_is_unfolded_again(self) -> None:
        for found in (THREE, compared(subject("edge", EDGE)), compared(subject("x", {}))):
            text = to_markdown(found)
            assert text.count("<details>") == text.count("</details>") > 0

    def test_text_of_a_template_is_no_markup(self) -> None:
        name = "a|b <img src=x> [link](javascript:x) `c` & \x1b[31m"
        parts = (Part(name="p", template={"Resources": {name: resource("SQS::Queue")}}),)
        found = compared(Subject(name=name, parts=parts), subject("two", {}))
        text = to_markdown(found)
        assert "<img" not in text
        assert "\x1b" not in text
        # What GitHub shows folded is HTML up to the next empty line, in which these are plain letters.
        assert "[link](" not in "".join(row for row in text.splitlines() if "<summary>" not in row)
        assert "| type | a\\|b &lt;img src=x&gt; \\[link\\](javascript:x) \\`c\\` &amp;" in text

    def test_one_subject_needs_no_columns_for_others(self) -> None:
        text = to_markdown(compared(subject("edge", EDGE)))
        assert "side by side" not in text
        assert "| service | count | types |" in text
        assert "#### Cost line by line" in text

    @pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.json")), ids=lambda path: path.name)
    def test_strangers_are_shown(self, path: Path) -> None:
        template = json.loads(path.read_text(encoding="utf-8"))
        part = Part(name="x", template=template, region=REGION)
        found = compared(Subject(name=path.name, parts=(part,)))
        assert to_markdown(found).startswith("### ")
        assert "\n#### Effective limits\n" in to_markdown(found)
        assert "\n#### Resources\n" in to_markdown(found)


class TestAnyTemplate:
    """Whatever a template holds, a comparison is computed and shown in every format."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(DOCUMENTS | damaged(), min_size=1, max_size=2))
    def test_is_compared_and_shown(self, documents: list[dict[str, dict[str, object]]]) -> None:
        parts = tuple(
            Part(name=f"part{number}", template=document, region=REGION)
            for number, document in enumerate(documents)
        )
        found = compared(Subject(name="one", parts=parts), Subject(name="two", parts=parts[:1]))
        assert json.loads(to_json(found))["subjects"][0]["name"] == "one"
        assert max(map(len, to_table(found).splitlines())) <= 100
        assert to_markdown(found).startswith("### ")
        assert to_html(found).startswith("<!doctype html>\n")


class TestJson:
    def test_limits_costs_and_crossings_are_in_it(self) -> None:
        document = json.loads(to_json(THREE))
        assert date.fromisoformat(document["prices_as_of"]) == load_prices().as_of
        alb, _, edge = document["subjects"]
        timeout = next(limit for limit in edge["limits"] if limit["name"] == "request timeout")
        assert set(timeout) == {"name", "scope", "value", "unit", "text", "hop", "source"}
        assert (timeout["value"], timeout["unit"]) == (30, "s")
        largest = next(limit for limit in alb["limits"] if limit["name"] == "largest request")
        assert largest["value"] is None
        amounts = [one["amount"] for one in alb["cost"]["lines"] if one["amount"] is not None]
        assert sum(amounts) == pytest.approx(alb["cost"]["total"])
        assert alb["cost"]["floor"] == THREE.compared[0].floor.total
        assert [one["subjects"] for one in document["break_even"]] == [
            ["alb", "api"],
            ["alb", "edge"],
            ["api", "edge"],
        ]

    def test_it_is_strict_json(self) -> None:
        def refuse(constant: str) -> object:
            raise AssertionError(constant)

        assert json.loads(to_json(THREE), parse_constant=refuse)
