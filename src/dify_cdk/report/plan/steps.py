"""The order of events: in one deployment over the existing stack, or with two entry points side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dify_cdk.report.phrases import plural
from dify_cdk.report.plan.changes import Action, Changes, ResourceChange
from dify_cdk.report.plan.sides import Side
from dify_cdk.report.templates.joined import view_of
from dify_cdk.report.templates.template import mapping
from dify_cdk.report.traffic.entry_points import entry_points


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing after another.

    Attributes:
        who: ``you`` or ``CloudFormation``.
        text: What is done.
    """

    who: str
    text: str


_YOU, _CLOUDFORMATION = "you", "CloudFormation"


def _entry_points_with(changes: Changes, side: Side, *actions: Action) -> str:
    """The entry points of a side to which this happens."""
    found = ((stack, one.id) for stack, part in side.parts.items() for one in entry_points(view_of(part)))
    return ", ".join(id for stack, id in found if changes.actions[stack, id] in actions)


# --- in place -------------------------------------------------------------------------------------------


def in_place(changes: Changes, resources: Sequence[ResourceChange]) -> tuple[Step, ...]:
    """What one deployment does, in its order; empty if it changes nothing."""
    steps = tuple(_in_place(changes, resources))
    return (Step(who=_YOU, text=_deploy(changes)), *steps) if steps else ()


def _deploy(changes: Changes) -> str:
    new = [changes.after.parts[stack] for stack in changes.after.parts if stack not in changes.before.parts]
    if not new:
        return "deploy"
    names = ", ".join(part.name + (f" in {part.region}" if part.region else "") for part in new)
    return f"deploy all stacks (cdk deploy --all); new: {names}"


def _in_place(changes: Changes, resources: Sequence[ResourceChange]) -> Iterator[Step]:
    count = {action: sum(one.action is action for one in resources) for action in Action}
    if count[Action.ADDED]:
        entry = _entry_points_with(changes, changes.after, Action.ADDED)
        among = f", the new entry point {entry} among them; the old one still serves" if entry else ""
        yield _step(f"adds {plural(count[Action.ADDED], 'resource')}{among}")
    stays = (Action.UPDATED, Action.REPLACED, Action.MAY_BE_REPLACED)
    if any(count[action] for action in stays):
        amounts = ", ".join(f"{count[action]} {action.value}" for action in stays if count[action])
        yield _step(f"changes what stays: {amounts}")
        entry = _entry_points_with(changes, changes.after, Action.UPDATED)
        if entry:
            yield _step(f"updates the entry point {entry} in place, which keeps its address")
    yield from map(_step, _services(resources))
    outputs = ", ".join(_changed_outputs(changes))
    if outputs:
        yield Step(who=_YOU, text=f"use the new values of the outputs: {outputs}")
    if count[Action.REMOVED] or count[Action.REPLACED]:
        entry = _entry_points_with(changes, changes.before, Action.REMOVED, Action.REPLACED)
        end = f"; from here on the old entry point {entry} is gone" if entry else ""
        removed = plural(count[Action.REMOVED], "resource")
        yield _step(f"removes {removed} and old copies of what it replaced{end}")


def _step(text: str) -> Step:
    return Step(who=_CLOUDFORMATION, text=text)


def _services(resources: Sequence[ResourceChange]) -> Iterator[str]:
    """What users may notice of ECS services that stay: new tasks, and other load balancers."""
    changed = [
        (one.logical_id, {reason.property for reason in one.reasons})
        for one in resources
        if one.type == "AWS::ECS::Service" and one.action is Action.UPDATED
    ]
    anew = ", ".join(id for id, properties in changed if "TaskDefinition" in properties)
    if anew:
        yield f"starts new tasks, then stops the old ones, of: {anew}"
    moved = ", ".join(id for id, properties in changed if "LoadBalancers" in properties)
    if moved:
        yield f"moves to other load balancers, so that the old ones no longer reach: {moved}"


def _changed_outputs(changes: Changes) -> Iterator[str]:
    for stack in changes.after.parts:
        old = changes.before.section(stack, "Outputs")
        for name, output in changes.after.section(stack, "Outputs").items():
            was = changes.before.value(stack, mapping(old.get(name)).get("Value"))
            if changes.after.value(stack, mapping(output).get("Value"), changes.is_new) != was:
                yield name


# --- side by side ---------------------------------------------------------------------------------------


def side_by_side(changes: Changes) -> tuple[Step, ...]:
    """How to change the entry point while both stand; empty if the entry points stay as they are.

    One that is updated in place counts if what stands behind it is exchanged.
    """
    exchanged = {Action.ADDED, Action.REMOVED} <= set(changes.actions.values())
    updated = (Action.UPDATED,) if exchanged else ()
    gone = (Action.REMOVED, Action.REPLACED, Action.LEFT_BEHIND)
    old = _entry_points_with(changes, changes.before, *gone, *updated)
    new = _entry_points_with(changes, changes.after, Action.ADDED, Action.REPLACED, *updated)
    if not (old and new):
        return ()
    texts = (
        "define a second frontend beside the old one, with an id of its own and announce=False",
        f"deploy: the new entry point is added (what is {new} in the template after), nothing is removed",
        "try the new entry point at its own address; both lead to the same data",
        "move the users; a host name can belong to one entry point only: take it from the old one in a "
        "deployment, give it to the new one in the next",
        "remove the old frontend and announce=False of the new one, and deploy: links lead to the new entry "
        f"point, and the old one is gone ({old})",
    )
    return tuple(Step(who=_YOU, text=text) for text in texts)
