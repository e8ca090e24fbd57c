"""Resource types that MiniStack does not know, as records checked against their provider schema.

CloudFormation refuses a template with a type that it does not know. A stub accepts the properties that the
schema accepts, replaces on the properties that AWS replaces on, and answers Ref and Fn::GetAtt in the shape
of AWS. It does nothing: no address, no instance and no rule comes into being.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Properties = Mapping[str, Any]
Created = tuple[str, dict[str, str]]

_ID_LENGTH = 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What a type answers.

    Attributes:
        ref: Attribute or property that Ref stands for.
        values: Attribute to its value, from a digest that is the resource's own.
        groups: Properties that name a security group or several, which have to exist.
    """

    ref: str
    values: Mapping[str, Callable[[str], str]]
    groups: tuple[str, ...] = ()


def _id(prefix: str) -> Callable[[str], str]:
    return lambda digest: f"{prefix}-{digest[:_ID_LENGTH]}"


def _address(first: str) -> Callable[[str], str]:
    return lambda digest: f"{first}.{int(digest[:2], 16)}"


def _arn(service: str) -> Callable[[str], str]:
    return lambda digest: f"arn:aws:{service}:::{digest[:_ID_LENGTH]}"


_RULE = {"Id": _id("sgr")}
SHAPES: Mapping[str, Shape] = {
    "AWS::ApiGatewayV2::VpcLink": Shape(
        ref="VpcLinkId",
        values={"VpcLinkId": lambda digest: digest[:6]},
        groups=("SecurityGroupIds",),
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": Shape(ref="Id", values={"Id": _id("target")}),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Shape(ref="Arn", values={"Arn": _arn("autoscaling")}),
    "AWS::EC2::EIP": Shape(
        ref="PublicIp",
        values={"PublicIp": _address("198.51.100"), "AllocationId": _id("eipalloc")},
    ),
    "AWS::EC2::EIPAssociation": Shape(ref="Id", values={"Id": _id("eipassoc")}),
    "AWS::EC2::Instance": Shape(
        ref="InstanceId",
        values={"InstanceId": _id("i"), "PrivateIp": _address("10.0.0")},
    ),
    "AWS::EC2::NatGateway": Shape(ref="NatGatewayId", values={"NatGatewayId": _id("nat")}),
    "AWS::EC2::SecurityGroupEgress": Shape(
        ref="Id", values=_RULE, groups=("GroupId", "DestinationSecurityGroupId")
    ),
    "AWS::EC2::SecurityGroupIngress": Shape(
        ref="Id", values=_RULE, groups=("GroupId", "SourceSecurityGroupId")
    ),
    "AWS::ECS::ClusterCapacityProviderAssociations": Shape(ref="Cluster", values={}),
}
"""The types of our templates that are missing; one that MiniStack learns is taken from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stub:
    """The handlers of one type.

    Attributes:
        type_name: Name of the type.
        shape: What it answers.
        schema: Its provider schema.
        seed: What makes a replacement differ from what it replaces.
        groups: The security groups that there are.
    """

    type_name: str
    shape: Shape
    schema: Mapping[str, Any]
    seed: Callable[[], str]
    groups: Collection[str]

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Created:
        """The physical id and the attributes of a new resource."""
        self._check(properties)
        text = f"{self.type_name} {stack_name} {logical_id} {self.seed()}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        attributes = {name: make(digest) for name, make in self.shape.values.items()}
        return str(attributes.get(self.shape.ref) or properties[self.shape.ref]), attributes

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Created:
        """The same resource with other properties; the engine replaces before it calls, where it must."""
        return self.create(logical_id, new, stack_name)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Nothing is left behind."""

    def replacing(self) -> tuple[str, ...]:
        """The properties whose change replaces the resource."""
        return tuple(_names(self.schema.get("createOnlyProperties")))

    def _check(self, properties: Properties) -> None:
        missing = set(self.schema.get("required") or ()) - properties.keys()
        unknown = properties.keys() - self.schema["properties"].keys()
        read_only = properties.keys() & set(_names(self.schema.get("readOnlyProperties")))
        for problem, names in (("missing", missing), ("unknown", unknown), ("read-only", read_only)):
            if names:
                raise ValueError(f"{self.type_name}: {problem} properties {sorted(names)}")
        for name in self.shape.groups:
            for group in _listed(properties.get(name, ())):
                if group not in self.groups:
                    raise ValueError(f"{self.type_name}: {name} {group!r} does not exist")


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _names(pointers: Any) -> list[str]:
    return [pointer.removeprefix("/properties/") for pointer in pointers or ()]


def register(region: str) -> list[str]:
    """Teach MiniStack, in its own process and before it serves, the types that it lacks.

    Args:
        region: Region of the provider schemas.

    Returns:
        The types that are stubs now.
    """
    manager: Any = import_module("cfnlint.schema").PROVIDER_SCHEMA_MANAGER
    engine: Any = import_module("ministack.services.cloudformation.provisioners")
    ec2: Any = import_module("ministack.services.ec2")
    added = []
    for type_name, shape in SHAPES.items():
        if type_name in engine._RESOURCE_HANDLERS:
            continue
        schema = manager.get_resource_schema(region, type_name).schema
        stub = Stub(
            type_name=type_name,
            shape=shape,
            schema=schema,
            seed=engine._NAME_SEED.get,
            groups=ec2._security_groups,
        )
        engine._RESOURCE_HANDLERS[type_name] = {
            "create": stub.create,
            "update": stub.update,
            "update_with_logical_id": True,
            "delete": stub.delete,
        }
        engine._REPLACING_PROPERTIES[type_name] = stub.replacing()
        added.append(type_name)
    return added
