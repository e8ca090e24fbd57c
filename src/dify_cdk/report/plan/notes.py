"""What a reader should know that is no finding."""

from __future__ import annotations

from collections.abc import Iterator

from dify_cdk.report.plan.changes import Action, Changes
from dify_cdk.report.plan.replacements import published, rules_of
from dify_cdk.report.templates.template import mapping
from dify_cdk.report.templates.values import names


def notes(changes: Changes) -> Iterator[str]:
    """Everything that the templates alone leave open, and how the stacks were matched."""
    yield from _matches(changes)
    yield from _looked_up(changes)
    unknown = sorted({entry.type for entry in changes.after.entries.values() if rules_of(entry.type) is None})
    if unknown:
        yield (
            f"types that the schemas of {published()} do not know, so that a change may replace them: "
            + ", ".join(type or "an entry without a type" for type in unknown)
        )


def _matches(changes: Changes) -> Iterator[str]:
    for stack, new in changes.after.parts.items():
        old = changes.before.parts.get(stack)
        if old is None:
            continue
        if old.name != new.name:
            yield f"{old.name} and {new.name} are taken for the same stack: both are the main one"
        if old.region and new.region and old.region != new.region:
            yield (
                f"{new.name} is in {old.region} before and in {new.region} after: a stack does not move, so "
                "this shows the change as if it stayed where it is"
            )


def _looked_up(changes: Changes) -> Iterator[str]:
    """Parameters that CloudFormation reads anew in every deployment, whatever else changes."""
    for stack in changes.after.parts:
        for id, parameter in changes.after.section(stack, "Parameters").items():
            type, place = mapping(parameter).get("Type"), mapping(parameter).get("Default")
            if not str(type).startswith("AWS::SSM::Parameter::Value<"):
                continue
            users = sorted(_replaced_by(changes, stack, id))
            if users:
                yield f"every deployment reads {place} again; a new value there replaces {', '.join(users)}"


def _replaced_by(changes: Changes, stack: str, parameter: str) -> Iterator[str]:
    for (where, id), entry in changes.after.entries.items():
        rules = rules_of(entry.type)
        if where != stack or rules is None or changes.actions[where, id] is Action.ADDED:
            continue
        for property, value in entry.properties.items():
            if property in rules.replaced_by:
                used = (name for name in names(changes.after.value(stack, value)) if name.kind == "parameter")
                if parameter in {name.id for name in used}:
                    yield id
