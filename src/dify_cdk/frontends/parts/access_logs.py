"""The bucket that a frontend writes its access logs to."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge

_LOG_DAYS = 90


def define_log_bucket(scope: Construct, ownership: s3.ObjectOwnership) -> s3.Bucket:
    """A private bucket ``AccessLogs`` whose objects expire after 90 days.

    Args:
        scope: Parent construct.
        ownership: Who owns what is written; some services still need ACLs for it.
    """
    bucket = s3.Bucket(
        scope,
        "AccessLogs",
        enforce_ssl=True,
        encryption=s3.BucketEncryption.S3_MANAGED,  # the only encryption that load balancers can write to
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=ownership,
        lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(_LOG_DAYS))],
        removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )
    acknowledge(bucket, {"AwsSolutions-S1": "this is the log bucket"})
    return bucket
