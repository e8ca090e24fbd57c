"""How every secret of the library is generated: letters and digits, one per purpose."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.references import may_go

SECRET_REASONS = {
    "AwsSolutions-SMG4": "Dify reads it when it starts: rotation= of DifyData renews it with a deployment",
}

KEY_LENGTH = 43
"""Characters of a generated secret: 256 bits of letters and digits."""


def rotated(id: str, rotation: int) -> str:
    """The construct id of a secret after so many rotations: a new id is a new secret with a new value."""
    return f"{id}Rotation{rotation}" if rotation else id


def define_secret(
    scope: Construct,
    id: str,
    description: str,
    removal_policy: cdk.RemovalPolicy,
    *,
    username: str | None = None,
    length: int = KEY_LENGTH,
) -> secretsmanager.Secret:
    """Define a generated secret of letters and digits, which is safe in URLs and connection strings.

    Args:
        scope: Parent construct.
        id: Construct id.
        description: What it is for, shown in the console.
        removal_policy: What a stack delete does to it.
        username: With a user name the secret is JSON with ``username`` and ``password``. Default: plain text.
        length: Number of characters.
    """
    as_json = username is not None
    secret = secretsmanager.Secret(
        scope,
        id,
        description=description,
        removal_policy=removal_policy,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            exclude_punctuation=True,
            include_space=False,
            password_length=length,
            secret_string_template=json.dumps({"username": username}) if as_json else None,
            generate_string_key="password" if as_json else None,
        ),
    )
    acknowledge(secret, SECRET_REASONS)
    may_go(secret)
    return secret
