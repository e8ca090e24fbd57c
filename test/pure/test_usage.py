"""How much an installation is used: profiles, scaling, and files of users."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.report.cost.usage import USAGES, ZERO, Usage, read_usage

NAMES = [field.name for field in fields(Usage)]
SIZES = ["small", "team", "company"]


class TestUsage:
    def test_nothing_said_is_nothing_used(self) -> None:
        assert {value for _, value in ZERO.items()} == {0}

    def test_items_are_the_fields_in_order(self) -> None:
        assert [name for name, _ in Usage(users=3).items()] == NAMES
        assert dict(Usage(users=3).items())["users"] == 3

    @pytest.mark.parametrize("name", NAMES)
    def test_every_field_is_described_with_what_it_counts(self, name: str) -> None:
        assert re.search(rf"^ +{name}: \S+", Usage.__doc__ or "", re.MULTILINE)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", [-1, -0.001, float("nan"), float("inf"), 10**400])
    def test_fails_when_a_number_is_no_amount(self, name: str, value: float) -> None:
        with pytest.raises(ValueError, match=rf"^usage: {name} must be between 0 and 1e\+15, got "):
            Usage(**{name: value})

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", ["5", None, True, [1]])
    def test_fails_when_it_is_not_a_number(self, name: str, value: object) -> None:
        message = f"^usage: {name} must be a number, got {re.escape(repr(value))}$"
        with pytest.raises(ValueError, match=message):
            Usage(**{name: value})  # type: ignore[arg-type]

    def test_fails_when_a_share_is_more_than_all(self) -> None:
        with pytest.raises(ValueError, match=r"^usage: busy_share must be between 0 and 1, got 1\.5$"):
            Usage(busy_share=1.5)

    def test_scaling_keeps_how_long_a_request_lasts(self) -> None:
        half = Usage(users=10, app_requests=100, app_seconds=3, page_seconds=2, busy_share=0.5).scaled(0.5)
        assert half == Usage(users=5, app_requests=50, app_seconds=3, page_seconds=2, busy_share=0.25)

    @given(st.floats(0, 1), st.sampled_from(SIZES))
    def test_a_larger_share_is_no_less_of_anything(self, share: float, size: str) -> None:
        whole = USAGES[size]
        assert all(
            part <= all
            for (_, part), (_, all) in zip(whole.scaled(share).items(), whole.items(), strict=True)
        )


class TestProfiles:
    def test_they_are_for_so_many_people(self) -> None:
        assert {name: usage.users for name, usage in USAGES.items()} == {
            "small": 5,
            "team": 50,
            "company": 1000,
        }

    @pytest.mark.parametrize("name", NAMES)
    def test_more_people_use_no_less(self, name: str) -> None:
        small, team, company = (getattr(USAGES[size], name) for size in SIZES)
        assert small <= team <= company

    def test_the_small_one_by_hand(self) -> None:
        small = USAGES["small"]
        # 5 people x 20 days x 20 messages x (1 stream of 10 s + 10 short requests of 0.2 s)
        assert small.app_requests == 5 * 20 * 20 * 11
        assert small.app_requests * small.app_seconds == pytest.approx(5 * 20 * 20 * (10 + 10 * 0.2))
        # 5 people x 20 days x 5 pages x 20 files, and one upload of 2 MB a day
        assert small.page_requests == 5 * 20 * 5 * 20
        assert small.uploads == 100
        assert small.upload_gb == pytest.approx(0.2)
        # 22,000 answers of 50 kB and 10,000 files of 100 kB; 2,000 prompts of 50 kB and the uploads
        assert small.download_gb == pytest.approx(1.1 + 1.0)
        assert small.outbound_gb == pytest.approx(0.1 + 0.2)

    def test_a_database_that_is_used_is_awake(self) -> None:
        """0.5 ACU is the smallest size above sleep, and the plugin daemon never lets it sleep."""
        assert all(usage.database_acu >= 0.5 for usage in USAGES.values())


class TestFiles:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "usage.json"
        path.write_text(text, encoding="utf-8")
        return path

    def test_what_a_file_leaves_out_is_zero(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '{"users": 20, "app_requests": 1e5, "app_seconds": 2.5}')
        assert read_usage(path) == Usage(users=20, app_requests=100_000, app_seconds=2.5)

    def test_a_profile_survives_being_written_and_read(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, json.dumps(dict(USAGES["team"].items())))
        assert read_usage(path) == USAGES["team"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"user": 5}', r"unknown: user; known: users, app_requests, .*, busy_share"),
            ('{"b": 5, "a": 1}', r"unknown: a, b; known: .*"),
            ('{"users": -5}', r"usage: users must be between 0 and 1e\+15, got -5"),
            ('{"users": "five"}', r"usage: users must be a number, got 'five'"),
            ('{"users": null}', r"usage: users must be a number, got None"),
            ('{"users": NaN}', r"usage: users must be between 0 and 1e\+15, got nan"),
            ('{"busy_share": 2}', r"usage: busy_share must be between 0 and 1, got 2"),
            ("[5]", r'must be an object such as \{"users": 50\}, got list'),
            ("", r"not JSON in UTF-8: .*"),
            ("{users: 5}", r"not JSON in UTF-8: .*"),
            ("[" * 100_000, r"not JSON in UTF-8: .*"),
        ],
    )
    def test_fails_when_a_file_is_no_usage(self, tmp_path: Path, text: str, message: str) -> None:
        path = self.write(tmp_path, text)
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {message}$") as caught:
            read_usage(path)
        assert "\n" not in str(caught.value)

    def test_fails_when_a_file_is_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "usage.json"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ValueError, match="not JSON in UTF-8"):
            read_usage(path)

    @pytest.mark.parametrize("name", ["missing.json", "."])
    def test_fails_when_there_is_no_file(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="cannot be read: "):
            read_usage(tmp_path / name)
