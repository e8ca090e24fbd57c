"""What the configuration says; ``test/handlers/test_squid_real.py`` shows what squid makes of it."""

from __future__ import annotations

import ipaddress
import itertools
import os
import string
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dify_cdk.dify import ssrf_proxy as squid

TOKEN = "${Token[TOKEN.123]}"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "52.94.236.248",
    "99.83.190.102",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "192.169.0.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2600:1f18:1234::1",
    "2a05:d018::1",
    "64:ff9b::808:808",
)


def rules(text: str) -> list[str]:
    return [
        line.removeprefix("http_access ") for line in text.splitlines() if line.startswith("http_access ")
    ]


def acl(text: str, name: str) -> list[str]:
    """The values of a list."""
    found = []
    for line in text.splitlines():
        words = line.split(" # ")[0].split()
        if words[:2] == ["acl", name]:
            found.append(words[-1])
    return found


def refused(text: str) -> list[Network]:
    return [ipaddress.ip_network(value) for name in ("special", "private") for value in acl(text, name)]


def is_refused(networks: Sequence[Network], address: Address | str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in networks)


DEFAULT = squid.configuration()
REFUSED = refused(DEFAULT)


def test_the_rules_come_in_the_order_that_decides() -> None:
    assert rules(DEFAULT) == [
        "deny !clients",
        "deny manager",
        "deny !CONNECT !web",
        "deny !CONNECT !safe_ports",
        "deny CONNECT !https_ports",
        "deny !resolved",
        "deny special",
        "deny private",
        "allow all",
    ]


def test_exceptions_stand_before_the_private_ranges_and_after_link_local() -> None:
    text = squid.configuration(allowed_private=[TOKEN], allowed_hosts=["a.example.com"], network=[TOKEN])
    assert rules(text)[0] == "deny !clients !own_clients"
    assert rules(text)[6:] == [
        "deny special",
        "allow allowed_hosts",
        "allow allowed_networks",
        "deny private",
        "deny own_network",
        "allow all",
    ]


def test_every_list_that_a_rule_names_exists() -> None:
    built_in = {"all", "manager"}
    options: dict[str, Any] = {"allowed_private": [TOKEN], "allowed_hosts": ["a"], "network": ["11.0.0.0/16"]}
    for count in range(len(options) + 1):
        for names in itertools.combinations(options, count):
            text = squid.configuration(**{name: options[name] for name in names})
            used = {word.lstrip("!") for rule in rules(text) for word in rule.split()[1:]}
            assert all(acl(text, name) for name in used - built_in)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_in_no_refused_range(address: str) -> None:
    assert not is_refused(REFUSED, address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.2",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.31.255.255",
        "192.168.0.1",
        "198.51.100.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fe80::1",
        "ff02::1",
        "2002:a9fe:aa02::1",
        "2001:0:a9fe:aa02::1",
        "64:ff9b::a9fe:aa02",
        "64:ff9b:1::1",
        "::ffff:0:a9fe:aa02",
    ],
)
def test_what_leads_inside_is_in_a_refused_range(address: str) -> None:
    assert is_refused(REFUSED, address)


def not_public(address: Address) -> bool:
    return (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


@given(st.ip_addresses(v=4))
def test_every_special_ipv4_address_is_refused_also_through_nat64(address: ipaddress.IPv4Address) -> None:
    assume(not_public(address))
    assert is_refused(REFUSED, address)
    assert is_refused(REFUSED, ipaddress.IPv6Address("64:ff9b::") + int(address))


@given(st.ip_addresses(v=6))
def test_every_special_ipv6_address_is_refused(address: ipaddress.IPv6Address) -> None:
    # Python calls everything outside the global block reserved that nobody uses yet; nothing is there.
    in_use = address in ipaddress.ip_network("2000::/3") or address in ipaddress.ip_network("f000::/4")
    assume(address.ipv4_mapped is None and in_use and not_public(address) and not address.is_reserved)
    assert is_refused(REFUSED, address)


def inside(parents: Sequence[str]) -> st.SearchStrategy[Network]:
    """Networks within others."""

    def child(parent: str, draw: tuple[int, int]) -> Network:
        whole = ipaddress.ip_network(parent)
        offset, length = draw
        prefix = whole.prefixlen + length % (whole.max_prefixlen - whole.prefixlen + 1)
        first = int(whole.network_address) + offset % whole.num_addresses
        return ipaddress.ip_network((first, prefix), strict=False)

    draws = st.tuples(st.integers(0, 2**128), st.integers(0, 128))
    return st.builds(child, st.sampled_from(parents), draws)


PARENTS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")


@given(st.lists(inside(PARENTS), min_size=1, max_size=4), st.data())
def test_exceptions_are_cut_out_exactly(exceptions: list[Network], data: st.DataObject) -> None:
    networks = refused(squid.configuration(allowed_private=[str(network) for network in exceptions]))
    near = [bound for network in exceptions for bound in (network[0], network[-1])]
    near += [bound + step for bound in near for step in (-1, 1) if 0 <= int(bound) + step < 2**32]
    address = data.draw(st.one_of(st.sampled_from(near), st.ip_addresses(v=4), st.ip_addresses(v=6)))
    assume(not (address.version == 6 and address in ipaddress.ip_network("64:ff9b::/96")))
    excepted = any(address in network for network in exceptions)
    assert is_refused(networks, address) == (is_refused(REFUSED, address) and not excepted)


@given(st.lists(inside(PARENTS), max_size=4), st.lists(inside(("11.0.0.0/8", "10.0.0.0/8")), max_size=3))
def test_no_value_of_a_list_lies_within_another(exceptions: list[Network], own: list[Network]) -> None:
    # squid warns of each, and ignores one of the two.
    text = squid.configuration(
        allowed_private=[str(network) for network in exceptions], network=[str(network) for network in own]
    )
    for name in ("clients", "own_clients", "special", "private", "own_network"):
        networks = [ipaddress.ip_network(value) for value in acl(text, name)]
        assert not [pair for pair in itertools.combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_only_private_addresses_and_the_own_network_may_ask() -> None:
    clients = [ipaddress.ip_network(value) for value in acl(DEFAULT, "clients")]
    assert all(not is_refused(clients, address) for address in (*PUBLIC, "169.254.170.2", "2600::1"))
    assert all(is_refused(clients, address) for address in ("10.0.0.9", "127.0.0.1", "::1", "fd00::9"))
    text = squid.configuration(network=["11.0.0.0/16", TOKEN])
    assert acl(text, "own_clients") == ["11.0.0.0/16", TOKEN]
    assert acl(text, "own_network") == ["11.0.0.0/16", "64:ff9b::b00:0/112", TOKEN]


def test_an_exception_applies_to_the_own_network_too() -> None:
    text = squid.configuration(network=["11.0.0.0/16"], allowed_private=["11.0.0.0/17"])
    assert acl(text, "own_network") == ["11.0.128.0/17", "64:ff9b::b00:8000/113"]
    assert acl(text, "own_clients") == ["11.0.0.0/16"]


def test_tokens_pass_unchanged() -> None:
    text = squid.configuration(allowed_private=[TOKEN], allowed_hosts=[TOKEN, f"a.{TOKEN}.com"])
    assert acl(text, "allowed_networks") == [TOKEN]
    assert acl(text, "allowed_hosts") == [TOKEN, f"a.{TOKEN}.com"]
    assert refused(text) == REFUSED


def test_host_names_are_exact_and_named_once() -> None:
    text = squid.configuration(allowed_hosts=["A.example.com", "a.example.com", "xn--bcher-kva.example"])
    assert acl(text, "allowed_hosts") == ["a.example.com", "xn--bcher-kva.example"]
    assert text.count("dstdomain -n ") == 2


def test_ports() -> None:
    text = squid.configuration(port=8888, https_ports=[443, 8443])
    assert text.startswith("http_port 8888\n")
    assert "acl https_ports port 443 8443\n" in text
    assert "acl https_ports port 443\n" in DEFAULT
    assert "acl safe_ports port 80 21 443 70 210 280 488 591 777 1025-65535\n" in DEFAULT


@pytest.mark.parametrize("name", ["via", "forwarded_for"])
def test_no_header_is_added(name: str) -> None:
    assert f"\n{name} on" not in DEFAULT
    assert "\nforwarded_for delete\n" in DEFAULT
    assert "\nrequest_header_access Via deny all\n" in DEFAULT


def test_the_log_has_neither_path_nor_query() -> None:
    (line,) = (line for line in DEFAULT.splitlines() if line.startswith("logformat "))
    assert not {"%ru", "%>ru", "%<ru", "%rp", "%>rp", "%>h", "%un"} & set(line.split())
    assert "\nstrip_query_terms on\n" in DEFAULT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 0}, "port must be between 1 and 65535, got 0"),
        ({"https_ports": [443, 70000]}, "https_ports must be between 1 and 65535, got 70000"),
        ({"https_ports": []}, "https_ports must name a port, such as 443"),
        (
            {"allowed_private": "10.0.0.0/8"},
            "allowed_private must be a list, got the text '10.0.0.0/8'; write",
        ),
        ({"allowed_private": ["10.0.0.1"]}, "got '10.0.0.1' without a prefix length"),
        ({"allowed_private": ["10.0.0.1/8"]}, "got '10.0.0.1/8': 10.0.0.1/8 has host bits set"),
        ({"allowed_private": ["fd00::1/8"]}, "got 'fd00::1/8': fd00::1/8 has host bits set"),
        ({"allowed_private": ["10.0.0.0/33"]}, "got '10.0.0.0/33'"),
        ({"allowed_private": ["example.com"]}, "got 'example.com' without a prefix length"),
        ({"allowed_private": ["0.0.0.0/0"]}, "allowed_private must not hold every address"),
        ({"allowed_private": ["::/0"]}, "allowed_private must not hold every address"),
        ({"allowed_private": ["10.0.0.0/8\nhttp_access allow all"]}, "must not hold spaces, line breaks"),
        ({"allowed_private": [f"{TOKEN} all"]}, "must not hold spaces, line breaks"),
        ({"network": ["11.0.0.0"]}, "network must hold networks such as"),
        ({"network": ["0.0.0.0/0"]}, "network must not hold every address"),
        ({"allowed_hosts": "a.example.com"}, "allowed_hosts must be a list, got the text 'a.example.com'"),
        ({"allowed_hosts": [""]}, "allowed_hosts must not hold spaces"),
        ({"allowed_hosts": ["a b"]}, "allowed_hosts must not hold spaces"),
        ({"allowed_hosts": ["a\nhttp_access allow all"]}, "allowed_hosts must not hold spaces"),
        ({"allowed_hosts": [f"{TOKEN}\n"]}, "allowed_hosts must not hold spaces"),
        ({"allowed_hosts": ['"/etc/passwd"']}, "allowed_hosts must not hold spaces"),
        ({"allowed_hosts": [".example.com"]}, "allowed_hosts must be host names such as dify.example.com"),
        ({"allowed_hosts": ["*.example.com"]}, "without scheme, port or wildcard"),
        ({"allowed_hosts": ["a.example.com:8443"]}, "without scheme, port or wildcard"),
        ({"allowed_hosts": ["http://a.example.com"]}, "without scheme, port or wildcard"),
        ({"allowed_hosts": ["a.example.com."]}, "allowed_hosts must be host names"),
        ({"allowed_hosts": ["10.0.0.1"]}, "addresses go into allowed_private"),
        ({"allowed_hosts": ["-n"]}, "allowed_hosts must be host names"),
        ({"allowed_hosts": ["a" * 64]}, "allowed_hosts must be host names"),
    ],
)
def test_fails_when_an_option_is_malformed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        squid.configuration(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], list[str]]:
    """Run the start command with a stand-in for squid; answers with what squid was given."""
    program = tmp_path / "squid"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$$" "$@"\n')
    program.chmod(0o755)

    def run(configuration: str) -> list[str]:
        entry_point, (script,) = squid.command(configuration)
        assert script.count(squid.CONFIGURATION_PATH) == 2
        script = script.replace(squid.CONFIGURATION_PATH, str(tmp_path / "squid.conf"))
        script = script.replace(squid.SQUID_PATH, str(program))
        environment = {**os.environ, "HOME": "/expanded", "Token": "expanded"}
        process = subprocess.Popen([*entry_point, script], stdout=subprocess.PIPE, text=True, env=environment)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        first, *arguments = output.splitlines()
        assert int(first) == process.pid, "squid does not replace the shell"
        return arguments

    return run


def test_the_start_command_runs_squid_in_the_foreground(
    start: Callable[[str], list[str]], tmp_path: Path
) -> None:
    assert start(DEFAULT) == ["-f", str(tmp_path / "squid.conf"), "-NYCd", "1"]
    assert (tmp_path / "squid.conf").read_text() == DEFAULT


@pytest.mark.parametrize(
    "text",
    [
        squid.configuration(allowed_private=[TOKEN], allowed_hosts=[TOKEN, f"x.{TOKEN}"]),
        "$HOME ${HOME} $(id) `id` $$ \\$HOME \\n \\\n",
        "\"double\" 'single' '\"'\"' 100% %s !! * ? [a-z] ~ # & | ; < >\n",
        "<<EOF\nEOF\n\n\ttab\n  two spaces \nEND_OF_SQUID_CONFIGURATION_\n END_OF_SQUID_CONFIGURATION\n",
    ],
)
def test_the_configuration_arrives_unchanged(
    start: Callable[[str], list[str]], tmp_path: Path, text: str
) -> None:
    start(text)
    assert (tmp_path / "squid.conf").read_text(encoding="utf-8") == text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(string.ascii_letters + string.digits + string.punctuation + " \n\t", max_size=60))
def test_any_configuration_arrives_unchanged(
    start: Callable[[str], list[str]], tmp_path: Path, text: str
) -> None:
    start(text)
    assert (tmp_path / "squid.conf").read_bytes() == text.removesuffix("\n").encode() + b"\n"


def test_fails_when_the_configuration_is_not_ascii() -> None:
    with pytest.raises(ValueError, match="must be ASCII"):
        squid.command("# grüße\n")


def test_fails_when_the_configuration_would_end_too_early() -> None:
    with pytest.raises(ValueError, match="must not hold a line END_OF_SQUID_CONFIGURATION"):
        squid.command("cache deny all\nEND_OF_SQUID_CONFIGURATION\nrm -rf /\n")
