"""What still exists, and costs, after the change although no stack manages it any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dify_cdk.report.plan.changes import Action, Changes, ResourceChange
from dify_cdk.report.plan.sides import Entry, Reading, nothing_is_new
from dify_cdk.report.templates.values import Value, inside, members, names


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftBehind:
    """Something that stays although the new templates do not have it.

    Attributes:
        stack: Name of the stack that it was in, or that stays.
        logical_id: Logical id; empty for a whole stack.
        type: CloudFormation type; ``Stack`` for a stack.
        why: Why it stays.
        how: How to get rid of it.
    """

    stack: str
    logical_id: str
    type: str
    why: str
    how: str


def left_behind(changes: Changes, resources: Sequence[ResourceChange]) -> tuple[LeftBehind, ...]:
    """Stacks first, then functions that cannot go yet, then what a policy keeps."""
    return (*_stacks(changes), *_edge_functions(changes), *_kept_by_policy(changes, resources))


def _stacks(changes: Changes) -> Iterator[LeftBehind]:
    for stack, part in changes.before.parts.items():
        if stack not in changes.after.parts:
            region = f" --region {part.region}" if part.region else ""
            yield LeftBehind(
                stack=part.name,
                logical_id="",
                type="Stack",
                why="the new app does not have this stack, and a deployment deletes no stacks",
                how=f"aws cloudformation delete-stack --stack-name {part.name}{region}",
            )


def _kept_by_policy(changes: Changes, resources: Sequence[ResourceChange]) -> Iterator[LeftBehind]:
    managed = {part.name for part in changes.after.parts.values()}
    for one in resources:
        if not one.keeps or one.stack not in managed:
            continue
        gone = one.action in (Action.REMOVED, Action.LEFT_BEHIND)
        policy = "DeletionPolicy" if gone else "UpdateReplacePolicy"
        what = "the old one" if one.keeps == "resource" else "a last snapshot of it"
        yield LeftBehind(
            stack=one.stack,
            logical_id=one.logical_id,
            type=one.type,
            why=f"{policy} keeps {what}",
            how="delete it when nobody needs it; a stack can import it again",
        )


# --- Lambda@Edge ----------------------------------------------------------------------------------------

_FUNCTION, _VERSION, _ROLE = "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::IAM::Role"
_EDGE_PRINCIPAL = "edgelambda.amazonaws.com"


def _edge_functions(changes: Changes) -> Iterator[LeftBehind]:
    """Functions that cannot be deleted yet.

    See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-delete-replicas.html
    """
    reading = Reading(side=changes.before, is_new=nothing_is_new)
    at_the_edge = set(_associated(reading))
    for entry in reading.of_type(_FUNCTION):
        id = (entry.stack, entry.id)
        is_removed = changes.actions[id] in (Action.REMOVED, Action.LEFT_BEHIND)
        if is_removed and (id in at_the_edge or _may_run_at_the_edge(reading, entry)):
            yield LeftBehind(
                stack=changes.before.parts[entry.stack].name,
                logical_id=entry.id,
                type=entry.type,
                why="CloudFront deletes its replicas some hours after the distribution no longer uses it, "
                "and until then nobody can delete the function",
                how="delete the function, or its stack, some hours later",
            )


def _associated(reading: Reading) -> Iterator[tuple[str, str]]:
    """Functions whose versions a distribution runs."""
    for distribution in reading.of_type("AWS::CloudFront::Distribution"):
        paths = ("DistributionConfig/DefaultCacheBehavior", "DistributionConfig/CacheBehaviors")
        behaviors = chain.from_iterable(members(reading.value(distribution, path)) for path in paths)
        for behavior in behaviors:
            for version in _targets(reading, inside(behavior, "LambdaFunctionAssociations"), _VERSION):
                functions = _targets(reading, reading.value(version, "FunctionName"), _FUNCTION)
                yield from ((one.stack, one.id) for one in functions)


def _targets(reading: Reading, value: Value, type: str) -> Iterator[Entry]:
    for name in names(value):
        entry = reading.side.entries.get((name.stack, name.id))
        if entry is not None and entry.type == type:
            yield entry


def _may_run_at_the_edge(reading: Reading, function: Entry) -> bool:
    """Whether CloudFront may assume its role, also where its distribution is in another stack."""
    roles = _targets(reading, reading.value(function, "Role"), _ROLE)
    return any(_EDGE_PRINCIPAL in _texts(reading.value(role, "AssumeRolePolicyDocument")) for role in roles)


def _texts(value: object) -> set[str]:
    match value:
        case ("text", str(found)):
            return {found}
        case tuple():
            return set().union(*map(_texts, value))
    return set()
