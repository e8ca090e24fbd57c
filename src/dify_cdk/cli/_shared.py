"""What the commands share: exit statuses, checks of arguments, progress, and where the output goes."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_cdk._synth import SynthesizedStack
    from dify_cdk.report.inventory import Message

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FINE, FINDING, BAD_USAGE = 0, 1, 2

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
        description=description,
        epilog=examples_text(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def examples_text(lines: Iterable[str]) -> str:
    """The end of a help text: examples, and what the exit status means."""
    return "\n".join(["examples:", *(f"  {line}" for line in lines), "", _EXIT_STATUS])


def add_region(command: argparse.ArgumentParser) -> None:
    """Let a command take ``--region``."""
    command.add_argument(
        "--region", metavar="R", help="AWS region to synthesize variants for; default: the example's"
    )


# --- checks ---------------------------------------------------------------------------------------------


def variants() -> list[str]:
    """The names of the examples."""
    from dify_cdk import _init

    return _init.variants()


def architectures() -> list[str]:
    """The names of the examples that are an architecture each."""
    from dify_cdk import _init

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


# --- work -----------------------------------------------------------------------------------------------


def synthesize(variant: str, folder: Path, region: str | None) -> tuple[SynthesizedStack, ...]:
    """The stacks of an example, with a word about the progress.

    Raises:
        UsageError: If it cannot be synthesized.
    """
    from dify_cdk import _synth

    try:
        with progress(f"synthesizing {variant}"):
            return _synth.synthesize(variant, folder, region=region)
    except _synth.SynthError as error:
        raise UsageError(str(error)) from error


def status(messages: Iterable[Message]) -> int:
    """The exit status after what the CDK had to say."""
    return FINDING if any(message.level == "error" for message in messages) else FINE


@contextmanager
def progress(step: str) -> Iterator[None]:
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


# --- output ---------------------------------------------------------------------------------------------


def colourful(out: Path | None) -> bool:
    """Whether the output may have colours: it goes to a terminal that shows them."""
    terminal = out is None and sys.stdout.isatty()
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a terminal without Unicode still deserves a table
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()
