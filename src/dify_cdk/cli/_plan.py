"""``dify-cdk plan``: what happens when one architecture replaces another in the same stacks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dify_cdk.cli import _shared as shared

if TYPE_CHECKING:
    from dify_cdk.report.plan.plan import Plan
    from dify_cdk.report.templates.subject import Subject


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "plan",
        help="show what happens when one architecture replaces another",
        description="Show what CloudFormation does when one template replaces another in the same stack: "
        "what it keeps, updates, replaces, adds and removes, what holds data, and why it would fail. Ends "
        "with exit status 1 if data is replaced or lost, or something is in the way.",
        examples=(
            "dify-cdk plan v1 v3",
            "dify-cdk plan v1 v3 --region ap-northeast-1 --format markdown --out plan.md",
            "dify-cdk plan deployed.json cdk.out",
            "dify-cdk plan v2 cdk.out --format json",
        ),
    )
    meaning = "an example such as v1, a template (JSON), or a cdk.out folder of any CDK app"
    command.add_argument("before", metavar="FROM", help=f"what is there: {meaning}")
    command.add_argument("after", metavar="TO", help="what replaces it, likewise")
    shared.add_region(command)
    shared.add_output(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    shared.check_output(arguments)
    from dify_cdk.report.plan.plan import plan

    region = shared.check_region(arguments.region)
    names = (arguments.before, arguments.after)
    for name in names:
        _check(name)
    # Files first: a wrong path is found before seconds of synthesis.
    read = {name: shared.source(Path(name)).subject for name in names if not _is_variant(name)}
    read |= {name: shared.subject(name, region)[0] for name in dict.fromkeys(names) if _is_variant(name)}
    before, after = _distinct([read[name] for name in names], names)
    result = plan(before, after)
    shared.deliver(_text(result, arguments), arguments.out)
    return shared.FINDING if result.is_finding else shared.FINE


# --- what is compared -----------------------------------------------------------------------------------


def _is_variant(name: str) -> bool:
    return name in shared.variants()


def _check(name: str) -> None:
    if not _is_variant(name) and not Path(name).exists():
        known = ", ".join(shared.variants())
        raise shared.UsageError(f"{name!r} is no file, no folder and no variant; variants are: {known}")


def _distinct(subjects: Sequence[Subject], names: Sequence[str]) -> Sequence[Subject]:
    """Tell two files of one name apart by their paths: most stacks of this package are called the same."""
    alike = len({subject.name for subject in subjects}) == 1 and len(set(names)) > 1
    if not alike or any(map(_is_variant, names)):
        return subjects
    ends = shared.ends_of([Path(name) for name in names])
    return [replace(subject, name=end) for subject, end in zip(subjects, ends, strict=True)]


# --- output ---------------------------------------------------------------------------------------------


def _text(result: Plan, arguments: argparse.Namespace) -> str:
    if arguments.format == "json":
        from dify_cdk.report.output.plan_json import to_json

        return to_json(result)
    from dify_cdk.report.output.plans import report

    return shared.written(report(result), arguments)
