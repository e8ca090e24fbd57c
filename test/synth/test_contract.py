"""Logical ids of what holds data never change: a changed id makes CloudFormation replace the resource."""

from __future__ import annotations

import json

from support import DATA, Template

CONTRACT: dict[str, str] = json.loads((DATA / "stateful-ids.json").read_text(encoding="utf-8"))

STATEFUL_TYPES = (
    "AWS::EC2::VPC",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    # No data, but their ids in the account follow from their place: a second one of the same is refused.
    "AWS::ElastiCache::User",
    "AWS::ElastiCache::UserGroup",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBClusterParameterGroup",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBSubnetGroup",
)


def stateful_ids(template: Template) -> dict[str, str]:
    """Logical id to type; to type and address range for subnets."""
    found = {id: str(resource["Type"]) for id, resource in template.of_type(*STATEFUL_TYPES).items()}
    for id, subnet in template.properties("AWS::EC2::Subnet").items():
        if "DataSubnet" in id:
            found[id] = f"AWS::EC2::Subnet {subnet['CidrBlock']}"
    for type in ("AWS::EC2::SecurityGroup", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"):
        found |= {id: type for id in template.of_type(type) if id.startswith("Data")}
    return found


def test_ids_are_those_of_the_contract(template: Template) -> None:
    """Never edit the contract to pass this: a user's data hangs on every line. New resources are added."""
    assert stateful_ids(template) == CONTRACT
