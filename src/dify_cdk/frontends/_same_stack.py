"""What every frontend and its workers have in common: the stack."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from dify_cdk.workers import DifyWorkers


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
