"""Addresses, NAT, endpoints, and what leaves a region for the internet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Rule,
    SharedRule,
    Site,
    counted,
    length,
    setting,
    shown,
    times,
    word_or,
)
from dify_cdk.report.templates.template import Resource

_NAT = "AWS::EC2::NatGateway"
_INTERNET = "AWS::EC2::InternetGateway"
_ENDPOINT = "AWS::EC2::VPCEndpoint"
_BOTH_WAYS = 2  # what is sent comes back in about the same size; see Usage.outbound_gb


def address(count: float | None, hours: float, owner: str) -> Charge:
    """Public IPv4 addresses that things hold all month; each costs the same, whatever holds it."""
    return Charge("vpc.public_ipv4_hour", times(count, hours), f"{counted(count, owner)} x {shown(hours)} h")


def internet_out(gb: float, what: str) -> Charge:
    """What leaves a region for the internet by another way than CloudFront."""
    return Charge("data_transfer.out_gb", gb, f"{shown(gb)} GB {what}")


def elastic_ip(_: Resource, site: Site) -> Iterator[Charge]:
    """One address, in use or not; a NAT gateway's or a NAT instance's is one of these."""
    yield address(1, site.hours, "address")


def nat_gateway(_: Resource, site: Site) -> Iterator[Charge]:
    """The hours; the traffic is shared by all gateways."""
    yield Charge("vpc.nat_gateway_hour", site.hours, f"{shown(site.hours)} h")


def nat_traffic(_: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """What all gateways process."""
    yield Charge("vpc.nat_gateway_gb", *_through(site))


def _through(site: Site) -> tuple[float, str]:
    """GB that pass a gateway or endpoints, which both directions do, and where they come from."""
    gb = site.usage.outbound_gb
    return gb * _BOTH_WAYS, f"{shown(gb)} GB out and as much in"


def internet_gateway(_: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """The gateway is free; what containers send through it is not."""
    yield internet_out(site.usage.outbound_gb, "from containers to models and tools")


def vpc_endpoint(resource: Resource, site: Site) -> Iterator[Charge]:
    """Interface endpoints by zone and hour; gateway endpoints are free."""
    kind = word_or(setting(resource, "VpcEndpointType"), "Gateway")
    if kind == "Gateway":
        return
    zones = length(setting(resource, "SubnetIds")) if kind == "Interface" else None
    yield Charge(
        "vpc.interface_endpoint_hour",
        times(zones, site.hours),
        f"{counted(zones, 'zone')} x {shown(site.hours)} h",
    )


def endpoint_traffic(resources: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """In a network without a way to the internet, models and tools are reached through the endpoints."""
    interfaces = [one for one in resources if setting(one, "VpcEndpointType") == "Interface"]
    if not interfaces or any(view.of_type(_NAT, _INTERNET) for view in site.views):
        return
    yield Charge("vpc.interface_endpoint_gb", *_through(site))


RULES: Mapping[str, Rule] = MappingProxyType(
    {"AWS::EC2::EIP": elastic_ip, _NAT: nat_gateway, _ENDPOINT: vpc_endpoint}
)
SHARED: Mapping[str, SharedRule] = MappingProxyType(
    {_NAT: nat_traffic, _INTERNET: internet_gateway, _ENDPOINT: endpoint_traffic}
)
