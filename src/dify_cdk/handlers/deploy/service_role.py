"""Custom resource that makes sure a service-linked role of AWS exists before its service needs it.

Some services make their role at their first call in an account and use it in the same second, when IAM does
not know it everywhere yet: the first deployment fails, the second one works. See
``dify_cdk.cdk_helpers.service_role``
for which ones. ``AWS::IAM::ServiceLinkedRole`` is no way out: it fails where the role exists already.

Properties of the resource::

    Service   service principal, such as ecs.amazonaws.com
    Role      name that AWS gives the role, such as AWSServiceRoleForECS

Attribute: ``Result``. Delete does nothing: the role belongs to the account, not to us.

========  =====================================================================================
existed   it was there
created   it is there now, can be seen, and has had some time to be known everywhere
unknown   IAM refused, for example by a service control policy: the deployment goes on, because
          the role may be there or somebody else may make it; the log says what to do
========  =====================================================================================

So an answer of IAM never fails a deployment: if the role is missing for good, the service says so itself.

IAM of ``on_event``: ``iam:GetRole`` and ``iam:CreateServiceLinkedRole`` on the role, the latter with the
condition ``iam:AWSServiceName``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from shared import LOG, CallError, Context, DeployError, Event, Retry, calling, require

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

T = TypeVar("T")

KNOWN_EVERYWHERE_SECONDS = 30
"""Age from which a role counts as known to all of AWS; nobody publishes a number.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

EXISTED, CREATED, UNKNOWN = "existed", "created", "unknown"

# A policy names the role with its path, which IAM knows of roles that exist only: looking for another one may
# be refused instead of not found.
_NOT_SHOWN = ("NoSuchEntity", "AccessDenied")
_TAKEN = "has been taken in this account"
_FOR_GOOD = "explicit deny"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The time, and how to let it pass."""

    now: Callable[[], datetime]
    sleep: Callable[[float], None]


class NotSeenError(DeployError):
    """The role exists, and IAM does not show it yet."""


def on_event(event: Event, context: Context) -> dict[str, Any]:
    """Handle a request of the provider framework."""
    import boto3

    clock = Clock(now=lambda: datetime.now(UTC), sleep=time.sleep)
    retry = Retry(context.get_remaining_time_in_millis, sleep=clock.sleep)
    return handle(event, iam=boto3.client("iam"), retry=retry, clock=clock)


def handle(event: Event, *, iam: IAMClient, retry: Retry, clock: Clock) -> dict[str, Any]:
    """Do what a request asks for.

    Args:
        event: The request.
        iam: IAM.
        retry: Pauses between tries.
        clock: The time.

    Raises:
        DeployError: If a property is missing.
    """
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    service, role = require(event["ResourceProperties"], "Service", "Role")
    try:
        result = ensure(iam, service, role, retry=retry, clock=clock)
    except DeployError as error:
        result = UNKNOWN
        LOG.warning(
            "it is not known whether the role %s exists, the deployment goes on: %s. If %s fails next, let "
            "somebody who may run: aws iam create-service-linked-role --aws-service-name %s",
            role,
            error,
            service,
            service,
        )
    LOG.info("%s: %s", role, result)
    return {"PhysicalResourceId": role, "Data": {"Result": result}}


def ensure(iam: IAMClient, service: str, role: str, *, retry: Retry, clock: Clock) -> str:
    """Make sure that a role exists and is known; whether it was there.

    Raises:
        DeployError: If IAM refuses, or does not show in time what it made.
    """
    made_at = _persist(lambda: made(iam, role), retry)
    result = EXISTED
    if made_at is None:
        if _persist(lambda: create(iam, service), retry):
            result = CREATED
        made_at = _persist(lambda: seen(iam, role), retry)
    age = (clock.now() - made_at).total_seconds()
    if age < KNOWN_EVERYWHERE_SECONDS:
        # Also if it is somebody else's: that it can be seen here does not mean that it can be used there.
        clock.sleep(min(KNOWN_EVERYWHERE_SECONDS, KNOWN_EVERYWHERE_SECONDS - age))
    return result


def made(iam: IAMClient, role: str) -> datetime | None:
    """When a role was made; None if IAM shows none."""
    try:
        with calling(f"looking for the role {role}"):
            return iam.get_role(RoleName=role)["Role"]["CreateDate"]
    except CallError as error:
        if error.answer.code in _NOT_SHOWN:
            return None
        raise


def seen(iam: IAMClient, role: str) -> datetime:
    """When a role that exists was made.

    Raises:
        NotSeenError: If IAM does not show it yet.
    """
    made_at = made(iam, role)
    if made_at is None:
        raise NotSeenError(f"the role {role} exists, but IAM does not show it")
    return made_at


def create(iam: IAMClient, service: str) -> bool:
    """Make a service's role; whether it is new, because somebody may have been faster."""
    try:
        with calling(f"making the role of {service}"):
            iam.create_service_linked_role(AWSServiceName=service)
    except CallError as error:
        if _TAKEN in error.answer.message:
            return False
        raise
    return True


def _persist(call: Callable[[], T], retry: Retry) -> T:
    """The call's result, asked again while that makes sense.

    Raises:
        DeployError: If it does not, or there is no time left.
    """
    while True:
        try:
            return call()
        except NotSeenError as error:
            retry.pause(error)
        except CallError as error:
            if _FOR_GOOD in error.answer.message or not error.passes_after(retry.seconds):
                raise
            retry.pause(error)
