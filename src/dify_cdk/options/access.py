"""Who may enter: one value object for every frontend."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_cidrs, require_literal_list, require_match

ANYONE_IPV4 = "0.0.0.0/0"
ANYONE_IPV6 = "::/0"

# Nobody has an address of these, see RFC 5737, RFC 3849 and RFC 9637.
_FOR_DOCUMENTATION = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
)


@checked
@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may reach Dify: a client from one of the networks and, if countries are listed, in one of them.

    The frontend decides by what: the load balancer's security group, a Lambda authorizer of the HTTP API, or
    a CloudFront Function or AWS WAF before a distribution.

    ``Access(ipv4=["203.0.113.0/24"])`` lets one office in. :meth:`anyone` opens Dify to the whole world. That
    range, as others of examples, is for documentation: nobody comes from there, and a frontend raises the
    warning ``DifyAccessExample``.

    Attributes:
        ipv4: IPv4 networks with a prefix length, a single address as ``/32``. Default: none.
        ipv6: IPv6 networks with a prefix length, a single address as ``/128``. Default: none.
        also: Additional single IPv4 addresses, usually tokens such as ``network.public_addresses``: the
            source addresses from which Dify calls its own public URL. They are not enough alone, and without
            ``ipv4`` or ``ipv6`` they have no effect. Default: none.
        countries: ISO 3166-1 alpha-2 codes such as ``JP``; only frontends with CloudFront can filter by
            country. Without ``ipv4`` and ``ipv6`` every address in these countries may enter. Default: every
            country.

    Raises:
        ValueError: If ``ipv4``, ``ipv6`` and ``countries`` are all empty, an entry is malformed, or a network
            is the whole world, which has to be written as ``Access.anyone()``.
    """

    ipv4: Sequence[str] = ()
    ipv6: Sequence[str] = ()
    also: Sequence[str] = ()
    countries: Sequence[str] = ()
    _everyone: bool = False

    def __post_init__(self) -> None:
        """Check every entry."""
        require_cidrs("Access.ipv4", self.ipv4, 4)
        require_cidrs("Access.ipv6", self.ipv6, 6)
        require_literal_list("Access.also", self.also)
        for address in self.also:
            _require_address(address)
        require_literal_list("Access.countries", self.countries)
        for code in self.countries:
            require_match("Access.countries", code, "[A-Z]{2}", "two-letter country codes such as JP")
        if self._everyone:
            return
        if not (self.ipv4 or self.ipv6 or self.countries):
            raise ValueError(
                "Access lets nobody in: give ipv4=, ipv6= or countries=, or write Access.anyone()"
            )
        for network in (*self.ipv4, *self.ipv6):
            if not is_token(network) and ipaddress.ip_network(network).prefixlen == 0:
                raise ValueError(
                    f"Access must not list {network}: write Access.anyone() to let the whole world in"
                )

    @classmethod
    def anyone(cls) -> Access:
        """Let every address in; Dify's own login is then the only guard."""
        return cls(ipv4=(ANYONE_IPV4,), ipv6=(ANYONE_IPV6,), _everyone=True)

    @property
    def is_anyone(self) -> bool:
        """Whether every address may enter."""
        return self._everyone

    @property
    def filters_addresses(self) -> bool:
        """Whether only listed networks may enter; False if countries alone are listed."""
        return not self._everyone and bool(self.ipv4 or self.ipv6)

    @property
    def nobodys(self) -> tuple[str, ...]:
        """Those of its networks and addresses that stand in documentation only: nobody comes from there."""
        return tuple(text for text in (*self.ipv4, *self.ipv6, *self.also) if _is_for_documentation(text))

    @property
    def all_ipv4(self) -> tuple[str, ...]:
        """The IPv4 networks together with the single addresses of ``also`` as ``/32``."""
        return (*self.ipv4, *host_networks(self.also))


def host_networks(addresses: Sequence[str]) -> tuple[str, ...]:
    """Single IPv4 addresses, or tokens of some, as networks that hold one address each."""
    return tuple(f"{address}/32" for address in addresses)


def _is_for_documentation(text: str) -> bool:
    if is_token(text):
        return False
    network = ipaddress.ip_network(text)
    # Networks of two versions cannot be compared, which is an error and not False.
    return any(network.version == one.version and network.subnet_of(one) for one in _FOR_DOCUMENTATION)  # type: ignore[arg-type]


def _require_address(address: str) -> None:
    if is_token(address):
        return
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise ValueError(f"Access.also must hold single IPv4 addresses, got {address!r}") from None
