"""The bucket of Dify: uploaded files, plugin packages and the private keys of workspaces."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_wildcards

_NONCURRENT_DAYS = 90
_UPLOAD_DAYS = 7


class Storage(Construct):
    """A private, versioned, encrypted bucket. Replaced and deleted objects stay readable for 90 days.

    Below ``privkeys/`` Dify keeps the private key of each workspace. Nothing else decrypts the credentials of
    models, tools and data sources in the database: if the bucket is lost, they have to be entered again.

    Args:
        removal_policy: What happens to the bucket when the stack is deleted.
    """

    def __init__(self, scope: Construct, id: str, *, removal_policy: cdk.RemovalPolicy) -> None:
        super().__init__(scope, id)
        self._bucket = s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=cdk.Duration.days(_NONCURRENT_DAYS),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(_UPLOAD_DAYS),
                )
            ],
            removal_policy=removal_policy,
        )
        acknowledge(
            self._bucket,
            {"AwsSolutions-S1": "object access logs are the owner's choice and cost per request"},
        )

    @property
    def bucket(self) -> s3.Bucket:
        """The bucket."""
        return self._bucket

    def grant_objects(self, grantee: iam.IGrantable, *prefixes: str) -> iam.Grant:
        """Grant reading, writing, deleting and listing objects; not creating buckets.

        Args:
            grantee: Who gets the permissions.
            prefixes: Prefixes without a trailing slash, to which everything is limited; a list of the whole
                bucket is then refused, and so is the question whether there is a bucket. Default: the whole
                bucket.
        """
        objects = [self._bucket.arn_for_objects(f"{prefix}/*") for prefix in prefixes]
        if not prefixes:
            objects = [self._bucket.arn_for_objects("*")]
        on_objects = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            resource_arns=objects,
        )
        if isinstance(grantee, Construct):
            acknowledge_wildcards(grantee, objects, "Dify names the objects below it")
        on_bucket = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:ListBucket"],
            resource_arns=[self._bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}}
            if prefixes
            else None,
        )
        return on_objects.combine(on_bucket)
