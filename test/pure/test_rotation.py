"""The table of renewals speaks of every secret once."""

from __future__ import annotations

from collections import Counter

import pytest

from dify_cdk.environment import Purpose
from dify_cdk.rotation import RENEWALS, Renewal, renewal_of


def test_every_purpose_has_one_row() -> None:
    found = Counter(purpose for row in RENEWALS for purpose in row.purposes)
    assert found == Counter(dict.fromkeys(Purpose, 1))


@pytest.mark.parametrize(
    ("purpose", "renewal"),
    [
        (Purpose.SECRET_KEY, Renewal.NEVER),
        (Purpose.INIT_PASSWORD, Renewal.POINTLESS),
        (Purpose.CACHE_TOKEN, Renewal.BY_HAND),
        (Purpose.BROKER_URL, Renewal.BY_HAND),
        (Purpose.DATABASE, Renewal.BY_DEPLOYING),
        (Purpose.INNER_API_KEY, Renewal.BY_DEPLOYING),
    ],
)
def test_what_holds_data_is_not_renewed_by_a_deployment(purpose: Purpose, renewal: Renewal) -> None:
    assert renewal_of(purpose) is renewal


def test_who_has_to_do_something_is_told_what() -> None:
    assert all(bool(row.steps) == (row.renewal is Renewal.BY_HAND) for row in RENEWALS)
    assert all(row.reason and not row.reason.endswith(".") for row in RENEWALS)
