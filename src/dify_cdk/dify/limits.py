"""What a frontend supports."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one frontend supports between a browser and Dify.

    Attributes:
        request_timeout_seconds: With ``streaming`` the idle timeout: seconds without a byte, at a load
            balancer in either direction, at CloudFront from Dify, before the frontend closes the request.
            Without it the total timeout: seconds for the whole answer. A streamed answer that runs stays
            below an idle timeout, because Dify sends a ping every 10 seconds. A streamed answer of a workflow
            or chatflow is a job of the worker, and sends one ping and then nothing while the job waits; after
            300 seconds Dify itself ends it. Read and run in Dify at ad96501e0 (1.14.2):
            ``core/app/apps/streaming_utils.py``, to which ``message_based_app_generator.py`` gives no
            interval for pings.
        streaming: Whether answers arrive while they are written.
        websocket: Whether WebSocket connections are supported.
        max_body_mb: Largest request body in MB (10**6 bytes); None where the frontend sets no limit.
    """

    request_timeout_seconds: int
    streaming: bool
    websocket: bool
    max_body_mb: float | None


HTTP_API_TIMEOUT_SECONDS = 30
"""Total timeout of an integration of an HTTP API.

See https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

EDGE_READ_TIMEOUT_SECONDS = 120
"""CloudFront's longest wait for the next packet of an origin without a quota request.

See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
"""

FRONTEND_LIMITS = MappingProxyType(
    {
        "DifyAlbFrontend": Limits(
            request_timeout_seconds=4000, streaming=True, websocket=True, max_body_mb=None
        ),
        "DifyHttpApiFrontend": Limits(
            request_timeout_seconds=HTTP_API_TIMEOUT_SECONDS, streaming=False, websocket=False, max_body_mb=10
        ),
        "DifyCloudFrontLambdaFrontend": Limits(
            request_timeout_seconds=EDGE_READ_TIMEOUT_SECONDS,
            streaming=True,
            websocket=True,
            max_body_mb=None,
        ),
    }
)
"""The most that each frontend of this package supports.

See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html and
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""


def require_support(frontend: str, wanted: Limits, *, supported: Limits) -> None:
    """Check that a frontend supports what is asked of it.

    Args:
        frontend: Name of its class.
        wanted: What it has to support.
        supported: What it supports with the options it was given.

    Raises:
        ValueError: If it does not; the message names what is too much, and the frontends of this package
            that support it.
    """
    shortfalls = _shortfalls(supported, wanted)
    if shortfalls:
        able = [name for name, limits in FRONTEND_LIMITS.items() if not _shortfalls(limits, wanted)]
        choices = [f"other options of {name}" if name == frontend else name for name in able]
        advice = f"use {' or '.join(choices)}" if choices else "no frontend does"
        raise ValueError(f"{frontend} does not support {', '.join(shortfalls)}: {advice}")


def _shortfalls(supported: Limits, wanted: Limits) -> list[str]:
    found = []
    if wanted.request_timeout_seconds > supported.request_timeout_seconds:
        found.append(
            f"requests of {wanted.request_timeout_seconds} seconds, "
            f"only of {supported.request_timeout_seconds}"
        )
    if wanted.streaming and not supported.streaming:
        found.append("streamed answers")
    if wanted.websocket and not supported.websocket:
        found.append("WebSocket connections")
    if supported.max_body_mb is not None and (
        wanted.max_body_mb is None or wanted.max_body_mb > supported.max_body_mb
    ):
        size = "of any size" if wanted.max_body_mb is None else f"of {wanted.max_body_mb:g} MB"
        found.append(f"bodies {size}, only of {supported.max_body_mb:g} MB")
    return found
