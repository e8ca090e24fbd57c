"""Custom resource that finds the Cloud Map service which ECS Service Connect has registered.

A private integration of an HTTP API takes the ARN of a Cloud Map service. Service Connect makes that service
itself, under the discovery name, and CloudFormation does not hand out its ARN
(https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2102). So it is looked up by
namespace and exact name, again and again while ECS registers it, and again when the ECS service is replaced.
Delete touches nothing: the service belongs to ECS.

Why not SRV records, which CloudFormation could name? API Gateway needs address *and* port of each task. An
ECS service takes one service registry, and ours has the private A name by which the other roles call. Record
types cannot be added to it without replacing it, and it may stand for the tasks of two frontends while
traffic moves from one to the other: with SRV records the first would send requests to tasks of the second
too. What Service Connect registers has address and port, follows the tasks, and belongs to one frontend.

Properties of the resource::

    NamespaceId      ID or ARN of the namespace
    DiscoveryName    of the port in the ECS service's Service Connect configuration
    Service          ARN of the ECS service; a new one makes CloudFormation call again

Attributes of the resource: ``ServiceArn``.

IAM of ``on_event``:

=============================  ===================================================================
servicediscovery:ListServices  ``*`` (it knows neither a narrower resource nor a condition)
=============================  ===================================================================
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import LOG, Context, DeployError, Event, Retry, read_error, require

if TYPE_CHECKING:
    from mypy_boto3_servicediscovery import ServiceDiscoveryClient
    from mypy_boto3_servicediscovery.type_defs import ServiceSummaryTypeDef

_PASSING_CODES = frozenset({"RequestLimitExceeded"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is looked for, and for which ECS service."""

    namespace: str
    name: str
    ecs_service: str

    @property
    def physical_id(self) -> str:
        """The same for the same place: a replaced ECS service does not replace the resource."""
        return f"dify-resolver/{self.namespace}/{self.name}"


def on_event(event: Event, context: Context) -> dict[str, Any]:
    """Handle a request of the provider framework."""
    import boto3
    from botocore.config import Config

    # Two attempts at the longest are shorter than what Retry keeps in reserve.
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=10, read_timeout=20
    )
    return handle(
        event,
        client=boto3.client("servicediscovery", config=config),
        retry=Retry(context.get_remaining_time_in_millis, sleep=time.sleep),
    )


def handle(event: Event, *, client: ServiceDiscoveryClient, retry: Retry) -> dict[str, Any]:
    """Do what a request asks for.

    Args:
        event: The request.
        client: Cloud Map.
        retry: Pauses while ECS registers.

    Raises:
        DeployError: If the service does not appear in time, or Cloud Map refuses.
    """
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    wanted = read_wanted(event["ResourceProperties"])
    arn = resolve(client, wanted, retry)
    LOG.info("%s is %s", wanted.name, arn)
    return {"PhysicalResourceId": wanted.physical_id, "Data": {"ServiceArn": arn}}


def read_wanted(properties: Mapping[str, Any]) -> Wanted:
    """The resource's properties, checked.

    Raises:
        DeployError: If one is missing.
    """
    namespace, name, service = require(properties, "NamespaceId", "DiscoveryName", "Service")
    return Wanted(namespace=namespace.rsplit("/", 1)[-1], name=name, ecs_service=service)


def resolve(client: ServiceDiscoveryClient, wanted: Wanted, retry: Retry) -> str:
    """The ARN of the wanted service, as soon as there is one.

    Raises:
        DeployError: If there is none in time, if there are several, or if Cloud Map refuses.
    """
    while True:
        try:
            found = list(_services(client, wanted))
        except Exception as error:
            missing = _passing(error, wanted, retry)
        else:
            arn = pick(found, wanted)
            if arn is not None:
                return arn
            missing = _not_there(found, wanted)
        retry.pause(missing)


def pick(services: Iterable[ServiceSummaryTypeDef], wanted: Wanted) -> str | None:
    """The ARN of the one service with exactly the wanted name, None if there is none.

    Raises:
        DeployError: If there are several.
    """
    arns = [service["Arn"] for service in services if service.get("Name") == wanted.name]
    if len(arns) > 1:
        raise DeployError(
            f"Cloud Map namespace {wanted.namespace} has {len(arns)} services {wanted.name!r}: "
            + ", ".join(sorted(arns))
        )
    return arns[0] if arns else None


def _services(client: ServiceDiscoveryClient, wanted: Wanted) -> Iterable[ServiceSummaryTypeDef]:
    """All services of the namespace; Cloud Map filters each page after it has read it, so some are empty."""
    pages = client.get_paginator("list_services").paginate(
        Filters=[{"Name": "NAMESPACE_ID", "Values": [wanted.namespace], "Condition": "EQ"}]
    )
    for page in pages:
        yield from page["Services"]


def _not_there(services: Iterable[ServiceSummaryTypeDef], wanted: Wanted) -> DeployError:
    names = sorted(service.get("Name", "") for service in services)
    return DeployError(
        f"Cloud Map namespace {wanted.namespace} has no service {wanted.name!r}, which ECS registers when "
        f"Service Connect is on for {wanted.ecs_service}; it has: {', '.join(names) or 'none'}"
    )


def _passing(error: Exception, wanted: Wanted, retry: Retry) -> DeployError:
    """The reason for another try.

    Raises:
        DeployError: If another try would end the same way.
    """
    answer = read_error(error)
    if answer is None:
        raise error
    reason = DeployError(
        f"cannot list the services of Cloud Map namespace {wanted.namespace} to find {wanted.name!r}: "
        f"{answer.code}: {answer.message}"
    )
    if answer.passes_after(retry.seconds) or answer.code in _PASSING_CODES:
        return reason
    raise reason from error
