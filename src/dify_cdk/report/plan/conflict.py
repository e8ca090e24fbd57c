"""Why a deployment would fail although both templates are right: what every check for it reports."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk.report.plan.changes import Action, Changes
from dify_cdk.report.plan.sides import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """A resource, or an output, that takes part in a conflict.

    Attributes:
        stack: Name of the stack.
        logical_id: Logical id.
        type: CloudFormation type, ``Output`` for an output.
        action: What would happen to it.
    """

    stack: str
    logical_id: str
    type: str
    action: Action


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """Why a deployment fails and rolls back.

    Attributes:
        what: Kind of conflict, for example ``priority of the listener``.
        value: What both want, in words.
        newcomer: Who needs it.
        holder: Who has it; the newcomer itself where its own old copy is in the way.
        text: What happens, in a sentence.
        remedy: What to change.
        source: Where the rule is written.
    """

    what: str
    value: str
    newcomer: Party
    holder: Party
    text: str
    remedy: str
    source: str


def party(changes: Changes, entry: Entry) -> Party:
    """A resource as a party."""
    change = changes.resource((entry.stack, entry.id))
    return Party(stack=change.stack, logical_id=entry.id, type=entry.type, action=change.action)


def described(one: Party) -> str:
    """A party in a sentence: ``Listener (added)``."""
    return f"{one.logical_id} ({one.action.value})"


def remedy(newcomer: Party, holder: Party) -> str:
    """What to do where two resources want the same."""
    if holder.stack != newcomer.stack:
        return f"let stack {holder.stack} give it up before stack {newcomer.stack} is deployed"
    match holder.action:
        case Action.KEPT:
            return f"give {newcomer.logical_id} another one, or remove {holder.logical_id}"
        case Action.UPDATED:
            return f"deploy the change of {holder.logical_id} first, on its own"
        case Action.LEFT_BEHIND:
            return f"import the existing {holder.logical_id} as {newcomer.logical_id}, or choose another one"
    return f"keep the logical id {holder.logical_id}, or remove it in a deployment of its own first"
