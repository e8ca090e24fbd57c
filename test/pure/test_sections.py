"""Every section of a report is in all of its outputs, and none of them has to know it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dify_cdk.report.comparison import Comparison, compare, inventories
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.usage import USAGES
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.inventory import Message
from dify_cdk.report.output import comparisons, html, markdown, plans, terminal
from dify_cdk.report.output.sections import (
    Bar,
    Cell,
    Column,
    Diagram,
    Grid,
    Line,
    Piece,
    Report,
    Section,
    Style,
    numbered,
    row,
)
from dify_cdk.report.plan.plan import Plan
from dify_cdk.report.templates.subject import Part, Subject
from plans import between
from pure.test_cli_plan import loss
from support import TEMPLATES

PAGE = "https://example.com/proof"
WRITERS: dict[str, Callable[[Report], str]] = {
    "terminal": lambda report: terminal.to_table(report, width=200, details=True),
    "markdown": markdown.to_markdown,
    "html": html.to_html,
}


def comparison(*names: str) -> Comparison:
    subjects = [
        Subject(
            name=name, parts=(Part(name=name, template=json.loads(path.read_text()), region="us-east-1"),)
        )
        for name in names
        for path in [TEMPLATES / f"{name}.template.json"]
    ]
    warning = Message(level="warning", path="Shop", text="careful")
    read = [(one, inventories(one, messages={one.name: (warning,)})) for one in subjects]
    return compare(read, region=None, usage=USAGES["team"], usage_name="team", prices=load_prices())


TWO, ONE, LOSS = comparison("shop", "mailbox"), comparison("shop"), loss()


def of(*sections: Section) -> Report:
    return Report(title="A report", lead=Line(text="It leads"), command="dify-cdk x", sections=sections)


def said(section: Section) -> list[str]:
    """Everything that a section says, so that a writer that leaves something out is noticed."""
    cells = [cell for grid in section.grids for one in grid.rows for cell in one.cells]
    return [
        *(section.title, section.text),
        *(column.name for grid in section.grids for column in grid.columns if not column.roomy),
        *(grid.caption for grid in section.grids),
        *(line.text for cell in cells for line in cell.reasons),
        *(line.text for line in section.notes),
        *(text for one in section.folded for text in said(one)),
    ]


def plain(text: str) -> str:
    """Letters and digits alone: what escapes, wraps and draws differs by format."""
    for written, letter in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&#x27;", "'"), ("&quot;", '"')):
        text = text.replace(written, letter)
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize("writer", WRITERS)
class TestEveryOutput:
    @pytest.mark.parametrize("found", [TWO, ONE], ids=["two", "one"])
    def test_shows_every_section_of_a_comparison(self, writer: str, found: Comparison) -> None:
        report = comparisons.report(found)
        assert len(report.sections) == len(comparisons.SECTIONS)
        self.shows(WRITERS[writer](report), report)

    def test_shows_every_section_of_a_plan(self, writer: str) -> None:
        report = plans.report(LOSS)
        assert len(report.sections) == len(plans.SECTIONS) - 1  # no entry point changes
        self.shows(WRITERS[writer](report), report)

    @staticmethod
    def shows(text: str, report: Report) -> None:
        shown = plain(text)
        expected = [report.title, report.lead.text, *(one for part in report.sections for one in said(part))]
        assert len(expected) > 30
        assert [one for one in expected if plain(one) not in shown] == []

    def test_keeps_the_order_of_the_list(self, writer: str) -> None:
        report = comparisons.report(TWO)
        text = WRITERS[writer](report)
        marks = {"terminal": "\n{}\n", "markdown": "\n#### {}\n", "html": ">{}</h2>"}
        places = [text.index(marks[writer].format(one.title)) for one in report.sections]
        assert places == sorted(places)

    def test_shows_a_new_section_of_a_comparison(self, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def heights(found: Comparison) -> Section:
            columns = (Column(name="height"), *(Column(name=one.name, right=True) for one in found.compared))
            rows = (row("in metres", *(f"{len(one.name)}.5" for one in found.compared)),)
            return Section(title="How high they are", grids=(Grid(columns=columns, rows=rows),))

        monkeypatch.setattr(comparisons, "SECTIONS", (*comparisons.SECTIONS, heights))
        text = WRITERS[writer](comparisons.report(TWO))
        assert "How high they are" in text
        assert "in metres" in text
        assert "4.5" in text
        assert "7.5" in text

    def test_shows_a_new_section_of_a_plan(self, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def weather(found: Plan) -> Section:
            return Section(title="The weather", notes=(Line(text=f"it rains in {found.after}"),))

        monkeypatch.setattr(plans, "SECTIONS", (weather, *plans.SECTIONS))
        text = WRITERS[writer](plans.report(between({}, {})))
        assert "The weather" in text
        assert "it rains in after" in text


class TestParts:
    """What a section may hold is shown by each writer in its own way."""

    REASON = Line(text="a quota", source=PAGE)
    GRID = Grid(
        columns=(Column(name="limit"), Column(name="a"), Column(name="b"), Column(name="page", roomy=True)),
        rows=(
            row("time", Cell(text="30 s", reasons=(REASON, REASON)), "1 s", Cell(text="AWS", source=PAGE)),
            row("all", "2", Cell(text="3", reasons=(REASON,)), "", style=Style.TOTAL),
        ),
        caption="What it supports",
        reasons="What sets it",
    )

    def test_reasons_are_footnotes_except_where_there_is_room(self) -> None:
        report = of(Section(title="Limits", grids=(self.GRID,)))
        text, mark, page = (write(report) for write in WRITERS.values())
        assert "30 s [1]" in text
        assert "What sets it\n[1] a: a quota\n[2] b: a quota\n" in text
        assert "| time | 30 s <sup>1</sup> | 1 s | AWS ([page](https://example.com/proof)) |" in mark
        assert f"<summary>What sets it</summary>\n\n1. a: a quota ([page]({PAGE}))\n2. b: a quota" in mark
        assert f'<strong>30 s</strong><small class="hop">a quota, <a href="{PAGE}"' in page
        assert "What sets it" not in page

    def test_footnotes_of_a_terminal_stand_behind_all_sections(self) -> None:
        text = terminal.to_table(
            of(Section(title="Limits", grids=(self.GRID,)), Section(title="Z", text="end"))
        )
        assert text.index("\nZ\nend\n") < text.index("\nWhat sets it\n")

    def test_only_web_pages_are_linked(self) -> None:
        script = Line(text="a", source="javascript:alert(1)")
        cell = Cell(text="b", source="javascript:alert(1)")
        grid = Grid(columns=(Column(name="x"), Column(name="y")), rows=(row("r", cell),))
        report = of(Section(title="Links", grids=(grid,), notes=(script,)))
        assert "](javascript" not in markdown.to_markdown(report)
        assert 'href="javascript' not in html.to_html(report)

    def test_steps_are_numbered_and_other_sentences_are_not(self) -> None:
        steps = numbered([Line(text="first"), Line(text="second")])
        labelled = Line(label="kept", text="three", style=Style.WARNING)
        report = of(
            Section(title="Steps", notes=steps), Section(title="Rest", notes=(labelled, Line(text="x")))
        )
        text, mark, page = (write(report) for write in WRITERS.values())
        assert "\n1. first\n2. second\n" in text
        assert "\nkept three\n- x\n" in text
        assert "\n1. first\n2. second\n" in mark
        assert "\n- **kept** three\n- x\n" in mark
        assert "<ol><li>first</li><li>second</li></ol>" in page
        assert '<li class="message warning"><strong>kept</strong> three</li><li>x</li>' in page

    def test_what_is_folded_waits_until_somebody_asks(self) -> None:
        folded = Section(title="Inside", text="deep down")
        report = of(
            Section(title="Closed", folded=(folded,)), Section(title="Open", text="top", folded=(folded,))
        )
        text = terminal.to_table(report)
        assert "deep down" not in text
        assert "\nClosed\n" not in text
        assert text.endswith("\n\nMore with --details: Closed, Open\n")
        all_of_it = terminal.to_table(report, details=True)
        assert all_of_it.count("\nInside\ndeep down\n") == 2
        assert "--details" not in all_of_it
        assert "<details><summary>Inside</summary>\n\ndeep down\n\n</details>" in markdown.to_markdown(report)
        assert "<details><summary>Inside</summary><p>deep down</p></details>" in html.to_html(report)

    def test_drawings_are_for_pages_only(self) -> None:
        subject = TWO.compared[0].subject
        bar = Bar(name="shop", amount="$3", what="team", pieces=(Piece(text="Fargate $3", size=3, colour=1),))
        diagram = Diagram(name="shop", graph=read_graph(subject))
        report = of(Section(title="Drawn", text="seen", diagrams=(diagram,), bars=(bar,)))
        assert html.to_html(report).count("<svg") == 3  # the diagram in two shapes, and the bar
        assert "<svg" not in markdown.to_markdown(report)
        assert "svg" not in terminal.to_table(report)

    def test_cards_are_tables_without_room(self) -> None:
        columns = (Column(name=""), Column(name="a"), Column(name="b"))
        rows = (row("price", "$1", "$2", style=Style.TOTAL), row("speed", "fast", "slow"))
        report = of(Section(title="Glance", grids=(Grid(columns=columns, rows=rows, cards=True),)))
        text, mark, page = (write(report) for write in WRITERS.values())
        assert "price  $1    $2\n" in text
        assert "| **price** | **$1** | **$2** |\n| speed | fast | slow |" in mark
        assert page.count("<article>") == 2
        assert "<dl><dt>speed</dt><dd>slow</dd></dl>" in page

    @pytest.mark.parametrize("module", [terminal, markdown, html])
    def test_a_writer_imports_nothing_that_a_section_is_made_from(self, module: object) -> None:
        folder = Path(html.__file__).parent
        allowed = {"sections", "words", "html_text", "html_tables", "html_drawings"}
        name = getattr(module, "__name__", "").rpartition(".")[2]
        for path in sorted(folder.glob(f"{name}*.py")):
            found = [
                node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
            ]
            names = {node.module or "" for node in found}
            own = {one.rpartition(".")[2] for one in names if one.startswith("dify_cdk.report.output")}
            assert own <= allowed, path.name
            assert not [
                one for one in names if one in ("dify_cdk.report.comparison", "dify_cdk.report.plan.plan")
            ]
