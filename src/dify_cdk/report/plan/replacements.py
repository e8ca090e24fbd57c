"""Which changed property makes CloudFormation replace a resource, from the provider schemas of all types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "data" / "replacements.json"  # tools/replacements.py writes it

CUSTOM_RESOURCE = "AWS::CloudFormation::CustomResource"


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeRules:
    """What the schema of a type says. A property is a path with ``/``; ``*`` stands for any item.

    Attributes:
        replaced_by: Properties that cannot change in place; ``*`` alone where nothing can.
        perhaps_by: Properties that sometimes can, for example depending on another property.
        identity: Properties that name the resource, all of which a template can give; else empty.
        deletes_first: Whether a replacement deletes the old one before it makes the new one.
    """

    replaced_by: tuple[str, ...] = ()
    perhaps_by: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    deletes_first: bool = False


@cache
def rules_of(type: str) -> TypeRules | None:
    """The rules of a type; None if the schemas do not know it.

    A custom resource decides itself whether its physical id changes; to CloudFormation it is updated.
    """
    if is_custom(type):
        return TypeRules()
    found: dict[str, Any] | None = _table()["types"].get(type)
    return None if found is None else TypeRules(**{key: _frozen(value) for key, value in found.items()})


def is_custom(type: str) -> bool:
    """Whether a function of the template's author stands behind the type."""
    return type.startswith("Custom::") or type == CUSTOM_RESOURCE


def published() -> str:
    """Date of the schemas."""
    return str(_table()["published"])[:10]


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return table


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
