"""The code of the CloudFront Function that every request passes first: who may enter, paths and headers.

A function of this kind has no configuration and no modules, so the networks are written into its code, as
one regular expression over hexadecimal digits: an address is matched in one step, however many there are.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence

from dify_cdk._checks import is_token, require_cidrs, require_literal, require_literal_list
from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import DOT_SEGMENT, ROUTES
from dify_cdk.frontends.parts.clients import Everybody, Networks, PublicClients

MAX_CODE_BYTES = 10 * 1024
"""What CloudFront takes, a quota that AWS does not raise.

See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
"""

_TEMPLATE = handler_dir("viewer_function") / "template.js"
_LONGEST_ADDRESS = "255.255.255.255"
_BITS_PER_DIGIT = 4
_NOTHING = "-"  # is in no key of the template

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def code(clients: PublicClients) -> str:
    """The JavaScript source of the viewer-request function, for CloudFront's runtime 2.0.

    It answers 403 to viewers outside the networks and 400 to paths with a segment ``.`` or ``..``. It sets
    ``CF-Connecting-IP`` to the viewer's address and, for webhooks, ``Dify-Hook-Url`` to the URL that was
    called. What a client sends in these two never arrives, nor what it sends in ``SCRIPT_NAME`` and
    ``PATH_INFO``, by which servers of Python programs let a proxy move a request to another path.
    The same networks give the same code, in whatever order they are listed and however they overlap.

    Args:
        clients: Who may enter. An IPv4 address that arrives written as IPv4-mapped IPv6 is an IPv4 address.

    Raises:
        ValueError: If nobody could enter, an entry is no network or address, a network is a token, or the
            code is longer than CloudFront takes.
    """
    match clients:
        case Everybody():
            return _source(_lists((), ()), anyone=True)
        case Networks():
            source = _source(_checked_lists(clients), anyone=False)
            _require_room(source, clients)
            return source


def _source(lists: Mapping[str, str], *, anyone: bool) -> str:
    dots = "/" + DOT_SEGMENT.replace("/", "\\/") + "/"
    variables = {"ANYONE": json.dumps(anyone), "HOOKS": json.dumps(_hooks()), "DOT_SEGMENT": dots, **lists}
    return "".join(f"var {name} = {value};\n" for name, value in variables.items()) + _template()


def _hooks() -> str:
    return next(route.prefix for route in ROUTES if route.component is Component.PLUGIN_DAEMON)


def _checked_lists(clients: Networks) -> dict[str, str]:
    ipv4, ipv6, addresses = clients.ipv4, clients.ipv6, clients.addresses
    for name, networks, version in (("Access.ipv4", ipv4, 4), ("Access.ipv6", ipv6, 6)):
        require_cidrs(name, networks, version)
        for network in networks:
            require_literal(
                name, network, "CloudFront gets its networks as code; Access.also takes addresses"
            )
    require_literal_list("Access.also", addresses)
    if not (ipv4 or ipv6 or addresses):
        raise ValueError("the CloudFront Function would let nobody in: list a network, or let anyone in")
    tokens = tuple(dict.fromkeys(address for address in addresses if is_token(address)))
    single = [_single(address) for address in addresses if address not in tokens]
    return _lists(
        (
            *ipaddress.collapse_addresses([*map(ipaddress.IPv4Network, ipv4), *single]),
            *ipaddress.collapse_addresses(map(ipaddress.IPv6Network, ipv6)),
        ),
        tokens,
    )


def _single(address: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(ipaddress.IPv4Address(address))
    except ValueError:
        raise ValueError(f"Access.also must hold single IPv4 addresses, got {address!r}") from None


def _lists(networks: Sequence[_Network], addresses: Sequence[str]) -> dict[str, str]:
    pattern = "|".join(map(_pattern, networks)) or _NOTHING
    return {"NETWORKS": f"/^(?:{pattern})/", "ADDRESSES": json.dumps(list(addresses))}


def _pattern(network: _Network) -> str:
    """The hexadecimal digits that all addresses of a network begin with, after the version.

    >>> _pattern(ipaddress.IPv4Network("203.0.112.0/22"))
    '4cb007[0123]'
    """
    digits = network.network_address.packed.hex()
    whole, bits = divmod(network.prefixlen, _BITS_PER_DIGIT)
    choice = ""
    if bits:
        first = int(digits[whole], 16)
        choice = "".join(f"{digit:x}" for digit in range(first, first + (1 << _BITS_PER_DIGIT - bits)))
    return f"{network.version}{digits[:whole]}" + (f"[{choice}]" if choice else "")


def _template() -> str:
    return "".join(f"{line}\n" for line in _lines(_TEMPLATE.read_text(encoding="utf-8")))


def _lines(text: str) -> Iterator[str]:
    """The lines without indentation, without empty ones and without those that are only a comment."""
    stripped = map(str.strip, text.splitlines())
    return (line for line in stripped if line and not line.startswith("//"))


def _require_room(source: str, clients: Networks) -> None:
    for token in filter(is_token, clients.addresses):
        source = source.replace(token, _LONGEST_ADDRESS)
    size = len(source.encode())
    if size > MAX_CODE_BYTES:
        count = len(clients.ipv4) + len(clients.ipv6) + len(clients.addresses)
        raise ValueError(
            f"Access lists {count} networks and addresses, for which a CloudFront Function would need {size} "
            f"bytes of code, but CloudFront takes {MAX_CODE_BYTES}: merge some of them into larger networks"
        )
