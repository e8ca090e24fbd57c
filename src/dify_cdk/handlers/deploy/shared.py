"""What the handlers of this package share: readable failures, bounded retries, the log."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

LOG = logging.getLogger("dify_cdk")
LOG.setLevel(logging.INFO)

Event = Mapping[str, Any]
"""What the CDK's provider framework passes: CloudFormation's request and what ``on_event`` returned."""

REASON_LENGTH = 1000
"""CloudFormation takes 4,096 bytes in all, and the framework adds its own trace to our text."""

SETTLE_SECONDS = 120
"""Roles and policies made moments ago are not known everywhere yet: until then a refusal is not final."""

_SERVER_ERROR = 500
_UNSETTLED = ("accessdenied", "not authorized to perform", "unable to assume the role")

_SECRETS = (
    (re.compile(r"(://[^:/@\s]*:)[^@\s]+@"), r"\1***@"),
    (re.compile(r"(SCRAM-SHA-256\$)[^'\s]+"), r"\1***"),
    (re.compile(r"(?i)((?:password|secret|token|api_?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',}&]+"), r"\1***"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An AWS service's refusal, or the lack of an answer."""

    code: str
    message: str
    status: int

    @property
    def passes(self) -> bool:
        """Whether trying again later makes sense, whatever the service."""
        return (
            self.status >= _SERVER_ERROR or "Throttl" in self.code or self.code == "TooManyRequestsException"
        )

    def passes_after(self, seconds: float) -> bool:
        """Whether trying again makes sense that long after the first try: IAM settles with time."""
        text = f"{self.code} {self.message}".lower()
        return self.passes or (seconds < SETTLE_SECONDS and any(each in text for each in _UNSETTLED))


class Context(Protocol):
    """The part of Lambda's context object that we read."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the run."""
        ...


class DeployError(Exception):
    """A failure whose text becomes CloudFormation's reason: short, in plain words, without a secret."""

    def __init__(self, text: str) -> None:
        super().__init__(shorten(scrub(text)))


class CallError(DeployError):
    """A call to an AWS service that failed.

    Args:
        action: What was tried, for the reader.
        answer: What came back.
    """

    def __init__(self, action: str, answer: Answer) -> None:
        super().__init__(f"{action}: {answer.code}: {answer.message}")
        self.answer = answer

    def passes_after(self, seconds: float) -> bool:
        """Whether trying again makes sense that long after the first try."""
        return self.answer.passes_after(seconds)


def scrub(text: str) -> str:
    """The text without what looks like a password or a key: logs of other programs end up in reasons."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def shorten(text: str, tail: str = "", limit: int = REASON_LENGTH) -> str:
    """``text`` and then as much of the *end* of ``tail`` as fits into ``limit`` characters."""
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    room = limit - len(text)
    if len(tail) <= room:
        return text + tail
    return text + "..." + tail[len(tail) - room + 3 :] if room > len("...") else text


def read_error(error: Exception) -> Answer | None:
    """What an exception of boto3 says, None if it is a mistake of ours and not an answer."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    if isinstance(error, ClientError):
        found = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Answer(code=found.get("Code", ""), message=found.get("Message", ""), status=status)
    if isinstance(error, ConnectionError | HTTPClientError):
        return Answer(code=type(error).__name__, message=str(error), status=_SERVER_ERROR)
    return None


@contextlib.contextmanager
def calling(action: str, failure: type[CallError] = CallError) -> Iterator[None]:
    """Turn a refusal of the call inside into a sentence; a mistake of ours stays what it is.

    Args:
        action: What the call is for.
        failure: Kind of the error.

    Raises:
        CallError: If the call is refused or not answered.
    """
    try:
        yield
    except Exception as error:
        answer = read_error(error)
        if answer is None:
            raise
        # Not "from error": the reader gets one sentence, and its text is scrubbed.
        raise failure(action, answer) from None


def require(properties: Mapping[str, Any], *names: str) -> list[Any]:
    """The values of properties that the template must set.

    Raises:
        DeployError: If one is missing or empty.
    """
    missing = [name for name in names if not properties.get(name)]
    if missing:
        raise DeployError(f"the custom resource lacks the properties {', '.join(missing)}")
    return [properties[name] for name in names]


class Retry:
    """Pauses between tries: twice as long each time, with jitter, as long as the function may still run.

    Args:
        remaining_millis: How long the function may run, ``context.get_remaining_time_in_millis``.
        sleep: Waits for a number of seconds.
        chance: A random number from 0 to 1.
    """

    FIRST = 1.0
    LONGEST = 20.0
    RESERVE = 75.0  # the next call may last 45 s, and the answer has to be given in time
    _HALF = 0.5

    def __init__(
        self,
        remaining_millis: Callable[[], int],
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._remaining_millis = remaining_millis
        self._total_millis = remaining_millis()
        self._sleep = sleep
        self._chance = chance
        self._tries = 0

    @property
    def seconds(self) -> float:
        """How long the function has been at it."""
        return (self._total_millis - self._remaining_millis()) / 1000

    def pause(self, reason: DeployError) -> None:
        """Wait before the next try.

        Args:
            reason: Why there has to be one.

        Raises:
            DeployError: If there is no time for it; the text says how often was tried, and ``reason``.
        """
        self._tries += 1
        seconds = min(self.LONGEST, self.FIRST * 2 ** (self._tries - 1)) * (self._HALF + self._chance() / 2)
        if self._remaining_millis() / 1000 - seconds < self.RESERVE:
            raise DeployError(f"gave up after {self._tries} tries: {reason}") from reason
        LOG.info("try %d in %.1f s: %s", self._tries + 1, seconds, reason)
        self._sleep(seconds)
