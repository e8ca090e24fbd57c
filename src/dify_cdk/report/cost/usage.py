"""How much an installation is used in a month: what the variable part of its cost depends on."""

from __future__ import annotations

import json
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
        download_gb: GB that leave through the entry point to browsers and other clients.
        outbound_gb: GB that containers send to models and tools on the internet; as much comes back.
        database_acu: Aurora capacity units on average over the whole month, pauses included.
        database_io: Read and write requests of the database's storage.
        database_gb: GB stored in the database.
        files_gb: GB stored in buckets.
        log_gb: GB of logs that containers and functions write.
        busy_share: Share of the month in which services that scale run at their maximum, 0 to 1.

    Raises:
        ValueError: If something is not a number, negative, not finite, or a share above 1.
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
        """The same kind of usage by a share of the people, 0 to 1: amounts are scaled, mean durations not."""
        amounts = {name: value * share for name, value in self.items() if name not in _MEANS}
        return replace(self, **amounts)


_MOST = 1e15  # of anything; keeps sums finite
_MEANS = frozenset({"app_seconds", "page_seconds"})
_NAMES = tuple(field.name for field in fields(Usage))


def _require_amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"usage: {name} must be a number, got {value!r}")
    if not 0 <= value <= _MOST:
        raise ValueError(f"usage: {name} must be between 0 and {_MOST:g}, got {value!r}")


ZERO = Usage()
"""An installation that runs and that nobody uses: what it costs is the floor."""

_WORKING_DAYS = 20
_REQUESTS_PER_MESSAGE = 11
_REQUESTS_PER_PERSON_AND_DAY = 100


def _profile(
    *, users: int, messages_a_day: int, database_acu: float, database_gb: float, busy_share: float
) -> Usage:
    """People who work with Dify on the 20 working days of a month, all in the same way.

    - A message is one request that streams its answer for 10 s, and ten short ones of 0.2 s around it
      (conversation lists, polling, console): 11 requests of 12 s together.
    - A person opens or reloads about five pages a day, each with about twenty files that the browser's cache
      does not hold: 100 requests of 0.1 s.
    - A person uploads one file of 2 MB a day; files of ten months are kept.
    - An answer of the api has about 50 kB, a page's file about 100 kB.
    - A message sends about 50 kB to a model (a prompt with its context), an upload about its own size (for
      embeddings).
    - Every api request reads or writes the database's storage about twenty times, and the scheduler and a
      plugin daemon with ten plugins do so about once in 3 s, a million times a month.
    - A request writes about 2 kB of logs; the containers write a GB a month by themselves.
    """
    days = users * _WORKING_DAYS
    messages = days * messages_a_day
    app_requests = messages * _REQUESTS_PER_MESSAGE
    page_requests = days * _REQUESTS_PER_PERSON_AND_DAY
    upload_gb = days * 0.002
    return Usage(
        users=users,
        app_requests=app_requests,
        app_seconds=12 / _REQUESTS_PER_MESSAGE,
        page_requests=page_requests,
        page_seconds=0.1,
        uploads=days,
        upload_gb=upload_gb,
        download_gb=app_requests * 50e-6 + page_requests * 100e-6,
        outbound_gb=messages * 50e-6 + upload_gb,
        database_acu=database_acu,
        database_io=app_requests * 20 + 1e6,
        database_gb=database_gb,
        files_gb=upload_gb * 10,
        log_gb=(app_requests + page_requests) * 2e-6 + 1,
        busy_share=busy_share,
    )


USAGES: Mapping[str, Usage] = MappingProxyType(
    {
        "small": _profile(users=5, messages_a_day=20, database_acu=0.5, database_gb=2, busy_share=0),
        "team": _profile(users=50, messages_a_day=20, database_acu=0.6, database_gb=10, busy_share=0.05),
        "company": _profile(
            users=1000, messages_a_day=10, database_acu=1.5, database_gb=100, busy_share=0.25
        ),
    }
)
"""Profiles to compare by.

- ``small``: 5 people who build something. The database stays at the smallest size that is awake, because the
  plugin daemon never lets it sleep; one task of everything is enough.
- ``team``: 50 people. For an hour of each working day (20 of 730 h, a twentieth with the time that scaling in
  takes) services run at their maximum; the database is at 2 units then and at the smallest size otherwise.
- ``company``: 1,000 people, not all of whom come every day, so half as many messages a head. Nine busy hours
  on twenty days are a quarter of a month, in which the database needs about 4 units and else 0.5 or more.
"""


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
    except (ValueError, RecursionError) as error:
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
