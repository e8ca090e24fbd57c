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

_VPC = "Amazon VPC"
_NAT = "AWS::EC2::NatGateway"
_INTERNET = "AWS::EC2::InternetGateway"
_ENDPOINT = "AWS::EC2::VPCEndpoint"
_BOTH_WAYS = 2  # what is sent comes back in about the same size; see Usage.outbound_gb


def address(count: float | None, hours: float, owner: str) -> Charge:
    """Public IPv4 addresses that things hold all month; each costs the same, whatever holds it."""
    return Charge(
        price="vpc.public_ipv4_hour",
        service=_VPC,
        what="public IPv4",
        quantity=times(count, hours),
        unit="address-hour",
        formula=f"{counted(count, owner)} x {shown(hours)} h",
    )


def internet_out(gb: float, what: str) -> Charge:
    """What leaves a region for the internet by another way than CloudFront."""
    return Charge(
        price="data_transfer.out_gb",
        service="AWS Data Transfer",
        what="to the internet",
        quantity=gb,
        unit="GB",
        formula=f"{shown(gb)} GB {what}",
    )


def elastic_ip(_: Resource, site: Site) -> Iterator[Charge]:
    """One address, in use or not; a NAT gateway's or a NAT instance's is one of these."""
    yield address(1, site.hours, "address")


def nat_gateway(_: Resource, site: Site) -> Iterator[Charge]:
    """The hours; the traffic is shared by all gateways."""
    yield Charge(
        price="vpc.nat_gateway_hour",
        service=_VPC,
        what="NAT gateway",
        quantity=site.hours,
        unit="hour",
        formula=f"{shown(site.hours)} h",
    )


def nat_traffic(_: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """A gateway processes both directions."""
    gb = site.usage.outbound_gb * _BOTH_WAYS
    yield Charge(
        price="vpc.nat_gateway_gb",
        service=_VPC,
        what="traffic through NAT gateways",
        quantity=gb,
        unit="GB",
        formula=f"{shown(site.usage.outbound_gb)} GB out and as much in",
    )


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
        price="vpc.interface_endpoint_hour",
        service=_VPC,
        what="interface endpoint",
        quantity=times(zones, site.hours),
        unit="zone-hour",
        formula=f"{counted(zones, 'zone')} x {shown(site.hours)} h",
    )


def endpoint_traffic(resources: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """In a network without a way to the internet, models and tools are reached through the endpoints."""
    interfaces = [one for one in resources if setting(one, "VpcEndpointType") == "Interface"]
    if not interfaces or any(view.of_type(_NAT, _INTERNET) for view in site.views):
        return
    gb = site.usage.outbound_gb * _BOTH_WAYS
    yield Charge(
        price="vpc.interface_endpoint_gb",
        service=_VPC,
        what="traffic through interface endpoints",
        quantity=gb,
        unit="GB",
        formula=f"{shown(site.usage.outbound_gb)} GB out and as much in",
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {"AWS::EC2::EIP": elastic_ip, _NAT: nat_gateway, _ENDPOINT: vpc_endpoint}
)
SHARED: Mapping[str, SharedRule] = MappingProxyType(
    {_NAT: nat_traffic, _INTERNET: internet_gateway, _ENDPOINT: endpoint_traffic}
)
