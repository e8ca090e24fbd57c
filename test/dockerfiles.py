"""Reads the Dockerfiles of the package: stages, their instructions, and what these say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dify_cdk

DOCKER = Path(dify_cdk.__file__).parent / "docker"
IMAGES = tuple(sorted(path.parent.name for path in DOCKER.glob("*/Dockerfile")))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        name: Its name in capitals.
        text: What follows the name.
    """

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The text as words; a JSON list as its elements."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)

    @property
    def is_exec_form(self) -> bool:
        """Whether no shell is involved."""
        return self.text.startswith("[")

    @property
    def options(self) -> dict[str, str]:
        """``--name=value`` before the words."""
        found = (word[2:].partition("=") for word in self.words if word.startswith("--"))
        return {name: value for name, _, value in found}

    @property
    def pairs(self) -> dict[str, str]:
        """``NAME=value`` of an ENV or ARG; a name without value is empty."""
        found = (word.partition("=") for word in self.words)
        return {name: value for name, _, value in found}


@dataclass(frozen=True, slots=True)
class Stage:
    """What one FROM starts.

    Attributes:
        base: The image it starts from, with variables.
        name: Its name, if it has one.
        instructions: What follows.
    """

    base: str
    name: str | None
    instructions: Sequence[Instruction]

    def all(self, name: str) -> list[Instruction]:
        """The instructions of a name."""
        return [one for one in self.instructions if one.name == name]

    def last(self, name: str) -> Instruction:
        """The instruction of a name that counts."""
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """All ENV together."""
        return {name: value for one in self.all("ENV") for name, value in one.pairs.items()}

    @property
    def copied(self) -> list[tuple[str, str]]:
        """File of the folder and where it goes, for every COPY that is not from another stage."""
        found = []
        for one in self.all("COPY"):
            if "from" not in one.options:
                *sources, target = (word for word in one.words if not word.startswith("--"))
                found += [(source, f"{target}{source}") for source in sources]
        return found


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile.

    Attributes:
        folder: Where it is, the context of its build.
        arguments: ARG before the first FROM: name to default, empty where there is none.
        stages: What its FROMs start; the last one is the image.
    """

    folder: Path
    arguments: Mapping[str, str]
    stages: Sequence[Stage]

    @property
    def image(self) -> Stage:
        """The stage that is the image."""
        return self.stages[-1]

    def resolved(self, text: str) -> str:
        """A text with the defaults of arguments in it."""
        while "${" in text:
            text = re.sub(r"\$\{(\w+)\}", lambda match: self.arguments[match[1]], text)
        return text


def instructions_in(text: str) -> list[Instruction]:
    """The instructions, without comments; comments between continued lines are none of their lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Instruction(name.upper(), rest.strip()) for name, _, rest in found]


def read(name: str) -> Dockerfile:
    """The Dockerfile of an image in the package."""
    return read_folder(DOCKER / name)


def read_folder(folder: Path) -> Dockerfile:
    """The Dockerfile of a folder."""
    arguments: dict[str, str] = {}
    stages: list[tuple[Instruction, list[Instruction]]] = []
    for one in instructions_in((folder / "Dockerfile").read_text(encoding="utf-8")):
        if one.name == "FROM":
            stages.append((one, []))
        elif stages:
            stages[-1][1].append(one)
        else:
            assert one.name == "ARG", one
            arguments |= one.pairs
    found = []
    for start, following in stages:
        base, *rest = start.words
        found.append(Stage(base, rest[1] if rest else None, following))
    return Dockerfile(folder, arguments, found)
