"""Thresholds: defaults are sane, and nonsense is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dify_cdk.options.alarms import AlarmThresholds


def test_every_threshold_has_a_default_and_can_be_switched_off() -> None:
    assert all(getattr(AlarmThresholds(), field.name) for field in fields(AlarmThresholds))
    off: dict[str, Any] = {field.name: None for field in fields(AlarmThresholds)}
    assert AlarmThresholds(**off).cpu_percent is None


@pytest.mark.parametrize("name", [field.name for field in fields(AlarmThresholds)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_fails_when_an_alarm_would_always_be_raised(name: str, value: float) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^AlarmThresholds\.{name} must be above 0, got .*None raises no"):
        AlarmThresholds(**arguments)


@pytest.mark.parametrize("name", [f.name for f in fields(AlarmThresholds) if f.name.endswith("_percent")])
def test_fails_when_a_percentage_is_never_reached(name: str) -> None:
    for value in (100, 101):
        arguments: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=rf"^AlarmThresholds\.{name} must be below 100, got {value}$"):
            AlarmThresholds(**arguments)


@pytest.mark.parametrize("value", ["80", True])
def test_fails_when_a_threshold_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^AlarmThresholds\.cpu_percent must be a number, got {value!r}"):
        AlarmThresholds(cpu_percent=value)
