"""When AWS may back up and maintain database and cache."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_match

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_MOMENT = rf"({'|'.join(_DAYS)}):{_TIME}"
_DAY, _WEEK = 24 * 60, 7 * 24 * 60  # minutes
_SHORTEST_BACKUP, _SHORTEST_MAINTENANCE = 30, 60


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceWindows:
    """When AWS may back up and maintain database and cache, in UTC.

    In its maintenance window AWS installs what it has announced, such as patches of the operating system;
    the database is away for a minute or so then. Without windows AWS picks random ones from a block of eight
    hours for each region.

    Attributes:
        maintenance: A weekly window of an hour or more, such as ``sun:04:00-sun:05:00``. Default: AWS's
            choice.
        backup: A daily window of half an hour or more for the database's own backups, such as
            ``02:00-02:30``. Default: AWS's choice.

    Raises:
        ValueError: If a window is malformed or too short, both overlap, or neither is given.

    See https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_UpgradeDBInstance.Maintenance.html
    """

    maintenance: str | None = None
    backup: str | None = None

    def __post_init__(self) -> None:
        """Check what AWS would refuse at deployment."""
        if self.maintenance is None and self.backup is None:
            raise ValueError("MaintenanceWindows needs maintenance= or backup=, else leave windows= out")
        if self.maintenance is not None:
            meaning = "a window in UTC such as sun:04:00-sun:05:00, in lower case"
            require_match(
                "MaintenanceWindows.maintenance", self.maintenance, rf"{_MOMENT}-{_MOMENT}", meaning
            )
        if self.backup is not None:
            meaning = "a window in UTC such as 02:00-02:30"
            require_match("MaintenanceWindows.backup", self.backup, rf"{_TIME}-{_TIME}", meaning)
        if not is_token([self.maintenance or "", self.backup or ""]):
            self._check_lengths()

    def _check_lengths(self) -> None:
        maintenance = _minutes(self.maintenance, _WEEK)
        backup = _minutes(self.backup, _DAY)
        for name, minutes, shortest in (
            ("maintenance", maintenance, _SHORTEST_MAINTENANCE),
            ("backup", backup, _SHORTEST_BACKUP),
        ):
            if minutes and len(minutes) < shortest:
                raise ValueError(
                    f"MaintenanceWindows.{name} must last {shortest} minutes or more, got {len(minutes)}"
                )
        if {minute % _DAY for minute in maintenance} & set(backup):
            raise ValueError(f"MaintenanceWindows must not overlap, got {self.maintenance} and {self.backup}")


def _minutes(window: str | None, period: int) -> list[int]:
    """The minutes of a week or a day that a window covers."""
    if window is None:
        return []
    start, end = (_minute(moment) for moment in window.split("-"))
    return [(start + minute) % period for minute in range((end - start) % period)]


def _minute(moment: str) -> int:
    *day, hours, minutes = moment.split(":")
    return (_DAYS.index(day[0]) * _DAY if day else 0) + int(hours) * 60 + int(minutes)
