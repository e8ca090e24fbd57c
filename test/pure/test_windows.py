from __future__ import annotations

import pytest

from dify_cdk import MaintenanceWindows


@pytest.mark.parametrize(
    "windows",
    [
        {"maintenance": "sun:04:00-sun:05:00"},
        {"maintenance": "sun:23:30-mon:00:30", "backup": "01:00-01:30"},
        {"backup": "23:45-00:15"},
        {"maintenance": "mon:04:00-mon:05:00", "backup": "05:00-05:30"},  # one ends where the other begins
    ],
)
def test_windows_that_aws_takes(windows: dict[str, str]) -> None:
    assert MaintenanceWindows(**windows)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({}, "needs maintenance= or backup=, else leave windows= out"),
        ({"maintenance": "Sun:04:00-Sun:05:00"}, "maintenance must be a window in UTC such as"),
        ({"maintenance": "sun:24:00-mon:01:00"}, "maintenance must be a window in UTC such as"),
        ({"maintenance": "04:00-05:00"}, "maintenance must be a window in UTC such as"),
        ({"backup": "2:00-2:30"}, "backup must be a window in UTC such as 02:00-02:30"),
        ({"maintenance": "sun:04:00-sun:04:30"}, "maintenance must last 60 minutes or more, got 30"),
        ({"backup": "02:00-02:29"}, "backup must last 30 minutes or more, got 29"),
        ({"backup": "23:50-00:10"}, "backup must last 30 minutes or more, got 20"),
        ({"maintenance": "sun:04:00-sun:05:00", "backup": "04:30-05:30"}, "must not overlap"),
        ({"maintenance": "sun:23:30-mon:00:30", "backup": "00:00-00:30"}, "must not overlap"),
    ],
)
def test_fails_when_aws_would_refuse_a_window(windows: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^MaintenanceWindows.*{message}"):
        MaintenanceWindows(**windows)
