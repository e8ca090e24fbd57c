"""What a block of shell commands says: its simple commands, and whether an ``aws`` command exists."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape, StructureShape

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A program with its arguments; values may hold variables and substitutions, as they are written."""

    program: str
    arguments: tuple[str, ...]


def commands(code: str) -> list[Command]:
    """The simple commands of a script in order, those inside ``$(...)`` after the one that holds them."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        found += list(_commands(line))
    return found


def _commands(line: str) -> Iterator[Command]:
    outer, inner = _without_substitutions(line)
    reader = shlex.shlex(outer, posix=True, punctuation_chars="|&;()")
    reader.whitespace_split = True
    words: list[str] = []
    for word in [*reader, ";"]:
        if set(word) <= set("|&;()"):
            yield from _command(words)
            words = []
        else:
            words.append(word)
    for text in inner:
        yield from _commands(text)


def _without_substitutions(line: str) -> tuple[str, list[str]]:
    """The line with each ``$(...)`` as the word SUBSTITUTED, and what was inside."""
    inner = []
    while (start := line.find("$(")) >= 0:
        depth = 0
        for end in range(start + 1, len(line)):
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            if depth == 0:
                break
        inner.append(line[start + 2 : end])
        line = f"{line[:start]}SUBSTITUTED{line[end + 1 :]}"
    return line, inner


def _command(words: Sequence[str]) -> Iterator[Command]:
    rest = [
        word for number, word in enumerate(words) if ">" not in (word, *words[max(0, number - 1) : number])
    ]
    while rest and (_ASSIGNMENT.match(rest[0]) or rest[0] == "export"):
        rest.pop(0)
    if rest:
        yield Command(program=rest[0], arguments=tuple(rest[1:]))


# --- aws ------------------------------------------------------------------------------------------------

_GLOBAL_OPTIONS = {"region", "profile", "query", "output", "no-cli-pager"}
_HIGH_LEVEL = {  # commands of the AWS command line itself, which no service model describes
    ("s3", "sync"): {"exclude", "include", "delete", "dryrun"},
    ("s3", "ls"): {"recursive", "summarize"},
    ("s3", "rm"): {"recursive", "dryrun"},
    ("logs", "tail"): {"since", "follow", "filter-pattern", "format"},
    ("configure", "list"): set(),
}


def check_aws(arguments: Sequence[str], *, complete: bool = True) -> None:
    """Raise ``AssertionError`` unless service, operation and options exist.

    Args:
        arguments: What stands after ``aws``.
        complete: Whether required options have to be there too; a sentence may name a command without them.
    """
    service, operation, *rest = arguments
    options = _options(rest)
    high_level = _HIGH_LEVEL.get((service, operation))
    if high_level is not None:
        assert options.keys() <= high_level | _GLOBAL_OPTIONS, (service, operation, options)
        return
    if operation == "wait":
        waiter, *rest = rest
        options = _options(rest)
        model = _waited_for(service, waiter)
    else:
        known = {xform_name(name, "-"): name for name in _model(service).operation_names}
        assert operation in known, f"aws {service} has no {operation}"
        model = _model(service).operation_model(known[operation])
    _check_options(model, options, complete=complete)
    if "query" in options:
        _check_query(model.output_shape, options["query"] or "")


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def _model(service: str) -> Any:
    return _session().get_service_model(service)


def _waited_for(service: str, waiter: str) -> OperationModel:
    waiters = _session().get_component("data_loader").load_service_model(service, "waiters-2")["waiters"]
    known = {xform_name(name, "-"): waiters[name]["operation"] for name in waiters}
    assert waiter in known, f"aws {service} cannot wait for {waiter}"
    model: OperationModel = _model(service).operation_model(known[waiter])
    return model


def _options(words: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    last = None
    for word in words:
        if word.startswith("--"):
            last, separator, value = word[2:].partition("=")
            found[last] = value if separator else None
        elif last is not None and found[last] is None:
            found[last] = word
    return found


def _check_options(model: OperationModel, options: dict[str, str | None], *, complete: bool) -> None:
    members: dict[str, Shape] = dict(model.input_shape.members) if model.input_shape else {}
    names = {xform_name(name, "-"): name for name in members}
    for option, value in options.items():
        if option in _GLOBAL_OPTIONS:
            continue
        name = names.get(option) or names.get(option.removeprefix("no-"))
        assert name, f"aws {model.service_model.service_name} {model.name} has no --{option}"
        shape = members[name]
        assert (shape.type_name == "boolean") == (value is None), f"--{option}"
        allowed = getattr(shape, "enum", None)
        if allowed and value and "$" not in value:
            assert value in allowed, f"--{option} {value}"
    given = {names.get(option) for option in options}
    required = set(model.input_shape.required_members if model.input_shape else ())
    assert required <= given or not complete, model.name


def _check_query(output: Shape | None, query: str) -> None:
    """Whether every field that a query names is one that the answer has somewhere."""
    known = set(_fields(output, set()))
    tree = importlib.import_module("jmespath").compile(query).parsed  # botocore brings it, without types
    unknown = set(_named(tree)) - known
    assert not unknown, f"{query}: no field {', '.join(sorted(unknown))}"


def _named(node: dict[str, Any]) -> Iterator[str]:
    if node["type"] == "field":
        yield node["value"]
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _named(child)


def _fields(shape: Shape | None, seen: set[str]) -> Iterator[str]:
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield name
            yield from _fields(member, seen)
    elif shape.type_name == "list":
        yield from _fields(shape.member, seen)  # type: ignore[attr-defined]
    elif shape.type_name == "map":
        yield from _fields(shape.value, seen)  # type: ignore[attr-defined]
