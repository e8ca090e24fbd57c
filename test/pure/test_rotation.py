"""The table of renewals speaks of every secret once."""

from __future__ import annotations

from collections import Counter

import pytest

from dify_cdk.dify.environment import Purpose
from dify_cdk.dify.rotation import RENEWALS, Renewal, SecretRenewal, renewal_of


def test_every_purpose_has_one_row() -> None:
    found = Counter(purpose for row in RENEWALS for purpose in row.purposes)
    assert found == Counter(dict.fromkeys(Purpose, 1))


@pytest.mark.parametrize(
    ("purpose", "renewal"),
    [
        (Purpose.SECRET_KEY, Renewal.BY_HAND),
        (Purpose.INIT_PASSWORD, Renewal.POINTLESS),
        (Purpose.CACHE, Renewal.BY_DEPLOYING),
        (Purpose.PLUGIN_CACHE, Renewal.BY_DEPLOYING),
        (Purpose.BROKER_URL, Renewal.BY_DEPLOYING),
        (Purpose.DATABASE, Renewal.BY_DEPLOYING),
        (Purpose.INNER_API_KEY, Renewal.BY_DEPLOYING),
    ],
)
def test_what_holds_data_is_not_renewed_by_a_deployment(purpose: Purpose, renewal: Renewal) -> None:
    assert renewal_of(purpose) is renewal


def row_of(purpose: Purpose) -> SecretRenewal:
    return next(row for row in RENEWALS if purpose in row.purposes)


def positions(steps: tuple[str, ...], *parts: str) -> list[int]:
    """Number of the only step with each part."""
    found = []
    for part in parts:
        (number,) = [number for number, step in enumerate(steps) if part in step]
        found.append(number)
    return found


def test_secret_key_gets_its_value_before_the_tasks_and_the_clients_after_them() -> None:
    order = positions(
        row_of(Purpose.SECRET_KEY).steps,
        "secret_key=",
        "put-secret-value",
        "raise rotation= of DifyData",
        "setup-system-tool-oauth-client",
        "forged session",
    )
    assert order == sorted(order)


@pytest.mark.parametrize(
    "consequence", ["links to files", "visitors of published web apps", "OAuth clients", "sessions"]
)
def test_secret_key_says_what_its_renewal_does(consequence: str) -> None:
    assert consequence in row_of(Purpose.SECRET_KEY).reason


def test_the_cache_says_how_to_get_rid_of_a_password_that_leaked() -> None:
    reason = row_of(Purpose.CACHE).reason
    assert "until the next renewal" in reason
    assert "once more" in reason


def test_who_has_to_do_something_is_told_what() -> None:
    assert all(bool(row.steps) == (row.renewal is Renewal.BY_HAND) for row in RENEWALS)
    assert all(row.reason and not row.reason.endswith(".") for row in RENEWALS)
