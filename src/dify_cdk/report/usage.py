"""How much an installation is used in a month: what the variable part of its cost depends on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What happens in one month of 730 hours. All zero is an installation that nobody uses.

    Attributes:
        users: People who sign in at least once.
        app_requests: Requests that the api answers: messages, console calls, calls of the service API.
        app_seconds: Mean seconds that such a request lasts, streaming included.
        page_requests: Requests that web answers: pages, and assets that no browser cache holds.
        page_seconds: Mean seconds that such a request lasts.
        uploads: Files that are uploaded.
        upload_gb: GB of these files together.
        download_gb: GB that leave through the door to browsers and other clients.
        outbound_gb: GB that containers send to models and tools on the internet; as much comes back.
        database_acu: Aurora capacity units on average over the whole month, pauses included.
        database_io: Read and write requests of the database's storage.
        database_gb: GB stored in the database.
        files_gb: GB stored in buckets.
        log_gb: GB of logs that containers and functions write.
        busy_share: Share of the month in which services that scale run at their maximum, 0 to 1.

    Raises:
        ValueError: If a number is negative, not finite, or a share above 1.
    """

    users: float = 0
    app_requests: float = 0
    app_seconds: float = 0
    page_requests: float = 0
    page_seconds: float = 0
    uploads: float = 0
    upload_gb: float = 0
    download_gb: float = 0
    outbound_gb: float = 0
    database_acu: float = 0
    database_io: float = 0
    database_gb: float = 0
    files_gb: float = 0
    log_gb: float = 0
    busy_share: float = 0

    def __post_init__(self) -> None:
        """Check every number."""
        for name, value in self.items():
            _require_amount(name, value)
        if self.busy_share > 1:
            raise ValueError(f"usage: busy_share must be between 0 and 1, got {self.busy_share!r}")

    def items(self) -> tuple[tuple[str, float], ...]:
        """Name and value of every field, in the order of the class."""
        return tuple((field.name, getattr(self, field.name)) for field in fields(self))

    def scaled(self, share: float) -> Usage:
        """The same kind of usage by a share of the people: amounts are scaled, mean durations are not."""
        amounts = {name: value * share for name, value in self.items() if name not in _MEANS}
        return replace(self, **amounts)


_MEANS = frozenset({"app_seconds", "page_seconds"})
_NAMES = tuple(field.name for field in fields(Usage))


def _require_amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"usage: {name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"usage: {name} must be 0 or more, got {value!r}")


ZERO = Usage()
"""An installation that runs and that nobody uses: what it costs is the floor."""

USAGES: Mapping[str, Usage] = MappingProxyType({})
"""The profiles."""


def read_usage(path: Path) -> Usage:
    """Read a usage from a JSON file: an object with fields of :class:`Usage`; what it leaves out is zero.

    Raises:
        ValueError: If the file cannot be read, is no such object, names an unknown field, or a value is not a
            number of 0 or more. The message is one line and begins with the path.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f'{path}: must be an object such as {{"users": 50}}, got {type(document).__name__}')
    unknown = sorted(document.keys() - set(_NAMES))
    if unknown:
        raise ValueError(f"{path}: unknown: {', '.join(unknown)}; known: {', '.join(_NAMES)}")
    try:
        return Usage(**document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
