"""Stacks in another region that belong to the user's: they inherit what an account asks of every stack."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from constructs import Construct

from dify_cdk._checks import is_token
from dify_cdk.cdk_helpers.names import deployed_stack

_BOUNDARY = "@aws-cdk/core:permissionsBoundary"


def companion_stack(scope: Construct, name: str, *, region: str, description: str | None = None) -> cdk.Stack:
    """A stack beside that of a construct: of the same account, deployed in the same way under the same rules.

    It has the user's stack's synthesizer (with its bootstrap qualifier and roles), permissions boundary, tags
    and termination protection. What an aspect on the user's stack does, ``cdk.Tags`` among it, does not reach
    it: apply those to the app or the stage.

    Args:
        scope: A construct in the user's stack.
        name: Id and name, unique in the account.
        region: Where it goes.
        description: What it says of itself.
    """
    stack = deployed_stack(scope)
    stage = cdk.Stage.of(stack)
    assert stage is not None
    options: dict[str, Any] = {
        "env": cdk.Environment(account=None if is_token(stack.account) else stack.account, region=region),
        "description": description,
        "permissions_boundary": _boundary_of(stack),
        "tags": stack.tags.tag_values() or None,
        "termination_protection": stack.termination_protection,
    }
    try:
        return cdk.Stack(stage, name, synthesizer=stack.synthesizer, **options)
    except RuntimeError:
        # One that the user's stack has by default serves that one only, and leaves half a stack behind; the
        # companion gets its own by default, from the same app and context.
        stage.node.try_remove_child(name)
        return cdk.Stack(stage, name, **options)


def _boundary_of(stack: cdk.Stack) -> cdk.PermissionsBoundary | None:
    """That of the stack; the CDK keeps it in the context, of which the neighbour sees the app's part only."""
    found = stack.node.try_get_context(_BOUNDARY)
    if not found:
        return None
    if found.get("arn"):
        return cdk.PermissionsBoundary.from_arn(found["arn"])
    return cdk.PermissionsBoundary.from_name(found["name"])
