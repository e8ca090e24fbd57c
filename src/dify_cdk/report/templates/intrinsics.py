"""The intrinsic functions of CloudFormation: what an expression stands for, as far as a template tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from dify_cdk.report.templates.values import NOTHING, Value, concat, opaque, shown, text

MAX_DEPTH = 40  # far deeper than any real expression; a template from outside must not exhaust the stack
PLACEHOLDER = re.compile(r"\$\{(!?)([^}]*)\}")


class Scope(Protocol):
    """What the names in an expression stand for."""

    def name(self, id: str, attribute: str) -> Value:
        """A resource, one of its attributes (empty for ``Ref``), a parameter, or what is missing."""

    def choice(self, condition: str, first: Value, second: Value) -> Value:
        """What a condition decides."""

    def mapped(self, table: str) -> tuple[object, Value]:
        """A mapping, and the beginning of the value for an entry that is not known."""

    def imported(self, export: Value, depth: int) -> Value | None:
        """What another stack exports; None if that is not known."""

    def output(self, stack: str, name: str, depth: int) -> Value | None:
        """What another stack puts out; None if that is not known."""


def evaluate(scope: Scope, value: object, depth: int = 0) -> Value:
    """An expression in comparable form. Never raises: what is not understood stands as it is written."""
    if depth > MAX_DEPTH:
        return opaque(value)
    match value:
        case None:
            return NOTHING
        case list():
            found = (evaluate(scope, item, depth + 1) for item in value)
            return ("list", *(item for item in found if item != NOTHING))
        case Mapping():
            ((name, argument),) = value.items() if len(value) == 1 else (("", None),)
            if isinstance(name, str) and (name in ("Ref", "Condition") or name.startswith("Fn::")):
                known = _function(scope, name, argument, depth)
                return known or ("function", name, evaluate(scope, argument, depth + 1))
            pairs = ((str(key), evaluate(scope, item, depth + 1)) for key, item in value.items())
            return ("map", *sorted((key, item) for key, item in pairs if item != NOTHING))
    return text(value)


def _function(scope: Scope, name: str, argument: object, depth: int) -> Value | None:
    """What a function stands for; None if that is only known when the template is deployed."""

    def read(value: object) -> Value:
        return evaluate(scope, value, depth + 1)

    match name, argument:
        case "Ref", str(id):
            found: Value | None = _named(scope, id)
        case "Fn::GetAtt", str(path):
            found = _named(scope, *path.split(".", 1))
        case "Fn::GetAtt", [str(id), *attribute]:
            found = _named(scope, id, ".".join(shown(read(part)) for part in attribute))
        case "Fn::ImportValue", exported:
            found = scope.imported(read(exported), depth + 1)
        case "Fn::GetStackOutput", {"StackName": str(stack), "OutputName": str(output)}:
            found = scope.output(stack, output, depth + 1)
        case "Fn::Sub" | "Fn::Join", _:
            found = _string(scope, name, argument, read)
        case _:
            found = _choice(scope, name, argument, read)
    return found


def _string(scope: Scope, name: str, argument: object, read: Callable[[object], Value]) -> Value | None:
    """What a function puts together."""
    match name, argument:
        case "Fn::Sub", str(pattern) | [str(pattern)]:
            return concat(_substituted(scope, pattern, {}), argument)
        case "Fn::Sub", [str(pattern), Mapping() as variables]:
            given = {str(key): read(value) for key, value in variables.items()}
            return concat(_substituted(scope, pattern, given), argument)
        case "Fn::Join", [str(delimiter), list(parts)]:
            return concat(_joined(delimiter, [read(part) for part in parts]), argument)
    return None


def _choice(scope: Scope, name: str, argument: object, read: Callable[[object], Value]) -> Value | None:
    """What a function chooses."""
    match name, argument:
        case "Fn::Select", [int() | str() as index, list(choices)]:
            number = int(index) if str(index).isdecimal() else len(choices)
            return read(choices[number]) if number < len(choices) else None
        case "Fn::If", [str(condition), first, second]:
            one, other = read(first), read(second)
            return one if one == other else scope.choice(condition, one, other)
        case "Fn::FindInMap", [str(table), *keys]:
            return _in_map(*scope.mapped(table), [read(key) for key in keys])
    return None


def _named(scope: Scope, id: str, attribute: str = "") -> Value:
    if id == "AWS::NoValue":
        return NOTHING
    return ("pseudo", id) if id.startswith("AWS::") else scope.name(id, attribute)


def _substituted(scope: Scope, pattern: str, given: Mapping[str, Value]) -> Iterator[Value]:
    end = 0
    for match in PLACEHOLDER.finditer(pattern):
        yield ("text", pattern[end : match.start()])
        end = match.end()
        name = match[2].strip()
        if match[1]:
            yield ("text", f"${{{match[2]}}}")
        else:
            yield given[name] if name in given else _named(scope, *name.split(".", 1))
    yield ("text", pattern[end:])


def _in_map(table: object, otherwise: Value, keys: list[Value]) -> Value:
    found = table
    for key in keys:
        found = found.get(shown(key)) if isinstance(found, Mapping) and key[0] == "text" else None
    if found is None:
        return (*otherwise, *keys)
    # Mappings hold no functions.
    return opaque(found) if isinstance(found, Mapping | list) else text(found)


def _joined(delimiter: str, parts: list[Value]) -> Iterator[Value]:
    for number, part in enumerate(part for part in parts if part != NOTHING):
        if number:
            yield ("text", delimiter)
        yield part
