"""``dify-cdk mirror``: the commands that copy a release's images into a private registry."""

from __future__ import annotations

import argparse
import sys

from dify_cdk.cli import _shared as shared

TOOLS = ("docker", "crane", "skopeo")
_OPTIONS = {"DifyRelease.registry": "--registry", "DifyRelease.version": "--release"}


def add(commands: shared.Commands) -> None:
    """Define the command and its arguments."""
    command = shared.add_command(
        commands,
        "mirror",
        help="print the commands that copy the images to a private registry",
        description="Print a shell script that copies the images of Dify, with all their platforms, into a "
        "private registry: for closed networks, and past Docker Hub's pull limits. Nothing is run.",
        examples=(
            "dify-cdk mirror --registry registry.example.com/dify",
            "dify-cdk mirror --registry 123456789012.dkr.ecr.eu-west-1.amazonaws.com/dify | sh",
            "dify-cdk mirror --registry registry.example.com --release 1.17.1 --tool crane",
        ),
    )
    command.add_argument(
        "--registry",
        metavar="PREFIX",
        help="what comes before the names of the images, as in DifyRelease(registry=...); default: the "
        "shell's $REGISTRY. For Amazon ECR the repositories are made too",
    )
    command.add_argument(
        "--release",
        dest="releases",
        nargs="+",
        metavar="TAG",
        help="tags of Dify, such as 1.17.1; default: the one this version was tested with",
    )
    command.add_argument("--tool", choices=TOOLS, default=TOOLS[0], help="what copies; default: docker")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from dify_cdk.cli.mirror_script import mirror_script
    from dify_cdk.dify.release import DifyRelease

    versions = arguments.releases or [DifyRelease().version]
    try:
        script = mirror_script(registry=arguments.registry, versions=versions, tool=arguments.tool)
        untested = [version for version in versions if not DifyRelease(version=version).is_tested]
    except ValueError as error:
        raise shared.UsageError(_in_options(str(error))) from error
    for version in untested:
        print(f"warning: Dify {version} is not tested with this version of dify-cdk", file=sys.stderr)
    shared.deliver(script, None)
    return shared.FINE


def _in_options(message: str) -> str:
    """A complaint about an argument of the class, about the option instead."""
    for name, option in _OPTIONS.items():
        message = message.replace(name, option)
    return message
