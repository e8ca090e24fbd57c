"""The network: data subnets that never move, ways out, and VPCs of others."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk import Access, DifyAlbFrontend, DifyData, DifyNetwork, DifyWorkers, Egress, network
from dify_cdk.cdk_helpers.assets import nat_script
from dify_cdk.network import ZONES_WITHOUT_VPC_LINKS, tiers_of
from support import Template
from synth.installation import synthesized

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-vpc-links-v2.html
ZONES_WITH_VPC_LINKS = {
    "us-east-1": ["use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6"],
    "us-west-1": ["usw1-az1", "usw1-az3"],
    "ap-northeast-1": ["apne1-az1", "apne1-az2", "apne1-az4"],
    "ca-central-1": ["cac1-az1", "cac1-az2", "cac1-az4"],
}
ZONES = ["us-west-2a", "us-west-2b", "us-west-2c"]


def _network(egress: Egress, zones: list[str] | None = None, cidr: str = "10.0.0.0/16") -> Template:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "S", env=cdk.Environment(region="us-west-2"))
    DifyNetwork(stack, "Network", egress=egress, zones=zones, cidr=cidr)
    return synthesized(stack)


def _subnets(template: Template, group: str) -> dict[str, str]:
    subnets = template.properties("AWS::EC2::Subnet").items()
    return {id: properties["CidrBlock"] for id, properties in subnets if f"{group}Subnet" in id}


@settings(max_examples=12, deadline=None)
@given(
    before=st.sampled_from(list(Egress)),
    after=st.sampled_from(list(Egress)),
    few=st.sampled_from([2, 3]),
    many=st.sampled_from([2, 3]),
    prefix=st.integers(16, 19),
)
def test_subnets_never_move(before: Egress, after: Egress, few: int, many: int, prefix: int) -> None:
    cidr = f"10.32.0.0/{prefix}"
    old = _network(before, ZONES[: min(few, many)], cidr)
    new = _network(after, ZONES[: max(few, many)], cidr)
    # CloudFormation adds before it removes: public subnets that make room collide with what is added there.
    groups = ("Data", "App") if Egress.ISOLATED in (before, after) else ("Data", "App", "Public")
    for group in groups:
        assert _subnets(old, group).items() <= _subnets(new, group).items()


def test_no_address_is_shared_between_kinds_of_egress() -> None:
    """While one replaces the other both exist: a gateway refuses an address that an instance has."""
    kinds = [set(_network(egress).of_type("AWS::EC2::EIP")) for egress in Egress]
    assert kinds[0].isdisjoint(kinds[1])


def test_nat_instance_takes_its_address_after_the_internet_gateway() -> None:
    template = _network(Egress.NAT_INSTANCE)
    (association,) = template.of_type("AWS::EC2::EIPAssociation").values()
    assert any("PublicSubnet1DefaultRoute" in id for id in association["DependsOn"])


@pytest.mark.parametrize(
    ("egress", "addresses"), [(Egress.NAT_GATEWAYS, 2), (Egress.NAT_INSTANCE, 1), (Egress.ISOLATED, 0)]
)
def test_way_out_has_fixed_addresses(stack: cdk.Stack, egress: Egress, addresses: int) -> None:
    network = DifyNetwork(stack, "Network", egress=egress)
    assert len(network.public_addresses) == addresses
    template = synthesized(stack)
    assert len(template.of_type("AWS::EC2::EIP")) == addresses
    assert len(template.of_type("AWS::EC2::NatGateway")) == (2 if egress is Egress.NAT_GATEWAYS else 0)
    assert len(template.of_type("AWS::EC2::EIPAssociation")) == (1 if egress is Egress.NAT_INSTANCE else 0)
    assert all(not p.get("MapPublicIpOnLaunch") for p in template.properties("AWS::EC2::Subnet").values())


def test_nat_instance_serves_the_vpc_only(stack: cdk.Stack) -> None:
    DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    template = synthesized(stack)
    (group,) = [p for id, p in template.properties("AWS::EC2::SecurityGroup").items() if "Nat" in id]
    assert [rule["CidrIp"]["Fn::GetAtt"][1] for rule in group["SecurityGroupIngress"]] == ["CidrBlock"]


def test_isolated_network_has_the_endpoints_that_tasks_and_models_need(stack: cdk.Stack) -> None:
    DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    template = synthesized(stack)
    endpoints = template.properties("AWS::EC2::VPCEndpoint").values()
    names = {
        str(p["ServiceName"]).rsplit(f"{stack.region}.", maxsplit=1)[-1]
        for p in endpoints
        if p["VpcEndpointType"] == "Interface"
    }
    tasks = {"ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "ssmmessages"}
    assert names == tasks | {"bedrock", "bedrock-runtime", "bedrock-agent-runtime"}


@pytest.mark.parametrize("region", [*ZONES_WITHOUT_VPC_LINKS, "us-west-2"])
@pytest.mark.parametrize("egress", Egress)
def test_default_zones_are_those_with_vpc_links(app: cdk.App, region: str, egress: Egress) -> None:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
    DifyNetwork(stack, "Network", egress=egress)
    template = synthesized(stack)
    subnets = template.properties("AWS::EC2::Subnet").values()
    ids = {subnet.get("AvailabilityZoneId") for subnet in subnets}
    if region not in ZONES_WITHOUT_VPC_LINKS:
        assert ids == {None}
        return
    assert len(ids) == 2
    assert ids <= set(ZONES_WITH_VPC_LINKS[region])
    for subnet in subnets:
        assert "AvailabilityZone" not in subnet
    for instance in template.properties("AWS::EC2::Instance").values():
        assert "AvailabilityZone" not in instance


def test_each_tier_has_a_subnet_in_each_zone(stack: cdk.Stack) -> None:
    ids = ["use1-az4", "use1-az5", "use1-az6"]
    DifyNetwork(stack, "Network", zones=ids)
    template = synthesized(stack)
    zones: dict[str, list[str]] = {}
    for id, subnet in template.properties("AWS::EC2::Subnet").items():
        tier = next(tier for tier in ("Data", "App", "Public") if f"{tier}Subnet" in id)
        zones.setdefault(tier, []).append(subnet["AvailabilityZoneId"])
    assert {tier: sorted(found) for tier, found in zones.items()} == dict.fromkeys(
        ("Data", "App", "Public"), ids
    )


def test_imported_vpc_puts_data_into_isolated_and_tasks_into_private_subnets(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        vpc_cidr_block="10.0.0.0/16",
        availability_zones=["us-east-1a", "us-east-1b"],
        isolated_subnet_ids=["subnet-i1", "subnet-i2"],
        isolated_subnet_route_table_ids=["rtb-i1", "rtb-i2"],
        private_subnet_ids=["subnet-p1", "subnet-p2"],
        private_subnet_route_table_ids=["rtb-p1", "rtb-p2"],
    )
    tiers = tiers_of(vpc)
    assert [subnet.subnet_id for subnet in tiers.app] == ["subnet-p1", "subnet-p2"]
    assert [subnet.subnet_id for subnet in tiers.data] == ["subnet-i1", "subnet-i2"]
    assert not tiers.closed
    DifyData(stack, "Data", vpc=vpc)
    template = synthesized(stack)
    (group,) = template.properties("AWS::RDS::DBSubnetGroup").values()
    assert group["SubnetIds"] == ["subnet-i1", "subnet-i2"]


def test_imported_isolated_vpc_is_closed(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["us-east-1a", "us-east-1b"],
        isolated_subnet_ids=["subnet-i1", "subnet-i2"],
        isolated_subnet_route_table_ids=["rtb-i1", "rtb-i2"],
    )
    assert tiers_of(vpc).closed


def test_nat_instance_runs_the_script_whose_behaviour_is_tested(stack: cdk.Stack) -> None:
    """See test/handlers/test_nat_script.py."""
    DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    (instance,) = synthesized(stack).properties("AWS::EC2::Instance").values()
    script = instance["UserData"]["Fn::Base64"]
    assert script == "#!/bin/bash\n" + nat_script().read_text(encoding="utf-8")
    assert (
        len(script) < 16_384
    )  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
    assert instance["SourceDestCheck"] is False


def test_another_script_makes_another_nat_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation would only stop and start the one there is, and cloud-init runs user data once."""
    before = _network(Egress.NAT_INSTANCE)
    script = tmp_path / "nat_instance.sh"
    script.write_text(nat_script().read_text(encoding="utf-8") + "# another line\n", encoding="utf-8")
    monkeypatch.setattr(network, "nat_script", lambda: script)
    after = _network(Egress.NAT_INSTANCE)
    ((one, _),) = before.of_type("AWS::EC2::Instance").items()
    ((other, _),) = after.of_type("AWS::EC2::Instance").items()
    assert one != other
    for id, template in ((one, before), (other, after)):
        routes = template.properties("AWS::EC2::Route").values()
        users = [*routes, *template.properties("AWS::EC2::EIPAssociation").values()]
        assert [user["InstanceId"] for user in users if "InstanceId" in user] == 3 * [{"Ref": id}]


def test_the_same_script_keeps_the_nat_instance() -> None:
    first, second = (_network(Egress.NAT_INSTANCE).of_type("AWS::EC2::Instance") for _ in range(2))
    assert first.keys() == second.keys()


def test_a_network_that_is_looked_up_synthesizes_before_it_is_known(app: cdk.App) -> None:
    """The CDK synthesizes with a stand-in first, whose range has host bits, and looks up afterwards."""
    environment = cdk.Environment(account="111122223333", region="us-west-2")
    stack = cdk.Stack(app, "Dify", env=environment)
    vpc = ec2.Vpc.from_lookup(stack, "Vpc", vpc_id="vpc-1")
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=vpc))
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access(ipv4=["203.0.113.0/24"]))
    manifest = json.loads((Path(app.synth().directory) / "manifest.json").read_text(encoding="utf-8"))
    assert [row["provider"] for row in manifest["missing"]] == ["vpc-provider"]
