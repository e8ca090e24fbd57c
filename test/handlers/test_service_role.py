"""Service-linked roles: against an IAM in memory that shows new ones late, refuses, and has other callers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import service_role
from service_role import CREATED, EXISTED, KNOWN_EVERYWHERE_SECONDS, UNKNOWN, Clock, handle
from shared import SETTLE_SECONDS, DeployError, Retry

from handlers.refusals import refusal

SERVICE, ROLE = "ecs.amazonaws.com", "AWSServiceRoleForECS"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
FUNCTION_SECONDS = 300
EVENT: dict[str, Any] = {
    "RequestType": "Create",
    "ResourceProperties": {"ServiceToken": "arn:token", "Service": SERVICE, "Role": ROLE},
}
# As IAM words them.
MISSING = refusal("NoSuchEntity", f"The role with name {ROLE} cannot be found.", status=404)
TAKEN = refusal(
    "InvalidInput",
    f"Service role name {ROLE} has been taken in this account, please try a different suffix.",
)
DENIED = refusal(
    "AccessDenied", "User: arn:x is not authorized to perform: iam:CreateServiceLinkedRole", status=403
)
FORBIDDEN = refusal(
    "AccessDenied",
    "User: arn:x is not authorized to perform: iam:CreateServiceLinkedRole on resource: arn:y with an "
    "explicit deny in a service control policy",
    status=403,
)


@dataclass
class Account:
    """boto3's ``iam`` client, and the clock of the account.

    Attributes:
        now: The time.
        made_at: When the role was made; None if there is none.
        late: Seconds until a role that is made from now on can be seen.
        look_faults: Raised by the next looks, one each; the last one for ever if ``lasting``.
        create_faults: Raised by the next creations, likewise.
        lasting: Whether faults never end.
    """

    now: datetime = NOON
    made_at: datetime | None = None
    late: float = 0
    look_faults: list[Exception] = field(default_factory=list)
    create_faults: list[Exception] = field(default_factory=list)
    lasting: bool = False
    created: int = 0
    looks: int = 0
    _hidden_until: datetime = NOON

    def get_role(self, *, RoleName: str) -> dict[str, Any]:
        assert RoleName == ROLE
        self.looks += 1
        self._raise(self.look_faults)
        if self.made_at is None or self.now < self._hidden_until:
            raise MISSING
        return {"Role": {"RoleName": ROLE, "CreateDate": self.made_at}}

    def create_service_linked_role(self, *, AWSServiceName: str) -> None:
        assert AWSServiceName == SERVICE
        self._raise(self.create_faults)
        if self.made_at is not None:
            raise TAKEN
        self.created += 1
        self.made_at = self.now
        self._hidden_until = self.now + timedelta(seconds=self.late)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += timedelta(seconds=seconds)

    @property
    def passed(self) -> float:
        return (self.now - NOON).total_seconds()

    def _raise(self, faults: list[Exception]) -> None:
        if faults:
            raise faults[0] if self.lasting else faults.pop(0)


def run(account: Account, event: dict[str, Any] = EVENT) -> dict[str, Any]:
    retry = Retry(
        lambda: int((FUNCTION_SECONDS - account.passed) * 1000), sleep=account.sleep, chance=lambda: 1
    )
    clock = Clock(now=lambda: account.now, sleep=account.sleep)
    return handle(event, iam=account, retry=retry, clock=clock)  # type: ignore[arg-type]


def answer(result: str) -> dict[str, Any]:
    return {"PhysicalResourceId": ROLE, "Data": {"Result": result}}


def test_a_role_that_exists_is_left_alone_at_once() -> None:
    account = Account(made_at=NOON - timedelta(days=900))
    assert run(account) == answer(EXISTED)
    assert (account.created, account.passed) == (0, 0)


def test_a_missing_role_is_made_and_given_time() -> None:
    account = Account()
    assert run(account) == answer(CREATED)
    assert account.created == 1
    assert account.passed == KNOWN_EVERYWHERE_SECONDS


def test_a_role_that_shows_late_is_waited_for() -> None:
    account = Account(late=50)
    assert run(account) == answer(CREATED)
    assert 50 <= account.passed < 75


def test_a_role_that_somebody_made_a_moment_ago_is_given_time() -> None:
    """Amazon ECS itself, or another stack that is deployed at the same time."""
    account = Account(made_at=NOON - timedelta(seconds=10))
    assert run(account) == answer(EXISTED)
    assert account.passed == KNOWN_EVERYWHERE_SECONDS - 10


def test_a_clock_that_is_behind_waits_no_longer() -> None:
    account = Account(made_at=NOON + timedelta(seconds=40))
    run(account)
    assert account.passed == KNOWN_EVERYWHERE_SECONDS


def test_somebody_who_was_faster_is_no_failure() -> None:
    account = Account(made_at=NOON - timedelta(seconds=1), look_faults=[MISSING, MISSING])
    assert run(account) == answer(EXISTED)
    assert account.created == 0


def test_an_update_of_the_resource_looks_again() -> None:
    account = Account(made_at=NOON - timedelta(days=1))
    assert run(account, {**EVENT, "RequestType": "Update", "PhysicalResourceId": ROLE}) == answer(EXISTED)
    assert account.looks == 1


def test_delete_does_nothing() -> None:
    account = Account(look_faults=[AssertionError("looked")], lasting=True)
    event = {"RequestType": "Delete", "PhysicalResourceId": ROLE, "ResourceProperties": {}}
    assert run(account, event) == {"PhysicalResourceId": ROLE}


@pytest.mark.parametrize("what", ["look_faults", "create_faults"])
def test_permissions_that_are_seconds_old_are_waited_for(what: str) -> None:
    account = Account(**{what: [DENIED, DENIED]})  # type: ignore[arg-type]
    assert run(account) == answer(CREATED)


def test_a_role_that_may_not_be_looked_at_while_it_is_missing_is_made() -> None:
    """IAM knows no path of a role that is missing, so that a policy with the path may not fit."""
    account = Account(look_faults=[DENIED])
    assert run(account) == answer(CREATED)


@pytest.mark.parametrize("fault", [refusal("Throttling"), refusal("ServiceFailure", status=500)])
def test_a_passing_fault_is_tried_again(fault: Exception) -> None:
    account = Account(look_faults=[fault, fault], create_faults=[fault])
    assert run(account) == answer(CREATED)
    assert account.created == 1


def test_a_service_control_policy_stops_nothing_and_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    account = Account(create_faults=[FORBIDDEN], lasting=True)
    with caplog.at_level(logging.WARNING):
        assert run(account) == answer(UNKNOWN)
    assert account.passed == 0
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(f"it is not known whether the role {ROLE} exists, the deployment goes on: ")
    assert "with an explicit deny in a service control policy" in text
    assert f"aws iam create-service-linked-role --aws-service-name {SERVICE}" in text


def test_a_lasting_lack_of_permission_stops_nothing() -> None:
    account = Account(create_faults=[DENIED], lasting=True)
    assert run(account) == answer(UNKNOWN)
    assert SETTLE_SECONDS <= account.passed < FUNCTION_SECONDS


def test_a_role_that_may_be_made_but_never_seen_stops_nothing() -> None:
    account = Account(look_faults=[DENIED], lasting=True)
    assert run(account) == answer(UNKNOWN)
    assert account.created == 1
    assert account.passed < FUNCTION_SECONDS


def test_an_iam_that_never_answers_stops_nothing() -> None:
    account = Account(look_faults=[refusal("ServiceFailure", status=500)], lasting=True)
    assert run(account) == answer(UNKNOWN)
    assert account.passed < FUNCTION_SECONDS


def test_another_refusal_stops_nothing() -> None:
    fault = refusal("InvalidInput", "ecs.amazonaws.com is not a valid AWS service name")
    account = Account(create_faults=[fault], lasting=True)
    assert run(account) == answer(UNKNOWN)
    assert account.passed == 0


@pytest.mark.parametrize("name", ["Service", "Role"])
def test_fails_when_a_property_is_missing(name: str) -> None:
    properties = {key: value for key, value in EVENT["ResourceProperties"].items() if key != name}
    with pytest.raises(DeployError, match=f"lacks the properties {name}"):
        run(Account(), {**EVENT, "ResourceProperties": properties})


def test_fails_when_the_mistake_is_ours() -> None:
    with pytest.raises(KeyError):
        run(Account(look_faults=[KeyError("x")]))


def test_the_handler_makes_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"iam": Account(made_at=NOON - timedelta(days=1))}
    monkeypatch.setattr("boto3.client", clients.__getitem__)
    context: Any = type("Context", (), {"get_remaining_time_in_millis": lambda self: 300_000})()
    assert service_role.on_event(EVENT, context) == answer(EXISTED)
