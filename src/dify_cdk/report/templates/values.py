"""Property values in a form that can be compared between two templates, references included.

CloudFormation compares values after it has resolved them: a reference to something that is replaced is
another value although the template says the same, and ``Fn::Sub`` of one name is the same as ``Ref``. A value
here is a tuple, so that it can be a key as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

Value = tuple[object, ...]
"""Its first item says what it is: ``text``, ``list``, ``map``, ``reference``, ``concat``, ``function``."""

NOTHING: Value = ("nothing",)
"""What an absent property, null and ``AWS::NoValue`` are."""

_MAX_LENGTH = 100_000  # of a joined string; substitutions inside substitutions could double it on and on
_OF_A_NAME = 20  # what a reference counts for


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """Something that a template's values refer to by name.

    Attributes:
        kind: ``resource``, ``parameter``, ``mapping`` or ``condition``.
        stack: Key of the stack that it is in.
        id: The name in the template.
        attribute: Attribute of a resource, empty for ``Ref``.
    """

    kind: str
    stack: str
    id: str
    attribute: str = ""


# --- asking ---------------------------------------------------------------------------------------------


def names(value: object, *, new: bool = False) -> Iterator[Name]:
    """Everything that a value refers to by name; only what is another one than before if ``new``."""
    match value:
        case ("reference", str(stack), str(id), str(attribute), bool(is_new)):
            if is_new or not new:
                yield Name(kind="resource", stack=stack, id=id, attribute=attribute)
        case ("parameter" | "mapping" | "condition" as kind, str(stack), str(id), bool(is_new), *rest):
            if is_new or not new:
                yield Name(kind=kind, stack=stack, id=id)
            yield from names(tuple(rest), new=new)
        case tuple():
            for item in value:
                yield from names(item, new=new)


def references(value: Value) -> Iterator[tuple[str, str]]:
    """Stack and logical id of every resource that a value refers to."""
    yield from ((name.stack, name.id) for name in names(value) if name.kind == "resource")


def entity(value: Value) -> Value:
    """The resource that a value refers to, whichever attribute it takes; any other value as it is."""
    match value:
        case ("reference", stack, id, _, is_new):
            return ("reference", stack, id, "", is_new)
    return value


def inside(value: Value, path: str) -> Value:
    """What stands at a path like ``Options/*/Port`` in a value; of every item where there is a list."""
    step, _, rest = path.partition("/")
    match value:
        case ("map", *pairs):
            found = dict(cast("list[tuple[str, Value]]", pairs)).get(step, NOTHING)
            return inside(found, rest) if rest else found
        case ("list", *items):
            inner = rest if step == "*" else path
            return ("list", *(inside(item, inner) if inner else item for item in cast("list[Value]", items)))
    return value  # not taken apart before it is deployed: any change in it counts


def members(value: Value) -> list[Value]:
    """The items of a list; a single value counts as a list of one, nothing as none."""
    if value[0] == "list":
        return cast("list[Value]", list(value[1:]))
    return [] if value == NOTHING else [value]


def shown(value: object) -> str:
    """A value for people: references by logical id."""
    match value:
        case ("text" | "opaque", str(text)):
            found = text
        case ("reference", _, str(id), str(attribute), _):
            found = f"{id}.{attribute}" if attribute else id
        case ("parameter", _, str(id), _):
            found = id
        case ("pseudo", str(id)):
            found = f"${{{id}}}"
        case ("concat", *parts):
            found = "".join(map(shown, parts))
        case tuple():
            found = " ".join(filter(None, map(shown, value[1:])))
        case _:
            found = str(value)
    return found


def words(value: Value) -> str:
    """A value as readable text.

    A reference becomes the logical id (``Id.Attribute`` for an attribute), a pseudo parameter its name,
    joined and substituted strings are put together, and both values of a condition are shown. A reference
    to something that the template does not have begins with a question mark; what is not taken apart is
    three dots.
    """
    match value:
        case ("text" | "pseudo", str(found)):
            pass
        case ("opaque", _):
            found = "..."
        case ("reference", _, *path, _):
            found = _joined(path, ".")
        case ("missing", *path):
            found = f"?{_joined(path, '.')}"
        case ("concat", *parts):
            found = _joined(parts, "")
        case ("list", *parts):
            found = _joined(parts, ", ")
        case ("condition", _, _, _, *branches):
            found = _joined(branches, " or ")
        case ("map", *pairs):
            shown = (f"{key}: {words(item)}" for key, item in cast("list[tuple[str, Value]]", pairs))
            found = "{" + ", ".join(shown) + "}"
        case ("function", str(name), *arguments):
            found = _call(name, arguments)
        case _:
            found = ""
    return found


def _call(name: str, arguments: list[object]) -> str:
    match name, arguments:
        case "Fn::ImportValue", [exported]:
            return words(cast("Value", exported))
        case "Fn::GetStackOutput", [("map", (_, output), (_, stack))]:
            return _joined([stack, output], ".")
    return f"{name.removeprefix('Fn::')}({_joined(arguments, ', ')})"


def _joined(parts: Iterable[object], delimiter: str) -> str:
    """Values and names as words, without those that are empty."""
    texts = (part if isinstance(part, str) else words(cast("Value", part)) for part in parts)
    return delimiter.join(filter(None, texts))


# --- making ---------------------------------------------------------------------------------------------


def text(value: object) -> Value:
    """A plain value as CloudFormation reads it, which accepts numbers and truth values as text too."""
    match value:
        case bool():
            return ("text", "true" if value else "false")
        case float() if value.is_integer():
            return ("text", str(int(value)))
    return ("text", str(value))


def concat(parts: Iterable[Value], source: object) -> Value:
    """Strings put together, so that it does not matter which function did it.

    Args:
        parts: The strings.
        source: What they come from, to compare instead where they become too long.
    """
    merged: list[Value] = []
    length = 0
    for part in parts:
        for piece in cast("tuple[Value, ...]", part[1:] if part[0] == "concat" else (part,)):
            length += len(str(piece[1])) if piece[0] in ("text", "opaque") else _OF_A_NAME
            if length > _MAX_LENGTH:
                return opaque(source)
            if merged and merged[-1][0] == "text" and piece[0] == "text":
                merged[-1] = ("text", f"{merged[-1][1]}{piece[1]}")
            elif piece not in (("text", ""), NOTHING):
                merged.append(piece)
    if len(merged) == 1:
        return merged[0]
    return ("concat", *merged) if merged else ("text", "")


def opaque(value: object) -> Value:
    """A value that is not taken apart: only equal to one that is written the same."""
    try:
        return ("opaque", json.dumps(value, sort_keys=True, default=str))
    except (RecursionError, TypeError, ValueError):
        # Equal to no other: a change may be shown that is none, but none is missed.
        return ("opaque", f"value {id(value)}")
