"""Instances of EC2 with their volumes; in our networks the NAT instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Rule,
    Site,
    is_decided_later,
    number,
    setting,
    shown,
    word_or,
)
from dify_cdk.report.cost.network import address
from dify_cdk.report.templates.template import Resource, Template, items, references

_ROOT_GB = 8
"""Root volume (gp3) of Amazon Linux 2023 where the template names none.

See https://github.com/namecheap/ec2-github-runner/issues/44
"""
_AMAZON_LINUX = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel"


def instance(resource: Resource, site: Site) -> Iterator[Charge]:
    """Hours on demand, its volumes, and its public address unless an Elastic IP takes the place of it."""
    type = word_or(setting(resource, "InstanceType"), "")
    what = f"instance {type}".rstrip()
    yield Charge("ec2.hour", site.hours, f"{shown(site.hours)} h", variant=type, what=what)
    yield from _volumes(resource, site.view)
    if _has_own_address(resource, site.view):
        yield address(1, site.hours, "address")


def volume(resource: Resource, _: Site) -> Iterator[Charge]:
    """A volume of its own."""
    yield _storage(setting(resource, "Size"), setting(resource, "VolumeType"), "volume")


def _volumes(resource: Resource, view: Template) -> Iterator[Charge]:
    devices = setting(resource, "BlockDeviceMappings")
    if devices is None and _is_amazon_linux(resource, view):
        yield _storage(_ROOT_GB, "gp3", "root volume of Amazon Linux")
        return
    if devices is None or is_decided_later(devices):
        yield _storage({"Ref": "unknown"}, "gp3", "root volume")
    for device in items(devices):
        block = device.get("Ebs") if isinstance(device, Mapping) else None
        fields = block if isinstance(block, Mapping) else {}
        yield _storage(fields.get("VolumeSize", ""), fields.get("VolumeType"), "volume")


def _is_amazon_linux(resource: Resource, view: Template) -> bool:
    parameters = [view.parameter(name) for name in references(setting(resource, "ImageId"))]
    return any(str(one.get("Default")).startswith(_AMAZON_LINUX) for one in parameters)


def _storage(size: object, type: object, what: str) -> Charge:
    kind = word_or(type, "gp2")  # what CloudFormation takes where nothing is named
    gb = number(size)
    return Charge("ebs.gb_month", gb, f"{shown(gb)} GB", variant=kind, what=f"{what} {kind}".rstrip())


def _has_own_address(resource: Resource, view: Template) -> bool:
    """Whether EC2 gives it a public address that stays: an associated Elastic IP takes its place."""
    if view.naming(resource, "InstanceId", "AWS::EC2::EIPAssociation", "AWS::EC2::EIP"):
        return False
    for interface in items(setting(resource, "NetworkInterfaces")):
        if isinstance(interface, Mapping) and interface.get("AssociatePublicIpAddress") in (True, "true"):
            return True
    subnet = view.find(setting(resource, "SubnetId"), "AWS::EC2::Subnet")
    return subnet is not None and setting(subnet, "MapPublicIpOnLaunch") in (True, "true")


RULES: Mapping[str, Rule] = MappingProxyType({"AWS::EC2::Instance": instance, "AWS::EC2::Volume": volume})
