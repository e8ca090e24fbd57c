"""Names of what CloudFront keeps for an account as a whole, and not for one region of it."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

CLOUDFRONT_REGION = "us-east-1"
"""Where certificates and web ACLs of CloudFront live, whatever the region of the stack."""


def global_name(scope: Construct, id: str, *, longest: int) -> str:
    """A name with the region in it, so that the same stack fits into several regions of an account.

    The CDK's own has the path only: https://github.com/aws/aws-cdk/issues/34799

    Args:
        scope: The construct that owns what is named.
        id: What tells it from others of the same owner.
        longest: How many characters AWS takes.
    """
    region = cdk.Stack.of(scope).region
    room = longest - len(f"{region}--{id}")
    path = cdk.Names.unique_resource_name(scope, max_length=room, separator="-")
    return f"{region}-{path}-{id}"
