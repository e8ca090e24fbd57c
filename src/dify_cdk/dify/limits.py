"""What a way in to Dify can carry."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one frontend can carry from a browser to Dify.

    Attributes:
        request_timeout_seconds: Longest silence of a request before the frontend gives up. A streamed
            answer that runs is not silent: Dify sends a ping about every 10 seconds. That of a workflow or
            chatflow is a job of the worker, and silent after its first ping for as long as the job waits;
            after 300 seconds Dify itself ends it. Read and run in Dify at ad96501e0 (1.14.2):
            ``core/app/apps/streaming_utils.py``, to which ``message_based_app_generator.py`` gives no
            interval for pings.
        streaming: Whether answers arrive piece by piece.
        websocket: Whether WebSocket connections pass.
        max_body_mb: Largest request body in MB (10**6 bytes); None where the frontend sets no limit.
    """

    request_timeout_seconds: int
    streaming: bool
    websocket: bool
    max_body_mb: float | None


EDGE_READ_TIMEOUT_SECONDS = 120
"""CloudFront's longest wait for the next packet of an origin without a quota request.

See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
"""

DOORS = MappingProxyType(
    {
        "DifyAlbFrontend": Limits(
            request_timeout_seconds=4000, streaming=True, websocket=True, max_body_mb=None
        ),
        "DifyHttpApiFrontend": Limits(
            request_timeout_seconds=30, streaming=False, websocket=False, max_body_mb=10
        ),
        "DifyCloudFrontLambdaFrontend": Limits(
            request_timeout_seconds=EDGE_READ_TIMEOUT_SECONDS,
            streaming=True,
            websocket=True,
            max_body_mb=None,
        ),
    }
)
"""The most that each frontend can carry.

See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html and
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""


def require_carries(door: str, wanted: Limits, *, most: Limits | None = None) -> None:
    """Check that a frontend can carry what is asked of it.

    Args:
        door: Name of the frontend's class.
        wanted: What it shall carry at least.
        most: What it carries with the options it was given. Default: what it can carry at most.

    Raises:
        ValueError: If it cannot; the message names what is too much and the frontends that can.
    """
    shortfalls = _shortfalls(most or DOORS[door], wanted)
    if shortfalls:
        able = [name for name, limits in DOORS.items() if not _shortfalls(limits, wanted)]
        choices = [f"other options of {name}" if name == door else name for name in able]
        advice = f"use {' or '.join(choices)}" if choices else "no frontend can"
        raise ValueError(f"{door} cannot carry {', '.join(shortfalls)}: {advice}")


def _shortfalls(most: Limits, wanted: Limits) -> list[str]:
    found = []
    if wanted.request_timeout_seconds > most.request_timeout_seconds:
        found.append(
            f"requests of {wanted.request_timeout_seconds} seconds, only of {most.request_timeout_seconds}"
        )
    if wanted.streaming and not most.streaming:
        found.append("streamed answers")
    if wanted.websocket and not most.websocket:
        found.append("WebSocket connections")
    if most.max_body_mb is not None and (wanted.max_body_mb is None or wanted.max_body_mb > most.max_body_mb):
        size = "of any size" if wanted.max_body_mb is None else f"of {wanted.max_body_mb:g} MB"
        found.append(f"bodies {size}, only of {most.max_body_mb:g} MB")
    return found
