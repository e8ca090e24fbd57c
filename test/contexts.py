"""What variables are made of in tests: some installations behind some frontends."""

from __future__ import annotations

from dify_cdk.dify.environment import Context, DataEndpoints, PublicEndpoint
from dify_cdk.dify.limits import Limits

ENDPOINTS = DataEndpoints(
    database_host="database.example", cache_host="cache.example", bucket_name="dify-files", region="eu-west-1"
)


def context(
    *,
    timeout: int = 600,
    streaming: bool = True,
    max_body_mb: float | None = None,
    scheme: str = "https",
    collaboration: bool = False,
) -> Context:
    """An installation behind a frontend that supports this much."""
    limits = Limits(
        request_timeout_seconds=timeout, streaming=streaming, websocket=streaming, max_body_mb=max_body_mb
    )
    endpoint = PublicEndpoint(
        scheme=scheme,
        host="dify.example.com",
        limits=limits,
        idle_timeout_seconds=timeout,
        collaboration=collaboration,
    )
    return Context(data=ENDPOINTS, namespace="test.internal", endpoint=endpoint)


STREAMING = context()
BUFFERED = context(timeout=29, streaming=False, max_body_mb=10)
NO_FRONTEND = Context(data=ENDPOINTS, namespace="test.internal", endpoint=None)
CONTEXTS = {"streaming": STREAMING, "buffered": BUFFERED, "no_frontend": NO_FRONTEND}
