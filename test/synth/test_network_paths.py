"""Who can reach whom, worked out from the security groups of the template."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2

from dify_cdk import Access, AlbScheme, Component, DifyAlbFrontend, DifyData, DifyNetwork, DifyWorkers, Egress
from support import VARIANTS, Template
from synth.installation import synthesized

VPC_CIDR = "10.0.0.0/16"
OFFICES = Access(ipv4=["10.8.0.0/16"])

# Dify's call graph, by hand from what each component calls; not from the table the library is built on.
CALLS = [
    ("api", "sandbox", 8194),
    ("worker", "sandbox", 8194),
    ("api", "plugin_daemon", 5002),
    ("worker", "plugin_daemon", 5002),
    ("api", "ssrf_proxy", 3128),
    ("worker", "ssrf_proxy", 3128),
    ("sandbox", "ssrf_proxy", 3128),
    ("plugin_daemon", "api", 5001),
    ("web", "api", 5001),
    ("worker", "api", 5001),
    *((role, "database", 5432) for role in ("api", "worker", "beat", "migration", "plugin_daemon")),
    *((role, "cache", 6379) for role in ("api", "worker", "beat", "migration", "plugin_daemon")),
    *(("frontend", role, port) for role, port in (("api", 5001), ("web", 3000), ("plugin_daemon", 5002))),
]
FORBIDDEN = [
    *(
        (caller, callee)
        for caller in ("sandbox", "ssrf_proxy")
        for callee in ("database", "cache", "api", "plugin_daemon", "web")
    ),
    ("web", "database"),
    ("web", "cache"),
    ("web", "sandbox"),
    ("web", "plugin_daemon"),
    ("frontend", "database"),
    ("frontend", "cache"),
    ("frontend", "sandbox"),
    ("frontend", "ssrf_proxy"),
    ("frontend", "worker"),
]
_ALB, _LINK = "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ApiGatewayV2::VpcLink"
PORTS = [22, 80, 443, 3000, 3128, 5001, 5002, 5003, 5432, 6379, 8194]


@dataclass(frozen=True)
class Rule:
    """One permission: to or from a security group or a network, for a range of ports."""

    peer: str
    low: int
    high: int


class Groups:
    """The security groups of a template and the rules that were added to them elsewhere."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.ingress: dict[str, list[Rule]] = {}
        self.egress: dict[str, list[Rule]] = {}
        for id, properties in template.properties("AWS::EC2::SecurityGroup").items():
            self.ingress[id] = [_rule(rule) for rule in properties.get("SecurityGroupIngress", ())]
            self.egress[id] = [_rule(rule) for rule in properties.get("SecurityGroupEgress", ())]
        for type, rules in (("Ingress", self.ingress), ("Egress", self.egress)):
            for properties in template.properties(f"AWS::EC2::SecurityGroup{type}").values():
                rules[_group(properties["GroupId"])].append(_rule(properties))

    def of(self, name: str) -> list[str]:
        """The groups that a role or a part of the infrastructure wears."""
        if name == "database":
            (cluster,) = self._template.properties("AWS::RDS::DBCluster").values()
            return [_group(group) for group in cluster["VpcSecurityGroupIds"]]
        if name == "cache":
            (cache,) = self._template.properties("AWS::ElastiCache::ReplicationGroup").values()
            return [_group(group) for group in cache["SecurityGroupIds"]]
        if name == "frontend":
            frontends = [
                *(p["SecurityGroups"] for p in self._template.properties(_ALB).values()),
                *(p["SecurityGroupIds"] for p in self._template.properties(_LINK).values()),
            ]
            return [_group(group) for groups in frontends for group in groups]
        if name == "migration":
            (migration,) = self._template.properties("Custom::DifyMigration").values()
            return [_group(group) for group in migration["SecurityGroups"]]
        if self.is_function(name):
            return self._groups_of_function(name)
        network = self._template.services()[name]["NetworkConfiguration"]["AwsvpcConfiguration"]
        return [_group(group) for group in network["SecurityGroups"]]

    def is_function(self, name: str) -> bool:
        """Whether a role is no task but a Lambda function."""
        return name == "web" and name not in self._template.services()

    def _groups_of_function(self, name: str) -> list[str]:
        functions = self._template.properties("AWS::Lambda::Function").items()
        (vpc,) = [p["VpcConfig"] for id, p in functions if f"Lambda{name.capitalize()}Function" in id]
        return [_group(group) for group in vpc["SecurityGroupIds"]]

    def path(self, caller: str, callee: str, port: int) -> bool:
        """Whether both sides let a connection through."""
        callers, callees = self.of(caller), self.of(callee)
        out = any(_lets(rule, callees, port) for group in callers for rule in self.egress[group])
        into = any(_lets(rule, callers, port) for group in callees for rule in self.ingress[group])
        return out and into


def _rule(properties: dict[str, Any]) -> Rule:
    for key in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if key in properties:
            peer = _group(properties[key])
            break
    else:
        cidr = properties.get("CidrIp") or properties.get("DestinationPrefixListId")
        peer = cidr if isinstance(cidr, str) else "vpc" if "CidrBlock" in str(cidr) else f"token {cidr}"
    everything = properties["IpProtocol"] == "-1"
    return Rule(
        peer, 0 if everything else properties["FromPort"], 65535 if everything else properties["ToPort"]
    )


def _group(reference: dict[str, Any]) -> str:
    id: str = reference["Fn::GetAtt"][0]
    return id


def _lets(rule: Rule, groups: list[str], port: int) -> bool:
    inside = rule.peer in (*groups, "vpc") or _covers_vpc(rule.peer)
    return inside and rule.low <= port <= rule.high


def _covers_vpc(peer: str) -> bool:
    try:
        return ipaddress.ip_network(VPC_CIDR).subnet_of(ipaddress.ip_network(peer))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False


def _closed(app: cdk.App) -> Template:
    """An internal frontend in a network without a way out."""
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="us-west-2"))
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICES, scheme=AlbScheme.INTERNAL)
    return synthesized(stack)


@pytest.fixture(scope="module", params=[*VARIANTS, "closed"])
def groups(
    request: pytest.FixtureRequest,
    templates: Callable[[str], Template],
    tmp_path_factory: pytest.TempPathFactory,
) -> Groups:
    if request.param != "closed":
        return Groups(templates(request.param))
    return Groups(_closed(cdk.App(outdir=str(tmp_path_factory.mktemp("closed")), analytics_reporting=False)))


@pytest.mark.parametrize(("caller", "callee", "port"), CALLS, ids=str)
def test_path_exists(groups: Groups, caller: str, callee: str, port: int) -> None:
    if caller == "frontend" and groups.is_function(callee):
        assert not groups.path(caller, callee, port)  # it is called by its URL, which only CloudFront can
        return
    assert groups.path(caller, callee, port)


@pytest.mark.parametrize(("caller", "callee"), FORBIDDEN, ids=str)
def test_no_path_exists_on_any_port(groups: Groups, caller: str, callee: str) -> None:
    assert [port for port in PORTS if groups.path(caller, callee, port)] == []


def test_nobody_is_let_in_by_address_but_at_the_frontend(groups: Groups) -> None:
    frontend = set(groups.of("frontend"))
    for role in (
        "api",
        "web",
        "worker",
        "beat",
        "plugin_daemon",
        "sandbox",
        "ssrf_proxy",
        "database",
        "cache",
    ):
        for group in set(groups.of(role)) - frontend:
            assert all(rule.peer in groups.ingress for rule in groups.ingress[group]), role


def test_sandbox_calls_out_only_to_the_proxy_and_https(groups: Groups) -> None:
    (sandbox,) = groups.of("sandbox")
    (proxy,) = groups.of("ssrf_proxy")
    ports = {(rule.peer == proxy, rule.low, rule.high) for rule in groups.egress[sandbox]}
    assert ports == {(True, 3128, 3128), (False, 443, 443)}


# Addresses by who is there; what a component opens itself, past the proxy.
PRIVATE = ["10.0.0.2", "10.200.1.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255"]
SHARED = ["100.64.0.1", "100.127.255.254"]
LINK_LOCAL = ["169.254.169.254", "169.254.170.2", "169.254.0.1"]
PUBLIC = ["8.8.8.8", "9.255.255.255", "11.0.0.0", "52.94.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1"]


def reaches(groups: Groups, caller: str, address: str, port: int) -> bool:
    """Whether a component may open a connection to an address, as far as its own rules say."""
    rules = [rule for group in groups.of(caller) for rule in groups.egress[group]]
    return any(
        rule.low <= port <= rule.high and ipaddress.ip_address(address) in ipaddress.ip_network(rule.peer)
        for rule in rules
        if rule.peer[:1].isdigit()
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_code_reaches_public_addresses_only(templates: Callable[[str], Template], variant: str) -> None:
    groups = Groups(templates(variant))
    assert [one for one in PUBLIC if not reaches(groups, "sandbox", one, 443)] == []
    assert [one for one in PUBLIC + PRIVATE if reaches(groups, "sandbox", one, 80)] == []
    assert [one for one in PRIVATE + SHARED + LINK_LOCAL if reaches(groups, "sandbox", one, 443)] == []
    assert all(reaches(groups, "ssrf_proxy", one, 80) for one in PUBLIC)  # or the test proves nothing


def test_code_reaches_an_endpoint_in_a_vpc_of_others(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        vpc_cidr_block="10.1.0.0/16",
        availability_zones=["us-east-1a", "us-east-1b"],
        private_subnet_ids=["subnet-1", "subnet-2"],
        private_subnet_route_table_ids=["rtb-1", "rtb-2"],
    )
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=vpc))
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICES, scheme=AlbScheme.INTERNAL)
    assert reaches(Groups(synthesized(stack)), "sandbox", "100.64.0.1", 443)


def with_an_endpoint(stack: cdk.Stack) -> tuple[DifyWorkers, ec2.InterfaceVpcEndpoint]:
    vpc = DifyNetwork(stack, "Network").vpc
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=vpc))
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICES, scheme=AlbScheme.INTERNAL)
    logs = ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS
    return workers, vpc.add_interface_endpoint("Logs", service=logs)


def test_fails_when_the_sandbox_cannot_reach_an_endpoint_that_it_needs(stack: cdk.Stack) -> None:
    with_an_endpoint(stack)
    with pytest.raises(
        RuntimeError, match=r"Network/Vpc/Logs: sandbox, whose rules end at private addresses"
    ):
        synthesized(stack)


def test_an_endpoint_that_lets_the_sandbox_in_is_reached(stack: cdk.Stack) -> None:
    workers, endpoint = with_an_endpoint(stack)
    group = workers.platform.security_groups.group(Component.SANDBOX)
    endpoint.connections.allow_default_port_from(group)
    groups = Groups(synthesized(stack))
    (sandbox,) = groups.of("sandbox")
    (logs,) = [id for id in groups.ingress if "VpcLogs" in id]
    assert logs in [rule.peer for rule in groups.egress[sandbox] if rule.low == rule.high == 443]


def test_closed_network_has_no_way_to_the_world(app: cdk.App) -> None:
    template = _closed(app)
    for type in ("AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::EC2::Instance"):
        assert template.of_type(type) == {}
    routes = template.properties("AWS::EC2::Route").values()
    assert [route for route in routes if route.get("DestinationCidrBlock") == "0.0.0.0/0"] == []
    egress = Groups(template).egress
    assert [id for id, rules in egress.items() if any(rule.peer == "0.0.0.0/0" for rule in rules)] == []


def test_closed_network_opens_models_to_the_plugin_daemon_only(app: cdk.App) -> None:
    groups = Groups(_closed(app))
    (models,) = [id for id in groups.ingress if "ModelEndpoints" in id]
    assert [rule.peer for rule in groups.ingress[models]] == groups.of("plugin_daemon")
