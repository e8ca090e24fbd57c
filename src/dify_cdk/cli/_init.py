"""``dify-cdk init``: an app of one's own from a variant."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from dify_cdk.cli import _shared as shared


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "init",
        help="write an app of your own from a variant",
        description="Copy a variant into a new folder as a CDK app that is ready to change and to deploy.",
        examples=("dify-cdk init v1 my-dify",),
    )
    command.add_argument("variant", metavar="VARIANT", help="an example, such as v1")
    command.add_argument("folder", type=Path, metavar="DIR", help="a new or an empty folder")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from dify_cdk.cli import init_app as _init

    try:
        files = _init.write_app(arguments.variant, arguments.folder)
    except ValueError as error:
        raise shared.UsageError(str(error)) from error
    except OSError as error:
        place = error.filename or arguments.folder
        raise shared.UsageError(f"cannot write {place}: {error.strerror}") from error
    print(f"wrote {', '.join(path.name for path in files)} to {arguments.folder}\n\nnext:")
    print(f"  cd {shlex.quote(str(arguments.folder))} && pip install -r requirements.txt")
    print("  cdk synth\n\nREADME.md there says how to deploy")
    before = _init.what_to_change(arguments.variant)
    if before:
        print(before.replace("`", ""))
    return shared.FINE
