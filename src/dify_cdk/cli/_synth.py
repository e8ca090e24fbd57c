"""``dify-cdk synth``: the CloudFormation templates of a variant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dify_cdk.cli import _shared as shared


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "synth",
        help="write the CloudFormation templates of a variant",
        description="Write the cloud assembly of a variant (templates and assets), without an AWS account.",
        examples=("dify-cdk synth v1", "dify-cdk synth v1 --out build/v1 --region eu-west-1"),
    )
    command.add_argument("variant", metavar="VARIANT", help="an example, such as v1")
    command.add_argument(
        "--out", type=Path, default=Path("cdk.out"), metavar="DIR", help="output folder; default: cdk.out"
    )
    shared.add_region(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    region = shared.check_region(arguments.region)
    shared.check_variant(arguments.variant)
    _check_assembly_folder(arguments.out)
    stacks = shared.synthesize(arguments.variant, arguments.out, region)
    messages = [message for stack in stacks for message in stack.messages]
    for message in messages:
        print(f"{message.level}: {message.path}: {message.text}", file=sys.stderr)
    print(f"wrote {', '.join(stack.file for stack in stacks)} to {arguments.out}")
    return shared.status(messages)


def _check_assembly_folder(folder: Path) -> None:
    """A cloud assembly may be written over, anything else in a folder is somebody's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = any(folder.iterdir()) and not (folder / "cdk.out").is_file()
    except OSError as error:
        raise shared.UsageError(f"cannot write to {folder}: {error.strerror}") from error
    if foreign:
        raise shared.UsageError(
            f"{folder} holds files that are not a cloud assembly, name another folder with --out"
        )
