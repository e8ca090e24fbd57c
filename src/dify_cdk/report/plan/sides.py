"""The templates before and after, with every reference followed, into other stacks as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dify_cdk.report.plan.values import NOTHING, Name, Value, concat, opaque, shown, text
from dify_cdk.report.templates.subject import Part
from dify_cdk.report.templates.template import mapping

IsNew = Callable[[Name], bool]
"""Whether what a name stands for is another one than before."""

_MAX_DEPTH = 40  # far deeper than any real expression; a template from outside must not exhaust the stack
_MAX_IMPORTS = 3  # of a value that another stack imports in turn
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A resource with the attributes that decide about its fate.

    Attributes:
        stack: Key of the stack that it is in.
        id: Logical id.
        type: CloudFormation type, empty where the entry has none.
        properties: As they stand in the template.
        body: The whole entry.
        unread: All of it, where it is not written as resources usually are; else nothing.
    """

    stack: str
    id: str
    type: str
    properties: Mapping[str, object]
    body: Mapping[str, object] = field(repr=False)
    unread: Value = NOTHING

    def policy(self, name: str) -> str:
        """``DeletionPolicy`` or ``UpdateReplacePolicy``, empty if none is written out."""
        value = self.body.get(name)
        return value if isinstance(value, str) else ""


class Side:
    """All stacks of a subject, before or after."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        """Read the parts; a key is the same on both sides if they are the same stack."""
        self.parts = parts
        self.entries = {
            (stack, id): _entry(stack, id, body)
            for stack, part in parts.items()
            for id, body in mapping(part.template.get("Resources")).items()
        }
        self.exports = dict(self._exports())
        self._keys = {part.name: stack for stack, part in parts.items()}

    def section(self, stack: str, name: str) -> Mapping[str, object]:
        """A section of a stack's template, for example ``Parameters``; empty if there is none."""
        part = self.parts.get(stack)
        return mapping(part.template.get(name)) if part else {}

    def value(self, stack: str, value: object, is_new: IsNew | None = None) -> Value:
        """The value in comparable form; nothing is new by default."""
        return _Reader(side=self, is_new=is_new or nothing_is_new).read(stack, value, 0)

    def output(self, stack_name: str, name: str) -> tuple[str, object] | None:
        """Key of the stack and value of one of its outputs."""
        stack = self._keys.get(stack_name)
        outputs = self.section(stack, "Outputs") if stack is not None else {}
        return (stack, mapping(outputs[name]).get("Value")) if stack is not None and name in outputs else None

    def _exports(self) -> Iterator[tuple[Value, tuple[str, object]]]:
        reader = _Reader(side=self, is_new=nothing_is_new, imports=0)
        for stack in self.parts:
            for output in map(mapping, self.section(stack, "Outputs").values()):
                exported = mapping(output.get("Export")).get("Name")
                if exported is not None:
                    yield reader.read(stack, exported, 0), (stack, output.get("Value"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A side read in one way: as it is there now, or with what is new in it.

    Attributes:
        side: The templates.
        is_new: What stands for something else than before.
    """

    side: Side
    is_new: IsNew

    def value(self, entry: Entry, path: str) -> Value:
        """A property of a resource, a nested one by a path with ``/``."""
        first, _, rest = path.partition("/")
        found: object = entry.properties.get(first)
        for step in filter(None, rest.split("/")):
            found = mapping(found).get(step)
        return self.side.value(entry.stack, found, self.is_new)

    def itself(self, entry: Entry) -> Value:
        """A resource as others refer to it."""
        name = Name(kind="resource", stack=entry.stack, id=entry.id)
        return ("reference", entry.stack, entry.id, "", self.is_new(name))

    def target(self, reference: Value) -> Entry | None:
        """The resource that a value refers to, if it is in one of the templates."""
        match reference:
            case ("reference", str(stack), str(id), _, _):
                return self.side.entries.get((stack, id))
        return None

    def of_type(self, *types: str) -> Iterator[Entry]:
        """The resources of these types."""
        return (entry for entry in self.side.entries.values() if entry.type in types)


def nothing_is_new(_: Name) -> bool:
    """How the template that is there now is read."""
    return False


def _entry(stack: str, id: str, body: object) -> Entry:
    entry = body if isinstance(body, Mapping) else {}
    type, properties = entry.get("Type"), entry.get("Properties", {})
    is_usual = isinstance(type, str) and isinstance(properties, Mapping)
    return Entry(
        stack=stack,
        id=id,
        type=type if isinstance(type, str) else "",
        properties=mapping(properties),
        body=entry,
        unread=NOTHING if is_usual else opaque(body),  # a loop or a macro, for example
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    """Turns what a template writes into values; ``imports`` says through how many stacks it still follows."""

    side: Side
    is_new: IsNew
    imports: int = _MAX_IMPORTS

    def read(self, stack: str, value: object, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            return opaque(value)
        match value:
            case None:
                return NOTHING
            case list():
                found = (self.read(stack, item, depth + 1) for item in value)
                return ("list", *(item for item in found if item != NOTHING))
            case Mapping():
                ((name, argument),) = value.items() if len(value) == 1 else (("", None),)
                if isinstance(name, str) and (name in ("Ref", "Condition") or name.startswith("Fn::")):
                    function = self._function(stack, name, argument, depth)
                    return function or ("function", name, self.read(stack, argument, depth + 1))
                pairs = ((str(key), self.read(stack, item, depth + 1)) for key, item in value.items())
                return ("map", *sorted((key, item) for key, item in pairs if item != NOTHING))
        return text(value)

    def _function(self, stack: str, name: str, argument: object, depth: int) -> Value | None:
        """What a function stands for; None if that is only known when the template is deployed."""

        def read(value: object) -> Value:
            return self.read(stack, value, depth + 1)

        found: Value | None = None
        match name, argument:
            case "Ref", str(id):
                found = self._name(stack, id)
            case "Fn::GetAtt", str(path):
                found = self._name(stack, *path.split(".", 1))
            case "Fn::GetAtt", [str(id), *attribute]:
                found = self._name(stack, id, ".".join(shown(read(part)) for part in attribute))
            case "Fn::Sub", str(pattern) | [str(pattern)]:
                found = self._substitute(stack, pattern, {}, argument)
            case "Fn::Sub", [str(pattern), Mapping() as variables]:
                given = {str(key): read(value) for key, value in variables.items()}
                found = self._substitute(stack, pattern, given, argument)
            case "Fn::Join", [str(delimiter), list(parts)]:
                found = concat(_joined(delimiter, [read(part) for part in parts]), argument)
            case "Fn::Select", [int() | str() as index, list(choices)]:
                number = int(index) if str(index).isdecimal() else len(choices)
                found = read(choices[number]) if number < len(choices) else None
            case "Fn::If", [str(condition), first, second]:
                found = self._choice(stack, condition, read(first), read(second))
            case "Fn::FindInMap", [str(table), *keys]:
                found = self._find_in_map(stack, table, [read(key) for key in keys])
            case "Fn::ImportValue", exported:
                found = self._follow(self.side.exports.get(read(exported)), depth)
            case "Fn::GetStackOutput", {"StackName": str(other), "OutputName": str(output)}:
                found = self._follow(self.side.output(other, output), depth)
        return found

    def _name(self, stack: str, id: str, attribute: str = "") -> Value:
        if id == "AWS::NoValue":
            return NOTHING
        if id.startswith("AWS::"):
            return ("pseudo", id)
        if (stack, id) in self.side.entries:
            name = Name(kind="resource", stack=stack, id=id, attribute=attribute)
            return ("reference", stack, id, attribute, self.is_new(name))
        if id in self.side.section(stack, "Parameters"):
            return ("parameter", stack, id, self.is_new(Name(kind="parameter", stack=stack, id=id)))
        return ("missing", id, attribute)

    def _substitute(self, stack: str, pattern: str, given: Mapping[str, Value], source: object) -> Value:
        parts: list[Value] = []
        end = 0
        for match in _PLACEHOLDER.finditer(pattern):
            parts.append(("text", pattern[end : match.start()]))
            end = match.end()
            name = match[2].strip()
            if match[1]:
                parts.append(("text", f"${{{match[2]}}}"))
            else:
                parts.append(given[name] if name in given else self._name(stack, *name.split(".", 1)))
        return concat([*parts, ("text", pattern[end:])], source)

    def _choice(self, stack: str, condition: str, first: Value, second: Value) -> Value:
        is_new = self.is_new(Name(kind="condition", stack=stack, id=condition))
        return first if first == second else ("condition", stack, condition, is_new, first, second)

    def _find_in_map(self, stack: str, table: str, keys: list[Value]) -> Value:
        found: object = self.side.section(stack, "Mappings").get(table)
        for key in keys:
            found = mapping(found).get(shown(key)) if key[0] == "text" else None
        if found is not None:  # mappings hold no functions
            return opaque(found) if isinstance(found, Mapping | list) else text(found)
        is_new = self.is_new(Name(kind="mapping", stack=stack, id=table))
        return ("mapping", stack, table, is_new, *keys)

    def _follow(self, found: tuple[str, object] | None, depth: int) -> Value | None:
        """What another stack of the subject exports, so that a reference is one wherever it stands."""
        if found is None or not self.imports:
            return None
        return replace(self, imports=self.imports - 1).read(*found, depth + 1)


def _joined(delimiter: str, parts: list[Value]) -> Iterator[Value]:
    for number, part in enumerate(part for part in parts if part != NOTHING):
        if number:
            yield ("text", delimiter)
        yield part
