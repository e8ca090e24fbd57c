"""Checks of arguments: ranges, choices, patterns, and what is known only at deployment."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk._checks import (
    is_token,
    require_between,
    require_cidrs,
    require_match,
    require_one_of,
    require_whole,
)

TEXT = "${Token[TOKEN.12]}"
LIST = "#{Token[TOKEN.12]}"
NUMBER = -1.8881545897087503e289
WORDS = st.text().filter(lambda text: "Token[" not in text)


class TestIsToken:
    """How the CDK writes tokens; ``test/synth/test_tokens.py`` compares this with the CDK itself."""

    @pytest.mark.parametrize(
        "value",
        [
            TEXT,
            f"api.{TEXT}",
            f"{TEXT}{TEXT}",
            "${Token[AWS.Region.4]}",
            LIST,
            [LIST],
            ["a", TEXT],
            (TEXT,),
            NUMBER,
        ],
        ids=str,
    )
    def test_values_known_at_deployment(self, value: object) -> None:
        assert is_token(value)

    @pytest.mark.parametrize(
        "value",
        [
            *("", "a", "${AWS::Region}", "$Token[x]", "Token[TOKEN.12]", "{Token[TOKEN.12]}"),
            *(0, 1, -1, 0.5, -(2**63), 1e300, math.inf, math.nan, True, False),
            *([], ["a"], (), None, {}, {"a": TEXT}),
        ],
        ids=repr,
    )
    def test_values_known_now(self, value: object) -> None:
        assert not is_token(value)

    @settings(deadline=None)
    @given(st.integers() | st.floats(min_value=-1e200) | WORDS | st.lists(WORDS))
    def test_ordinary_values_are_never_taken_for_tokens(self, value: object) -> None:
        assert not is_token(value)


class TestRequireBetween:
    @pytest.mark.parametrize("value", [1, 1.0, 1.5, 10, NUMBER])
    def test_passes(self, value: float) -> None:
        require_between("Size.n", value, 1, 10)

    @pytest.mark.parametrize("value", [0, 0.999, 11, -1, math.inf, math.nan])
    def test_fails_when_out_of_range(self, value: float) -> None:
        with pytest.raises(ValueError, match=rf"^Size\.n must be between 1 and 10, got {value!r}$"):
            require_between("Size.n", value, 1, 10)

    def test_fractions_of_a_bound_are_written_as_they_are(self) -> None:
        with pytest.raises(ValueError, match=r"^Size\.n must be between 0\.5 and 4000, got 9999$"):
            require_between("Size.n", 9999, 0.5, 4000)

    @settings(deadline=None)
    @given(st.integers(), st.integers(), st.integers())
    def test_agrees_with_the_comparison(self, value: int, low: int, high: int) -> None:
        try:
            require_between("Size.n", value, low, high)
        except ValueError:
            assert not low <= value <= high
        else:
            assert low <= value <= high or is_token(value)


class TestRequireWhole:
    @pytest.mark.parametrize("value", [1, 10, NUMBER])
    def test_passes(self, value: float) -> None:
        require_whole("Size.n", value, 1, 10)

    @pytest.mark.parametrize("value", [1.5, 2.0])
    def test_fails_when_it_may_have_a_fraction(self, value: float) -> None:
        with pytest.raises(ValueError, match=rf"^Size\.n must be a whole number, got {value}$"):
            require_whole("Size.n", value, 1, 10)

    @pytest.mark.parametrize("value", [0, 11, 0.5])
    def test_fails_when_out_of_range(self, value: float) -> None:
        with pytest.raises(ValueError, match=rf"^Size\.n must be between 1 and 10, got {value}$"):
            require_whole("Size.n", value, 1, 10)


class TestRequireOneOf:
    @pytest.mark.parametrize("value", ["a", "b", TEXT, NUMBER])
    def test_passes(self, value: object) -> None:
        require_one_of("Size.kind", value, ["a", "b"])

    @pytest.mark.parametrize("value", ["c", "", None, "A", 1])
    def test_fails_when_it_is_another_one(self, value: object) -> None:
        with pytest.raises(ValueError, match=rf"^Size\.kind must be one of a, b, got {value!r}$"):
            require_one_of("Size.kind", value, ["a", "b"])


class TestRequireMatch:
    @pytest.mark.parametrize("value", ["a", "aaa", TEXT, f"B{TEXT}"])
    def test_passes(self, value: str) -> None:
        require_match("Size.name", value, "a+", "one or more a")

    @pytest.mark.parametrize("value", ["", "b", "ab", "ba", "a\n"])
    def test_fails_unless_the_whole_value_matches(self, value: str) -> None:
        with pytest.raises(ValueError, match=r"^Size\.name must be one or more a, got ") as caught:
            require_match("Size.name", value, "a+", "one or more a")
        assert str(caught.value).endswith(repr(value))


class TestRequireCidrs:
    @pytest.mark.parametrize(
        ("values", "version"),
        [
            ([], 4),
            (["203.0.113.0/24", "198.51.100.7/32"], 4),
            (("2001:db8::/32",), 6),
            ([TEXT, "203.0.113.0/24"], 4),
            ([f"{TEXT}/32"], 4),
        ],
    )
    def test_passes(self, values: list[str], version: int) -> None:
        require_cidrs("Access.x", values, version)

    @pytest.mark.parametrize(
        ("value", "version", "message"),
        [
            ("203.0.113.7", 4, r"must hold networks such as 203\.0\.113\.0/24, .* without a prefix length$"),
            ("2001:db8::1", 6, r"must hold networks such as 2001:db8::/32, .* without a prefix length$"),
            ("203.0.113.7/24", 4, r"got '203\.0\.113\.7/24': .*has host bits set$"),
            ("2001:db8::/32", 4, r"must hold IPv4 networks, got '2001:db8::/32'; put it into ipv6=$"),
            ("203.0.113.0/24", 6, r"must hold IPv6 networks, got '203\.0\.113\.0/24'; put it into ipv4=$"),
        ],
    )
    def test_fails_when_one_of_them_is_no_network_of_the_version(
        self, value: str, version: int, message: str
    ) -> None:
        with pytest.raises(ValueError, match=rf"^Access\.x {message}|^Access\.x .*{message}"):
            require_cidrs("Access.x", ["203.0.113.0/24" if version == 4 else "2001:db8::/32", value], version)
