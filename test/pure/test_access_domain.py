"""Who may enter, and under which name."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dify_cdk.options.access import Access
from dify_cdk.options.domain import Domain
from support import around_stand_ins

if TYPE_CHECKING:
    from aws_cdk import aws_certificatemanager as acm
    from aws_cdk import aws_route53 as route53

TOKEN = "${Token[TOKEN.12]}"
LIST_TOKEN = ["#{Token[TOKEN.12]}"]
OFFICE = "203.0.113.0/24"
CERTIFICATE = cast("acm.ICertificate", SimpleNamespace())


def zone(name: str = "example.com") -> route53.IHostedZone:
    return cast("route53.IHostedZone", SimpleNamespace(zone_name=name))


def is_network(text: str, version: int) -> bool:
    """What Python's own parser says when it is strict about host bits."""
    try:
        return "/" in text and ipaddress.ip_network(text).version == version
    except ValueError:
        return False


def accepts(**networks: Sequence[str]) -> bool:
    try:
        Access(**networks)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


ADDRESSES = st.ip_addresses().map(str)
NETWORKS = st.builds(lambda address, bits: f"{address}/{bits}", ADDRESSES, st.integers(-1, 130))
ALIGNED = st.builds(
    lambda address, bits: str(
        ipaddress.ip_network(f"{address}/{min(bits, address.max_prefixlen)}", strict=False)
    ),
    st.ip_addresses(),
    st.integers(1, 128),
)


class TestAccess:
    @settings(deadline=None, max_examples=300)
    @given(NETWORKS | ALIGNED | ADDRESSES | st.text(max_size=12))
    def test_accepts_exactly_what_is_a_network_of_the_family(self, text: str) -> None:
        assume(not text.endswith("/0"))
        assert accepts(ipv4=[text]) == is_network(text, 4)
        assert accepts(ipv6=[text]) == is_network(text, 6)

    @settings(deadline=None)
    @given(ALIGNED)
    def test_a_network_in_the_wrong_list_is_told_where_it_belongs(self, network: str) -> None:
        right, wrong = ("ipv6", "ipv4") if ":" in network else ("ipv4", "ipv6")
        Access(**{right: [network]})  # type: ignore[arg-type]
        message = rf"^Access\.{wrong} must hold IPv{wrong[-1]} networks, got .*; put it into {right}=$"
        with pytest.raises(ValueError, match=message):
            Access(**{wrong: [network]})  # type: ignore[arg-type]

    def test_single_addresses_join_the_networks(self) -> None:
        access = Access(ipv4=[OFFICE], also=["198.51.100.7", TOKEN])
        assert access.all_ipv4 == (OFFICE, "198.51.100.7/32", f"{TOKEN}/32")
        assert not access.is_anyone

    def test_anyone_is_written_out(self) -> None:
        access = Access.anyone()
        assert access.is_anyone
        assert (access.all_ipv4, tuple(access.ipv6)) == (("0.0.0.0/0",), ("::/0",))

    def test_countries_alone_let_somebody_in(self) -> None:
        assert Access(countries=["JP", "DE"]).all_ipv4 == ()

    @pytest.mark.parametrize("entries", [[TOKEN], [OFFICE, TOKEN], [f"{TOKEN}/24"]])
    def test_entries_known_at_deployment_pass(self, entries: list[str]) -> None:
        assert Access(ipv4=entries).all_ipv4 == tuple(entries)
        assert Access(ipv6=[TOKEN]).ipv6 == (TOKEN,)
        assert Access(countries=[TOKEN]).countries == (TOKEN,)

    @pytest.mark.parametrize("empty", [{}, {"also": ["198.51.100.7"]}], ids=["nothing", "only_itself"])
    def test_fails_when_nobody_may_enter(self, empty: dict[str, list[str]]) -> None:
        with pytest.raises(
            ValueError, match=r"^Access lets nobody in: give ipv4=, .* or write Access\.anyone\(\)$"
        ):
            Access(**empty)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "world",
        [
            {"ipv4": ["0.0.0.0/0"]},
            {"ipv6": ["::/0"]},
            {"ipv4": [OFFICE, "0.0.0.0/0"]},
            {"ipv6": ["0::/0"]},
            {"ipv6": ["0:0:0:0:0:0:0:0/0"]},
        ],
        ids=lambda world: " ".join(next(iter(world.values()))),
    )
    def test_fails_when_the_world_is_listed_in_any_spelling(self, world: dict[str, list[str]]) -> None:
        with pytest.raises(ValueError, match=r"write Access\.anyone\(\) to let the whole world in$"):
            Access(**world)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            ("203.0.113.5", "without a prefix length"),
            ("", "without a prefix length"),
            ("203.0.113.5/24", "has host bits set"),
            ("203.0.113.0/33", "does not appear to be"),
            ("office/24", "does not appear to be"),
            ("203.0.113.0/24 ", "does not appear to be"),
        ],
    )
    def test_fails_when_an_entry_is_no_network(self, entry: str, why: str) -> None:
        with pytest.raises(
            ValueError, match=rf"^Access\.ipv4 must hold networks such as 203\.0\.113\.0/24, .*{why}"
        ):
            Access(ipv4=[entry])

    @pytest.mark.parametrize(
        "networks",
        [
            {"ipv4": ["203.0.113.0/255.255.255.0"]},
            {"ipv4": ["203.0.113.0/0.0.0.255"]},
            {"ipv4": ["0.0.0.0/0.0.0.0"]},
            {"ipv4": ["203.0.113.0/024"]},
            {"ipv6": ["fe80::%eth0/128"]},
            {"ipv6": ["::/00"]},
        ],
        ids=lambda networks: next(iter(networks.values()))[0],
    )
    def test_fails_when_a_network_is_written_in_a_way_that_aws_does_not_read(
        self, networks: dict[str, list[str]]
    ) -> None:
        with pytest.raises(ValueError, match=r"^Access\.ipv[46] must hold networks such as "):
            Access(**networks)  # type: ignore[arg-type]

    @pytest.mark.parametrize("field", ["ipv4", "ipv6", "also", "countries"])
    def test_fails_when_a_list_is_a_single_text(self, field: str) -> None:
        text = {"ipv4": OFFICE, "ipv6": "2001:db8::/32", "also": "198.51.100.7", "countries": "JP"}[field]
        networks = {"ipv4": [OFFICE], field: text}
        with pytest.raises(TypeError, match=rf"^Access\.{field} must be a list, .*: write \['{text}'\]$"):
            Access(**networks)  # type: ignore[arg-type]

    @pytest.mark.parametrize("address", ["198.51.100.7/32", "198.51.100.0/24", "2001:db8::1", "office"])
    def test_fails_when_an_address_of_the_application_is_none(self, address: str) -> None:
        """The message shows what the caller wrote, without a ``/32`` of ours."""
        with pytest.raises(ValueError, match=rf"^Access\.also must .*got '{address}'") as caught:
            Access(ipv4=[OFFICE], also=[address])
        assert f"{address}/32" not in str(caught.value)

    @pytest.mark.parametrize("code", ["jp", "JPN", "J", "Japan", "", "J1"])
    def test_fails_when_a_country_is_no_code(self, code: str) -> None:
        message = rf"^Access\.countries must be two-letter country codes such as JP, got '{code}'$"
        with pytest.raises(ValueError, match=message):
            Access(countries=[code])

    @pytest.mark.parametrize("field", ["ipv4", "ipv6", "also"])
    def test_fails_when_the_list_itself_is_known_only_at_deployment(self, field: str) -> None:
        """One rule an entry: how many there are has to be known at synthesis, though each may be a token."""
        networks = {"ipv4": [OFFICE], field: LIST_TOKEN}
        with pytest.raises(ValueError, match=rf"^Access\.{field} must be .*literal"):
            Access(**networks)  # type: ignore[arg-type]


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


class TestDomain:
    @settings(deadline=None)
    @given(st.lists(LABELS, min_size=1, max_size=4))
    def test_every_name_in_the_zone_passes(self, labels: list[str]) -> None:
        host = ".".join([*labels, "example.com"])
        assert around_stand_ins(Domain, host_name=host, zone=zone()).host_name == host

    def test_the_zone_s_own_name_passes(self) -> None:
        assert around_stand_ins(Domain, host_name="example.com", zone=zone()).host_name == "example.com"

    def test_a_zone_may_be_written_with_its_final_dot(self) -> None:
        assert (
            around_stand_ins(Domain, host_name="dify.example.com", zone=zone("example.com.")).zone is not None
        )

    def test_a_certificate_alone_is_enough(self) -> None:
        assert around_stand_ins(Domain, host_name="dify.example.com", certificate=CERTIFICATE).zone is None

    @pytest.mark.parametrize(
        ("host", "zone_name"), [(TOKEN, "example.com"), ("dify.example.com", TOKEN), (f"dify.{TOKEN}", TOKEN)]
    )
    def test_names_known_at_deployment_pass(self, host: str, zone_name: str) -> None:
        assert around_stand_ins(Domain, host_name=host, zone=zone(zone_name)).host_name == host

    @pytest.mark.parametrize(
        "host",
        [
            "https://dify.example.com",
            "dify.example.com:443",
            "dify.example.com/",
            "dify.example.com.",
            "Dify.example.com",
            "dify_1.example.com",
            "-dify.example.com",
            "dify..example.com",
            "localhost",
            "192.0.2.1",
            "",
            f"{'a' * 64}.example.com",
            f"{'a.' * 125}example.com",
        ],
    )
    def test_fails_when_the_host_name_is_none(self, host: str) -> None:
        with pytest.raises(ValueError, match=r"^Domain\.host_name must be a lower-case host name such as "):
            around_stand_ins(Domain, host_name=host, zone=zone())

    @pytest.mark.parametrize("host", ["dify.example.org", "evilexample.com", "com", "example.com.org"])
    def test_fails_when_the_host_name_lies_outside_the_zone(self, host: str) -> None:
        with pytest.raises(
            ValueError, match=r"must lie in the hosted zone 'example\.com'$|must be a lower-case"
        ):
            around_stand_ins(Domain, host_name=host, zone=zone())

    def test_fails_when_there_is_no_way_to_a_certificate(self) -> None:
        with pytest.raises(ValueError, match=r"^Domain dify\.example\.com needs zone= or certificate="):
            Domain(host_name="dify.example.com")
