"""The templates before and after, with every reference followed, into other stacks as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dify_cdk.report.templates.intrinsics import evaluate
from dify_cdk.report.templates.subject import Part
from dify_cdk.report.templates.template import mapping
from dify_cdk.report.templates.values import NOTHING, Name, Value, opaque

IsNew = Callable[[Name], bool]
"""Whether what a name stands for is another one than before."""

_MAX_IMPORTS = 3  # of a value that another stack imports in turn


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
        return evaluate(_Scope(side=self, stack=stack, is_new=is_new or nothing_is_new), value)

    def output(self, stack_name: str, name: str) -> tuple[str, object] | None:
        """Key of the stack and value of one of its outputs."""
        stack = self._keys.get(stack_name)
        outputs = self.section(stack, "Outputs") if stack is not None else {}
        return (stack, mapping(outputs[name]).get("Value")) if stack is not None and name in outputs else None

    def _exports(self) -> Iterator[tuple[Value, tuple[str, object]]]:
        for stack in self.parts:
            scope = _Scope(side=self, stack=stack, is_new=nothing_is_new, imports=0)
            for output in map(mapping, self.section(stack, "Outputs").values()):
                exported = mapping(output.get("Export")).get("Name")
                if exported is not None:
                    yield evaluate(scope, exported), (stack, output.get("Value"))


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
class _Scope:
    """What names stand for in a stack; ``imports`` says through how many others values are still followed."""

    side: Side
    stack: str
    is_new: IsNew
    imports: int = _MAX_IMPORTS

    def name(self, id: str, attribute: str) -> Value:
        if (self.stack, id) in self.side.entries:
            name = Name(kind="resource", stack=self.stack, id=id, attribute=attribute)
            return ("reference", self.stack, id, attribute, self.is_new(name))
        if id in self.side.section(self.stack, "Parameters"):
            is_new = self.is_new(Name(kind="parameter", stack=self.stack, id=id))
            return ("parameter", self.stack, id, is_new)
        return ("missing", id, attribute)

    def choice(self, condition: str, first: Value, second: Value) -> Value:
        is_new = self.is_new(Name(kind="condition", stack=self.stack, id=condition))
        return ("condition", self.stack, condition, is_new, first, second)

    def mapped(self, table: str) -> tuple[object, Value]:
        is_new = self.is_new(Name(kind="mapping", stack=self.stack, id=table))
        return self.side.section(self.stack, "Mappings").get(table), (
            "mapping",
            self.stack,
            table,
            is_new,
        )

    def imported(self, export: Value, depth: int) -> Value | None:
        return self._follow(self.side.exports.get(export), depth)

    def output(self, stack: str, name: str, depth: int) -> Value | None:
        return self._follow(self.side.output(stack, name), depth)

    def _follow(self, found: tuple[str, object] | None, depth: int) -> Value | None:
        """What another stack of the subject exports, so that a reference is one wherever it stands."""
        if found is None or not self.imports:
            return None
        stack, value = found
        return evaluate(replace(self, stack=stack, imports=self.imports - 1), value, depth)
