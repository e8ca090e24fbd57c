"""The evaluator that policy tests rely on can say no."""

from __future__ import annotations

from typing import Any

import pytest

from iam import allows, text

STATEMENTS: list[dict[str, Any]] = [
    {"Effect": "Allow", "Action": ["s3:Get*", "s3:ListBucket"], "Resource": ["arn:aws:s3:::b/a?/*"]},
    {
        "Effect": "Allow",
        "Action": "ses:SendRawEmail",
        "Resource": "*",
        "Condition": {"StringEquals": {"ses:FromAddress": ["a@example.com", "b@example.com"]}},
    },
]


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("s3:GetObject", "arn:aws:s3:::b/ax/key", True),
        ("S3:getobject", "arn:aws:s3:::b/ax/key", True),
        ("s3:GetObject", "arn:aws:s3:::b/axx/key", False),
        ("s3:GetObject", "arn:aws:s3:::c/ax/key", False),
        ("s3:PutObject", "arn:aws:s3:::b/ax/key", False),
        ("s3:ListBuckets", "arn:aws:s3:::b/ax/key", False),
        ("xs3:GetObject", "arn:aws:s3:::b/ax/key", False),
    ],
)
def test_actions_and_resources_are_patterns(action: str, resource: str, expected: bool) -> None:
    assert allows(STATEMENTS, action, resource) is expected


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"ses:FromAddress": "b@example.com"}, True),
        ({"ses:FromAddress": "c@example.com"}, False),
        ({}, False),
    ],
)
def test_conditions_have_to_hold(context: dict[str, str], expected: bool) -> None:
    assert allows(STATEMENTS, "ses:SendRawEmail", "arn:aws:ses:x", context) is expected


def test_fails_when_a_statement_denies_which_it_does_not_understand() -> None:
    with pytest.raises(AssertionError):
        allows([{"Effect": "Deny", "Action": "*", "Resource": "*"}], "s3:GetObject", "*")


def test_fails_when_a_condition_is_one_it_does_not_know() -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a": "b"}}}
    with pytest.raises(KeyError):
        allows([statement], "s3:GetObject", "*")


def test_references_become_text() -> None:
    arn = {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":x:", {"Fn::GetAtt": ["Key", "Arn"]}]]}
    assert text(arn) == "arn:aws:x:<Key.Arn>"
