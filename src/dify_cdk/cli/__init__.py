"""The command line ``dify-cdk``: compare architectures from their templates, plan a change, start an app.

Exit status: 0 fine, 1 a finding, 2 bad usage. Every error is one line on stderr, never a traceback. Nothing
heavy is imported before a command needs it, so that ``--help`` answers at once. Each command is a module with
a function ``add`` that defines it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from dify_cdk.cli import _compare, _init, _mirror, _plan, _shared, _synth

_COMMANDS = (_compare, _plan, _synth, _init, _mirror)
_INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report bad arguments like every other error, in one line instead of a page of usage."""
        raise _shared.UsageError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Looks the version up only when asked: reading package metadata takes longer than parsing arguments."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and end."""
        from importlib.metadata import version

        print(f"dify-cdk {version('dify-cdk')}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: Arguments without the program's name. Default: those of the process.
    """
    try:
        arguments = _parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except SystemExit as end:  # argparse ends this way after --help and --version
        return int(end.code or 0)
    except BrokenPipeError:  # the reader, for example ``head``, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _shared.FINE
    except (_shared.UsageError, OSError) as error:  # the latter: a full disk, for example
        print(f"dify-cdk: error: {_one_line(str(error))}", file=sys.stderr)
        return _shared.BAD_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dify-cdk",
        description="Dify on AWS in several architectures: compare, synthesize, or start an app of your own.",
        epilog=_shared.examples_text(
            (
                "dify-cdk compare                      all architectures side by side, no AWS account needed",
                "dify-cdk compare --template cdk.out   what your own app contains and serves",
                "dify-cdk plan v1 v3                   what happens when one replaces the other",
                "dify-cdk init v1 my-dify              a folder that is ready to deploy",
            )
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _one_line(text: str) -> str:
    return " ".join(text.split())
