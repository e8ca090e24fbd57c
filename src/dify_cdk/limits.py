"""What a way in to Dify can carry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one frontend can carry from a browser to Dify.

    Attributes:
        request_timeout_seconds: Longest silence of a request before the frontend gives up. A streamed
            answer is not silent: Dify sends a ping about every 10 seconds.
        streaming: Whether answers arrive piece by piece.
        websocket: Whether WebSocket connections pass.
        max_body_mb: Largest request body in MB (10**6 bytes); None where the frontend sets no limit.
    """

    request_timeout_seconds: int
    streaming: bool
    websocket: bool
    max_body_mb: float | None
