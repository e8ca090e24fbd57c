"""What is compared: templates that belong together, each with the region it is deployed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One template.

    Attributes:
        name: Name of the stack, or of the file.
        template: The CloudFormation template.
        region: Region it is deployed to; None if unknown or left open.
        answers: What was read from it, so that it is read once.
    """

    name: str
    template: Mapping[str, object]
    region: str | None = None
    answers: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A variant, a file, or all the stacks of an app.

    Attributes:
        name: What reports call it.
        parts: Its templates, the main one first.
        answers: What was read from it, so that it is read once.
    """

    name: str
    parts: tuple[Part, ...]
    answers: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)
