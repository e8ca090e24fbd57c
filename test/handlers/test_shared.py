"""Reasons that fit, without secrets, and pauses that end in time."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError, ParamValidationError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from shared import (
    REASON_LENGTH,
    SETTLE_SECONDS,
    CallError,
    DeployError,
    Retry,
    calling,
    read_error,
    require,
    scrub,
    shorten,
)

from handlers.refusals import refusal


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.slept: list[float] = []

    def remaining(self) -> int:
        return int(self.left * 1000)

    def sleep(self, seconds: float) -> None:
        self.left -= seconds
        self.slept.append(seconds)


def test_pauses_double_up_to_a_limit() -> None:
    clock = Clock(10_000)
    retry = Retry(clock.remaining, sleep=clock.sleep, chance=lambda: 1)
    for _ in range(7):
        retry.pause(DeployError("not yet"))
    assert clock.slept == [1, 2, 4, 8, 16, 20, 20]


def test_a_retry_knows_how_long_it_has_been_at_it() -> None:
    clock = Clock(10_000)
    retry = Retry(clock.remaining, sleep=clock.sleep, chance=lambda: 1)
    assert retry.seconds == 0
    for _ in range(3):
        retry.pause(DeployError("not yet"))
    assert retry.seconds == 7


def test_pauses_differ_between_parallel_runs() -> None:
    clock = Clock(10_000)
    chances = iter([0.0, 1.0, 0.5])
    retry = Retry(clock.remaining, sleep=clock.sleep, chance=lambda: next(chances))
    for _ in range(3):
        retry.pause(DeployError("not yet"))
    assert clock.slept == [0.5, 2, 3]


def test_fails_when_the_time_of_the_function_is_used_up() -> None:
    # GIVEN a function with 100 seconds left
    clock = Clock(100)
    retry = Retry(clock.remaining, sleep=clock.sleep, chance=lambda: 1)
    # WHEN something does not come true
    with pytest.raises(DeployError, match="gave up after 5 tries: not yet"):
        for _ in range(50):
            retry.pause(DeployError("not yet"))
    # THEN enough time is left for one call and the answer
    assert clock.left >= Retry.RESERVE


@given(st.text(), st.text(), st.integers(min_value=10, max_value=60))
def test_a_shortened_text_fits_and_ends_like_its_tail(text: str, tail: str, limit: int) -> None:
    short = shorten(text, tail, limit)
    assert len(short) <= limit
    if len(text) + len(tail) <= limit:
        assert short == text + tail
    if len(text) + 10 < limit:
        assert short.endswith(tail[-7:])


def test_an_error_is_never_longer_than_a_reason() -> None:
    assert len(str(DeployError("x" * 5000))) == REASON_LENGTH


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://dify:S3cretS3cret@db:5432/main",
        "rediss://:S3cretS3cret@cache:6379/1",
        "password=S3cretS3cret host=db",
        'DB_PASSWORD: "S3cretS3cret"',
        "{'SECRET_KEY_token': 'S3cretS3cret'}",
        "PASSWORD 'SCRAM-SHA-256$4096:S3cretS3cret$S3cretS3cret:S3cretS3cret'",
    ],
)
def test_what_looks_like_a_secret_is_removed(text: str) -> None:
    assert "S3cret" not in scrub(text)


def test_an_ordinary_failure_stays_readable() -> None:
    text = 'FATAL: password authentication failed for user "dify"; SQLState: 28P01'
    assert scrub(text) == text


def test_fails_when_properties_are_missing() -> None:
    with pytest.raises(DeployError, match="lacks the properties Image, Subnets"):
        require({"Cluster": "c", "Subnets": []}, "Cluster", "Image", "Subnets")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (refusal("ThrottlingException"), True),
        (refusal("Whatever", status=503), True),
        (refusal("AccessDeniedException", status=403), False),
        (ReadTimeoutError(endpoint_url="https://x"), True),
        (EndpointConnectionError(endpoint_url="https://x"), True),
    ],
)
def test_an_answer_passes_or_not(error: Exception, passes: bool) -> None:
    answer = read_error(error)
    assert answer is not None
    assert answer.passes is passes


@pytest.mark.parametrize(
    ("error", "settles"),
    [
        (refusal("AccessDeniedException", status=403), True),
        (refusal("AccessDenied", status=403), True),
        (refusal("ClientException", "ECS was unable to assume the role 'arn:x'"), True),
        (refusal("BadRequestException", "User: arn:x is not authorized to perform: x:Y"), True),
        (refusal("InvalidParameterException", "no such subnet"), False),
    ],
)
def test_permissions_may_arrive_late(error: Exception, settles: bool) -> None:
    answer = read_error(error)
    assert answer is not None
    assert answer.passes_after(SETTLE_SECONDS - 1) is settles
    assert not answer.passes_after(SETTLE_SECONDS)


def test_a_refused_call_becomes_a_sentence() -> None:
    with pytest.raises(CallError, match=r"^reading: Code: text$"), calling("reading"):
        raise refusal("Code", "text")


def test_a_mistake_inside_a_call_stays_a_mistake() -> None:
    with pytest.raises(KeyError), calling("reading"):
        raise KeyError("x")


@pytest.mark.parametrize("error", [KeyError("x"), ParamValidationError(report="x"), DeployError("x")])
def test_a_mistake_of_ours_is_no_answer(error: Exception) -> None:
    assert read_error(error) is None
