"""``dify-cdk compare``: what templates contain and serve, side by side."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dify_cdk.cli import _shared as shared

if TYPE_CHECKING:
    from dify_cdk.report.inventory import Inventory

_WIDTH = 100  # of a table that does not go to a terminal


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "compare",
        help="show what templates contain and which routes they serve",
        description="Show resources, containers, routes and warnings, computed from templates only.",
        examples=(
            "dify-cdk compare",
            "dify-cdk compare v1 --region ap-northeast-1",
            "dify-cdk compare v1 --template cdk.out",
            "dify-cdk compare --template before.json after.json --format json --out difference.json",
        ),
    )
    command.add_argument(
        "variants", nargs="*", metavar="VARIANT", help="an example, such as v1; default: all"
    )
    command.add_argument(
        "--template",
        dest="templates",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="FILE",
        help="a synthesized template (JSON) or a cdk.out folder of any CDK app",
    )
    shared.add_region(command)
    command.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    command.add_argument("--out", type=Path, metavar="F", help="write to this file instead of the terminal")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.format == "table" and find_spec("rich") is None:
        raise shared.UsageError("tables need rich: pip install 'dify-cdk[cli]', or use --format json")
    region = shared.check_region(arguments.region)
    variants = arguments.variants or ([] if arguments.templates else shared.variants())
    for variant in variants:
        shared.check_variant(variant)
    # Files first: a wrong path is found before seconds of synthesis.
    from_files = [inventory for path in arguments.templates for inventory in _from_file(path)]
    synthesized = [
        inventory for variant in dict.fromkeys(variants) for inventory in _from_variant(variant, region)
    ]
    inventories = _distinct([*synthesized, *from_files])
    shared.deliver(_text(inventories, arguments.format, arguments.out), arguments.out)
    return shared.status(message for inventory in inventories for message in inventory.messages)


def _from_variant(variant: str, region: str | None) -> Iterator[Inventory]:
    from dify_cdk.report.inventory import read

    with tempfile.TemporaryDirectory(prefix="dify-cdk-") as folder:
        stacks = shared.synthesize(variant, Path(folder), region)
    for stack in stacks:
        name = variant if stack.main else f"{variant} {stack.name}"
        yield replace(read(stack.template, name), region=stack.region, messages=stack.messages)


def _from_file(path: Path) -> Iterator[Inventory]:
    from dify_cdk.report.files import TemplateFileError, read_templates, short_name
    from dify_cdk.report.inventory import read

    try:
        templates = read_templates(path)
    except TemplateFileError as error:
        hint = f"; {path} is a variant: write it before --template" if str(path) in shared.variants() else ""
        raise shared.UsageError(f"{error}{hint}") from error
    for file, template in templates.items():
        yield replace(read(template, short_name(file)), source=str(file))


def _distinct(inventories: list[Inventory]) -> list[Inventory]:
    """Give every template a name of its own: of two alike, those from files take their path."""
    common = Counter(inventory.name for inventory in inventories)
    named = [
        replace(one, name=one.source) if one.source and common[one.name] > 1 else one for one in inventories
    ]
    seen: Counter[str] = Counter()
    result = []
    for inventory in named:
        seen[inventory.name] += 1
        number = seen[inventory.name]
        result.append(inventory if number == 1 else replace(inventory, name=f"{inventory.name} ({number})"))
    return result


def _text(inventories: list[Inventory], format: str, out: Path | None) -> str:
    from dify_cdk.report.render import to_json, to_table

    if format == "json":
        return to_json(inventories)
    terminal = out is None and sys.stdout.isatty()
    width = shutil.get_terminal_size((_WIDTH, 0)).columns if terminal else _WIDTH
    return to_table(inventories, width=width, colour=shared.colourful(out))
