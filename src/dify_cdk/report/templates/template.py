"""A read-only view of a CloudFormation template: its resources, and its intrinsic functions as text.

Reports are about any template, ours or a stranger's, so nothing here raises on an odd value: what cannot be
understood is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from dify_cdk.report.templates.intrinsics import MAX_DEPTH, PLACEHOLDER, evaluate
from dify_cdk.report.templates.values import Value, words

_INTEGER = re.compile(r"-?\d{1,15}")


class Remembering(Protocol):
    """Something that never changes, and keeps what was read from it."""

    @property
    def answers(self) -> dict[object, object]:
        """What was read, by the reader and its further arguments."""


_Read = TypeVar("_Read", bound=Remembering)
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")
_Reader = Callable[Concatenate[_Read, _Arguments], _Answer]


def remembered(read: _Reader[_Read, _Arguments, _Answer]) -> _Reader[_Read, _Arguments, _Answer]:
    """A reader that reads the same only once: many ask it, some of them for each resource of a template."""

    @wraps(read)
    def recall(of: _Read, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        key = (read, args, tuple(kwargs.items()))
        if key not in of.answers:
            of.answers[key] = read(of, *args, **kwargs)
        return cast("_Answer", of.answers[key])

    return recall


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Resource:
    """One entry under ``Resources``; equal to itself only.

    Attributes:
        id: Logical id.
        type: CloudFormation type, or empty where the entry has none.
        properties: The properties as they stand in the template.
        conditional: Whether a condition decides if it exists.
    """

    id: str
    type: str
    properties: Mapping[str, object]
    conditional: bool


class Template:
    """Answers what a report asks of one template."""

    def __init__(self, document: Mapping[str, object]) -> None:
        """Read the document; whatever is missing counts as empty."""
        self._resources = {id: _resource(id, body) for id, body in mapping(document.get("Resources")).items()}
        self._all = tuple(self._resources.values())
        self._parameters = mapping(document.get("Parameters"))
        self._mappings = mapping(document.get("Mappings"))
        self.answers: dict[object, object] = {}

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Every resource, in the template's order."""
        return self._all

    @remembered
    def of_type(self, *types: str) -> tuple[Resource, ...]:
        """The resources of these types, in the template's order."""
        return tuple(resource for resource in self._all if resource.type in types)

    def naming(self, owner: Resource, property: str, *types: str) -> tuple[Resource, ...]:
        """The resources of these types whose property names the owner first of all resources of its type."""
        return self._by_owner(owner.type, property, *types).get(owner.id, ())

    @remembered
    def _by_owner(self, type: str, property: str, *types: str) -> Mapping[str, tuple[Resource, ...]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.of_type(*types):
            owner = self.find(resource.properties.get(property), type)
            if owner is not None:
                found.setdefault(owner.id, []).append(resource)
        return {id: tuple(resources) for id, resources in found.items()}

    def parameter(self, name: str) -> Mapping[str, object]:
        """What the template says of a parameter; empty if it has none of that name."""
        return mapping(self._parameters.get(name))

    def find(self, value: object, *types: str) -> Resource | None:
        """The first resource that a value refers to, of one of the types if any are given."""
        for id in references(value):
            resource = self._resources.get(id)
            if resource is not None and (not types or resource.type in types):
                return resource
        return None

    def text(self, value: object) -> str:
        """A value as readable text, see :func:`dify_cdk.report.templates.values.words`."""
        return value if isinstance(value, str) else words(evaluate(self, value))

    # --- what the names in an expression stand for: ``intrinsics.Scope`` ---

    def name(self, id: str, attribute: str) -> Value:
        """A reference to what the template has; whatever else is missing."""
        if id in self._resources or id in self._parameters:
            return ("reference", "", id, attribute, False)
        return ("missing", id, attribute)

    def choice(self, condition: str, first: Value, second: Value) -> Value:
        """Both values of a condition."""
        return ("condition", "", condition, False, first, second)

    def mapped(self, table: str) -> tuple[object, Value]:
        """A mapping."""
        return self._mappings.get(table), ("function", "Fn::FindInMap", ("text", table))

    def imported(self, export: Value, depth: int) -> Value | None:
        """Nothing: other stacks are not in the template."""

    def output(self, stack: str, name: str, depth: int) -> Value | None:
        """Nothing: other stacks are not in the template."""


def mapping(value: object) -> Mapping[str, object]:
    """The value if it is a mapping, the first such branch of a condition, else an empty mapping."""
    return next((item for item in items(value) if isinstance(item, Mapping)), {})


def items(value: object) -> list[object]:
    """The values that a list property may hold: of both branches of a condition, lists in lists flattened.

    A single value counts as a list of one, because CloudFormation accepts it for one; ``AWS::NoValue`` and
    null count as nothing.
    """
    return list(_items(value, 0))


def _items(value: object, depth: int) -> Iterator[object]:
    if value is None or value == {"Ref": "AWS::NoValue"} or depth > MAX_DEPTH:
        return
    match value:
        case {"Fn::If": [_, *branches]}:
            value = branches
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _items(item, depth + 1)


def integer(value: object) -> int | None:
    """A whole number, which templates also write as text; None if it is only known at deploy time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value.strip()) else None


def references(value: object) -> Iterator[str]:
    """The names that a value refers to by ``Ref``, ``Fn::GetAtt`` or ``Fn::Sub``, anywhere inside it."""
    yield from _references(value, 0)


def _references(value: object, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _references(item, depth + 1)
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        match key, item:
            case "Ref", str(id):
                yield id
            case "Fn::GetAtt", str(path) | [str(path), *_]:
                yield path.split(".", 1)[0]
            case "Fn::Sub", str(pattern) | [str(pattern), *_]:
                yield from (
                    name.split(".", 1)[0] for literal, name in PLACEHOLDER.findall(pattern) if not literal
                )
        yield from _references(item, depth + 1)


def _resource(id: str, body: object) -> Resource:
    entry = body if isinstance(body, Mapping) else {}
    type = entry.get("Type")
    return Resource(
        id=id,
        type=type if isinstance(type, str) else "",
        properties=mapping(entry.get("Properties")),
        conditional="Condition" in entry,
    )
