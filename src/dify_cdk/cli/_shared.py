"""What the commands share: exit statuses, checks of arguments, progress, and where the output goes."""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dify_cdk.cli.synth_example import SynthesizedStack
    from dify_cdk.report.inventory import Message
    from dify_cdk.report.output.sections import Report
    from dify_cdk.report.templates.files import Source
    from dify_cdk.report.templates.subject import Subject

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FINE, FINDING, BAD_USAGE = 0, 1, 2

_WIDTH = 100  # of a table that does not go to a terminal
_FORMATS = ("table", "markdown", "json", "html")
_SUFFIXES = {".md": "markdown", ".json": "json", ".html": "html"}
_SLOW_SECONDS = 2.0
_PLAIN = str.maketrans({"─": "-", "≥": ">="})

_EXIT_STATUS = "exit status: 0 fine, 1 a finding, 2 bad usage"


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line for the user."""


# --- arguments ------------------------------------------------------------------------------------------


def add_command(
    commands: Commands, name: str, *, help: str, description: str, examples: Iterable[str]
) -> argparse.ArgumentParser:
    """A new command whose help ends with examples."""
    return commands.add_parser(
        name,
        help=help,
        description=paragraph(description),
        epilog=examples_text(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def paragraph(text: str) -> str:
    """Text in lines that fit the terminal: the formatter of the help leaves them as they are."""
    return textwrap.fill(text, max(20, min(_WIDTH, shutil.get_terminal_size().columns) - 2))


def examples_text(lines: Iterable[str]) -> str:
    """The end of a help text: examples, and what the exit status means."""
    return "\n".join(["examples:", *(f"  {line}" for line in lines), "", _EXIT_STATUS])


def add_region(command: argparse.ArgumentParser) -> None:
    """Let a command take ``--region``."""
    command.add_argument(
        "--region", metavar="R", help="AWS region to synthesize variants for; default: the example's"
    )


def add_output(command: argparse.ArgumentParser) -> None:
    """Let a command take ``--format`` and ``--out``."""
    command.add_argument(
        "--format", choices=_FORMATS, help="default: what the ending of --out says (.md, ...), else table"
    )
    command.add_argument("--out", type=Path, metavar="F", help="write to this file instead of the terminal")


# --- checks ---------------------------------------------------------------------------------------------


def variants() -> list[str]:
    """The names of the examples."""
    from dify_cdk.cli import init_app as _init

    return _init.variants()


def architectures() -> list[str]:
    """The names of the examples that are an architecture each."""
    from dify_cdk.cli import init_app as _init

    return _init.architectures()


def check_variant(variant: str) -> None:
    """Refuse what is no example.

    Raises:
        UsageError: If there is no example of this name.
    """
    known = variants()
    if variant not in known:
        hint = f"; for a file use --template {variant}" if Path(variant).exists() else ""
        raise UsageError(f"unknown variant {variant!r}, there are: {', '.join(known)}{hint}")


def check_region(region: str | None) -> str | None:
    """Return the region if there is one of this name.

    Raises:
        UsageError: If there is none.
    """
    from dify_cdk.report.regions import REGIONS

    if region is None or region in REGIONS:
        return region
    close = difflib.get_close_matches(region, sorted(REGIONS), n=3)
    hint = f", did you mean {' or '.join(close)}?" if close else ", an example of one is eu-west-1"
    raise UsageError(f"unknown region {region!r}{hint}")


def check_output(arguments: argparse.Namespace) -> None:
    """Settle the format of what :func:`add_output` added.

    Raises:
        UsageError: If it needs a package that is not installed.
    """
    if arguments.format is None:
        suffix = arguments.out.suffix.lower() if arguments.out else ""
        arguments.format = _SUFFIXES.get(suffix, "table")
    if arguments.format == "table" and find_spec("rich") is None:
        raise UsageError("tables need rich: pip install 'dify-cdk[cli]', or use --format markdown")


# --- work -----------------------------------------------------------------------------------------------


def synthesize(variant: str, folder: Path, region: str | None) -> tuple[SynthesizedStack, ...]:
    """The stacks of an example, with a word about the progress.

    Raises:
        UsageError: If it cannot be synthesized.
    """
    from dify_cdk.cli import synth_example as _synth

    try:
        with progress(f"synthesizing {variant}"):
            return _synth.synthesize(variant, folder, region=region)
    except _synth.SynthError as error:
        raise UsageError(str(error)) from error


def subject(variant: str, region: str | None) -> tuple[Subject, tuple[SynthesizedStack, ...]]:
    """An example as the reports read it, and the stacks it was read from.

    Raises:
        UsageError: If it cannot be synthesized.
    """
    from dify_cdk.report.templates.subject import Part, Subject

    with tempfile.TemporaryDirectory(prefix="dify-cdk-") as folder:
        stacks = synthesize(variant, Path(folder), region)
    parts = (Part(name=stack.name, template=stack.template, region=stack.region) for stack in stacks)
    return Subject(name=variant, parts=tuple(parts)), stacks


def source(path: Path, hint: str = "") -> Source:
    """What a template file or a ``cdk.out`` folder holds.

    Args:
        path: Where it is.
        hint: What to add to the message if it cannot be read.

    Raises:
        UsageError: If it cannot be read.
    """
    from dify_cdk.report.templates.files import TemplateFileError, read_source

    try:
        return read_source(path)
    except TemplateFileError as error:
        raise UsageError(f"{error}{hint}") from error


def ends_of(paths: Sequence[Path]) -> list[str]:
    """The end of each path, from where they differ: what is long makes columns narrow."""
    from dify_cdk.report.templates.files import short_name

    whole = [path.absolute() for path in paths]
    parents = [set(path.parents) for path in whole]
    common = (
        max(set.intersection(*parents), key=lambda path: len(path.parts), default=None) if parents else None
    )
    ends = [path.relative_to(common) if common else path for path in whole]
    return [str(end.with_name(short_name(end))) for end in ends]


def status(messages: Iterable[Message]) -> int:
    """The exit status after what the CDK had to say."""
    return FINDING if any(message.level == "error" for message in messages) else FINE


@contextmanager
def progress(step: str) -> Iterator[None]:
    """Say on stderr what takes so long: at once in a terminal, elsewhere only if the step is slow."""
    if _leads_to_terminal(sys.stderr):
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


# --- output ---------------------------------------------------------------------------------------------


def _is_terminal(out: Path | None) -> bool:
    return out is None and _leads_to_terminal(sys.stdout)


def _leads_to_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # a stream that the shell closed is None


def written(report: Report, arguments: argparse.Namespace, *, details: bool = False) -> str:
    """A report as what :func:`add_output` added says; ``details`` shows what a terminal folds."""
    if arguments.format == "html":
        from dify_cdk.report.output.html import to_html

        return to_html(report)
    if arguments.format == "markdown":
        from dify_cdk.report.output.markdown import to_markdown

        return to_markdown(report)
    from dify_cdk.report.output.terminal import to_table

    out = arguments.out
    return to_table(report, width=width(out), colour=colourful(out), details=details)


def width(out: Path | None) -> int:
    """Columns of the output: those of the terminal it goes to, elsewhere as many as a page has."""
    return shutil.get_terminal_size((_WIDTH, 0)).columns if _is_terminal(out) else _WIDTH


def colourful(out: Path | None) -> bool:
    """Whether the output may have colours: it goes to a terminal that shows them."""
    return _is_terminal(out) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def deliver(text: str, out: Path | None) -> None:
    """Print the text, or write it to a file and say so.

    Raises:
        UsageError: If the file cannot be written.
    """
    if out is None:
        _print(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    print(f"wrote {out}")


def _print(text: str) -> None:
    if sys.stdout is None:
        raise UsageError("the output is closed: name a file to write to, or open it")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a terminal without Unicode still deserves a table
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()
