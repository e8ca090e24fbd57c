"""A small evaluator of IAM policies in templates: allow statements, wildcards and string conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from support import Template

ACCOUNT, REGION, PARTITION = "123456789012", "us-east-1", "aws"

_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": PARTITION,
    "AWS::URLSuffix": "amazonaws.com",
}


def text(value: object) -> str:
    """A value of a template as text; references to resources become ``<LogicalId.Attribute>``."""
    if isinstance(value, str):
        return value
    assert isinstance(value, Mapping), value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator).join(text(part) for part in parts)
    if function == "Ref":
        return _PSEUDO.get(argument, f"<{argument}>")
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    raise NotImplementedError(function)


def statements_of(template: Template, principal: str) -> list[dict[str, Any]]:
    """Statements of the inline policies attached to a role or user."""
    return [
        statement
        for policy in template.properties("AWS::IAM::Policy").values()
        if {"Ref": principal} in [*policy.get("Roles", ()), *policy.get("Users", ())]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def allows(
    statements: Sequence[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Whether the statements allow an action on a resource.

    Args:
        statements: Allow statements only; others are not understood.
        action: Such as ``s3:GetObject``.
        resource: The ARN, or ``*`` for an action without one.
        context: Condition keys of the request.
    """
    return any(_allows(statement, action, resource, context or {}) for statement in statements)


def _allows(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    assert statement["Effect"] == "Allow", statement
    assert {"NotAction", "NotResource"} & statement.keys() == set(), statement
    return (
        any(_matches(pattern.lower(), action.lower()) for pattern in _list(statement["Action"]))
        and any(_matches(text(pattern), resource) for pattern in _list(statement["Resource"]))
        and all(_holds(operator, keys, context) for operator, keys in statement.get("Condition", {}).items())
    )


def _holds(operator: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    compare = _COMPARE[operator]
    return all(
        key in context and any(compare(text(wanted), context[key]) for wanted in _list(values))
        for key, values in keys.items()
    )


def _matches(pattern: str, value: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(regex, value) is not None


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": str.__eq__,
    "ArnEquals": _matches,
    "StringLike": _matches,
}
