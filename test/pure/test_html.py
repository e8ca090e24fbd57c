"""The HTML page: complete, well-formed, the same for the same input, and templates cannot inject anything."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.report.comparison import BreakEven, Compared, Comparison, compare, inventories
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import CostLine, MonthlyCost
from dify_cdk.report.cost.usage import USAGES, Usage
from dify_cdk.report.inventory import Message
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output import html
from dify_cdk.report.output.costs import cost_lines, cost_section, total
from dify_cdk.report.output.html_tables import table
from dify_cdk.report.output.html_text import Html, el, join, link
from dify_cdk.report.output.limits import limits_section
from dify_cdk.report.output.resources import resources
from dify_cdk.report.output.sections import Column, Grid, Line, Report, Section, row
from dify_cdk.report.templates.subject import Part, Subject
from reports import to_html
from support import TEMPLATES

REPORT = Path(__file__).parents[2] / "src" / "dify_cdk" / "report"
PRICES = load_prices()
VOID = {"br", "meta"}
EVIL = '</style></script><script>alert(1)</script><b onclick="x">\'&\x00\x1b'


def subject(name: str, template: Mapping[str, object], region: str | None = "us-east-1") -> Subject:
    return Subject(name=name, parts=(Part(name=name, template=template, region=region),))


def stored(name: str) -> Subject:
    return subject(name, json.loads((TEMPLATES / f"{name}.template.json").read_text()))


def comparison(*subjects: Subject, messages: tuple[Message, ...] = ()) -> Comparison:
    read = [(one, inventories(one, messages={part.name: messages for part in one.parts})) for one in subjects]
    return compare(read, region=None, usage=USAGES["team"], usage_name="team", prices=PRICES)


SHOP, MAILBOX = stored("shop"), stored("mailbox")
TWO = comparison(SHOP, MAILBOX)
PAGE = to_html(TWO)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [one for one in self.content if isinstance(one, Element)]

    def all(self, *tags: str) -> list[Element]:
        found = [self] if not tags or self.tag in tags else []
        return found + [one for child in self.children for one in child.all(*tags)]

    @property
    def text(self) -> str:
        pieces = (one.text if isinstance(one, Element) else one for one in self.content)
        return " ".join(" ".join(pieces).split())

    def by_class(self, name: str) -> list[Element]:
        return [one for one in self.all() if name in (one.attributes.get("class") or "").split()]


class Parser(HTMLParser):
    """Reads a page and insists that every element ends where it should."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].content.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].content.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"{tag} ends inside {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.open[-1].content.append(data)


def parse(page: str) -> Element:
    parser = Parser()
    parser.feed(page)
    parser.close()
    assert [one.tag for one in parser.open] == ["root"], "an element never ends"
    return parser.root


ROOT = parse(PAGE)


class TestMarkup:
    def test_text_is_escaped(self) -> None:
        assert el("p", "<b>", ["&", el("i", "x")]) == "<p>&lt;b&gt;&amp;<i>x</i></p>"

    def test_attributes_are_escaped_and_named(self) -> None:
        assert el("p", class_="a", data_label='"<', title=None) == '<p class="a" data-label="&quot;&lt;"></p>'

    def test_control_characters_are_dropped(self) -> None:
        assert join("a\x00\x1b[31m\u2028b") == "a  [31m b"

    @pytest.mark.parametrize(
        "address", ["javascript:alert(1)", "data:text/html,x", "//example.com", "a page"]
    )
    def test_only_pages_of_the_web_become_links(self, address: str) -> None:
        assert "<a" not in link("source", address)
        assert 'href="https://example.com/?a=1&amp;b"' in link("source", "https://example.com/?a=1&b")

    @given(st.text())
    def test_any_text_stays_text(self, text: str) -> None:
        root = parse(el("p", text, title=text))
        (paragraph,) = root.children
        assert paragraph.children == []
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        assert paragraph.attributes["title"] == shown

    def test_a_table_names_rows_and_columns(self) -> None:
        (found,) = parse(table(grid("Key", "A", "B", rows=[("x", "1", "2")]), "About")).children
        assert [one.attributes["scope"] for one in found.all("th")] == ["col", "col", "col", "row"]
        assert [one.attributes["data-label"] for one in found.all("td")] == ["A", "B"]
        assert [one.text for one in found.all("caption")] == ["About"]

    def test_a_caption_that_only_repeats_the_title_is_for_screen_readers(self) -> None:
        own = replace(grid("Key", "A", rows=[]), caption="Its own")
        captions = [parse(table(one, "About")).all("caption")[0] for one in (own, grid("Key", "A", rows=[]))]
        assert [(one.text, one.attributes.get("class")) for one in captions] == [
            ("Its own", None),
            ("About", "unseen"),
        ]

    def test_fails_when_a_row_has_not_one_cell_per_column(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            table(grid("Key", "A", "B", rows=[("x", "1")]), "About")

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("v1", "stack small-labels"), ("Quantity", "stack"), ("a name of a template", "stack long-labels")],
    )
    def test_a_table_says_how_long_its_labels_are(self, name: str, expected: str) -> None:
        assert looks(grid("Key", name, rows=[])) == expected

    def test_only_few_short_columns_of_numbers_stay_a_table_on_a_phone(self) -> None:
        names = ("v1", "v2", "v3", "v4")

        def numbers(*names: str, amount: str = "$228.28") -> str:
            columns = (Column(name="Key"), *(Column(name=name, right=True) for name in names))
            rows = (row("x", *(amount for _ in names)),)
            return looks(Grid(columns=columns, rows=rows)).split()[0]

        assert numbers(*names) == "few"
        assert numbers(*names, "v5") == "stack"
        assert numbers("a long name") == "stack"
        assert numbers("v1", amount="$12,345.67") == "stack"
        assert looks(grid("Key", "v1", rows=[("x", "1")])).split()[0] == "stack"


def grid(*names: str, rows: list[tuple[str, ...]]) -> Grid:
    return Grid(columns=tuple(Column(name=name) for name in names), rows=tuple(row(*one) for one in rows))


def looks(found: Grid) -> str:
    return parse(table(found, "About")).children[0].attributes["class"] or ""


class TestPage:
    def test_is_one_document_in_its_language(self) -> None:
        assert PAGE.startswith('<!doctype html>\n<html lang="en">')
        assert ROOT.all("title")[0].text == ROOT.all("h1")[0].text
        assert "shop and mailbox" in ROOT.all("h1")[0].text

    def test_needs_nothing_from_elsewhere(self) -> None:
        tags = {one.tag for one in ROOT.all()}
        assert tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use"} == set()
        for element in ROOT.all():
            assert element.attributes.keys() & {"src", "srcset", "style", "xlink:href", "action"} == set()
            assert not [name for name in element.attributes if name.startswith("on")]
            if element.tag != "a":
                assert "href" not in element.attributes
        assert re.findall(r"@import|url\(|expression\(", PAGE) == []

    def test_its_policy_allows_only_its_own_style(self) -> None:
        (policy,) = [
            one.attributes["content"]
            for one in ROOT.all("meta")
            if one.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy is not None
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
        assert "script" not in policy

    def test_ids_are_unique_and_links_inside_lead_somewhere(self) -> None:
        ids = [one.attributes["id"] for one in ROOT.all() if "id" in one.attributes]
        assert [id for id, count in Counter(ids).items() if count > 1] == []
        for element in ROOT.all():
            for name in ("aria-labelledby", "aria-describedby"):
                if name in element.attributes:
                    assert element.attributes[name] in ids
            href = element.attributes.get("href") or ""
            if href.startswith("#"):
                assert href[1:] in ids

    def test_headings_leave_no_level_out(self) -> None:
        levels = [int(one.tag[1]) for one in ROOT.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_every_table_has_a_caption_and_scopes(self) -> None:
        tables = ROOT.all("table")
        assert len(tables) >= 4
        for one in tables:
            assert one.all("caption")[0].text
            assert {head.attributes["scope"] for head in one.all("th")} == {"col", "row"}
            width = len(one.all("thead")[0].all("th"))
            assert {len(row.children) for row in one.all("tr")} == {width}

    def test_every_drawing_says_what_it_is(self) -> None:
        for one in ROOT.all("svg"):
            assert one.attributes["role"] == "img"
            assert one.attributes.get("aria-label") or one.attributes.get("aria-labelledby")

    def test_every_section_is_reached_from_the_top(self) -> None:
        wanted = [f"#{one.attributes['id']}" for one in ROOT.all("section")]
        assert [one.attributes["href"] for one in ROOT.all("nav")[0].all("a")] == wanted
        assert wanted == [
            *("#at-a-glance", "#architecture", "#effective-limits", "#monthly-cost", "#warnings"),
            *("#resources", "#containers", "#routes", "#cost-line-by-line", "#about-these-figures"),
        ]

    def test_the_same_comparison_gives_the_same_bytes(self) -> None:
        again = comparison(stored("shop"), stored("mailbox"))
        assert to_html(again).encode() == PAGE.encode()

    def test_it_depends_on_no_clock(self) -> None:
        assert re.findall(r"\d{4}-\d{2}-\d{2}", ROOT.all("header")[0].text) == []
        assert TWO.prices_as_of.isoformat() in ROOT.all("section")[3].text

    def test_nothing_compared_is_a_page_as_well(self) -> None:
        empty = Comparison(compared=(), usage="team", prices_as_of=date(2026, 1, 2))
        assert parse(to_html(empty)).all("h1")[0].text == "Nothing: architecture, cost and limits"

    def test_one_subject_is_drawn_in_both_shapes_and_several_in_the_narrow_one(self) -> None:
        one = parse(to_html(comparison(SHOP)))
        assert (len(one.by_class("roomy")), len(one.by_class("narrow"))) == (1, 1)
        assert (len(ROOT.by_class("roomy")), len(ROOT.by_class("drawing"))) == (0, 2)


class TestGlance:
    def test_the_limits_that_decide_stand_in_the_card(self) -> None:
        own = (limit("request timeout", "app", "30 s"), limit("request timeout", "web", "60 s"))
        root = parse(to_html(of(compared("a", usage=cost(), limits=own))))
        texts = [one.text for one in root.all("dl")[0].children]
        assert texts[:4] == ["If nobody uses it", "$0.00", "Longest request", "30 s"]
        assert texts[4:6] == ["Regions", "us-east-1"]

    def test_with_several_entry_points_each_value_is_named_once(self) -> None:
        entries = (("A", "600 s"), ("B", "30 s"), ("C", "30 s"))
        own = tuple(limit("request timeout", f"app at {entry}", text) for entry, text in entries)
        sockets = tuple(limit("WebSocket", f"at {entry}", "no") for entry, _ in entries)
        root = parse(to_html(of(compared("a", usage=cost(), limits=(*own, *sockets)))))
        texts = [one.text for one in root.all("dl")[0].children]
        assert texts[2:6] == ["Longest request", "600 s or 30 s", "WebSocket", "no"]


class TestEscaping:
    def test_a_template_cannot_write_markup(self) -> None:
        resources = {
            EVIL: {"Type": EVIL},
            "Fn": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"FunctionName": EVIL[:20], "MemorySize": EVIL},
            },
            "Url": {
                "Type": "AWS::Lambda::Url",
                "Properties": {"TargetFunctionArn": {"Ref": "Fn"}, "AuthType": "NONE", "InvokeMode": EVIL},
            },
            "Db": {"Type": "AWS::RDS::DBInstance", "Properties": {"Engine": EVIL, "DBInstanceClass": EVIL}},
        }
        messages = (Message(level="warning", path=EVIL, text=EVIL),)
        page = to_html(comparison(subject(EVIL, {"Resources": resources}), SHOP, messages=messages))
        root = parse(page)
        assert "<script" not in page
        assert [one.tag for one in root.all() if one.tag in ("script", "b")] == []
        assert [one.attributes for one in root.all() if "onclick" in one.attributes] == []
        assert len(root.all("style")) == len(parse(PAGE).all("style"))
        assert "\x00" not in page
        assert "\x1b" not in page
        assert EVIL.replace("\x00", " ").replace("\x1b", " ").strip() in root.all("h3")[0].text

    @given(st.text(min_size=1), st.text())
    @settings(max_examples=25, deadline=None)
    def test_any_name_and_any_type(self, name: str, type: str) -> None:
        template = {"Resources": {name: {"Type": type}, "Alb": {"Type": "AWS::EC2::NatGateway"}}}
        root = parse(to_html(comparison(subject(name, template))))
        shown = "".join(letter if letter.isprintable() else " " for letter in name)
        assert " ".join(shown.split()) in root.all("h1")[0].text


def line(service: str, amount: float | None, **other: object) -> CostLine:
    known: dict[str, object] = {
        "part": "x",
        "logical_id": "Id",
        "type": "AWS::X::Y",
        "what": "something",
        "quantity": 1.0,
        "unit": "GB",
        "unit_price": amount,
        "formula": "1 thing",
        "source": "https://example.com/prices",
        "seen": "2026-09",
    }
    return CostLine(service=service, amount=amount, **{**known, **other})  # type: ignore[arg-type]


def cost(*lines: CostLine, region: str | None = "us-east-1", unpriced: tuple[str, ...] = ()) -> MonthlyCost:
    amounts = [one.amount for one in lines]
    return MonthlyCost(
        region=region,
        usage=USAGES["team"],
        lines=lines,
        total=sum(amount for amount in amounts if amount is not None),
        is_lower_bound=None in amounts or bool(unpriced),
        unpriced=unpriced,
    )


def compared(name: str, *, usage: MonthlyCost, floor: MonthlyCost | None = None, **other: object) -> Compared:
    made = comparison(subject(name, {"Resources": {}})).compared[0]
    return replace(made, cost=usage, floor=floor or usage, **other)  # type: ignore[arg-type]


def of(*several: Compared, break_evens: tuple[BreakEven, ...] = ()) -> Comparison:
    return Comparison(compared=several, usage="team", prices_as_of=date(2026, 1, 2), break_evens=break_evens)


def cells(root: Element, row: str) -> list[str]:
    """The values of a table's row by the row's name."""
    for one in root.all("tr"):
        first, *others = one.children
        if row in first.text:
            return [other.text for other in others]
    raise KeyError(row)


def shown(*sections: Section) -> Element:
    """What the page says between its head and its foot."""
    whole = Report(title="About", lead=Line(text="Lead"), command="x", sections=sections)
    return parse(html.to_html(whole)).all("main")[0]


def costs(found: Comparison) -> Element:
    return shown(cost_section(found))


class TestCosts:
    BIG = cost(line("Fargate", 90.0), line("Aurora", 30.0), line("Aurora", 20.0))
    SMALL = cost(line("Fargate", 40.0), line("Lambda", 0.004), line("Map", None, quantity=None))

    def test_amounts_are_summed_by_service_and_the_dearest_comes_first(self) -> None:
        root = costs(of(compared("a", usage=self.BIG), compared("b", usage=self.SMALL)))
        table = root.all("table")[0]
        names = [row.children[0].text for row in table.all("tbody")[0].children]
        assert names == ["1 Fargate", "2 Aurora", "3 Lambda", "4 Map", "usage team", "nobody uses it"]
        assert cells(table, "Fargate") == ["90.00", "40.00"]
        assert cells(table, "Aurora") == ["50.00", "-"]
        assert cells(table, "Lambda") == ["-", "0.00"]
        assert cells(table, "Map") == ["-", "?"]
        assert cells(table, "usage team") == ["140.00", "≥ 40.00"]

    def test_the_floor_has_a_table_of_its_own(self) -> None:
        floor = cost(line("Fargate", 90.0), line("Aurora", 10.0))
        usage, unused, _ = costs(of(compared("a", usage=self.BIG, floor=floor))).all("table")
        assert cells(usage, "Aurora") == ["50.00"]
        assert cells(unused, "Aurora") == ["10.00"]
        assert cells(usage, "nobody uses it") == cells(unused, "nobody uses it") == ["100.00"]

    def test_bars_are_as_long_as_their_amounts(self) -> None:
        floor = cost(line("Fargate", 70.0))
        root = costs(of(compared("a", usage=self.BIG, floor=floor)))
        full, half = root.all("svg")
        assert [rect.attributes["width"] for rect in full.all("rect")] == ["64.29%", "35.71%"]
        assert [rect.attributes["x"] for rect in full.all("rect")] == ["0.00%", "64.29%"]
        assert [rect.attributes["width"] for rect in half.all("rect")] == ["50.00%"]
        assert full.attributes["aria-label"] == "a, team: $140.00"
        assert [title.text for title in full.all("title")] == ["Fargate $90.00", "Aurora $50.00"]

    def test_many_services_share_the_last_colour(self) -> None:
        lines = [line(f"Service {number:02}", 20.0 - number) for number in range(12)]
        root = costs(of(compared("a", usage=cost(*lines))))
        bar = root.all("svg")[0]
        assert [group.attributes["class"] for group in bar.all("g")] == [f"c{n}" for n in range(1, 9)]
        assert "Service 08" in bar.all("title")[-1].text
        assert "Service 11" in bar.all("title")[-1].text

    def test_without_a_region_a_cost_is_unknown_and_not_small(self) -> None:
        known, unknown = (
            compared("a", usage=self.BIG),
            compared("b", usage=cost(line("X", None), region=None)),
        )
        crossing = BreakEven(first="a", second="b", usage=None)
        root = costs(of(known, unknown, break_evens=(crossing,)))
        assert [one.text for one in root.all("h3")] == ["a"]
        assert total(unknown.cost) == "unknown"
        assert not [one for one in root.all("li") if "costs less" in one.text]

    def test_a_total_of_few_known_amounts_says_so(self) -> None:
        most = cost(line("X", None), line("Y", None), line("Z", 2.0))
        assert total(most) == "mostly unknown, at least $2.00"
        assert total(cost(line("X", None), line("Z", 2.0))) == "at least $2.00"

    def test_every_line_has_its_formula_and_source(self) -> None:
        other = line("Fargate", 2.0, source="a letter from AWS", seen="", unit="1M requests", logical_id="")
        root = shown(cost_lines(compared("a", usage=cost(line("Fargate", 1.5), other))))
        first, second, _ = root.all("tbody")[0].children
        assert [one.text for one in first.children] == [
            *("Fargate", "something", "1 1M requests", "2.00", "2", "1 thing", "a letter from AWS"),
        ]
        assert [one.text for one in second.children] == [
            *("Id", "something", "1 GB", "1.50", "1.5", "1 thing", "2026-09"),
        ]
        assert second.all("a")[0].attributes["href"] == "https://example.com/prices"

    def test_where_costs_cross(self) -> None:
        pair = BreakEven(first="a", second="b", usage=Usage(users=1234, app_requests=5e6))
        root = costs(of(compared("a", usage=self.BIG), compared("b", usage=self.SMALL), break_evens=(pair,)))
        (sentence,) = (one.text for one in root.all("li") if "costs less" in one.text)
        assert sentence.startswith("b costs less than a up to 1,234 users")

    def test_the_usage_is_written_out(self) -> None:
        root = costs(of(compared("a", usage=self.BIG)))
        assert cells(root, "users") == ["50"]


def limit(name: str, scope: str, text: str, hop: str = "a hop", source: str = "https://example.com") -> Limit:
    return Limit(name=name, scope=scope, value=text, unit="", text=text, hop=hop, source=source)


class TestDifferences:
    def test_a_limit_says_what_sets_it_and_links_to_the_proof(self) -> None:
        own = (limit("streaming", "app", "yes"), limit("streaming", "web", "no", "another hop"))
        one = compared("a", usage=cost(), limits=own)
        two = compared("b", usage=cost(), limits=(limit("streaming", "app", "no"), limit("TLS", "", "1.2")))
        root = shown(limits_section(of(one, two)))
        app, web, tls = ([cell.text for cell in one.children] for one in root.all("tbody")[0].children)
        assert app == ["streaming: app", "yes a hop, source", "no a hop, source"]
        assert web == ["streaming: web", "no another hop, source", "-"]
        assert tls == ["TLS", "-", "1.2 a hop, source"]
        assert [one.attributes["href"] for one in root.all("a")] == ["https://example.com"] * 4

    def test_types_that_differ_stand_out(self) -> None:
        root = shown(resources(TWO)).all("details")[0]
        names = [one.children[0].text for one in root.all("tr") if one.attributes.get("class") == "different"]
        assert "Queue" in names
        assert cells(root, "all") == [
            str(len(SHOP.parts[0].template["Resources"])),  # type: ignore[arg-type]
            str(len(MAILBOX.parts[0].template["Resources"])),  # type: ignore[arg-type]
        ]

    def test_a_warning_of_several_subjects_is_shown_once(self) -> None:
        messages = (
            Message(level="warning", path="A/B", text="careful"),
            Message(level="error", path="A/C", text="broken"),
        )
        root = parse(to_html(comparison(SHOP, MAILBOX, messages=messages)))
        first, second = root.by_class("messages")[0].by_class("message")
        assert "error in shop, mailbox" in first.text
        assert "warning in shop, mailbox" in second.text
        assert "error" in (first.attributes["class"] or "")


class TestStyle:
    CSS = (REPORT / "data" / "page.css").read_text(encoding="utf-8")

    def test_every_class_of_the_page_is_known_to_the_style_sheet(self) -> None:
        pages = [PAGE, to_html(comparison(SHOP, messages=(Message(level="error", path="x", text="y"),)))]
        used = {
            name
            for page in pages
            for one in parse(page).all()
            for name in (one.attributes.get("class") or "").split()
            if not name.startswith("dg")
        }
        unstyled = {"chart", "cell", "warning"}
        assert {name for name in used if f".{name}" not in self.CSS} <= unstyled

    def test_it_knows_narrow_screens_dark_pages_and_paper(self) -> None:
        assert "@media screen and (max-width: 48rem)" in self.CSS
        assert "@media screen and (prefers-color-scheme: dark)" in self.CSS
        assert "@media print" in self.CSS

    def test_nothing_is_loaded(self) -> None:
        assert "url(" not in self.CSS
        assert "@import" not in self.CSS

    @pytest.mark.parametrize("dark", [False, True])
    def test_text_is_legible(self, dark: bool) -> None:
        colours = self.colours(dark=dark)
        for ground in ("paper", "panel"):
            for ink in ("ink", "soft", "link"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for number in range(1, 9):
            assert contrast(colours["on-colour"], colours[f"c{number}"]) >= 4.5, number
            assert contrast(colours[f"c{number}"], colours["paper"]) >= 3, number

    def colours(self, *, dark: bool) -> dict[str, str]:
        light, night = re.findall(r":root \{(.*?)\}", self.CSS, re.DOTALL)
        found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
        return {**found, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", night))} if dark else found


def contrast(a: str, b: str) -> float:
    """Of two colours, as WCAG 2.1 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_markup_that_is_made_here_is_not_escaped_twice() -> None:
    assert el("p", Html("<br>")) == "<p><br></p>"
