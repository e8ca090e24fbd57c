"""Write the generated parts of the pages and their diagrams; ``python3 dev.py docs`` runs this.

A part stands between two markers, ``<!-- generated: NAME -->`` and ``<!-- end -->``. Everything in it is
computed from the synthesized examples, by the same modules as what ``dify-cdk compare`` shows, or from tables
of the library and its tests.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

from dify_cdk.cli.init_app import architectures
from dify_cdk.cli.synth_example import synthesize
from dify_cdk.dify.components import BACKEND_COMPONENTS
from dify_cdk.dify.environment import TABLE, Argument, Default
from dify_cdk.dify.rotation import RENEWALS
from dify_cdk.report.comparison import compare, inventories
from dify_cdk.report.cost.prices import Prices, load_prices
from dify_cdk.report.cost.pricing import MonthlyCost, monthly_cost
from dify_cdk.report.cost.usage import USAGES, ZERO
from dify_cdk.report.diagram.svg import diagram
from dify_cdk.report.limits.limits import Limit, effective_limits
from dify_cdk.report.output.costs import cost_section
from dify_cdk.report.output.limits import limits_section
from dify_cdk.report.output.markdown import sections_to_markdown
from dify_cdk.report.plan.plan import Plan, plan
from dify_cdk.report.quotas import QUOTAS, Demand, demand
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Template
from dify_defaults import Row, Topic, Verdict, read_table

ROOT = Path(__file__).parents[1]
IMAGES = Path("docs", "images")
OWN_FRONTEND = ROOT / "test" / "synth" / "own_frontend.py"
PAGES = ("README.md", "README.ja.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))

REGION = "us-east-1"
ARCHITECTURES = tuple(architectures())
EXAMPLES = (*ARCHITECTURES, "v4_low_cost")

_PART = re.compile(r"(<!-- generated: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LOGICAL_ID = re.compile(r"\b(?=\w*[0-9A-F]{8}\b)([A-Z]\w+)")

_USAGE = "team"  # for what shows one only
_USAGES = {"nobody": ZERO, **USAGES}
_ROWS = (
    ("requests of the app", "request timeout", "app"),
    ("answers stream", "streaming", "app"),
    ("largest request of the app", "largest request", "app"),
    ("largest upload", "largest request", "uploads"),
    ("WebSocket", "WebSocket", ""),
    ("TLS without a domain", "TLS", ""),
    ("addresses are filtered by", "IP filter", ""),
    ("cold start of the app", "cold start", "app"),
)
_QUOTA_ROWS: tuple[tuple[str, str, Callable[[Demand], float | None]], ...] = (
    ("vCPU on demand", "on_demand", lambda found: found.steady.on_demand),
    ("the same during a rollout", "on_demand", lambda found: found.rollout.on_demand),
    ("the same scaled out", "on_demand", lambda found: found.scaled_out.on_demand),
    ("the same during a rollout then", "on_demand", lambda found: found.scaled_out_rollout.on_demand),
    ("vCPU on Spot, at most", "spot", lambda found: found.scaled_out_rollout.spot),
    ("functions that share the executions", "executions", lambda found: len(found.functions)),
    ("Elastic IP addresses", "elastic_ips", lambda found: found.elastic_ips),
    ("VPCs", "vpcs", lambda found: found.vpcs),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the pages say about one example.

    Attributes:
        name: Its name.
        subject: Its templates.
        limits: What it supports.
        costs: What it costs in a month, by name of the usage.
    """

    name: str
    subject: Subject
    limits: tuple[Limit, ...]
    costs: Mapping[str, MonthlyCost]


def know(name: str, prices: Prices) -> Known:
    """Synthesize an example and compute everything about it."""
    with tempfile.TemporaryDirectory(prefix="dify-cdk-docs-") as folder:
        stacks = synthesize(name, Path(folder), region=REGION)
    parts = tuple(Part(name=stack.name, template=stack.template, region=stack.region) for stack in stacks)
    subject = Subject(name=name, parts=parts)
    costs = {
        usage: monthly_cost(subject, region=REGION, usage=value, prices=prices)
        for usage, value in _USAGES.items()
    }
    return Known(name=name, subject=subject, limits=effective_limits(subject), costs=costs)


# --- parts ----------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def variants(examples: Sequence[Known], prices: Prices) -> str:
    """The examples side by side: what they support and what they cost."""
    rows = [
        [title, *(_find(known.limits, name, scope) for known in examples)] for title, name, scope in _ROWS
    ]
    rows += [
        [f"USD a month, {_usage(usage)}", *(_money(known.costs[usage]) for known in examples)]
        for usage in _USAGES
    ]
    links = [_link(known.name) for known in examples]
    return (
        f"{table(['', *links], rows)}\n"
        f"List prices of {REGION}, put together on {prices.as_of.isoformat()}; models are not in them. "
        "Each runs one task of each component and one NAT instance, but `v4` two or more tasks of api and "
        "web and two NAT gateways; `v4_low_cost` takes every saving but `scheduler=None`, without editing "
        "together. "
        '"At least" stands where a price or an amount is not known.\n'
    )


def limits(known: Known) -> str:
    """What every hop limits, with the page that proves it."""
    rows = [
        [limit.name, limit.scope or "all", limit.text, _without_ids(limit.hop), f"[source]({limit.source})"]
        for limit in _merged(known.limits)
    ]
    return table(["limit", "paths", "value", "set by", ""], rows)


def cost(known: Known) -> str:
    """What it costs by service, for every usage."""
    services = sorted(
        {line.service for found in known.costs.values() for line in found.lines},
        key=lambda service: (-round(_sum(known.costs[_USAGE], service), 2), service),
    )
    rows = [
        [service, *(_amount(found, service) for found in known.costs.values())]
        for service in services
        if any(round(_sum(found, service), 2) for found in known.costs.values())
    ]
    total = ["together", *(_money(found) for found in known.costs.values())]
    command = f"dify-cdk compare {known.name} --format markdown"
    more = f"`{command}` shows every line with its formula, for any region and usage."
    return f"{table(['USD a month', *map(_usage, _USAGES)], [*rows, total])}\n{more}\n"


def picture(known: Known) -> str:
    """The link to the diagram."""
    return f"![What {known.name} consists of and who calls whom](images/{known.name}.svg)\n"


def comparison(examples: Sequence[Known], prices: Prices) -> str:
    """Limits and cost as the command line writes them in Markdown; resources would change too often."""
    found = compare(
        [(known.subject, inventories(known.subject)) for known in examples],
        region=REGION,
        usage=USAGES[_USAGE],
        usage_name=_USAGE,
        prices=prices,
    )
    sections = limits_section(found), replace(cost_section(found), folded=())
    return sections_to_markdown(sections, level=3)


def switches(examples: Sequence[Known]) -> str:
    """What a change from each architecture to each other one does."""
    plans = (plan(before.subject, after.subject) for before, after in permutations(examples, 2))
    return table(
        ["from", "to", "data lost", "conflicts", "public address", "left behind"],
        (
            [f"`{p.before}`", f"`{p.after}`", _lost(p), str(len(p.conflicts)), _address(p), _left(p)]
            for p in plans
        ),
    )


def _lost(found: Plan) -> str:
    return ", ".join(one.type for one in found.lost) or "nothing"


def _address(found: Plan) -> str:
    kept = any("keeps its address" in step.text for step in found.in_place)
    return "stays" if kept else "another one"


def _left(found: Plan) -> str:
    """By type; access logs are a bucket, and the only bucket that a frontend has."""
    names = {"AWS::S3::Bucket": "access logs", "AWS::Lambda::Function": "function at the edge"}
    return ", ".join(sorted({names.get(one.type, one.type) for one in found.left_behind})) or "nothing"


def quotas(examples: Sequence[Known]) -> str:
    """What each example takes from the quotas of an account, and what a new account has."""
    asked = [
        sum((demand(Template(part.template)) for part in known.subject.parts), Demand()) for known in examples
    ]
    rows = []
    for title, name, read in _QUOTA_ROWS:
        quota = QUOTAS[name]
        amounts = [_of_quota(read(found), quota.new.number) for found in asked]
        code = f"[`{quota.service}` `{quota.code}`]({quota.new.source})"
        rows.append([title, *amounts, f"{quota.new.number:g}", code])
    return table(["at the same time", *(f"`{known.name}`" for known in examples), "new account", ""], rows)


def _of_quota(amount: float | None, quota: float) -> str:
    """An amount; one that is above the quota stands out."""
    if amount is None:
        return "?"
    return f"**{amount:g}**" if amount > quota else f"{amount:g}"


def own_frontend() -> str:
    """The frontend that a test takes for one of a user's own."""
    return f"```python\n{OWN_FRONTEND.read_text(encoding='utf-8')}```\n"


def renewals() -> str:
    """How each secret is renewed."""
    rows = [[row.secret, row.renewal.value, row.reason] for row in RENEWALS]
    steps = [row for row in RENEWALS if row.steps]
    text = table(["secret", "new value", "why so"], rows)
    for row in steps:
        lines = "".join(f"{number}. {_step(step)}\n" for number, step in enumerate(row.steps, start=1))
        text += f"\nThe {row.secret}:\n\n{lines}"
    return text


def defaults() -> str:
    """What the library sets otherwise than Dify's own code and images, where a user may change it."""
    topics = [topic for topic in Topic if topic is not Topic.OTHER]
    shown = [
        (row, change)
        for row in read_table().rows
        if row.verdict in (Verdict.LOST, Verdict.OURS) and row.topic in topics and (change := _change(row))
    ]
    rows = [
        [_variable(row), f"`{row.own}`" if row.own else "", _ours(row), row.why, change]
        for topic in topics
        for row, change in shown
        if row.topic is topic
    ]
    return table(["variable", "Dify's own", "here", "because", "change it with"], rows)


def _change(row: Row) -> str | None:
    """What a user changes it with; None if nothing does."""
    found = [one for one in TABLE if one.name == row.variable and row.components[0] in one.components]
    if not found:
        return None
    (one,) = found
    if isinstance(one.value, Default):
        return "`environment=`"
    return f"`{one.instead}`" if isinstance(one.instead, Argument) else None


def _variable(row: Row) -> str:
    backend = set(row.components) == set(BACKEND_COMPONENTS)
    components = "every component of api's image" if backend else ", ".join(row.components)
    return f"`{row.variable}` of {components}"


def _ours(row: Row) -> str:
    """A value as code, and words as they are."""
    ours = row.ours or ""
    return ours if " " in ours else f"`{ours}`"


def _step(step: str) -> str:
    return f"`{step}`" if step.startswith(("aws ", "printf ")) else step


def _find(found: Iterable[Limit], name: str, scope: str) -> str:
    return next(limit.text for limit in found if (limit.name, limit.scope) == (name, scope))


def _merged(found: Sequence[Limit]) -> list[Limit]:
    """Limits that are the same for several classes of paths, once."""
    merged: dict[tuple[str, str, str, str], list[Limit]] = {}
    for limit in found:
        merged.setdefault((limit.name, limit.text, limit.hop, limit.source), []).append(limit)
    return [
        Limit(
            name=group[0].name,
            scope=", ".join(limit.scope for limit in group),
            value=group[0].value,
            unit=group[0].unit,
            text=group[0].text,
            hop=group[0].hop,
            source=group[0].source,
        )
        for group in merged.values()
    ]


def _without_ids(hop: str) -> str:
    """Logical ids are for templates; on a page they only make lines long."""
    return re.sub(r" +([;,]|$)", r"\1", re.sub(r"  +", " ", _LOGICAL_ID.sub("", hop))).strip()


def _sum(found: MonthlyCost, service: str) -> float:
    return math.fsum(line.amount or 0 for line in found.lines if line.service == service)


def _amount(found: MonthlyCost, service: str) -> str:
    return f"{max(0.0, _sum(found, service)):,.2f}"


def _money(found: MonthlyCost) -> str:
    return f"{'at least ' if found.is_lower_bound else ''}{found.total:,.0f}"


def _usage(name: str) -> str:
    value = _USAGES[name]
    return f"{name} ({value.users:,.0f} people)" if value.users else "nobody uses it"


def _link(name: str) -> str:
    return f"[{name}](docs/{name}.md)" if name in ARCHITECTURES else f"`{name}`"


# --- pages ----------------------------------------------------------------------------------------------


def generate() -> dict[str, str]:
    """Every page and image, by its path, as it should be."""
    prices = load_prices()
    examples = [know(name, prices) for name in EXAMPLES]
    alone = examples[: len(ARCHITECTURES)]
    parts: dict[str, Callable[[], str]] = {
        "variants": lambda: variants(examples, prices),
        "comparison": lambda: comparison(alone, prices),
        "defaults": defaults,
        "quotas": lambda: quotas(examples),
        "renewals": renewals,
        "own frontend": own_frontend,
        "switches": lambda: switches(alone),
    }
    files = {}
    for known in alone:
        files[(IMAGES / f"{known.name}.svg").as_posix()] = diagram(known.subject)
        parts[f"limits {known.name}"] = lambda known=known: limits(known)  # type: ignore[misc]
        parts[f"cost {known.name}"] = lambda known=known: cost(known)  # type: ignore[misc]
        parts[f"diagram {known.name}"] = lambda known=known: picture(known)  # type: ignore[misc]
    for page in PAGES:
        files[page] = filled((ROOT / page).read_text(encoding="utf-8"), parts)
    return files


def filled(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The page with all its generated parts.

    Raises:
        KeyError: If a part has a name that nothing writes.
    """
    return _PART.sub(lambda match: f"{match[1]}{parts[match['name']]()}{match[3]}", page)


def main() -> None:
    """Write what has changed and say what that is."""
    for name, content in generate().items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(f"wrote {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
