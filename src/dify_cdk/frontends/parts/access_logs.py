"""The bucket that a frontend writes its access logs to, and who reads it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from dify_cdk._checks import require_list, require_match
from dify_cdk.cdk_helpers.nag import acknowledge

_LOG_DAYS = 90
_ID = "AccessLogs"
_READER = r"arn:aws[a-z-]*:iam::[0-9*]+:(role|user)/[A-Za-z0-9+=,.@_/*?-]+"


def define_log_bucket(scope: Construct, ownership: s3.ObjectOwnership) -> s3.Bucket:
    """A private bucket ``AccessLogs`` whose objects expire after 90 days.

    Args:
        scope: Parent construct.
        ownership: Who owns what is written; some services still need ACLs for it.
    """
    bucket = s3.Bucket(
        scope,
        _ID,
        enforce_ssl=True,
        encryption=s3.BucketEncryption.S3_MANAGED,  # the only encryption that load balancers can write to
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=ownership,
        lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(_LOG_DAYS))],
        removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )
    acknowledge(bucket, {"AwsSolutions-S1": "this is the log bucket"})
    return bucket


def limit_log_readers(frontend: Construct, name: str, readers: tuple[str, ...]) -> None:
    """Refuse to show access logs of a frontend to anybody else in the account, administrators included.

    Paths and queries hold what lets a caller in: codes of MCP servers, hooks of plugins and triggers,
    invitations and signatures of files.

    Args:
        frontend: Whose buckets.
        name: Its class, for messages.
        readers: ARNs of roles and users, with ``*`` and ``?`` for anything.

    Raises:
        ValueError: If nobody is named, or an entry is no such ARN.
    """
    require_list(f"{name}.limit_log_readers", readers, "ARNs of roles")
    if not readers:
        raise ValueError(f"{name}.limit_log_readers must name somebody, or nobody reads the logs")
    for reader in readers:
        meaning = "ARNs of roles or users such as arn:aws:iam::123456789012:role/Security"
        require_match(f"entries of {name}.limit_log_readers", reader, _READER, meaning)
    for bucket in frontend.node.find_all():
        if bucket.node.id == _ID and isinstance(bucket, s3.Bucket):
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[bucket.arn_for_objects("*")],
                    conditions={"ArnNotLike": {"aws:PrincipalArn": list(readers)}},
                )
            )
