"""From what a caller says about access to the one value that load balancers and distributions render."""

from __future__ import annotations

import pytest

from dify_cdk.frontends.parts.clients import Everybody, Networks, PublicClients, clients_of
from dify_cdk.options.access import Access

OFFICE = "203.0.113.0/24"
GATEWAY = "${Token[TOKEN.12]}"


@pytest.mark.parametrize(
    ("access", "clients"),
    [
        (Access.anyone(), Everybody()),
        (Access(countries=["JP"]), Everybody()),
        (Access(countries=["JP"], also=[GATEWAY]), Everybody()),
        (Access(ipv4=[OFFICE], countries=["JP"]), Networks(ipv4=(OFFICE,))),
        (Access(ipv6=["2001:db8::/32"]), Networks(ipv6=("2001:db8::/32",))),
        (Access(ipv4=[OFFICE], also=[GATEWAY]), Networks(ipv4=(OFFICE,), addresses=(GATEWAY,))),
    ],
)
def test_an_access_without_networks_lets_every_address_in(access: Access, clients: PublicClients) -> None:
    assert clients_of(access) == clients


def test_single_addresses_are_networks_of_one_where_only_networks_can_be_written() -> None:
    clients = Networks(ipv4=(OFFICE,), addresses=(GATEWAY,))
    assert clients.all_ipv4 == (OFFICE, f"{GATEWAY}/32")
