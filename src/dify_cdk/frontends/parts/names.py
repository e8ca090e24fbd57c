"""Names of what CloudFront keeps for an account as a whole, and not for one region of it."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from dify_cdk.cdk_helpers.names import name_of

CLOUDFRONT_REGION = "us-east-1"
"""Where certificates and web ACLs of CloudFront live, whatever the region of the stack."""


def global_name(scope: Construct, id: str, *, longest: int) -> str:
    """A name with the region in it, so that the same stack fits into several regions of an account.

    The CDK's own has no region.

    Args:
        scope: The construct that owns what is named.
        id: What tells it from others of the same owner.
        longest: How many characters AWS takes.
    """
    region = cdk.Stack.of(scope).region
    room = longest - len(f"{region}--{id}")
    return f"{region}-{name_of(scope, longest=room)}-{id}"
