"""What happens when one architecture replaces another in the same stacks, computed from templates only.

CloudFormation's own rules decide, read from the schemas of the types; nothing is decided by a name. What is
not known is shown as such, never taken for unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dify_cdk.report.plan.changes import Action, Changes, Reason, ResourceChange, compare
from dify_cdk.report.plan.conflict import Conflict, Party
from dify_cdk.report.plan.leftovers import LeftBehind, left_behind
from dify_cdk.report.plan.notes import notes
from dify_cdk.report.plan.refusals import refusals
from dify_cdk.report.plan.sides import Side
from dify_cdk.report.plan.steps import Step, in_place, side_by_side
from dify_cdk.report.plan.taken import taken
from dify_cdk.report.templates.subject import Part, Subject

__all__ = [
    "Action",
    "Conflict",
    "LeftBehind",
    "Party",
    "Plan",
    "Reason",
    "ResourceChange",
    "StackChange",
    "Step",
    "plan",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class StackChange:
    """What happens to one stack.

    Attributes:
        name: Its name; after the change, if the templates call it differently.
        region: Its region; None if unknown.
        action: Added, kept (whatever happens inside) or left behind.
    """

    name: str
    region: str | None
    action: Action


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a change from one subject to another does.

    Attributes:
        before: Name of what is there.
        after: Name of what replaces it.
        stacks: The stacks, the main one first.
        resources: Every resource: what holds data first, then the most serious first.
        conflicts: Why the deployment would fail.
        in_place: The order of events in one deployment; empty if nothing changes.
        side_by_side: How to change the entry point while both stand; empty if none changes.
        left_behind: What stays although nobody manages it any more.
        notes: What else the reader should know.
    """

    before: str
    after: str
    stacks: tuple[StackChange, ...]
    resources: tuple[ResourceChange, ...]
    conflicts: tuple[Conflict, ...]
    in_place: tuple[Step, ...]
    side_by_side: tuple[Step, ...]
    left_behind: tuple[LeftBehind, ...]
    notes: tuple[str, ...]

    @property
    def lost(self) -> tuple[ResourceChange, ...]:
        """What holds data and would be gone from the stack."""
        return tuple(one for one in self.resources if one.is_lost)

    @property
    def is_finding(self) -> bool:
        """Whether somebody should look before deploying: data is lost, or the deployment fails."""
        return bool(self.lost or self.conflicts)

    def actions(self, stack: str | None = None) -> dict[str, Action]:
        """Logical id to what happens to it.

        Args:
            stack: Name of a stack. Default: the main one.
        """
        name = self.stacks[0].name if stack is None and self.stacks else stack
        return {one.logical_id: one.action for one in self.resources if one.stack == name}


def plan(before: Subject, after: Subject) -> Plan:
    """Compare what is deployed with what would replace it.

    Stacks belong together if they have the same name. The main stacks do in any case, so that two template
    files can be compared.

    Args:
        before: What is there now.
        after: What replaces it.
    """
    old, new = _paired(before.parts, after.parts)
    changes = compare(Side(old), Side(new))
    resources = tuple(sorted(map(changes.resource, changes.actions), key=_interest))
    return Plan(
        before=before.name,
        after=after.name,
        stacks=tuple(_stacks(changes)),
        resources=resources,
        conflicts=tuple(dict.fromkeys((*refusals(changes), *taken(changes)))),
        in_place=in_place(changes, resources),
        side_by_side=side_by_side(changes),
        left_behind=left_behind(changes, resources),
        notes=tuple(notes(changes)),
    )


def _paired(before: tuple[Part, ...], after: tuple[Part, ...]) -> tuple[dict[str, Part], dict[str, Part]]:
    """Both sides by a key that is the same for what is the same stack: the name, made unique."""
    old, new = _by_name(before), _by_name(after)
    mains = next(iter(old), None), next(iter(new), None)
    if mains[0] is not None and mains[1] is not None and mains[0] not in new and mains[1] not in old:
        old = {mains[1] if name == mains[0] else name: part for name, part in old.items()}
    return old, new


def _by_name(parts: tuple[Part, ...]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts:
        number = 1 + sum(other.name == part.name for other in found.values())
        found[part.name if number == 1 else f"{part.name} ({number})"] = part
    return found


def _stacks(changes: Changes) -> Iterator[StackChange]:
    for stack in {**changes.after.parts, **changes.before.parts}:
        old, new = changes.before.parts.get(stack), changes.after.parts.get(stack)
        part = new or old
        action = Action.KEPT if old and new else Action.ADDED if new else Action.LEFT_BEHIND
        if part is not None:
            region = part.region or (old.region if old else None)
            yield StackChange(name=part.name, region=region, action=action)


_INTEREST = (
    Action.REPLACED,
    Action.MAY_BE_REPLACED,
    Action.REMOVED,
    Action.LEFT_BEHIND,
    Action.UPDATED,
    Action.ADDED,
    Action.KEPT,
)


def _interest(one: ResourceChange) -> tuple[bool, bool, int, str, str]:
    """What holds data first, and of that what is lost."""
    return not one.is_stateful, not one.holds, _INTEREST.index(one.action), one.stack, one.logical_id
