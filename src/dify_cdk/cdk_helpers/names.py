"""Names that AWS lets an account have once, in stacks whose name is not made of their ids."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

_SEPARATOR = "-"


def has_chosen_name(scope: Construct) -> bool:
    """Whether somebody gave the stack another name than the CDK makes of its ids.

    The CDK names some resources after ids alone (https://github.com/aws/aws-cdk/issues/34799): the same app,
    deployed a second time with another ``stack_name``, would ask for the names of the first. Where the name
    follows from the ids, so does theirs, and stays what it has always been.
    """
    stack = cdk.Stack.of(scope)
    while stack.nested_stack_parent is not None:
        stack = stack.nested_stack_parent
    return bool(stack.stack_name != _SEPARATOR.join(stack.node.path.split("/")))


def name_of(scope: Construct, *, longest: int) -> str:
    """The name of the stack and the path below it, cut to what AWS takes and still its own."""
    return cdk.Names.unique_resource_name(scope, max_length=longest, separator=_SEPARATOR)
