"""Synthesize an example offline, in this process: the one place of the command line that starts the CDK."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dify_cdk.cdk_helpers.assets import examples_dir, use_wheel_node
from dify_cdk.report.inventory import Message

if TYPE_CHECKING:
    import aws_cdk as cdk
    from aws_cdk import cx_api

_LEVELS = {"WARNING": "warning", "ERROR": "error"}

# Prints every warning on stderr a second time, in a form of its own. Templates do not depend on it.
_NOISY_FLAG = "@aws-cdk/core:annotationsInValidationReport"


class SynthError(Exception):
    """An example cannot be synthesized; the message is one line for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesizedStack:
    """One stack of a synthesized app.

    Attributes:
        name: Name of the stack.
        main: Whether it is the one that the example's ``build`` returned.
        template: The CloudFormation template.
        file: Name of the template's file in the output folder.
        region: Region; None where the stack leaves it open.
        messages: Warnings and errors that constructs recorded.
    """

    name: str
    main: bool
    template: Mapping[str, object]
    file: str
    region: str | None
    messages: tuple[Message, ...]


def synthesize(variant: str, outdir: Path, *, region: str | None = None) -> tuple[SynthesizedStack, ...]:
    """Synthesize an example into a folder, without an account and without the CDK's own validation.

    Args:
        variant: Name of an existing example, for example ``v1``.
        outdir: Where the cloud assembly goes.
        region: Region to build for. Default: the example's own.

    Returns:
        The stacks of the app, the one that ``build`` returned first.

    Raises:
        SynthError: If the CDK does not start or the example fails.
    """
    example = examples_dir() / f"{variant}.py"
    _start_cdk()
    try:
        return _synthesize(example, outdir, region)
    # An example is a user's code, and jsii raises RuntimeError for everything: any failure is theirs to read.
    except (Exception, SystemExit) as error:
        place = _place(example, error)
        raise SynthError(f"{variant} cannot be synthesized{place}: {_line(error)}") from error


def _start_cdk() -> None:
    use_wheel_node()
    # Has to be set before the CDK's Node process starts. Validation takes seconds and belongs to tests.
    os.environ.setdefault("CDK_VALIDATION", "false")
    try:
        import aws_cdk  # noqa: F401
    except Exception as error:
        remedy = "it needs Node: pip install 'dify-cdk[cli]' brings one"
        raise SynthError(f"the CDK does not start, {remedy} ({_line(error)})") from error


def _synthesize(example: Path, outdir: Path, region: str | None) -> tuple[SynthesizedStack, ...]:
    import aws_cdk as cdk

    app = cdk.App(context=_context(region), outdir=str(outdir), analytics_reporting=False)
    main = _build_function(example)(app).artifact_id
    artifacts = app.synth().stacks_recursively
    stacks = [_stack(artifact, main=artifact.id == main) for artifact in artifacts]
    return tuple(sorted(stacks, key=lambda stack: not stack.main))


def _context(region: str | None) -> dict[str, object]:
    """The feature flags that the CDK's command line would read from the examples' ``cdk.json``."""
    settings = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))
    return {**settings["context"], _NOISY_FLAG: False, **({"region": region} if region else {})}


def _build_function(example: Path) -> Callable[[cdk.App], cdk.Stack]:
    spec = spec_from_file_location(f"dify_cdk_example_{example.stem}", example)
    if spec is None or spec.loader is None:
        raise ImportError(f"{example} is not a Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[cdk.App], cdk.Stack]", module.build)


def _stack(artifact: cx_api.CloudFormationStackArtifact, *, main: bool) -> SynthesizedStack:
    region = artifact.environment.region
    return SynthesizedStack(
        name=artifact.stack_name,
        main=main,
        template=artifact.template,
        file=artifact.template_file,
        region=None if region == "unknown-region" else region,
        messages=tuple(_messages(artifact)),
    )


def _messages(artifact: cx_api.CloudFormationStackArtifact) -> Iterator[Message]:
    for message in artifact.messages:
        level = _LEVELS.get(message.level.name)
        if level is not None:
            text = " ".join(str(message.entry.data).split())
            yield Message(level=level, path=message.id.removeprefix("/"), text=text)


def _place(example: Path, error: BaseException) -> str:
    """Line of the example that the failure comes from, which is what its author wants to know."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(example)
    ]
    return f" ({example.name}, line {lines[-1]})" if lines else ""


def _line(error: BaseException) -> str:
    """A failure's text in one line, without the stack of the Node process that jsii appends."""
    lines = [line.strip() for line in str(error).splitlines()]
    message = takewhile(lambda line: not line.startswith("at "), lines)
    return " ".join(filter(None, message)) or type(error).__name__
