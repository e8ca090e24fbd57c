"""What every frontend has: a URL, limits, services, functions and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk.dify.components import Component
from dify_cdk.dify.limits import Limits
from dify_cdk.frontends.parts.clients import warn_of_access
from dify_cdk.options.access import Access
from dify_cdk.workers.component_service import ComponentService
from dify_cdk.workers.workers import DifyWorkers


class DifyFrontend(Protocol):
    """A construct that hosts api and web and routes every path of the route table.

    Any class with these members is one: write your own where none of this package fits. Derive it from
    ``Construct`` alone: type checkers compare the members.

    Example:
        >>> frontend: DifyFrontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access)
    """

    @property
    def url(self) -> str:
        """What users type, without a trailing slash; may be a token."""
        ...

    @property
    def limits(self) -> Limits:
        """What this frontend supports."""
        ...

    @property
    def services(self) -> Mapping[Component, ComponentService]:
        """The ECS services it runs, by component; those of ``DifyWorkers`` are not among them."""
        ...

    @property
    def functions(self) -> Mapping[Component, lambda_.FunctionBase]:
        """The Lambda functions it runs, by component; empty where there are none."""
        ...  # not IFunction, which pyright takes no class of the CDK for

    def error_metric(self) -> cloudwatch.Metric | cloudwatch.MathExpression:
        """How many requests were answered with status 5xx: the sum of a period of five minutes.

        In the region of the stack, where alarms look.
        """
        ...

    def latency_metric(self) -> cloudwatch.Metric | cloudwatch.MathExpression:
        """In how many seconds nine of ten answers began or came: the percentile ``p90`` of five minutes.

        In the region of the stack, where alarms look.
        """
        ...


def check_frontend(frontend: Construct, workers: DifyWorkers, access: Access) -> None:
    """What each frontend of this package looks at first: where it is, and who may enter.

    Raises:
        ValueError: If it is in another stack than the workers: each needs something of the other, neither
            could be deployed first.
    """
    warn_of_access(frontend, access)
    if cdk.Stack.of(frontend) is not cdk.Stack.of(workers):
        raise ValueError(
            f"{frontend.node.path} and its workers must share a stack: workers register with the frontend, "
            "and the frontend needs the workers' cluster and names"
        )
