"""The sections of a comparison: a new one is a function and a line in ``SECTIONS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.diagram.svg import connections
from dify_cdk.report.inventory import Inventory
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output.containers import containers
from dify_cdk.report.output.costs import cost_lines, cost_section, total
from dify_cdk.report.output.limits import limits_section
from dify_cdk.report.output.resources import resources
from dify_cdk.report.output.routes import routes
from dify_cdk.report.output.sections import Column, Diagram, Grid, Line, Report, Section, Style, row
from dify_cdk.report.phrases import enumeration

_GLANCE = (
    ("Longest request", "request timeout", "app"),
    ("Streamed answers", "streaming", "app"),
    ("Largest upload", "largest request", "uploads"),
    ("WebSocket", "WebSocket", ""),
    ("Cold start", "cold start", "app"),
)
"""Limits that decide for most readers: the word for them, name, and scope."""


def report(comparison: Comparison) -> Report:
    """Everything that is shown of a comparison."""
    names = enumeration([one.name for one in comparison.compared]) or "Nothing"
    lead = (
        "Everything here is computed from CloudFormation templates alone: no AWS account was asked and"
        f" nothing was deployed. Cost is for the usage {comparison.usage}."
    )
    return Report(
        title=f"{names}: architecture, cost and limits",
        lead=Line(text=lead),
        command="dify-cdk compare",
        sections=tuple(section(comparison) for section in SECTIONS),
    )


def _glance(comparison: Comparison) -> Section:
    """What decides for most readers."""
    compared = comparison.compared
    facts = {word: [_fact(one.limits, name, scope) for one in compared] for word, name, scope in _GLANCE}
    facts |= {
        "Regions": [
            ", ".join(dict.fromkeys(part.region or "" for part in one.inventories)) for one in compared
        ],
        "Stacks": [str(len(one.inventories)) for one in compared],
        "Resources": [_resources(one.whole) for one in compared],
        "Containers": [str(len(one.whole.containers)) for one in compared],
        "Routes": [str(sum(len(listener.routes) for listener in one.whole.listeners)) for one in compared],
    }
    usage = f"a month with usage {comparison.usage}"
    rows = (
        row(usage, *(total(one.cost) for one in compared), style=Style.TOTAL),
        row("If nobody uses it", *(total(one.floor) for one in compared)),
        *(row(word, *(text or "-" for text in texts)) for word, texts in facts.items() if any(texts)),
    )
    columns = (Column(name=""), *(Column(name=one.name) for one in compared))
    return Section(title="At a glance", grids=(Grid(columns=columns, rows=rows, cards=True),))


def _resources(inventory: Inventory) -> str:
    condition = f" ({inventory.conditional} under a condition)" if inventory.conditional else ""
    return f"{inventory.total:,}{condition}"


def _fact(limits: Sequence[Limit], name: str, scope: str) -> str:
    """The value of a limit; of several entry points that of each, whose id ends its scope."""
    of_one = f"{scope} at ".lstrip()
    found = (one for one in limits if one.name == name)
    values = (one.text for one in found if one.scope == scope or one.scope.startswith(of_one))
    return " or ".join(dict.fromkeys(values))


def _architecture(comparison: Comparison) -> Section:
    diagrams = tuple(Diagram(name=one.name, graph=read_graph(one.subject)) for one in comparison.compared)
    folded = (
        Section(
            title=f"The connections of {one.name} in words",
            notes=tuple(Line(text=text) for text in connections(one.graph)),
        )
        for one in diagrams
    )
    return Section(title="Architecture", diagrams=diagrams, folded=tuple(folded))


def _warnings(comparison: Comparison) -> Section:
    """What the CDK had to say, errors first, each once with the subjects it is about."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in comparison.compared:
        for message in one.whole.messages:
            found.setdefault((message.level, f"{message.path}: {message.text}"), {})[one.name] = None
    several = len(comparison.compared) > 1
    notes = (
        Line(
            label=f"{level} in {', '.join(names)}:" if several else f"{level}:",
            text=text,
            style=Style.ERROR if level == "error" else Style.WARNING,
        )
        for (level, text), names in sorted(found.items(), key=lambda item: item[0][0] != "error")
    )
    none = "None were recorded. Templates that are read from files have none."
    return Section(title="Warnings", text="" if found else none, notes=tuple(notes))


def _each(title: str, make: Callable[[Compared], Section]) -> Callable[[Comparison], Section]:
    """A section about one subject; with several of them that of each is folded."""

    def section(comparison: Comparison) -> Section:
        parts = tuple(map(make, comparison.compared))
        return replace(parts[0], title=title) if len(parts) == 1 else Section(title=title, folded=parts)

    return section


def _about(_: Comparison) -> Section:
    return Section(
        title="About these figures",
        text="Limits and costs follow from the templates and from published quotas and prices, each with its"
        " source. Where a template leaves something to the moment of deployment, or AWS does not publish a"
        " price, the figure says at least or unknown. Load, latency and real invoices are not simulated.",
    )


SECTIONS: tuple[Callable[[Comparison], Section], ...] = (
    _glance,
    _architecture,
    limits_section,
    cost_section,
    _warnings,
    resources,
    _each("Containers", containers),
    _each("Routes", routes),
    _each("Cost line by line", cost_lines),
    _about,
)
"""In the order in which every format shows them."""
