"""The shape every way in to Dify has."""

from __future__ import annotations

from typing import Protocol

import aws_cdk as cdk
from constructs import Construct

from dify_cdk.dify.limits import Limits
from dify_cdk.workers.workers import DifyWorkers


class DifyFrontend(Protocol):
    """A construct that hosts api and web and routes every path of the route table."""

    @property
    def url(self) -> str:
        """What users type, without a trailing slash; may be a token."""
        ...

    @property
    def limits(self) -> Limits:
        """What this way in carries."""
        ...


def require_same_stack(frontend: Construct, workers: DifyWorkers) -> None:
    """Check that both are in one stack.

    Raises:
        ValueError: If they are not: each needs something of the other, neither could be deployed first.
    """
    if cdk.Stack.of(frontend) is not cdk.Stack.of(workers):
        raise ValueError(
            f"{frontend.node.path} and its workers must share a stack: workers register with the frontend, "
            "and the frontend needs the workers' cluster and names"
        )
