"""How large the Lambda function of a component is."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk._checks import require_between

_MIN_MEMORY, _MAX_MEMORY = 128, 10_240
_MAX_SECONDS = 900
_MAX_WARM_MINUTES = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSize:
    """Memory, time and concurrency of one Lambda function. Every open stream occupies one environment.

    Attributes:
        memory_mib: Memory, 128 to 10,240 MiB; 1,769 MiB are one vCPU.
        timeout_seconds: Total timeout of a request, streamed answers included, 1 to 900 seconds.
        reserved_concurrency: Most environments at once, 1 to 1,000, which also limits database connections:
            each of api opens up to six, and more than the database takes raise a warning. Default: only the
            account's limit, which is not counted.
        provisioned_concurrency: Environments that are always ready and always billed, 0 to 1,000; needs a
            custom domain, because they start before CloudFront's host name is known. Default: none.
        keep_warm_minutes: Minutes between calls of a schedule, 1 to 15, that keep one environment ready for
            the price of the calls. It is one: a request that arrives while it is busy waits for a cold start.
            AWS does not promise how long an idle environment stays; five minutes are usual. Default: no
            schedule.

    Raises:
        ValueError: If a value is out of range, or environments are both provisioned and kept warm.

    See https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    memory_mib: int
    timeout_seconds: int = _MAX_SECONDS
    reserved_concurrency: int | None = None
    provisioned_concurrency: int = 0
    keep_warm_minutes: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        require_between("FunctionSize.memory_mib", self.memory_mib, _MIN_MEMORY, _MAX_MEMORY)
        require_between("FunctionSize.timeout_seconds", self.timeout_seconds, 1, _MAX_SECONDS)
        require_between("FunctionSize.provisioned_concurrency", self.provisioned_concurrency, 0, 1000)
        if self.reserved_concurrency is not None:
            require_between("FunctionSize.reserved_concurrency", self.reserved_concurrency, 1, 1000)
        if self.keep_warm_minutes is not None:
            require_between("FunctionSize.keep_warm_minutes", self.keep_warm_minutes, 1, _MAX_WARM_MINUTES)
            if self.provisioned_concurrency:
                raise ValueError(
                    "FunctionSize.keep_warm_minutes and provisioned_concurrency exclude each other: "
                    "provisioned environments are always ready, remove keep_warm_minutes"
                )


DEFAULT_API = FunctionSize(memory_mib=2048)
DEFAULT_WEB = FunctionSize(memory_mib=1024, timeout_seconds=60)
