"""All stacks of a subject as one template, so that what crosses stacks can be followed.

Exports and imports, and outputs that another stack reads, become plain references. Where two stacks use the
same logical id, that of the later stack is written ``Stack/Id``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Template, mapping, remembered

_MAX_DEPTH = 60  # deeper than any real expression, also after an import has been put in its place
_PLACEHOLDER = re.compile(r"\$\{([^!}.][^}.]*)")


@remembered
def view_of(part: Part) -> Template:
    """The view of one template."""
    return Template(part.template)


@remembered
def join(subject: Subject) -> Template:
    """One view of all parts; of a single part simply the view of its template."""
    if len(subject.parts) == 1:
        return view_of(subject.parts[0])
    renamed = list(_renamed(subject.parts))
    values = dict(_values(renamed))
    resources = {
        part.names.get(id, id): _rewritten(body, part, values, 0)
        for part in renamed
        for id, body in mapping(part.template.get("Resources")).items()
    }
    parameters = {
        part.names.get(name, name): body
        for part in renamed
        for name, body in mapping(part.template.get("Parameters")).items()
    }
    return Template({"Resources": resources, "Parameters": parameters})


def own_ids(subject: Subject) -> tuple[Mapping[str, str], ...]:
    """For each part, what it calls its resources itself, by what they are called in the joined view."""
    return tuple(
        {part.names.get(id, id): id for id in mapping(part.template.get("Resources"))}
        for part in _renamed(subject.parts)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Renamed:
    """A part, and what those of its logical ids are called that an earlier part has as well."""

    stack: str
    template: Mapping[str, object]
    names: Mapping[str, str]


_Values = dict[tuple[str, str], tuple[_Renamed, object]]
"""``(stack, output)`` or ``("", export)`` to the value and the part whose names it is written in."""


def _renamed(parts: tuple[Part, ...]) -> Iterator[_Renamed]:
    taken: set[str] = set()
    for part in parts:
        ids = {*mapping(part.template.get("Resources")), *mapping(part.template.get("Parameters"))}
        stack = part.name.replace(".", "-")  # a dot would begin an attribute
        names = {id: f"{stack}/{id}" for id in ids & taken}
        taken |= ids | set(names.values())
        yield _Renamed(stack=part.name, template=part.template, names=names)


def _values(parts: list[_Renamed]) -> Iterator[tuple[tuple[str, str], tuple[_Renamed, object]]]:
    for part in parts:
        for name, body in mapping(part.template.get("Outputs")).items():
            output = mapping(body)
            yield (part.stack, name), (part, output.get("Value"))
            export = mapping(output.get("Export")).get("Name")
            if isinstance(export, str):
                yield ("", export), (part, output.get("Value"))


def _rewritten(value: object, part: _Renamed, values: _Values, depth: int) -> object:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [_rewritten(item, part, values, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    match value:
        case {"Fn::ImportValue": str(export)} if ("", export) in values:
            return _elsewhere(values["", export], values, depth)
        case {"Fn::GetStackOutput": {"StackName": str(stack), "OutputName": str(output)}} if (
            stack,
            output,
        ) in values:
            return _elsewhere(values[stack, output], values, depth)
    return {key: _rewritten(_named(key, item, part), part, values, depth + 1) for key, item in value.items()}


def _elsewhere(found: tuple[_Renamed, object], values: _Values, depth: int) -> object:
    part, value = found
    return _rewritten(value, part, values, depth + 1)


def _named(key: str, argument: object, part: _Renamed) -> object:
    """The argument of an intrinsic function with the names that its part's resources have now."""
    names = part.names
    match key, argument:
        case "Ref", str(id):
            return names.get(id, id)
        case "Fn::GetAtt", [str(id), *attribute]:
            return [names.get(id, id), *attribute]
        case "Fn::GetAtt", str(path):
            head, dot, rest = path.partition(".")
            return f"{names.get(head, head)}{dot}{rest}"
        case "Fn::Sub", str(pattern):
            return _substituted(pattern, names)
        case "Fn::Sub", [str(pattern), *variables]:
            local = mapping(variables[0] if variables else None)
            return [
                _substituted(pattern, {k: v for k, v in names.items() if k not in local}),
                *variables,
            ]
    return argument


def _substituted(pattern: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: "${" + names.get(match[1].strip(), match[1]), pattern)
