"""Conflicts about what only one resource can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from dify_cdk.report.plan.changes import Action, Changes, Id
from dify_cdk.report.plan.conflict import Conflict, described, party, remedy
from dify_cdk.report.plan.keys import Key
from dify_cdk.report.plan.replacements import rules_of
from dify_cdk.report.plan.sides import Entry, Reading, Side, nothing_is_new
from dify_cdk.report.plan.unique_keys import UniqueKey, rows_for
from dify_cdk.report.templates.template import items
from dify_cdk.report.templates.values import NOTHING, references, shown

_NEWCOMERS = (Action.ADDED, Action.REPLACED, Action.UPDATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    row: UniqueKey
    key: Key
    entry: Entry
    region: str | None


def taken(changes: Changes) -> Iterator[Conflict]:
    """Every key that a resource needs while another one, or its own old copy, still has it."""
    held: dict[tuple[str, Key], list[_Claim]] = {}
    for claim in _claims(Reading(side=changes.before, is_new=nothing_is_new)):
        held.setdefault((claim.row.what, claim.key), []).append(claim)
    wanted = list(_claims(Reading(side=changes.after, is_new=changes.is_new)))
    still = {(claim.entry.stack, claim.entry.id, claim.row.what, claim.key) for claim in wanted}
    for claim in wanted:
        id = (claim.entry.stack, claim.entry.id)
        holders = held.get((claim.row.what, claim.key), ())
        if any((one.entry.stack, one.entry.id) == id for one in holders):
            if _is_in_its_own_way(changes, claim.entry):
                yield _taken(changes, claim, claim.entry)
            continue
        for holder in holders if changes.actions[id] in _NEWCOMERS else ():
            holds_on = (holder.entry.stack, holder.entry.id, holder.row.what, holder.key) in still
            if _meet(claim, holder) and (holds_on or not _makes_room(changes, claim.entry, holder.entry)):
                yield _taken(changes, claim, holder.entry)


def _claims(reading: Reading) -> Iterator[_Claim]:
    for entry in reading.side.entries.values():
        region = reading.side.parts[entry.stack].region
        for row in rows_for(entry.type):
            for key in row.keys(reading, entry):
                yield _Claim(row=row, key=key, entry=entry, region=None if row.all_regions else region)


def _meet(one: _Claim, other: _Claim) -> bool:
    """Whether two claims are in the same place; an unknown region may be any."""
    return one.region is None or other.region is None or one.region == other.region


def _is_in_its_own_way(changes: Changes, entry: Entry) -> bool:
    rules = rules_of(entry.type)
    deletes_first = rules.deletes_first if rules else False
    return changes.actions[entry.stack, entry.id] is Action.REPLACED and not deletes_first


def _makes_room(changes: Changes, newcomer: Entry, holder: Entry) -> bool:
    """Whether an update surely takes the key from the holder before the newcomer needs it."""
    updated = changes.actions[holder.stack, holder.id] is Action.UPDATED
    return updated and (holder.stack, holder.id) in _needed_by(changes.after, newcomer)


def _needed_by(side: Side, entry: Entry) -> set[Id]:
    """What CloudFormation deploys before a resource."""
    found: set[Id] = set()
    waiting = [entry]
    while waiting:
        one = waiting.pop()
        written = references(side.value(one.stack, dict(one.properties)))
        depends = ((one.stack, id) for id in items(one.body.get("DependsOn")) if isinstance(id, str))
        fresh = {id for id in chain(written, depends) if id in side.entries} - found
        found |= fresh
        waiting.extend(side.entries[id] for id in fresh)
    return found


def _taken(changes: Changes, claim: _Claim, holder: Entry) -> Conflict:
    """A key that another resource has; that the old copy of a resource has, if it is the holder itself."""
    newcomer, owner = party(changes, claim.entry), party(changes, holder)
    row, value = claim.row, _words(claim.key)
    text = f"{described(newcomer)} needs the {row.what}, {value}, while {described(owner)} has it"
    way_out = remedy(newcomer, owner)
    if holder is claim.entry:
        text = f"{described(owner)} is made anew while the old one still has the {row.what}, {value}"
        way_out = (
            f"give {owner.logical_id} another one in the same deployment; a name can also be left to AWS"
        )
    return Conflict(
        what=row.what,
        value=value,
        newcomer=newcomer,
        holder=owner,
        text=f"{text}: {_outcome(row)}",
        remedy=way_out,
        source=row.source,
    )


def _outcome(row: UniqueKey) -> str:
    service, _, operation = row.call.partition(":")
    if row.error:
        return f"{service} {operation} answers {row.error}"
    return f"{service} {operation} writes over it, and what goes takes both along"


def _words(key: Key) -> str:
    return " ".join(filter(None, (shown(value) for value in key if value != NOTHING)))
