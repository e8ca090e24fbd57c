"""What happens to each resource: kept, updated, replaced, added, removed or left behind.

CloudFormation compares property by property. A property that cannot change in place makes it replace the
resource, which changes every value that refers to it, which may replace its users in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dify_cdk.report.plan.replacements import is_custom, rules_of
from dify_cdk.report.plan.sides import Entry, Side
from dify_cdk.report.plan.stateful import holding
from dify_cdk.report.templates.values import NOTHING, Name, Value, inside, names, opaque, references

Id = tuple[str, str]
"""Key of a stack and logical id."""


class Action(Enum):
    """What CloudFormation does with a resource."""

    KEPT = "kept"
    UPDATED = "updated"
    MAY_BE_REPLACED = "may be replaced"
    """It depends on what a template does not say, or the type is unknown."""
    REPLACED = "replaced"
    ADDED = "added"
    REMOVED = "removed"
    LEFT_BEHIND = "left behind"
    """It still exists, but no stack of the new subject has it."""


_SEVERITY = (Action.KEPT, Action.UPDATED, Action.MAY_BE_REPLACED, Action.REPLACED)
_NEW = (Action.ADDED, Action.REPLACED)
_LOSING = (Action.REMOVED, Action.REPLACED, Action.MAY_BE_REPLACED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a resource does not just stay as it is.

    Attributes:
        property: Path of the property that changes; ``Type`` or ``Condition`` for those of the resource;
            empty for the whole of one that is not written as resources usually are.
        effect: What this alone leads to.
        because: What makes the value another one although it is written the same; else empty.
    """

    property: str
    effect: Action
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceChange:
    """What happens to one resource.

    Attributes:
        stack: Name of the stack.
        logical_id: Logical id.
        type: CloudFormation type; the new one where a template gives the id to another type.
        action: What CloudFormation does.
        reasons: Why, most serious first.
        holds: What it holds that a template cannot make again; empty if nothing.
        is_stateful: Whether losing that is a finding; not where the policy says that it is disposable.
        keeps: What stays of the old one outside the stack: ``resource``, ``snapshot`` or empty.
    """

    stack: str
    logical_id: str
    type: str
    action: Action
    reasons: tuple[Reason, ...] = ()
    holds: str = ""
    is_stateful: bool = False
    keeps: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether the stack loses what it held: a finding, even if a copy stays somewhere."""
        return self.is_stateful and self.action in _LOSING


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """Both sides and what happens in between; a stack has the same key on both sides."""

    before: Side
    after: Side
    actions: Mapping[Id, Action]
    reasons: Mapping[Id, tuple[Reason, ...]]
    declarations: frozenset[Name]

    def is_new(self, name: Name) -> bool:
        """Whether a name in a new template certainly stands for something that is not there now."""
        return name in self.declarations or self.actions.get((name.stack, name.id)) in _NEW

    def resource(self, id: Id) -> ResourceChange:
        """What happens to one resource, with its policies read."""
        action = self.actions[id]
        entry = self.after.entries.get(id) or self.before.entries[id]
        policy = _policy(self, id)
        held = holding(entry, policy)
        return ResourceChange(
            stack=_stack_name(self, id),
            logical_id=id[1],
            type=entry.type,
            action=action,
            reasons=self.reasons.get(id, ()),
            holds=held.what if held else "",
            is_stateful=held.counts if held else False,
            keeps=_keeps(action, entry, policy),
        )


def compare(before: Side, after: Side) -> Changes:
    """Decide for every resource of both sides."""
    return _Comparison(before, after).run()


# --- policies -------------------------------------------------------------------------------------------

_RETAINED = ("Retain", "RetainExceptOnCreate")

# Without a DeletionPolicy, these leave a snapshot; instances only those that are not in a cluster.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
_SNAPSHOT_BY_DEFAULT = ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance")


def _policy(changes: Changes, id: Id) -> str:
    """The policy that decides: of the stack as it is for what goes, of the new template for a replacement."""
    if id in changes.after.entries and changes.actions[id] in (Action.REPLACED, Action.MAY_BE_REPLACED):
        return changes.after.entries[id].policy("UpdateReplacePolicy")
    entry = changes.before.entries.get(id) or changes.after.entries[id]
    return entry.policy("DeletionPolicy")


def _keeps(action: Action, entry: Entry, policy: str) -> str:
    if action is Action.LEFT_BEHIND:
        return "resource"
    if action not in _LOSING:
        return ""
    if policy in _RETAINED:
        return "resource"
    by_default = entry.type in _SNAPSHOT_BY_DEFAULT and "DBClusterIdentifier" not in entry.properties
    snapshot = policy == "Snapshot" or (action is Action.REMOVED and not policy and by_default)
    return "snapshot" if snapshot else ""


def _stack_name(changes: Changes, id: Id) -> str:
    side = changes.after if id[0] in changes.after.parts else changes.before
    return side.parts[id[0]].name


# --- what changes ---------------------------------------------------------------------------------------

# Attributes (beginnings of their names) that may be others after an update in place.
_VOLATILE: Mapping[str, tuple[str, ...]] = {
    "AWS::CloudFormation::Stack": ("Outputs.",),
    "AWS::EC2::Instance": ("Public",),  # an instance that was stopped for the update gets another address
    "AWS::EC2::LaunchTemplate": ("LatestVersionNumber", "DefaultVersionNumber"),
    "AWS::RDS::DBCluster": ("Endpoint.Port", "ReadEndpoint.Port", "MasterUserSecret."),
    "AWS::RDS::DBInstance": ("Endpoint.Port", "MasterUserSecret."),
    "AWS::SSM::Parameter": ("Value",),
}


class _Comparison:
    """Passes what is new on from resource to user until nothing more changes."""

    def __init__(self, before: Side, after: Side) -> None:
        self._before = before
        self._after = after
        self._declarations = frozenset(_changed_declarations(before, after))
        self._common = tuple(id for id in after.entries if id in before.entries)
        self._was = {id: _values(before, id) for id in self._common}
        self._written = {id: _values(after, id) for id in self._common}
        self._actions = self._first_actions()
        self._reasons: dict[Id, tuple[Reason, ...]] = {}

    def run(self) -> Changes:
        users = self._users()
        waiting = deque(self._common)
        queued = set(self._common)
        while waiting:
            id = waiting.popleft()
            queued.discard(id)
            if self._decide(id):
                fresh = [user for user in users.get(id, ()) if user not in queued]
                waiting.extend(fresh)
                queued.update(fresh)
        return Changes(
            before=self._before,
            after=self._after,
            actions=self._actions,
            reasons=self._reasons,
            declarations=self._declarations,
        )

    def _first_actions(self) -> dict[Id, Action]:
        actions = {id: self._without(entry) for id, entry in self._before.entries.items()}
        for id in self._after.entries:
            actions[id] = Action.KEPT if id in actions else Action.ADDED
        return actions

    def _without(self, entry: Entry) -> Action:
        stays = entry.stack not in self._after.parts or entry.policy("DeletionPolicy") in _RETAINED
        return Action.LEFT_BEHIND if stays else Action.REMOVED

    def _users(self) -> dict[Id, list[Id]]:
        """Who refers to a resource in the new templates, through other stacks as well."""
        found: dict[Id, list[Id]] = {}
        for id, written in self._written.items():
            for used in dict.fromkeys(references(tuple(written.values()))):
                found.setdefault(used, []).append(id)
        return found

    def _decide(self, id: Id) -> bool:
        """Decide about one resource; True if its users have to be looked at again."""
        reasons = sorted(self._why(id), key=lambda one: (-_SEVERITY.index(one.effect), one.property))
        action = reasons[0].effect if reasons else Action.KEPT
        changed = action is not self._actions[id]
        self._actions[id] = action
        self._reasons[id] = tuple(reasons)
        return changed

    def _why(self, id: Id) -> Iterator[Reason]:
        old, new = self._before.entries[id], self._after.entries[id]
        if old.type != new.type:
            was = f"it was {old.type or 'of no type'}"
            yield Reason(property="Type", effect=Action.REPLACED, because=was)
            return
        if old.unread != new.unread:
            yield Reason(property="", effect=Action.MAY_BE_REPLACED, because="it is written otherwise")
        if self._condition_differs(old, new):
            yield Reason(property="Condition", effect=Action.MAY_BE_REPLACED)
        for name in dict.fromkeys((*old.properties, *new.properties)):
            yield from self._property(id, str(name), new.properties.get(name))

    def _condition_differs(self, old: Entry, new: Entry) -> bool:
        condition = new.body.get("Condition")
        if isinstance(condition, str):
            name = Name(kind="condition", stack=new.stack, id=condition)
            return old.body.get("Condition") != condition or name in self._declarations
        return opaque(old.body.get("Condition")) != opaque(condition)

    def _property(self, id: Id, name: str, value: object) -> Iterator[Reason]:
        stack, type = id[0], self._after.entries[id].type
        was, written = self._was[id].get(name, NOTHING), self._written[id].get(name, NOTHING)
        surely = self._after.value(stack, value, self._is_new)
        perhaps = self._after.value(stack, value, self._may_be_new)
        if was == perhaps:
            return
        effect, path = _effect(type, name, was, perhaps)
        if effect is Action.REPLACED and _effect(type, name, was, surely)[0] is not Action.REPLACED:
            effect = Action.MAY_BE_REPLACED
        because = sorted({self._cause(one) for one in names(perhaps, new=True)}) if was == written else []
        yield Reason(property=path, effect=effect, because=", ".join(because))

    def _is_new(self, name: Name) -> bool:
        return name in self._declarations or self._actions.get((name.stack, name.id)) in _NEW

    def _may_be_new(self, name: Name) -> bool:
        if self._is_new(name):
            return True
        id = (name.stack, name.id)
        match self._actions.get(id):
            case Action.MAY_BE_REPLACED:
                return True
            case Action.UPDATED:
                type = self._after.entries[id].type
                return is_custom(type) or name.attribute.startswith(_VOLATILE.get(type, ("\n",)))
        return False

    def _cause(self, name: Name) -> str:
        if name.kind == "resource":
            return f"{name.id} is {self._actions[name.stack, name.id].value}"
        return f"{name.kind} {name.id} changes"


def _values(side: Side, id: Id) -> dict[str, Value]:
    entry = side.entries[id]
    return {str(name): side.value(entry.stack, value) for name, value in entry.properties.items()}


def _effect(type: str, name: str, was: Value, now: Value) -> tuple[Action, str]:
    """What a changed property leads to, and the path of what changed in it."""
    rules = rules_of(type)
    if was == now:
        return Action.KEPT, name
    if rules is None:
        return Action.MAY_BE_REPLACED, name
    for paths, effect in ((rules.replaced_by, Action.REPLACED), (rules.perhaps_by, Action.MAY_BE_REPLACED)):
        for path in paths:
            first, _, rest = path.partition("/")
            if first in (name, "*") and (not rest or inside(was, rest) != inside(now, rest)):
                return effect, path if rest else name
    return Action.UPDATED, name


# --- parameters, mappings and conditions ----------------------------------------------------------------

_SECTIONS = (("parameter", "Parameters"), ("mapping", "Mappings"), ("condition", "Conditions"))


def _changed_declarations(before: Side, after: Side) -> Iterator[Name]:
    """What is declared otherwise than before; a condition also if it depends on such a thing."""
    for stack in after.parts:
        changed = {
            (kind, id)
            for kind, section in _SECTIONS
            for id in _differing(before.section(stack, section), after.section(stack, section))
        }
        conditions = {id: set(_strings(body)) for id, body in after.section(stack, "Conditions").items()}
        found = len(changed) + 1
        while found != len(changed):
            found = len(changed)
            ids = {id for _, id in changed}
            changed |= {("condition", id) for id, strings in conditions.items() if strings & ids}
        yield from (Name(kind=kind, stack=stack, id=id) for kind, id in changed)


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for id in {*old, *new}:
        if id not in old or id not in new or _declared(old[id]) != _declared(new[id]):
            yield id


def _declared(value: object) -> object:
    """What of a declaration decides about values: of a parameter its default and type."""
    decisive = {"Default", "Type"}
    if isinstance(value, Mapping) and decisive & value.keys():
        value = {key: item for key, item in value.items() if key in decisive}
    return opaque(value)


def _strings(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
