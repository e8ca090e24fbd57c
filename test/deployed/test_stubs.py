"""The records that stand for types which the emulator lacks: what they refuse, and when they are new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployed.stubs import SHAPES, Stub

RULE = {"GroupId": "sg-1", "IpProtocol": "tcp", "SourceSecurityGroupId": "sg-2"}
STUB = Stub(
    type_name="AWS::EC2::SecurityGroupIngress",
    shape=SHAPES["AWS::EC2::SecurityGroupIngress"],
    schema={
        "properties": dict.fromkeys([*RULE, "Description", "Id"]),
        "required": ["IpProtocol"],
        "readOnlyProperties": ["/properties/Id"],
        "createOnlyProperties": ["/properties/GroupId", "/properties/IpProtocol"],
    },
    seed=lambda: "",
    groups={"sg-1", "sg-2"},
)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"GroupId": "sg-1"}, r"missing properties \['IpProtocol'\]"),
        ({**RULE, "Port": 80}, r"unknown properties \['Port'\]"),
        ({**RULE, "Id": "sgr-1"}, r"read-only properties \['Id'\]"),
        ({**RULE, "GroupId": "sg-9"}, "GroupId 'sg-9' does not exist"),
        ({**RULE, "SourceSecurityGroupId": "sg-9"}, "SourceSecurityGroupId 'sg-9' does not exist"),
    ],
)
def test_refuses_what_aws_refuses(properties: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        STUB.create("Rule", properties, "Stack")


def test_the_id_stays_in_an_update_and_changes_in_a_replacement() -> None:
    physical_id, attributes = STUB.create("Rule", RULE, "Stack")
    assert attributes == {"Id": physical_id}
    changed = {**RULE, "Description": "other"}
    assert STUB.update(physical_id, RULE, changed, "Stack", "Rule") == (physical_id, attributes)
    assert replace(STUB, seed=lambda: "1").create("Rule", RULE, "Stack")[0] != physical_id
    assert STUB.create("Other", RULE, "Stack")[0] != physical_id


def test_replaces_on_the_properties_that_aws_replaces_on() -> None:
    assert STUB.replacing() == ("GroupId", "IpProtocol")


def test_every_security_group_of_a_list_has_to_exist() -> None:
    stub = replace(
        STUB,
        shape=SHAPES["AWS::ApiGatewayV2::VpcLink"],
        schema={"properties": {"SecurityGroupIds": {}, "VpcLinkId": {}}},
    )
    physical_id, attributes = stub.create("Link", {"SecurityGroupIds": ["sg-1", "sg-2"]}, "Stack")
    assert attributes == {"VpcLinkId": physical_id}
    with pytest.raises(ValueError, match="SecurityGroupIds 'sg-9' does not exist"):
        stub.create("Link", {"SecurityGroupIds": ["sg-1", "sg-9"]}, "Stack")


def test_ref_may_be_a_property() -> None:
    stub = replace(
        STUB,
        shape=SHAPES["AWS::ECS::ClusterCapacityProviderAssociations"],
        schema={"properties": {"Cluster": {}}},
    )
    assert stub.create("Providers", {"Cluster": "one"}, "Stack") == ("one", {})
