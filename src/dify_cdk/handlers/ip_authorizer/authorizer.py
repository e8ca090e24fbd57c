"""Lambda authorizer of an HTTP API: lets requests from listed networks in.

For payload format 2.0 and simple responses. API Gateway may cache the verdict by source address, for it
depends on nothing else. ``index.mjs`` beside this file decides the same for LLRT; a test compares the two.

Environment, where an empty or missing variable lists no network::

    ALLOWED_IPV4    203.0.113.0/24,198.51.100.7/32
    ALLOWED_IPV6    2001:db8::/32

The entries are networks with a prefix length, separated by commas and nothing else. Lambda takes 4 KB for all
variables of a function with their names, room for about 200 IPv4 networks; whoever defines the function
checks that. The networks are no secret.

An address that is written as IPv4-mapped IPv6 (``::ffff:192.0.2.1``) is an IPv4 address, whatever the IPv6
networks say. What is no plain address enters nowhere, and a list with a mistake lets nobody in.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

LOG = logging.getLogger("dify_cdk")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_VARIABLES: tuple[tuple[str, str, type[Network]], ...] = (
    ("ALLOWED_IPV4", "203.0.113.0/24", ipaddress.IPv4Network),
    ("ALLOWED_IPV6", "2001:db8::/32", ipaddress.IPv6Network),
)


def handler(event: Any, context: object) -> dict[str, bool]:
    """Answer API Gateway's question."""
    return {"isAuthorized": is_allowed(source_address(event), NETWORKS)}


def source_address(event: Any) -> str:
    """The address that the connection came from, an empty text if the event has none."""
    try:
        address = event["requestContext"]["http"]["sourceIp"]
    except (KeyError, TypeError):
        return ""
    return address if isinstance(address, str) else ""


def is_allowed(address: str, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks."""
    if "%" in address:  # with a zone it is meant for one link, and no client on the internet has one
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in network for network in networks)


def read_networks(environment: Mapping[str, str]) -> tuple[Network, ...]:
    """The networks that the variables list.

    Raises:
        ValueError: If an entry is no network of its variable's kind. The text names its place and not the
            entry, which may be somebody's address.
    """
    networks: list[Network] = []
    for variable, example, kind in _VARIABLES:
        text = environment.get(variable, "")
        for number, entry in enumerate(text.split(",") if text else (), start=1):
            network = _network(entry, kind)
            if network is None:
                raise ValueError(f"entry {number} of {variable} is no network such as {example}")
            networks.append(network)
    return tuple(networks)


def _network(entry: str, kind: type[Network]) -> Network | None:
    """The network, None unless it is written with nothing but its first address and a prefix length."""
    try:
        network = kind(entry)
    except ValueError:
        return None
    is_plain = "%" not in entry and entry.partition("/")[2] == str(network.prefixlen)
    return network if is_plain else None


def _networks_at_start() -> tuple[Network, ...]:
    try:
        networks = read_networks(os.environ)
    except ValueError as error:
        LOG.error("nobody may enter: %s", error)
        return ()
    if not networks:
        LOG.error("nobody may enter: no network is listed")
    return networks


NETWORKS = _networks_at_start()
"""Read once, when Lambda starts the function."""
