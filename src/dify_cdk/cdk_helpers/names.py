"""Names that AWS lets an account have once."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

_SEPARATOR = "-"


def deployed_stack(scope: Construct) -> cdk.Stack:
    """The stack that is deployed by its name: not a nested one, but that in which it is."""
    stack = cdk.Stack.of(scope)
    while stack.nested_stack_parent is not None:
        stack = stack.nested_stack_parent
    return stack


def has_chosen_name(scope: Construct) -> bool:
    """Whether somebody gave the stack another name than the CDK makes of its ids.

    The CDK names some resources after ids alone (https://github.com/aws/aws-cdk/issues/34799): the same app,
    deployed a second time with another ``stack_name``, would ask for the names of the first. Where the name
    follows from the ids, so does theirs, and stays what it has always been.
    """
    stack = deployed_stack(scope)
    return bool(stack.stack_name != _SEPARATOR.join(stack.node.path.split("/")))


def name_of(scope: Construct, *, longest: int) -> str:
    """The name of the stack and the path below it, cut to what AWS takes and still its own."""
    return cdk.Names.unique_resource_name(scope, max_length=longest, separator=_SEPARATOR)


def guid_part(scope: Construct, number: int) -> str:
    """A part of the stack's unique id (a token), which a later stack of the same name does not get again.

    Args:
        scope: Anything in the stack.
        number: Which part, from 0: they have 8, 4, 4, 4 and 12 hexadecimal digits.
    """
    guid = cdk.Fn.select(2, cdk.Fn.split("/", cdk.Stack.of(scope).stack_id))
    return cdk.Fn.select(number, cdk.Fn.split(_SEPARATOR, guid))
