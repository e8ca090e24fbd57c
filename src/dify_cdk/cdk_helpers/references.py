"""References to what is meant to change, from other stacks."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import IConstruct


def may_go(construct: IConstruct) -> None:
    """Let a resource be replaced or removed while another stack still refers to it.

    CloudFormation refuses to change an export that is in use, and the stack that uses it is deployed last:
    neither could go first. Stacks read an output instead. The export stays beside it, for those that were
    deployed with one; nothing reads it any more.
    """
    resource = construct.node.default_child or construct
    if isinstance(resource, cdk.CfnResource):
        cdk.CrossStackReferences.of(resource).produce(cdk.ReferenceStrength.BOTH)
