"""Access logs hold secrets in their paths: who may read them."""

from __future__ import annotations

import aws_cdk as cdk
import pytest

from dify_cdk import (
    CloudFrontEdge,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyWorkers,
    Uploads,
)
from iam import text
from support import Template
from synth.installation import OFFICE, synthesized, workers_in

READERS = ("arn:aws:iam::123456789012:role/Security", "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*")


@pytest.fixture
def workers(stack: cdk.Stack) -> DifyWorkers:
    return workers_in(stack)


def _denied(template: Template) -> dict[str, list[dict[str, object]]]:
    """What the policies of the log buckets deny without a condition on the transport."""
    found = {}
    for policy in template.properties("AWS::S3::BucketPolicy").values():
        if "AccessLogs" in policy["Bucket"]["Ref"]:
            statements = policy["PolicyDocument"]["Statement"]
            found[policy["Bucket"]["Ref"]] = [
                one
                for one in statements
                if one["Effect"] == "Deny" and "ArnNotLike" in one.get("Condition", {})
            ]
    return found


@pytest.mark.parametrize("kind", ["balancer", "edge", "functions", "functions_with_balancer"])
def test_nobody_but_the_readers_reads_any_of_the_log_buckets(
    stack: cdk.Stack, workers: DifyWorkers, kind: str
) -> None:
    if kind in ("balancer", "edge"):
        edge = CloudFrontEdge() if kind == "edge" else None
        alb = DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, edge=edge)
        alb.limit_log_readers(*READERS)
    else:
        uploads = Uploads.HTTP_API if kind == "functions" else Uploads.VPC_ORIGIN
        functions = DifyCloudFrontLambdaFrontend(
            stack, "Frontend", workers=workers, access=OFFICE, uploads=uploads
        )
        functions.limit_log_readers(*READERS)
    template = synthesized(stack)
    denied = _denied(template)
    assert denied.keys() == {id for id in template.of_type("AWS::S3::Bucket") if "AccessLogs" in id}
    assert len(denied) == (2 if kind in ("edge", "functions_with_balancer") else 1)
    for bucket, statements in denied.items():
        (statement,) = statements
        assert statement["Principal"] == {"AWS": "*"}
        assert statement["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
        assert text(statement["Resource"]) == f"<{bucket}.Arn>/*"
        assert statement["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": list(READERS)}}


def test_without_a_call_the_account_decides(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    assert list(_denied(synthesized(stack)).values()) == [[]]


@pytest.mark.parametrize(
    ("readers", "message"),
    [
        ((), r"^DifyAlbFrontend\.limit_log_readers must name somebody"),
        (
            ("Security",),
            r"^entries of DifyAlbFrontend\.limit_log_readers must be ARNs of roles or users such as",
        ),
        (("arn:aws:sts::123456789012:assumed-role/Security/me",), r"must be ARNs of roles or users such as"),
    ],
)
def test_fails_when_a_reader_is_nobody(
    stack: cdk.Stack, workers: DifyWorkers, readers: tuple[str, ...], message: str
) -> None:
    frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    with pytest.raises(ValueError, match=message):
        frontend.limit_log_readers(*readers)
