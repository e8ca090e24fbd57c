"""The command line ``dify-cdk``: compare architectures from their templates, synthesize one, start an app.

Exit status: 0 fine, 1 a finding, 2 bad usage. Every error is one line on stderr, never a traceback. Nothing
heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from dify_cdk._synth import SynthesizedStack
    from dify_cdk.report.inventory import Inventory, Message

FINE, FINDING, BAD_USAGE = 0, 1, 2
_INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C

_WIDTH = 100  # of a table that does not go to a terminal
_SLOW_SECONDS = 2.0
_PLAIN = str.maketrans({"─": "-"})

_EXIT_STATUS = "exit status: 0 fine, 1 a finding, 2 bad usage"


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line for the user."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report bad arguments like every other error, in one line instead of a page of usage."""
        raise UsageError(f"{message} (see {self.prog} --help)")


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
        return FINE
    except (UsageError, OSError) as error:  # the latter: a full disk, for example
        print(f"dify-cdk: error: {_one_line(str(error))}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED


# --- arguments ------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dify-cdk",
        description="Dify on AWS in several architectures: compare, synthesize, or start an app of your own.",
        epilog=_examples(
            "dify-cdk compare                      all variants side by side, no AWS account needed",
            "dify-cdk compare --template cdk.out   what your own app contains and serves",
            "dify-cdk init v1 my-dify              a folder that is ready to deploy",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_compare(commands)
    _add_synth(commands)
    _add_init(commands)
    return parser


def _add_compare(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "compare",
        help="show what templates contain and which routes they serve",
        description="Show resources, containers, routes and warnings, computed from templates only.",
        epilog=_examples(
            "dify-cdk compare",
            "dify-cdk compare v1 --region ap-northeast-1",
            "dify-cdk compare v1 --template cdk.out",
            "dify-cdk compare --template before.json after.json --format json --out difference.json",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    _add_region(command)
    command.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    command.add_argument("--out", type=Path, metavar="F", help="write to this file instead of the terminal")
    command.set_defaults(run=_compare)


def _add_synth(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "synth",
        help="write the CloudFormation templates of a variant",
        description="Write the cloud assembly of a variant (templates and assets), without an AWS account.",
        epilog=_examples("dify-cdk synth v1", "dify-cdk synth v1 --out build/v1 --region eu-west-1"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("variant", metavar="VARIANT", help="an example, such as v1")
    command.add_argument(
        "--out", type=Path, default=Path("cdk.out"), metavar="DIR", help="output folder; default: cdk.out"
    )
    _add_region(command)
    command.set_defaults(run=_synth)


def _add_init(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "init",
        help="write an app of your own from a variant",
        description="Copy a variant into a new folder as a CDK app that is ready to change and to deploy.",
        epilog=_examples("dify-cdk init v1 my-dify"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("variant", metavar="VARIANT", help="an example, such as v1")
    command.add_argument("folder", type=Path, metavar="DIR", help="a new or an empty folder")
    command.set_defaults(run=_init)


def _add_region(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--region", metavar="R", help="AWS region to synthesize variants for; default: the example's"
    )


def _examples(*lines: str) -> str:
    return "\n".join(["examples:", *(f"  {line}" for line in lines), "", _EXIT_STATUS])


# --- commands -------------------------------------------------------------------------------------------


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.format == "table" and find_spec("rich") is None:
        raise UsageError("tables need rich: pip install 'dify-cdk[cli]', or use --format json")
    region = _region(arguments.region)
    variants = arguments.variants or ([] if arguments.templates else _variants())
    for variant in variants:
        _check_variant(variant)
    # Files first: a wrong path is found before seconds of synthesis.
    from_files = [inventory for path in arguments.templates for inventory in _from_file(path)]
    synthesized = [
        inventory for variant in dict.fromkeys(variants) for inventory in _from_variant(variant, region)
    ]
    inventories = _distinct([*synthesized, *from_files])
    _deliver(inventories, arguments.format, arguments.out)
    return _status(message for inventory in inventories for message in inventory.messages)


def _synth(arguments: argparse.Namespace) -> int:
    region = _region(arguments.region)
    _check_variant(arguments.variant)
    _check_assembly_folder(arguments.out)
    stacks = _synthesize(arguments.variant, arguments.out, region)
    messages = [message for stack in stacks for message in stack.messages]
    for message in messages:
        print(f"{message.level}: {message.path}: {message.text}", file=sys.stderr)
    print(f"wrote {', '.join(stack.file for stack in stacks)} to {arguments.out}")
    return _status(messages)


def _init(arguments: argparse.Namespace) -> int:
    from dify_cdk._init import write_app

    try:
        files = write_app(arguments.variant, arguments.folder)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or arguments.folder}: {error.strerror}") from error
    print(f"wrote {', '.join(path.name for path in files)} to {arguments.folder}\n\nnext:")
    print(f"  cd {shlex.quote(str(arguments.folder))} && pip install -r requirements.txt")
    print("  cdk synth\n\nREADME.md there says how to deploy")
    return FINE


def _from_variant(variant: str, region: str | None) -> Iterator[Inventory]:
    from dify_cdk.report.inventory import read

    with tempfile.TemporaryDirectory(prefix="dify-cdk-") as folder:
        stacks = _synthesize(variant, Path(folder), region)
    for stack in stacks:
        name = variant if stack.main else f"{variant} {stack.name}"
        yield replace(read(stack.template, name), region=stack.region, messages=stack.messages)


def _from_file(path: Path) -> Iterator[Inventory]:
    from dify_cdk.report.files import TemplateFileError, read_templates, short_name
    from dify_cdk.report.inventory import read

    try:
        templates = read_templates(path)
    except TemplateFileError as error:
        hint = f"; {path} is a variant: write it before --template" if str(path) in _variants() else ""
        raise UsageError(f"{error}{hint}") from error
    for file, template in templates.items():
        yield replace(read(template, short_name(file)), source=str(file))


def _synthesize(variant: str, folder: Path, region: str | None) -> tuple[SynthesizedStack, ...]:
    from dify_cdk._synth import SynthError, synthesize

    try:
        with _progress(f"synthesizing {variant}"):
            return synthesize(variant, folder, region=region)
    except SynthError as error:
        raise UsageError(str(error)) from error


def _status(messages: Iterable[Message]) -> int:
    return FINDING if any(message.level == "error" for message in messages) else FINE


# --- checks ---------------------------------------------------------------------------------------------


def _variants() -> list[str]:
    from dify_cdk._init import variants

    return variants()


def _check_variant(variant: str) -> None:
    known = _variants()
    if variant not in known:
        hint = f"; for a file use --template {variant}" if Path(variant).exists() else ""
        raise UsageError(f"unknown variant {variant!r}, there are: {', '.join(known)}{hint}")


def _region(region: str | None) -> str | None:
    from dify_cdk.report.regions import REGIONS

    if region is None or region in REGIONS:
        return region
    close = difflib.get_close_matches(region, sorted(REGIONS), n=3)
    hint = f", did you mean {' or '.join(close)}?" if close else ", an example of one is eu-west-1"
    raise UsageError(f"unknown region {region!r}{hint}")


def _check_assembly_folder(folder: Path) -> None:
    """A cloud assembly may be written over, anything else in a folder is somebody's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = any(folder.iterdir()) and not (folder / "cdk.out").is_file()
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    if foreign:
        raise UsageError(
            f"{folder} holds files that are not a cloud assembly, name another folder with --out"
        )


# --- output ---------------------------------------------------------------------------------------------


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


def _deliver(inventories: list[Inventory], format: str, out: Path | None) -> None:
    from dify_cdk.report.render import to_json, to_table

    terminal = out is None and sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((_WIDTH, 0)).columns if terminal else _WIDTH
    text = to_json(inventories) if format == "json" else to_table(inventories, width=width, colour=colour)
    if out is None:
        _print(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    print(f"wrote {out}")


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a terminal without Unicode still deserves a table
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _progress(step: str) -> Iterator[None]:
    """Say on stderr what takes so long: at once in a terminal, elsewhere only if the step is slow."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{step} ...")
        sys.stderr.flush()
        try:
            yield
        finally:
            sys.stderr.write("\r\x1b[K")
        return
    timer = threading.Timer(_SLOW_SECONDS, lambda: print(f"{step} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _one_line(text: str) -> str:
    return " ".join(text.split())
