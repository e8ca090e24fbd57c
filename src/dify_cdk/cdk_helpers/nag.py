"""Reasons beside the resources: findings of cdk-nag that are known and accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import aws_cdk as cdk
from constructs import IConstruct

_BASIC_EXECUTION = "AWSLambdaBasicExecutionRole"
_VPC_EXECUTION = "AWSLambdaVPCAccessExecutionRole"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings on a construct and what is below it.

    Args:
        construct: The narrowest construct that holds the finding.
        reasons: Rule id, such as ``AwsSolutions-VPC7``, to why it is accepted here.
    """
    acknowledgments = [cdk.Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items()]
    cdk.Validations.of(construct).acknowledge(*acknowledgments)


def acknowledge_wildcards(construct: IConstruct, arns: Iterable[str], reason: str) -> None:
    """Accept wildcards in policies: cdk-nag has a finding of its own for each resource with a ``*``.

    Args:
        construct: The role, or what holds it.
        arns: The resources with wildcards as the policy names them; they may hold tokens.
        reason: Why they are accepted.
    """
    stack = cdk.Stack.of(construct)
    rules = [f"AwsSolutions-IAM5[Resource::{_text(stack.resolve(arn))}]" for arn in arns]
    acknowledge(construct, dict.fromkeys(rules, reason))


def acknowledge_basic_execution(construct: IConstruct) -> None:
    """Accept the AWS managed policy with which a Lambda function writes its logs."""
    _acknowledge_managed_policy(
        construct, _BASIC_EXECUTION, "the managed policy only lets the function write its own logs"
    )


def acknowledge_vpc_execution(construct: IConstruct) -> None:
    """Accept what a Lambda function needs to stand in a network, and to write its logs."""
    acknowledge_basic_execution(construct)
    reason = "the managed policy lets Lambda attach the function to the network"
    _acknowledge_managed_policy(construct, _VPC_EXECUTION, reason)


def _acknowledge_managed_policy(construct: IConstruct, name: str, reason: str) -> None:
    """Accept one of AWS's managed policies for services."""
    policy = f"arn:<AWS::Partition>:iam::aws:policy/service-role/{name}"
    acknowledge(construct, {f"AwsSolutions-IAM4[Policy::{policy}]": reason})


def _text(value: object) -> str:
    """A resolved value as cdk-nag writes it: references in angle brackets."""
    if not isinstance(value, Mapping):
        return str(value)
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator).join(_text(part) for part in parts)
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    return f"<{argument}>"
