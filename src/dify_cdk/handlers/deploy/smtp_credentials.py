"""Custom resource that computes the SMTP credentials of Amazon SES from a user's access key.

Properties of the resource::

    KeySecretArn   secret with the JSON fields access_key_id and secret_access_key
    SmtpSecretArn  secret that receives username and password
    AccessKeyId    id of the key; a new one makes CloudFormation call again
    Region         region whose SES takes the credentials

Attribute: ``SecretArn``, the second secret, known when it is filled. Delete touches nothing.

IAM of ``on_event``: ``secretsmanager:GetSecretValue`` on the first secret, ``secretsmanager:PutSecretValue``
on the second.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from shared import CallError, Context, DeployError, Event, Retry, calling, require

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html: date, service and message are fixed.
_DATE = "11111111"
_SERVICE = "ses"
_TERMINAL = "aws4_request"
_MESSAGE = "SendRawEmail"
_VERSION = b"\x04"


class StaleKeyError(DeployError):
    """The secret holds another access key than the one asked for; a write may not be seen at once."""


def on_event(event: Event, context: Context) -> dict[str, Any]:
    """Handle a request of the provider framework."""
    import boto3

    retry = Retry(context.get_remaining_time_in_millis, sleep=time.sleep)
    return handle(event, secrets=boto3.client("secretsmanager"), retry=retry)


def handle(event: Event, *, secrets: SecretsManagerClient, retry: Retry) -> dict[str, Any]:
    """Do what a request asks for.

    Args:
        event: The request.
        secrets: Secrets Manager.
        retry: Pauses between tries.

    Raises:
        DeployError: With the reason for CloudFormation.
    """
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    properties = event["ResourceProperties"]
    key_arn, smtp_arn, key_id, region = require(
        properties, "KeySecretArn", "SmtpSecretArn", "AccessKeyId", "Region"
    )
    while True:
        try:
            key = read_key(secrets, key_arn, key_id)
            write(secrets, smtp_arn, {"username": key_id, "password": password(key, region)})
            return {"PhysicalResourceId": f"{smtp_arn}/smtp", "Data": {"SecretArn": smtp_arn}}
        except StaleKeyError as error:
            retry.pause(error)
        except CallError as error:
            if not error.passes_after(retry.seconds):
                raise
            retry.pause(error)


def password(secret_access_key: str, region: str) -> str:
    """The SMTP password that belongs to a secret access key in a region."""
    signature = f"AWS4{secret_access_key}".encode()
    for part in (_DATE, region, _SERVICE, _TERMINAL, _MESSAGE):
        signature = hmac.digest(signature, part.encode(), "sha256")
    return base64.b64encode(_VERSION + signature).decode("ascii")


def read_key(secrets: SecretsManagerClient, arn: str, key_id: str) -> str:
    """The secret access key with a given id.

    Raises:
        StaleKeyError: If the secret holds another one.
        DeployError: If the secret is not what we wrote.
    """
    with calling("reading the access key of the user that sends mail"):
        text = secrets.get_secret_value(SecretId=arn).get("SecretString", "")
    try:
        content = json.loads(text)
        found, key = str(content["access_key_id"]), content["secret_access_key"]
    except (ValueError, KeyError, TypeError):
        # Not "from error": the text of the error may quote the secret.
        raise DeployError(
            "the secret of the user that sends mail must be JSON with access_key_id and secret_access_key"
        ) from None
    if found != key_id:
        raise StaleKeyError(f"the secret of the user that sends mail holds {found} instead of {key_id}")
    if not isinstance(key, str) or not key:
        raise DeployError("the secret of the user that sends mail has no secret_access_key")
    return key


def write(secrets: SecretsManagerClient, arn: str, content: dict[str, str]) -> None:
    """Put the credentials into their secret."""
    with calling("writing the SMTP credentials"):
        secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(content))
