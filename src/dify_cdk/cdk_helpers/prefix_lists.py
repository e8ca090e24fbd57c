"""Prefix lists that AWS manages, found at deploy time, so that no account look-up is needed at synthesis."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import custom_resources as cr
from constructs import Construct

from dify_cdk.cdk_helpers.custom_resources import log_group
from dify_cdk.cdk_helpers.nag import acknowledge_basic_execution, acknowledge_wildcards

_FIELD = "PrefixLists.0.PrefixListId"


CLOUDFRONT = "com.amazonaws.global.cloudfront.origin-facing"
"""Name of the list of addresses from which CloudFront calls origins."""


def s3_list(scope: Construct) -> str:
    """Name of the list of S3's addresses in the stack's region."""
    return f"com.amazonaws.{cdk.Stack.of(scope).region}.s3"


def managed_prefix_list(scope: Construct, id: str, name: str) -> ec2.IPeer:
    """A prefix list that AWS manages in the stack's region, as a security group peer.

    Args:
        scope: Parent construct.
        id: Construct id.
        name: Name of the list.
    """
    lookup = cr.AwsCustomResource(
        scope,
        id,
        install_latest_aws_sdk=False,  # a download at deploy time, impossible in closed networks
        log_group=log_group(scope, f"{id}Logs"),
        on_update=cr.AwsSdkCall(
            service="EC2",
            action="describeManagedPrefixLists",
            parameters={"Filters": [{"Name": "prefix-list-name", "Values": [name]}]},
            physical_resource_id=cr.PhysicalResourceId.of(name),
            output_paths=[_FIELD],
        ),
        policy=cr.AwsCustomResourcePolicy.from_sdk_calls(resources=cr.AwsCustomResourcePolicy.ANY_RESOURCE),
    )
    acknowledge_wildcards(lookup, ["*"], "ec2:DescribeManagedPrefixLists cannot be limited to a resource")
    singleton = f"AWS{cr.AwsCustomResource.PROVIDER_FUNCTION_UUID.replace('-', '')}"
    acknowledge_basic_execution(cdk.Stack.of(scope).node.find_child(singleton))
    return ec2.Peer.prefix_list(lookup.get_response_field(_FIELD))
