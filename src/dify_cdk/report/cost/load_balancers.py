"""Load balancers: hours, capacity units, addresses, and what they send to the internet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import Charge, Load, Rule, Site, length, setting, shown, word_or
from dify_cdk.report.cost.network import address, internet_out
from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER

# What one capacity unit of an application load balancer takes in an hour; rules beyond ten a request, the
# fourth dimension, are far from the others for a few route rules.
# See https://aws.amazon.com/elasticloadbalancing/pricing/
_CONNECTIONS = 25 * 3600
_ACTIVE_SECONDS = 3000 * 3600
_GB = 1


def load_balancer(resource: Resource, site: Site) -> Iterator[Charge]:
    """Its hours always; units by what passes through it; an address in every zone if it is public."""
    kind = word_or(setting(resource, "Type"), "application")
    family, variant = ("alb", None) if kind == "application" else ("elb", kind)
    load = site.loads.get(resource.id, Load())
    what = f"{kind} load balancer".lstrip()
    yield Charge(f"{family}.hour", site.hours, f"{shown(site.hours)} h", variant=variant, what=what)
    units, words = _units(load)
    yield Charge(f"{family}.lcu_hour", units, words, variant=variant)
    yield from _addresses(resource, site.hours)
    if resource.id in site.entries and setting(resource, "Scheme") != "internal":
        yield internet_out(load.out_gb, "to browsers and clients")


def _units(load: Load) -> tuple[float, str]:
    """Capacity units: the largest of three dimensions, as if the month were one even hour after the other."""
    dimensions = {
        f"{shown(load.requests)} new connections": load.requests / _CONNECTIONS,
        f"{shown(load.seconds)} connection-seconds": load.seconds / _ACTIVE_SECONDS,
        f"{shown(load.in_gb + load.out_gb)} GB": (load.in_gb + load.out_gb) / _GB,
    }
    words, units = max(dimensions.items(), key=lambda item: item[1])
    return units, f"{words}, the largest of connections, their duration and GB"


def _addresses(resource: Resource, hours: float) -> Iterator[Charge]:
    if setting(resource, "Scheme") == "internal":
        return
    if setting(resource, "IpAddressType") == "dualstack-without-public-ipv4":
        return
    subnets = setting(resource, "Subnets")
    if subnets is not None:
        yield address(length(subnets), hours, "zone")
        return
    mapped = setting(resource, "SubnetMappings")
    own = isinstance(mapped, list) and any("AllocationId" in str(entry) for entry in mapped)
    if not own:  # else the Elastic IPs are counted where they are defined
        yield address(length(mapped) if mapped is not None else None, hours, "zone")


RULES: Mapping[str, Rule] = MappingProxyType({LOAD_BALANCER: load_balancer})
