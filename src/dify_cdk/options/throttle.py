"""How many requests an HTTP API lets through."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk._checks import require_between


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttle:
    """How many requests an HTTP API lets through; the others are answered with 429.

    Attributes:
        requests_per_second: Steady rate, 1 to 10,000, the default quota of an account and region.
        burst: Requests at one moment, 1 to 5,000.

    Raises:
        ValueError: If a number is out of range.

    See https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    """

    requests_per_second: float
    burst: int

    def __post_init__(self) -> None:
        """Check both."""
        require_between("Throttle.requests_per_second", self.requests_per_second, 1, 10_000)
        require_between("Throttle.burst", self.burst, 1, 5_000)
