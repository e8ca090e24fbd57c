"""The HTML page of the examples as Chromium shows it: on a desk, on a phone, in the dark and on paper."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from browser import NAMES, Browser, browser, decode, find_chromium
from dify_cdk.report.comparison import Comparison, compare, inventories
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.usage import USAGES
from dify_cdk.report.diagram.layout import Shape
from dify_cdk.report.diagram.svg import diagram
from dify_cdk.report.inventory import Message
from dify_cdk.report.output.costs import total
from dify_cdk.report.templates.subject import Part, Subject
from reports import to_html
from support import REGION, VARIANTS, Template

pytestmark = pytest.mark.slow

PHONE, SMALL_PHONE, TABLET, DESK = 360, 320, 768, 1440
WARNING = Message(level="warning", path="Dify/Network", text="a warning " + "that goes on " * 20)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        reason = f"needs one of {', '.join(NAMES)} (Debian: apt-get install chromium)"
        if os.environ.get("CI", "false").lower() not in ("", "0", "false"):
            pytest.fail(reason)  # where changes are accepted, a page that nobody looked at is no page
        pytest.skip(reason)
    with browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@dataclass(frozen=True)
class Pages:
    """Files with pages, and what they are about."""

    all: Path
    one: Path
    comparison: Comparison


@pytest.fixture(scope="module")
def subjects(templates: Callable[[str], Template]) -> list[Subject]:
    return [
        Subject(name=variant, parts=(Part(name="Dify", template=templates(variant).body, region=REGION),))
        for variant in VARIANTS
    ]


@pytest.fixture(scope="module")
def pages(subjects: list[Subject], tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = tmp_path_factory.mktemp("pages")

    def compared(some: list[Subject]) -> Comparison:
        read = [(one, inventories(one, messages={"Dify": (WARNING,)})) for one in some]
        return compare(read, region=None, usage=USAGES["team"], usage_name="team", prices=load_prices())

    every = compared(subjects)
    (folder / "all.html").write_text(to_html(every), encoding="utf-8")
    (folder / "one.html").write_text(to_html(compared(subjects[2:3])), encoding="utf-8")
    return Pages(all=folder / "all.html", one=folder / "one.html", comparison=every)


# Elements whose box leaves the window, without what is hidden on purpose.
OUTSIDE = """
[...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !one.closest('thead') && !one.closest('svg');
}).map(one => one.outerHTML.slice(0, 80))
"""

# Texts of drawings that are wider than the box they stand in, in the font that is really there.
SPILLED = """
[...document.querySelectorAll('svg.dg g')].filter(one => one.getBBox().width).flatMap(group => {
  const box = group.querySelector('rect').getBBox();
  return [...group.querySelectorAll('text')].filter(text => {
    const own = text.getBBox();
    return own.x < box.x || own.x + own.width > box.x + box.width;
  }).map(text => text.textContent);
})
"""

# Pairs of texts in one drawing that lie upon each other.
COLLIDING = """
[...document.querySelectorAll('svg.dg')].filter(one => one.getBoundingClientRect().width).flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(one => [one.textContent, one.getBBox()]);
  const found = [];
  texts.forEach(([a, x], i) => texts.slice(i + 1).forEach(([b, y]) => {
    const across = Math.min(x.x + x.width, y.x + y.width) - Math.max(x.x, y.x);
    const down = Math.min(x.y + x.height, y.y + y.height) - Math.max(x.y, y.y);
    if (across > 0 && down > 3) found.push([a, b]);
  }));
  return found;
})
"""

# Height in pixels of the smallest text in visible drawings.
SMALLEST = """
Math.min(...[...document.querySelectorAll('svg.dg')].map(svg => [svg, svg.getBoundingClientRect().width])
  .filter(([svg, width]) => width)
  .map(([svg, width]) => 11 * width / svg.viewBox.baseVal.width))
"""

VISIBLE = "[...document.querySelectorAll('{}')].filter(one => one.getBoundingClientRect().height).length"


class TestFits:
    @pytest.mark.parametrize("width", [SMALL_PHONE, PHONE, TABLET, 1024, DESK])
    @pytest.mark.parametrize("page", ["all", "one"])
    def test_nothing_leaves_the_window(self, chromium: Browser, pages: Pages, page: str, width: int) -> None:
        chromium.open(getattr(pages, page), width=width)
        assert chromium.evaluate("innerWidth") == width
        assert chromium.evaluate(OUTSIDE) == []
        assert chromium.evaluate("document.documentElement.scrollWidth") == width

    @pytest.mark.parametrize("width", [PHONE, DESK])
    def test_nothing_leaves_it_either_with_all_details_open(
        self, chromium: Browser, pages: Pages, width: int
    ) -> None:
        chromium.open(pages.all, width=width)
        chromium.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        tables = chromium.evaluate("document.querySelectorAll('details table').length")
        assert chromium.evaluate(VISIBLE.format("details table")) == tables > 3 * len(VARIANTS)
        assert chromium.evaluate(OUTSIDE) == []
        assert chromium.evaluate("document.documentElement.scrollWidth") == width

    @pytest.mark.parametrize("width", [PHONE, DESK])
    @pytest.mark.parametrize("page", ["all", "one"])
    def test_texts_of_drawings_stay_in_their_places(
        self, chromium: Browser, pages: Pages, page: str, width: int
    ) -> None:
        chromium.open(getattr(pages, page), width=width)
        assert chromium.evaluate(VISIBLE.format("svg.dg text")) > 20
        assert chromium.evaluate(SPILLED) == []
        assert chromium.evaluate(COLLIDING) == []

    @pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
    @pytest.mark.parametrize("page", ["all", "one"])
    def test_drawings_are_not_shrunk_beyond_reading(
        self, chromium: Browser, pages: Pages, page: str, width: int
    ) -> None:
        chromium.open(getattr(pages, page), width=width)
        assert chromium.evaluate(SMALLEST) >= 9

    def test_a_single_subject_is_drawn_as_wide_as_there_is_room(
        self, chromium: Browser, pages: Pages
    ) -> None:
        for width, roomy in ((DESK, 1), (PHONE, 0)):
            chromium.open(pages.one, width=width)
            assert chromium.evaluate(VISIBLE.format(".roomy svg")) == roomy
            assert chromium.evaluate(VISIBLE.format(".narrow svg")) == 1 - roomy

    def test_columns_become_blocks_on_a_phone_only(self, chromium: Browser, pages: Pages) -> None:
        first = "getComputedStyle(document.querySelector('.reasons td')).display"
        chromium.open(pages.all, width=DESK)
        assert chromium.evaluate(first) == "table-cell"
        chromium.open(pages.all, width=PHONE)
        assert chromium.evaluate(first) == "grid"


class TestContent:
    @pytest.mark.parametrize("width", [PHONE, DESK])
    def test_says_what_was_computed(self, chromium: Browser, pages: Pages, width: int) -> None:
        chromium.open(pages.all, width=width)
        text = chromium.evaluate("document.body.innerText")
        for one in pages.comparison.compared:
            assert one.name in text
            assert total(one.cost) in text
            assert total(one.floor) in text
            assert all(limit.text in text and limit.hop in text for limit in one.limits)
        assert WARNING.text.strip() in text
        assert "CloudFront" in text

    def test_loads_nothing_and_complains_about_nothing(self, chromium: Browser, pages: Pages) -> None:
        chromium.open(pages.all, width=DESK)
        addresses = [
            event["params"]["request"]["url"]
            for event in chromium.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert addresses == [pages.all.as_uri()]
        complaints = [event["params"] for event in chromium.events if event["method"] == "Log.entryAdded"]
        assert complaints == []

    @pytest.mark.parametrize("width", [PHONE, DESK])
    def test_tables_and_drawings_are_such_for_a_screen_reader(
        self, chromium: Browser, pages: Pages, width: int
    ) -> None:
        """Also on a phone, where the style sheet makes blocks of the rows of some tables."""
        chromium.open(pages.all, width=width)
        nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
        named = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if "role" in node and not node["ignored"]
        ]
        roles = [role for role, _ in named]
        assert roles.count("table") == 3
        assert roles.count("columnheader") >= 3 * (1 + len(VARIANTS))
        assert roles.count("rowheader") > 30
        drawings = [name for role, name in named if role in ("image", "img", "graphics-document")]
        for variant in VARIANTS:
            assert f"Architecture of {variant}" in drawings


class TestLooks:
    @pytest.mark.parametrize(("width", "height"), [(PHONE, 900), (DESK, 500)])
    def test_is_not_blank(self, chromium: Browser, pages: Pages, width: int, height: int) -> None:
        chromium.open(pages.all, width=width)
        colours = decode(chromium.screenshot("#architecture", height=height)).colours()
        assert colours.total() == width * height
        assert colours["#ffffff"] < 0.95 * colours.total()
        for drawn in ("#2563eb", "#c2410c", "#fff7ed", "#0f172a"):  # lines, boxes and text
            assert colours[drawn] > 100, drawn

    def test_is_dark_where_that_is_wanted(self, chromium: Browser, pages: Pages) -> None:
        chromium.open(pages.all, width=PHONE, dark=True)
        colours = decode(chromium.screenshot("#architecture", height=900)).colours()
        assert colours.most_common(1)[0][0] == "#0f172a"
        assert colours["#0b1120"] > 0.05 * colours.total()
        assert colours["#60a5fa"] > 100
        assert colours["#ffffff"] < 0.01 * colours.total()

    @pytest.mark.parametrize("dark", [False, True])
    def test_bars_of_cost_are_as_long_as_their_pieces(
        self, chromium: Browser, pages: Pages, dark: bool
    ) -> None:
        chromium.open(pages.all, width=PHONE, dark=dark)
        colours = decode(chromium.screenshot(".bar", height=24)).colours()
        assert colours["#60a5fa" if dark else "#2563eb"] > 1000

    def test_is_light_on_paper_and_no_drawing_is_cut(self, chromium: Browser, pages: Pages) -> None:
        page_height, page_width = 1016, 688  # of A4 without margins, in pixels of a screen
        for page in (pages.all, pages.one):
            chromium.open(page, width=page_width, dark=True, media="print")
            assert chromium.evaluate(VISIBLE.format("nav")) == 0
            assert chromium.evaluate(OUTSIDE) == []
            heights = chromium.evaluate(
                "[...document.querySelectorAll('figure')].map(one => one.getBoundingClientRect().height)"
            )
            assert max(heights) < page_height - 60  # the heading of the section stands on the same page
            assert (
                chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            )
            assert chromium.pdf().startswith(b"%PDF-")

    @pytest.mark.parametrize("shape", Shape)
    def test_a_drawing_stands_alone(
        self, chromium: Browser, subjects: list[Subject], tmp_path: Path, shape: Shape
    ) -> None:
        for subject in subjects:
            file = tmp_path / f"{subject.name}.svg"
            file.write_text(diagram(subject, shape=shape), encoding="utf-8")
            chromium.open(file, width=DESK)
            assert chromium.evaluate("document.documentElement.tagName") == "svg"
            assert chromium.evaluate(SPILLED) == []
            assert chromium.evaluate(COLLIDING) == []
            chromium.open(file, width=400)
            colours = decode(chromium.screenshot("svg", height=300)).colours()
            assert colours["#2563eb"] > 100
            assert colours["#eff6ff"] > 1000
