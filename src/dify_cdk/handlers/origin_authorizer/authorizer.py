"""Lambda authorizer of an HTTP API that only a distribution may call: its requests carry a secret header.

For payload format 2.0 and simple responses. The header is the authorizer's identity source: API Gateway
answers 401 to a request without it, and may keep the verdict for a value, for it depends on nothing else.

Environment: ``SECRET_ARN``, a secret of Secrets Manager whose whole text is the header's value. AWSCURRENT
and AWSPREVIOUS are read when Lambda starts the function. A header that is neither makes it read them again,
at most once a minute, so that a rotated secret comes to be known. Where nothing can be read, nobody enters;
what is logged holds no value.
"""

from __future__ import annotations

import functools
import hmac
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

LOG = logging.getLogger("dify_cdk")

HEADER = "x-dify-origin"
SECONDS_BETWEEN_READS = 60

_CURRENT = "AWSCURRENT"
_PREVIOUS = "AWSPREVIOUS"


def handler(event: Any, context: object) -> dict[str, bool]:
    """Answer API Gateway's question."""
    return {"isAuthorized": GUARD.accepts(presented(event))}


def presented(event: Any) -> str:
    """What the caller sent in the header, an empty text if that is nothing."""
    try:
        value = event["headers"][HEADER]
    except (KeyError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


@dataclass(slots=True)
class Guard:
    """The header's values that let a request in.

    Attributes:
        read: Fetches the values, most often one or two of them.
        clock: Seconds since some moment, never running backwards.
    """

    read: Callable[[], list[str]]
    clock: Callable[[], float] = time.monotonic
    _values: list[bytes] = field(default_factory=list)
    _next_read: float = float("-inf")

    def accepts(self, value: str) -> bool:
        """Whether the value is one of them, if need be after a look at what they are by now."""
        if not value:
            return False
        if self._knows(value):
            return True
        if self.clock() < self._next_read:
            return False
        self._next_read = self.clock() + SECONDS_BETWEEN_READS
        self.refresh()
        return self._knows(value)

    def refresh(self) -> None:
        """Read the values; those known already stay if that fails."""
        try:
            values = self.read()
        except Exception as error:  # an authorizer that fails shows a 500, and its trace might show a value
            LOG.error("the secret of the origin header cannot be read: %s", reason(error))
            return
        self._values = [_encoded(value) for value in values]

    def _knows(self, value: str) -> bool:
        # All of them are compared, each in a time that does not tell how much of it was right.
        found = [hmac.compare_digest(_encoded(value), known) for known in self._values]
        return any(found)


def _encoded(value: str) -> bytes:
    # A header may hold anything.
    return value.encode("utf-8", "surrogatepass")


def reason(error: Exception) -> str:
    """A word on why: AWS's code or the kind of exception, never its text."""
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    return str(code or type(error).__name__)


def read_values(client: SecretsManagerClient, secret: str) -> list[str]:
    """The current value and, if the secret has been rotated, the one before."""
    current = client.get_secret_value(SecretId=secret, VersionStage=_CURRENT)["SecretString"]
    try:
        previous = client.get_secret_value(SecretId=secret, VersionStage=_PREVIOUS)["SecretString"]
    except client.exceptions.ResourceNotFoundException:
        return [current]
    return [current, previous]


@functools.cache
def _client() -> SecretsManagerClient:
    import boto3
    from botocore.config import Config

    # API Gateway waits ten seconds for an authorizer: two reads, each of two tries.
    config = Config(
        connect_timeout=1, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2}
    )
    return boto3.client("secretsmanager", config=config)


def _guard_at_start() -> Guard:
    guard = Guard(lambda: read_values(_client(), os.environ["SECRET_ARN"]))
    guard.refresh()
    return guard


GUARD = _guard_at_start()
"""Made once, when Lambda starts the function."""
