"""Which clients may enter a load balancer, an HTTP API or a distribution: one value, rendered by each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from constructs import Construct

from dify_cdk.options.access import Access, host_networks


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """Clients with an address in one of these networks.

    Attributes:
        ipv4: IPv4 networks with a prefix length.
        ipv6: IPv6 networks with a prefix length.
        addresses: Additional single IPv4 addresses without a prefix length; each may be a token.
    """

    ipv4: Sequence[str] = ()
    ipv6: Sequence[str] = ()
    addresses: Sequence[str] = ()

    @property
    def all_ipv4(self) -> tuple[str, ...]:
        """The IPv4 networks together with the single addresses as ``/32``."""
        return (*self.ipv4, *host_networks(self.addresses))


@dataclass(frozen=True, kw_only=True, slots=True)
class FromCloudFront:
    """Nobody but CloudFront, through a VPC origin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Everybody:
    """Clients with any address."""


PublicClients = Networks | Everybody
"""What a caller's ``Access`` says; countries are CloudFront's own filter beside it."""

Clients = PublicClients | FromCloudFront


def warn_of_access(frontend: Construct, access: Access) -> None:
    """Say that an example was not changed: the first deployment would let nobody in."""
    if access.nobodys:
        cdk.Validations.of(frontend).add_warning(
            "DifyAccessExample",
            f"Access lists {', '.join(access.nobodys)}, which is for documentation: nobody comes from there, "
            "so write the networks of those who may enter",
        )


def clients_of(access: Access) -> PublicClients:
    """The clients whose addresses an access lets in; countries alone let every address of theirs in."""
    if not access.filters_addresses:
        return Everybody()
    return Networks(ipv4=access.ipv4, ipv6=access.ipv6, addresses=access.also)
