"""``dify-cdk compare``: what architectures contain, support and cost, side by side."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from dify_cdk.cli import _shared as shared

if TYPE_CHECKING:
    from dify_cdk.report.comparison import Comparison
    from dify_cdk.report.cost.prices import Prices
    from dify_cdk.report.cost.usage import Usage
    from dify_cdk.report.inventory import Inventory
    from dify_cdk.report.templates.subject import Subject

    Read = tuple[Subject, tuple[Inventory, ...]]

PROFILES = ("small", "team", "company")
"""Names of the usage profiles; loading them for ``--help`` would take longer than parsing arguments."""


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "compare",
        help="show what architectures contain, support and cost, side by side",
        description="Show resources, effective limits, monthly cost, containers, routes and warnings, "
        "computed from templates only.",
        examples=(
            "dify-cdk compare",
            "dify-cdk compare v1 v3 --region ap-northeast-1 --usage company",
            "dify-cdk compare v4 v4_low_cost",
            "dify-cdk compare v1 --template cdk.out",
            "dify-cdk compare --template cdk.out --region us-east-1 --usage-file usage.json",
            "dify-cdk compare --template before.json after.json --format json --out difference.json",
            "dify-cdk compare --format html --out comparison.html",
        ),
    )
    command.add_argument(
        "variants",
        nargs="*",
        metavar="VARIANT",
        help="an example, such as v1 or v4_low_cost; default: one of each architecture",
    )
    command.add_argument(
        "--template",
        dest="templates",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="FILE",
        help="a synthesized template (JSON), or a cdk.out folder of any CDK app: all its stacks together",
    )
    command.add_argument(
        "--region",
        metavar="R",
        help="AWS region to synthesize variants for, and whose prices count; default: the example's, and "
        "that of a cdk.out folder",
    )
    usage = command.add_mutually_exclusive_group()
    usage.add_argument(
        "--usage", choices=PROFILES, default="team", help="what happens in a month; default: team, 50 people"
    )
    usage.add_argument(
        "--usage-file", type=Path, metavar="F", help='a usage of your own as JSON, such as {"users": 20}'
    )
    command.add_argument(
        "--details",
        action="store_true",
        help="show the containers, routes and cost lines of each in a table of several; other formats and "
        "a single one always have them",
    )
    shared.add_output(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    shared.check_output(arguments)
    from dify_cdk.report.comparison import compare
    from dify_cdk.report.cost.prices import load_prices

    region = shared.check_region(arguments.region)
    variants = arguments.variants or ([] if arguments.templates else shared.architectures())
    for variant in variants:
        shared.check_variant(variant)
    # Files first: a wrong path is found before seconds of synthesis.
    usage_name, usage = _usage(arguments)
    from_files = [_from_file(path) for path in arguments.templates]
    synthesized = [_from_variant(variant, region) for variant in dict.fromkeys(variants)]
    prices = load_prices()
    comparison = compare(
        _distinct([*synthesized, *from_files]),
        region=region,
        usage=usage,
        usage_name=usage_name,
        prices=prices,
    )
    _warn(prices, comparison)
    shared.deliver(_text(comparison, arguments), arguments.out)
    return shared.status(message for one in comparison.compared for message in one.whole.messages)


# --- what is compared -----------------------------------------------------------------------------------


def _usage(arguments: argparse.Namespace) -> tuple[str, Usage]:
    from dify_cdk.report.cost.usage import USAGES, read_usage

    if arguments.usage_file is None:
        return arguments.usage, USAGES[arguments.usage]
    try:
        return str(arguments.usage_file), read_usage(arguments.usage_file)
    except ValueError as error:
        raise shared.UsageError(str(error)) from error


def _from_variant(variant: str, region: str | None) -> Read:
    from dify_cdk.report.comparison import inventories

    subject, stacks = shared.subject(variant, region)
    return subject, inventories(subject, messages={stack.name: stack.messages for stack in stacks})


def _from_file(path: Path) -> Read:
    from dify_cdk.report.comparison import inventories

    hint = f"; {path} is a variant: write it before --template" if str(path) in shared.variants() else ""
    source = shared.source(path, hint)
    return source.subject, inventories(source.subject, sources=[str(file) for file in source.files])


def _distinct(found: list[Read]) -> Iterator[Read]:
    """Give every subject a name of its own: of two alike, those from files take the path of their file."""
    common = Counter(subject.name for subject, _ in found)
    paths = [_path(parts) if common[subject.name] > 1 else None for subject, parts in found]
    shorter = iter(shared.ends_of([path for path in paths if path]))
    seen: Counter[str] = Counter()
    for (subject, parts), path in zip(found, paths, strict=True):
        name = next(shorter) if path else subject.name
        seen[name] += 1
        number = f" ({seen[name]})" if seen[name] > 1 else ""
        yield replace(subject, name=f"{name}{number}"), parts


def _path(parts: tuple[Inventory, ...]) -> Path | None:
    """Where a subject was read from: its file, or the folder of its files."""
    source = parts[0].source
    if source is None:
        return None
    return Path(source) if len(parts) == 1 else Path(source).parent


# --- output ---------------------------------------------------------------------------------------------


def _warn(prices: Prices, comparison: Comparison) -> None:
    """Say on stderr what makes the cost less reliable than it looks."""
    if prices.is_old(date.today()):
        print(
            f"warning: the prices are of {prices.as_of.isoformat()}, older than 180 days: "
            "a newer dify-cdk may have newer ones",
            file=sys.stderr,
        )
    regions = dict.fromkeys(one.cost.region for one in comparison.compared)
    for region in regions:
        if region is not None and region not in prices.regions:
            print(
                f"warning: no prices of {region}, only of {', '.join(prices.regions)}: "
                "most of its costs are unknown",
                file=sys.stderr,
            )


def _text(comparison: Comparison, arguments: argparse.Namespace) -> str:
    if arguments.format == "json":
        from dify_cdk.report.output.compare_json import to_json

        return to_json(comparison)
    from dify_cdk.report.output.comparisons import report

    return shared.written(report(comparison), arguments, details=arguments.details)
