"""Small templates for tests of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_cdk.report.plan.plan import Action, Conflict, Plan, ResourceChange, plan
from dify_cdk.report.templates.subject import Part, Subject

Resources = Mapping[str, Mapping[str, Any]]


def one(type: str, /, **properties: Any) -> dict[str, Any]:
    """A resource with properties; attributes beside them are joined with ``|``."""
    return {"Type": type, "Properties": properties}


def stack(resources: Resources, name: str = "Main", region: str | None = None, **sections: Any) -> Part:
    return Part(name=name, template={"Resources": resources, **sections}, region=region)


def between(before: Resources | Part, after: Resources | Part) -> Plan:
    """The plan between two templates of one stack."""
    old, new = (side if isinstance(side, Part) else stack(side) for side in (before, after))
    return plan(Subject(name="before", parts=(old,)), Subject(name="after", parts=(new,)))


def between_apps(before: list[Part], after: list[Part]) -> Plan:
    return plan(Subject(name="before", parts=tuple(before)), Subject(name="after", parts=tuple(after)))


def change(of: Plan, id: str) -> ResourceChange:
    (found,) = (found for found in of.resources if found.logical_id == id)
    return found


def action(of: Plan, id: str) -> Action:
    return change(of, id).action


def kinds(of: Plan) -> list[str]:
    """What the conflicts are about."""
    return [conflict.what for conflict in of.conflicts]


def the_conflict(of: Plan) -> Conflict:
    (found,) = of.conflicts
    return found
