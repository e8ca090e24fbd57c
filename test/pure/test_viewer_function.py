"""The code of the viewer-request function: size, form and refusals. What it does is tested in Node."""

from __future__ import annotations

import ipaddress
import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.frontends.parts.clients import Everybody, Networks, clients_of
from dify_cdk.frontends.parts.viewer_function import MAX_CODE_BYTES, code
from dify_cdk.options.access import Access

TOKEN = "${Token[TOKEN.12]}"
OFFICE = ("203.0.113.0/24", "198.51.100.7/32")
OFFICE_IPV6 = ("2001:db8:1::/48",)


def variables(source: str) -> dict[str, str]:
    """The variables that stand before the template."""
    found = dict(re.findall(r"^var ([A-Z]+) = (.*);$", source, re.MULTILINE))
    return {name: found[name] for name in ("ANYONE", "HOOKS", "NETWORKS", "ADDRESSES")}


def expression(source: str) -> re.Pattern[str]:
    return re.compile(variables(source)["NETWORKS"].strip("/"))


def hosts(count: int) -> list[str]:
    """So many single addresses of which no two can be merged."""
    return [f"10.{number >> 7}.{(number & 127) << 1}.1/32" for number in range(count)]


def hosts_ipv6(count: int) -> list[str]:
    return [f"2001:db8:{number:x}:1:2:3:4:5/128" for number in range(count)]


# ---- what is written into it


def test_the_variables_stand_before_the_template() -> None:
    source = code(Networks(ipv4=OFFICE, ipv6=OFFICE_IPV6, addresses=[TOKEN, "192.0.2.1"]))
    assert variables(source) == {
        "ANYONE": "false",
        "HOOKS": '"/e/"',
        "NETWORKS": "/^(?:4c0000201|4c6336407|4cb0071|620010db80001)/",
        "ADDRESSES": f'["{TOKEN}"]',
    }
    assert source.splitlines()[-1] == "}"
    assert "function handler(event) {" in source


@pytest.mark.parametrize(
    ("network", "pattern"),
    [
        ("0.0.0.0/0", "4"),
        ("128.0.0.0/1", "4[89abcdef]"),
        ("64.0.0.0/2", "4[4567]"),
        ("224.0.0.0/3", "4[ef]"),
        ("10.0.0.0/8", "40a"),
        ("203.0.112.0/22", "4cb007[0123]"),
        ("203.0.113.254/31", "4cb0071f[ef]"),
        ("203.0.113.254/32", "4cb0071fe"),
    ],
)
def test_a_network_is_what_its_addresses_begin_with(network: str, pattern: str) -> None:
    source = code(Networks(ipv4=[network]))
    assert variables(source)["NETWORKS"] == f"/^(?:{pattern})/"


@given(
    bits=st.sampled_from([32, 128]),
    prefix=st.integers(0, 128),
    first=st.integers(0, 2**128 - 1),
    other=st.integers(0, 2**128 - 1),
    same_bits=st.integers(0, 128),
)
def test_the_expression_matches_an_address_exactly_if_its_first_bits_are_the_networks(
    bits: int, prefix: int, first: int, other: int, same_bits: int
) -> None:
    # GIVEN a network, and an address that shares some first bits with it
    prefix %= bits + 1
    host_bits = bits - prefix
    start = first % 2**bits >> host_bits << host_bits
    shared = bits - same_bits % (bits + 1)
    number = start >> shared << shared | other % 2**shared
    # WHEN the network is written into the code
    kind: Any = {32: ipaddress.IPv4Network, 128: ipaddress.IPv6Network}[bits]
    networks = [str(kind((start, prefix)))]
    none: Sequence[str] = ()
    lists = {"ipv4": networks, "ipv6": none} if bits == 32 else {"ipv4": none, "ipv6": networks}
    found = expression(code(Networks(**lists)))
    # THEN the address matches if its bits say so, and never as one of the other version
    digits = f"{number:0{bits // 4}x}"
    version, other_version = ("4", "6") if bits == 32 else ("6", "4")
    assert bool(found.match(version + digits)) is (number >> host_bits == start >> host_bits)
    assert not found.match(other_version + digits)


def test_comments_indentation_and_empty_lines_stay_here() -> None:
    lines = code(Networks(ipv4=OFFICE)).splitlines()
    assert len(lines) > 50
    assert [line for line in lines if line.strip().startswith("//") or line != line.strip() or not line] == []


def test_tokens_are_left_for_the_deployment_and_listed_once() -> None:
    other = "${Token[TOKEN.7]}"
    source = code(Networks(ipv4=OFFICE, addresses=[other, TOKEN, other]))
    assert json.loads(variables(source)["ADDRESSES"]) == [other, TOKEN]
    assert source.count("Token") == 2


def test_addresses_alone_are_enough() -> None:
    source = code(Networks(addresses=[TOKEN]))
    assert not expression(source).match("4cb007101")
    assert not expression(source).match("620010db8000100000000000000000000")
    assert TOKEN in source


def test_for_anyone_the_networks_are_not_written() -> None:
    source = code(clients_of(Access.anyone()))
    assert variables(source)["ANYONE"] == "true"
    assert source == code(Everybody())
    assert variables(source)["NETWORKS"] == "/^(?:-)/"


# ---- the same networks, the same code


def test_order_and_repetition_do_not_matter() -> None:
    wanted = code(Networks(ipv4=OFFICE, ipv6=OFFICE_IPV6))
    assert code(Networks(ipv4=(*reversed(OFFICE), *OFFICE), ipv6=OFFICE_IPV6 * 2)) == wanted
    numbers = random.Random(5)
    listed = hosts(40)
    sources = {code(Networks(ipv4=numbers.sample(listed, 40))) for _ in range(10)}
    assert len(sources) == 1


def test_networks_are_merged_where_they_can_be() -> None:
    wanted = code(Networks(ipv4=["203.0.112.0/22"], ipv6=["2001:db8::/32"]))
    halves = ["203.0.114.0/23", "203.0.112.0/23", "203.0.112.0/28"]
    merged = code(Networks(ipv4=halves, ipv6=["2001:db8::/33", "2001:db8:8000::/33"]))
    assert merged == wanted
    assert code(Networks(ipv4=halves, ipv6=["2001:db8::/32"], addresses=["203.0.113.9"])) == wanted


# ---- CloudFront's 10 KB


def test_an_ordinary_company_fits_with_room_to_spare() -> None:
    gateways = [f"${{Token[TOKEN.{number}]}}" for number in range(3)]
    source = code(Networks(ipv4=hosts(60), ipv6=hosts_ipv6(20), addresses=gateways))
    assert len(source.encode()) < MAX_CODE_BYTES * 0.6
    assert code(Networks(ipv4=hosts(500)))


def test_fails_when_the_code_is_longer_than_cloudfront_takes() -> None:
    base = len(code(Networks(ipv4=hosts(1))).encode())
    each = len("|4c0000201")
    most = 1 + (MAX_CODE_BYTES - base) // each
    source = code(Networks(ipv4=hosts(most)))
    assert MAX_CODE_BYTES - each < len(source.encode()) <= MAX_CODE_BYTES
    size = len(source.encode()) + each
    with pytest.raises(
        ValueError,
        match=rf"^Access lists {most + 1} networks and addresses, for which a CloudFront Function would need "
        rf"{size} bytes of code, but CloudFront takes 10240: merge some of them into larger networks$",
    ):
        code(Networks(ipv4=hosts(most + 1)))


@pytest.mark.parametrize("token", ["${Token[T.1]}", "${Token[" + "NetworkPublicAddress" * 9 + ".1]}"])
def test_a_token_counts_as_the_longest_address(token: str) -> None:
    base = len(code(Networks(ipv4=hosts(1), addresses=["${Token[A.0]}"])).encode())
    room = MAX_CODE_BYTES - base + len("${Token[A.0]}") - len("255.255.255.255")
    most = 1 + room // len("|4c0000201")
    source = code(Networks(ipv4=hosts(most), addresses=[token]))
    assert MAX_CODE_BYTES - 10 < len(source.replace(token, "255.255.255.255").encode()) <= MAX_CODE_BYTES
    with pytest.raises(ValueError, match=f"lists {most + 2} networks and addresses"):
        code(Networks(ipv4=hosts(most + 1), addresses=[token]))


# ---- bad input


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, "the CloudFront Function would let nobody in: list a network, or let anyone in"),
        ({"ipv4": ["203.0.113.1"]}, "Access.ipv4 must hold networks such as 203.0.113.0/24"),
        ({"ipv4": ["203.0.113.1/24"]}, "Access.ipv4 must hold networks .* has host bits set"),
        ({"ipv4": ["2001:db8::/32"]}, "Access.ipv4 must hold IPv4 networks"),
        ({"ipv6": ["203.0.113.0/24"]}, "Access.ipv6 must hold IPv6 networks"),
        ({"ipv6": ["fe80::%eth0/64"]}, "Access.ipv6 must hold networks"),
        (
            {"addresses": ["203.0.113.0/24"]},
            "Access.also must hold single IPv4 addresses, got '203.0.113.0/24'",
        ),
        ({"addresses": ["2001:db8::1"]}, "Access.also must hold single IPv4 addresses, got '2001:db8::1'"),
        ({"ipv4": [TOKEN]}, "Access.ipv4 must be literal: CloudFront gets its networks as code; Access.also"),
        ({"ipv4": [f"{TOKEN}/32"]}, "Access.ipv4 must be literal"),
        ({"ipv6": [TOKEN]}, "Access.ipv6 must be literal"),
    ],
)
def test_fails_when_a_list_is_wrong(lists: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        code(Networks(**lists))
