"""Conflicts that are not about a key of one resource: each check is one function."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from itertools import chain, product

from dify_cdk.report.plan.changes import Action, Changes
from dify_cdk.report.plan.conflict import Conflict, Party, described, party, remedy
from dify_cdk.report.plan.replacements import is_custom
from dify_cdk.report.plan.sides import Entry, Reading, Side, nothing_is_new
from dify_cdk.report.templates.values import NOTHING, Value, entity, inside, members, shown


def refusals(changes: Changes) -> Iterator[Conflict]:
    """What CloudFormation or AWS refuses beside keys that are taken."""
    checks = (_types, _tokens, _target_groups, _subnets, _exports_in_use, _exports_twice)
    return chain.from_iterable(check(changes) for check in checks)


# --- types and tokens -----------------------------------------------------------------------------------


def _types(changes: Changes) -> Iterator[Conflict]:
    for id, new in changes.after.entries.items():
        old = changes.before.entries.get(id)
        if old is not None and old.type != new.type:
            itself = party(changes, new)
            yield Conflict(
                what="type of a resource",
                value=new.type,
                newcomer=itself,
                holder=itself,
                text=f"{new.id} was {old.type or 'of no type'} and would be {new.type or 'of no type'}: "
                "CloudFormation does not change the type of a resource",
                remedy=f"give the new resource a logical id of its own instead of {new.id}",
                source="https://github.com/aws/aws-sam-cli/issues/6786",
            )


def _tokens(changes: Changes) -> Iterator[Conflict]:
    for id, reasons in changes.reasons.items():
        entry = changes.after.entries[id]
        changed = next((one for one in reasons if one.property == "ServiceToken"), None)
        if not is_custom(entry.type) or changed is None:
            continue
        itself = party(changes, entry)
        why = f" ({changed.because})" if changed.because else ""
        yield Conflict(
            what="service token of a custom resource",
            value=entry.id,
            newcomer=itself,
            holder=itself,
            text=f"the function behind {entry.id} is another one{why}: CloudFormation answers "
            "Modifying service token is not allowed",
            remedy=f"keep the function, or give {entry.id} another logical id",
            source="https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"
            "aws-resource-cloudformation-customresource.html",
        )


# --- a target group has one load balancer ---------------------------------------------------------------

_FORWARDS = ("AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::ListenerRule")


def _target_groups(changes: Changes) -> Iterator[Conflict]:
    before = _forwards(Reading(side=changes.before, is_new=nothing_is_new))
    after = _forwards(Reading(side=changes.after, is_new=changes.is_new))
    for group, balancers in after.items():
        old = before.get(group, {})
        for balancer, entry in balancers.items() if old else ():
            if balancer in old:
                continue
            was, holder = next(iter(old.items()))
            newcomer, owner = party(changes, entry), party(changes, holder)
            yield Conflict(
                what="load balancer of the target group",
                value=shown(group),
                newcomer=newcomer,
                holder=owner,
                text=f"{described(newcomer)} ties target group {shown(group)} to {_new(balancer)}"
                f"{shown(balancer)} while {described(owner)} ties it to {_new(was)}{shown(was)}: "
                "elbv2 answers TargetGroupAssociationLimitException",
                remedy=f"give the target group another logical id, so that {shown(balancer)} gets its own",
                source="https://github.com/aws/aws-cdk/issues/847",
            )


def _new(balancer: Value) -> str:
    return "the new " if balancer[0] == "reference" and balancer[-1] is True else ""


def _forwards(reading: Reading) -> dict[Value, dict[Value, Entry]]:
    """Target group to the load balancers that send to it, each with the listener or rule that says so."""
    found: dict[Value, dict[Value, Entry]] = {}
    for entry in reading.of_type(*_FORWARDS):
        listener = reading.target(reading.value(entry, "ListenerArn")) or entry
        balancer = entity(reading.value(listener, "LoadBalancerArn"))
        actions = (members(reading.value(entry, name)) for name in ("DefaultActions", "Actions"))
        for action in chain.from_iterable(actions):
            shares = members(inside(action, "ForwardConfig/TargetGroups"))
            groups = [
                inside(action, "TargetGroupArn"),
                *(inside(share, "TargetGroupArn") for share in shares),
            ]
            for group in filter(lambda value: value != NOTHING, groups):
                found.setdefault(entity(group), {}).setdefault(balancer, entry)
    return found


# --- subnets do not overlap -----------------------------------------------------------------------------

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _subnets(changes: Changes) -> Iterator[Conflict]:
    before = list(_networks(Reading(side=changes.before, is_new=nothing_is_new)))
    after = _networks(Reading(side=changes.after, is_new=changes.is_new))
    made = ((vpc, net, one) for vpc, net, one in after if changes.actions[one.stack, one.id] in _MADE)
    for (vpc, network, entry), (other_vpc, other, holder) in product(made, before):
        if vpc != other_vpc or network.version != other.version or not network.overlaps(other):
            continue
        newcomer, owner = party(changes, entry), party(changes, holder)
        yield Conflict(
            what="addresses in the VPC",
            value=str(network),
            newcomer=newcomer,
            holder=owner,
            text=f"{described(newcomer)} needs {network} while {described(owner)} has {other} in the same "
            "VPC: ec2 CreateSubnet answers InvalidSubnet.Conflict",
            remedy=remedy(newcomer, owner) if newcomer != owner else f"give {entry.id} other addresses",
            source="https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
        )


_MADE = (Action.ADDED, Action.REPLACED)


def _networks(reading: Reading) -> Iterator[tuple[Value, _Network, Entry]]:
    for entry in reading.of_type("AWS::EC2::Subnet"):
        try:
            network = ipaddress.ip_network(shown(reading.value(entry, "CidrBlock")), strict=False)
        except ValueError:  # only known when it is deployed
            continue
        yield entity(reading.value(entry, "VpcId")), network, entry


# --- values that stacks export --------------------------------------------------------------------------

_EXPORTS = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html"


def _exports_in_use(changes: Changes) -> Iterator[Conflict]:
    """An export cannot change or go while a deployed stack imports it, and the exporting one comes first."""
    for user in changes.before.parts:
        imported = _imports(changes.before, user)
        for name in imported & changes.before.exports.keys():
            stack, value = changes.before.exports[name]
            if stack not in changes.after.parts:
                continue
            now = changes.after.exports.get(name, ("", None))
            if now[0] != stack:
                yield _in_use(changes, name, _output(changes, stack, Action.REMOVED), user)
            elif changes.after.value(stack, now[1], changes.is_new) != changes.before.value(stack, value):
                yield _in_use(changes, name, _output(changes, stack, Action.UPDATED), user)


def _exports_twice(changes: Changes) -> Iterator[Conflict]:
    """A name that another stack still exports when a stack begins to."""
    for name, (stack, _) in changes.after.exports.items():
        old, _ = changes.before.exports.get(name, (stack, None))
        if old != stack:
            newcomer, holder = _output(changes, stack, Action.ADDED), _output(changes, old, Action.REMOVED)
            yield Conflict(
                what="name of an export",
                value=shown(name),
                newcomer=newcomer,
                holder=holder,
                text=f"stack {newcomer.stack} exports {shown(name)} while stack {holder.stack} still does: "
                "names of exports are unique in an account and region",
                remedy=remedy(newcomer, holder),
                source=_EXPORTS,
            )


def _in_use(changes: Changes, name: Value, export: Party, user: str) -> Conflict:
    """An export that goes or changes while the deployed stack of this key imports it."""
    importer = _output(changes, user, Action.UPDATED)
    text = (
        f"stack {export.stack} exports another value as {shown(name)} while stack {importer.stack} "
        "imports it: CloudFormation answers that it cannot be updated"
    )
    way_out = f"export the new value under another name, deploy both stacks, then drop {shown(name)}"
    if export.action is Action.REMOVED:
        text = (
            f"stack {export.stack} no longer exports {shown(name)} while the deployed stack "
            f"{importer.stack} imports it: CloudFormation answers that it cannot be deleted"
        )
        way_out = (
            f"deploy stack {importer.stack} first: cdk deploy --exclusively {importer.stack}"
            if _can_go_first(changes, user)
            else f"keep the export for one deployment, by export_value() of stack {export.stack}, and drop "
            "it with the next"
        )
    return Conflict(
        what="export in use",
        value=shown(name),
        newcomer=export,
        holder=importer,
        text=text,
        remedy=way_out,
        source=_EXPORTS,
    )


def _output(changes: Changes, stack: str, action: Action) -> Party:
    side = changes.after if stack in changes.after.parts else changes.before
    return Party(stack=side.parts[stack].name, logical_id="", type="Output", action=action)


def _can_go_first(changes: Changes, user: str) -> bool:
    """Whether all that a stack asks of others is there before they are deployed."""
    if user not in changes.after.parts:
        return True
    if not _imports(changes.after, user) <= changes.before.exports.keys():
        return False
    read = _calls(changes.after, user, "Fn::GetStackOutput")
    return all(
        isinstance(one, Mapping)
        and changes.before.output(str(one.get("StackName")), str(one.get("OutputName"))) is not None
        for one in read
    )


def _imports(side: Side, stack: str) -> set[Value]:
    """Names that a stack imports, found wherever they stand in its template."""
    return {side.value(stack, one) for one in _calls(side, stack, "Fn::ImportValue")}


def _calls(side: Side, stack: str, function: str) -> Iterator[object]:
    """The arguments of an intrinsic function, wherever it stands in a template."""
    waiting: list[object] = [side.parts[stack].template]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, Mapping):
            if function in item:
                yield item[function]
            waiting.extend(item.values())
