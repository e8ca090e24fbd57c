"""The network: a VPC whose data subnets never move, or any VPC of yours."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IDependable

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_literal_list, require_match
from dify_cdk.cdk_helpers.assets import nat_script
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.references import may_go
from dify_cdk.network.endpoints import OWN_RANGE_REASON, DnsFirewall, Endpoints, define_endpoints, open_s3

_PRIVATE = [ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_NOT_PUBLIC = [ipaddress.IPv4Network(text) for text in ("100.64.0.0/10", "169.254.0.0/16")]

DATA_GROUP = "Data"
APP_GROUP = "App"
PUBLIC_GROUP = "Public"

# Steps from the VPC's prefix length to those of its subnets: /16 gives /24, /20 and /24.
_SMALL_STEP = 8
_APP_STEP = 4
_WIDEST_PREFIX = 16  # AWS's largest VPC
_NARROWEST_PREFIX = 19  # a load balancer needs subnets of /27 or larger

_MAX_ZONES = 3
_IPV6_SUBNETS = 8  # how many /64 ranges are cut from the VPC's /56
_IPV6_HOST_BITS = "64"

# By id, which is the same in every account. These regions have a zone without VPC links and CloudFront VPC
# origins, which v2, v3 and v4 need, and a name, such as us-east-1a, can mean any zone. See
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-vpc-links-v2.html and
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
ZONES_WITHOUT_VPC_LINKS = {
    "us-east-1": "use1-az3",
    "us-west-1": "usw1-az2",
    "ap-northeast-1": "apne1-az3",
    "ca-central-1": "cac1-az3",
}
DEFAULT_ZONES = {
    "us-east-1": ("use1-az1", "use1-az2"),
    "us-west-1": ("usw1-az1", "usw1-az3"),
    "ap-northeast-1": ("apne1-az1", "apne1-az2"),
    "ca-central-1": ("cac1-az1", "cac1-az2"),
}
_DOMAIN = r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_CHINA = "cn-"
_ZONE_ID = re.compile(r"[a-z]{2,6}\d+-az\d+")

_PATH_HASH = re.compile(r"[0-9A-F]{8}$")  # what the CDK puts behind the construct path


class Egress(StrEnum):
    """How tasks reach the internet."""

    NAT_GATEWAYS = "nat_gateways"
    """One NAT gateway in each zone: no single point of failure; each is paid by the hour and by the GB."""
    NAT_INSTANCE = "nat_instance"
    """One small EC2 instance with an Elastic IP: cheap, but a reboot interrupts egress for a minute or two.

    So does a deployment that finds a newer system image or brings another start script: both replace it.
    """
    ISOLATED = "isolated"
    """No internet egress: AWS services through VPC endpoints, images from a private registry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiers:
    """The subnets of a VPC by what lives in them.

    Attributes:
        app: Where tasks run.
        data: Where the database and the cache live.
        public: Where a public load balancer stands; may be empty.
        closed: Whether the app subnets have no internet egress.
        way_out: What has to exist before a task can reach the internet, or the endpoints.
    """

    app: list[ec2.ISubnet]
    data: list[ec2.ISubnet]
    public: list[ec2.ISubnet]
    closed: bool
    way_out: list[IDependable]


@checked
class DifyNetwork(Construct):
    """A VPC with data, app and (unless isolated) public subnets in each zone.

    Defines the VPC, its subnets, the Elastic IPs of the egress, a gateway endpoint for S3 (free) and, with
    ``Egress.ISOLATED``, interface endpoints in two groups: those that every task needs to start, open to the
    VPC, and those of Amazon Bedrock, whose security group :attr:`model_endpoints` lets in nobody at first;
    ``DifyWorkers`` adds the plugin daemon.

    The data subnets come first in the address space with fixed sizes. So ``egress`` can change later, and a
    third zone can be added, while database and cache stay in their subnets.

    Args:
        egress: How tasks reach the internet. Default: one NAT gateway in each zone.
        cidr: Address space of the VPC: a literal private IPv4 network (RFC 1918) of /16 to /19. It cannot
            change later.
        ipv6: Whether a public load balancer gets IPv6 addresses as well. Only the public subnets get an IPv6
            range; tasks and data stay on IPv4. Default: IPv4 only.
        zones: Two or three availability zones, by name such as ``us-east-1a`` or by id such as ``use1-az1``.
            Those that are in use cannot change later; a third can be added. Default: the first two of the
            region; in regions that have a zone without VPC links and CloudFront VPC origins, which v2, v3 and
            v4 need, two zones that have them.
        trusted_accounts: Ids of AWS accounts with which the endpoints of ``Egress.ISOLATED`` deal beside the
            stack's own: that of your registry, or that of roles which plugins assume. Default: none; nobody
            inside can use keys of another account, or reach its buckets, logs, secrets and images.
        model_endpoints: Whether a network of ``Egress.ISOLATED`` has the three interface endpoints of Amazon
            Bedrock, each of which is paid by the hour in each zone. Default: yes, but in China, where AWS has
            no Bedrock.
        dns_domains: With ``Egress.ISOLATED``, domains that are answered beside those of AWS, of the VPC and
            of Dify's own services, such as ``example.internal`` or ``*.example.internal``; every other name
            does not exist for anything in the VPC. Route 53 Resolver DNS Firewall does it, which costs by
            queries. Default: no filter: public names are answered, and a query can carry data out.

    Raises:
        ValueError: If ``cidr`` is not a private network of such a size, ``ipv6`` is set with
            ``Egress.ISOLATED``, ``trusted_accounts``, ``model_endpoints`` or ``dns_domains`` are set without
            it or are malformed, or ``zones`` are fewer than two, more than three, repeated, names and ids
            mixed, or in another region than the stack.

    Examples:
        >>> network = DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        egress: Egress = Egress.NAT_GATEWAYS,
        cidr: str = "10.0.0.0/16",
        ipv6: bool = False,
        zones: Sequence[str] | None = None,
        trusted_accounts: Sequence[str] = (),
        model_endpoints: bool | None = None,
        dns_domains: Sequence[str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        prefix_length = _check_cidr(cidr)
        _check_closed(egress, trusted_accounts, model_endpoints, dns_domains)
        self._trusted_accounts = tuple(trusted_accounts)
        region = cdk.Stack.of(self).region
        _check_zones(zones, region)
        chosen = list(DEFAULT_ZONES.get(region, ()) if zones is None else zones)
        ids = chosen if chosen and _ZONE_ID.fullmatch(chosen[0]) else []
        self._zone_count = len(chosen) or 2
        self._egress = egress
        self._addresses: list[ec2.CfnEIP] = []
        self._nat_instance: ec2.NatInstanceProviderV2 | None = None
        self._vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            availability_zones=[_any_zone(number) for number in range(len(ids))] or chosen or None,
            max_azs=None if chosen else self._zone_count,
            reserved_azs=_MAX_ZONES - self._zone_count,  # room for a third zone that moves no subnet
            subnet_configuration=_subnets(egress, prefix_length),
            nat_gateways={Egress.NAT_GATEWAYS: self._zone_count, Egress.NAT_INSTANCE: 1, Egress.ISOLATED: 0}[
                egress
            ],
            nat_gateway_provider=self._define_way_out(),
            restrict_default_security_group=True,
        )
        if ids:
            self._place(ids)
        self._ipv6 = ipv6
        if ipv6:
            self._add_ipv6()
        s3 = self._vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self._way_out = self._attach_address()
        for part in (*self._addresses, *self._vpc.public_subnets):
            may_go(part)
        with_models = not region.startswith(_CHINA) if model_endpoints is None else model_endpoints
        self._closed = self._close(s3, with_models) if egress is Egress.ISOLATED else None
        if self.model_endpoints is not None:
            may_go(self.model_endpoints)
        self._dns = None if dns_domains is None else self._filter_dns(dns_domains)
        acknowledge(
            self._vpc,
            {"AwsSolutions-VPC7": "flow logs cost per GB and are the owner's choice: vpc.add_flow_log()"},
        )

    @property
    def vpc(self) -> ec2.Vpc:
        """The VPC."""
        return self._vpc

    @property
    def egress(self) -> Egress:
        """How tasks reach the internet."""
        return self._egress

    @property
    def ipv6(self) -> bool:
        """Whether the public subnets have IPv6 addresses."""
        return self._ipv6

    @property
    def public_addresses(self) -> list[str]:
        """The Elastic IPs from which tasks call the internet (tokens); empty with ``Egress.ISOLATED``."""
        return [address.attr_public_ip for address in self._addresses]

    @property
    def model_endpoints(self) -> ec2.ISecurityGroup | None:
        """Security group of the Amazon Bedrock endpoints; None where there are none."""
        return self._closed.models if self._closed else None

    @property
    def trusted_accounts(self) -> Sequence[str]:
        """The accounts, beside its own, that endpoints of a closed network deal with."""
        return self._trusted_accounts

    @property
    def way_out(self) -> list[IDependable]:
        """What a task depends on, beside routes, to reach the internet or the endpoints."""
        return self._way_out

    def _define_way_out(self) -> ec2.NatProvider | None:
        if self._egress is Egress.ISOLATED:
            return None
        # Ids by kind: while one kind of egress replaces the other both exist, and neither NAT gateway nor
        # instance can take an address that the other still has.
        kind, count = (
            ("Gateway", self._zone_count) if self._egress is Egress.NAT_GATEWAYS else ("Instance", 1)
        )
        self._addresses = [
            ec2.CfnEIP(self, f"{kind}Address{number}", domain="vpc") for number in range(1, count + 1)
        ]
        if self._egress is Egress.NAT_GATEWAYS:
            return ec2.NatProvider.gateway(eip_allocation_ids=[a.attr_allocation_id for a in self._addresses])
        user_data = ec2.UserData.for_linux()
        user_data.add_commands(nat_script().read_text(encoding="utf-8"))
        self._nat_instance = ec2.NatProvider.instance_v2(
            instance_type=ec2.InstanceType("t4g.nano"),
            default_allowed_traffic=ec2.NatTrafficDirection.OUTBOUND_ONLY,
            user_data=user_data,
        )
        return self._nat_instance

    def _place(self, zone_ids: Sequence[str]) -> None:
        """Put the subnets into zones by id, which the L2 cannot: it knows names only."""
        groups = (self._vpc.public_subnets, self._vpc.private_subnets, self._vpc.isolated_subnets)
        for index, subnet in ((i, subnet) for group in groups for i, subnet in enumerate(group)):
            resource = subnet.node.default_child
            assert isinstance(resource, ec2.CfnSubnet)
            resource.availability_zone = None
            resource.availability_zone_id = zone_ids[index % len(zone_ids)]
        for instance in self._nat_instance.gateway_instances if self._nat_instance else ():
            machine = instance.node.default_child
            assert isinstance(machine, ec2.CfnInstance)
            machine.availability_zone = None  # its subnet's

    def _add_ipv6(self) -> None:
        """IPv6 for the public subnets only: the VPC's own dual-stack mode would touch the data subnets."""
        if self._egress is Egress.ISOLATED:
            raise ValueError("DifyNetwork.ipv6 needs public subnets, which an isolated network has not")
        block = ec2.CfnVPCCidrBlock(
            self, "Ipv6", vpc_id=self._vpc.vpc_id, amazon_provided_ipv6_cidr_block=True
        )
        whole = cdk.Fn.select(0, self._vpc.vpc_ipv6_cidr_blocks)
        ranges = cdk.Fn.cidr(whole, _IPV6_SUBNETS, _IPV6_HOST_BITS)
        for index, subnet in enumerate(self._vpc.public_subnets):
            resource = subnet.node.default_child
            assert isinstance(resource, ec2.CfnSubnet)
            resource.ipv6_cidr_block = cdk.Fn.select(index, ranges)
            resource.node.add_dependency(block)
            ec2.CfnRoute(
                self,
                f"Ipv6Route{index + 1}",
                route_table_id=subnet.route_table.route_table_id,
                destination_ipv6_cidr_block="::/0",
                gateway_id=self._vpc.internet_gateway_id,
            ).node.add_dependency(subnet.internet_connectivity_established)

    def _attach_address(self) -> list[IDependable]:
        """Give the NAT instance its address and let the VPC use it."""
        if self._nat_instance is None:
            return []
        provider = self._nat_instance
        provider.connections.allow_from(
            ec2.Peer.ipv4(self._vpc.vpc_cidr_block), ec2.Port.all_traffic(), "The VPC"
        )
        acknowledge(provider.security_group, OWN_RANGE_REASON)
        reasons = {
            "AwsSolutions-EC28": "one replaceable instance: detailed monitoring costs more than it tells",
            "AwsSolutions-EC29": "the instance keeps no state and may be replaced at any time",
            "AwsSolutions-EC26": "the root disk holds the public system image only",
        }
        for instance in provider.gateway_instances:
            acknowledge(instance, reasons)
            _replace_with_script(instance)
        association = ec2.CfnEIPAssociation(
            self,
            "AddressAssociation",
            allocation_id=self._addresses[0].attr_allocation_id,
            instance_id=provider.configured_gateways[0].gateway_id,
        )
        # The internet gateway must be attached first, and cannot be detached while the address is mapped.
        association.node.add_dependency(
            *(subnet.internet_connectivity_established for subnet in self._vpc.public_subnets)
        )
        return [association]

    def resolve(self, domain: str) -> None:
        """Let the DNS of the VPC answer for a domain, where ``dns_domains`` filters it."""
        if self._dns is not None:
            self._dns.allow(domain)

    def _filter_dns(self, domains: Sequence[str]) -> DnsFirewall:
        return DnsFirewall(self, "DnsFirewall", vpc_id=self._vpc.vpc_id, domains=domains)

    def _close(self, s3: ec2.GatewayVpcEndpoint, with_models: bool) -> Endpoints:
        """Let nothing out but through endpoints, and those only to the stack's and the trusted accounts."""
        allowed = [cdk.Aws.ACCOUNT_ID, *self._trusted_accounts]
        open_s3(s3, allowed)
        endpoints = define_endpoints(
            self,
            vpc=self._vpc,
            subnets=ec2.SubnetSelection(subnet_group_name=APP_GROUP),
            accounts=allowed,
            with_models=with_models,
        )
        self._way_out += endpoints.all
        return endpoints


Subnets = Sequence[ec2.ISubnet] | ec2.SubnetSelection | ec2.SelectedSubnets
"""Subnets as the CDK takes them: themselves, what selects them, or what ``vpc.select_subnets`` found."""


def tiers_of(vpc: ec2.IVpc, *, app: Subnets | None = None, data: Subnets | None = None) -> Tiers:
    """Where tasks, data and load balancers go in a VPC, ours or imported.

    In a :class:`DifyNetwork` by its own groups. In any other VPC tasks take the private subnets with a way
    out, else the isolated ones; data takes the isolated ones, else those of the tasks.

    Args:
        vpc: The VPC.
        app: Subnets for tasks instead. Default: as above.
        data: Subnets for database and cache instead. Default: as above.

    Raises:
        ValueError: If the VPC has no private subnets, or a subnet given is public or of another VPC.
    """
    isolated, private = list(vpc.isolated_subnets), list(vpc.private_subnets)
    own_app = None if app is None else _private("DifyWorkers.app_subnets", vpc, app)
    own_data = None if data is None else _private("DifyData.subnets", vpc, data)
    network = network_of(vpc)
    if network is not None:
        own_app = own_app or vpc.select_subnets(subnet_group_name=APP_GROUP).subnets
        own_data = own_data or vpc.select_subnets(subnet_group_name=DATA_GROUP).subnets
    app, data = own_app or private or isolated, own_data or isolated or private
    if not app or not data:
        raise ValueError(
            f"vpc {vpc.node.path} has no private subnets, but tasks and data must not stand in public ones"
        )
    without_way_out = {subnet.node.path for subnet in isolated}
    closed = all(subnet.node.path in without_way_out for subnet in app)
    routes = [subnet.internet_connectivity_established for subnet in app]
    return Tiers(
        app=list(app),
        data=list(data),
        public=list(vpc.public_subnets),
        closed=closed,
        way_out=[*routes, *(network.way_out if network else ())],
    )


def chosen_subnets(name: str, vpc: ec2.IVpc, given: Subnets) -> list[ec2.ISubnet]:
    """The subnets that an argument names.

    Raises:
        ValueError: If there are none, or one is known to be of another VPC.
    """
    if isinstance(given, ec2.SubnetSelection):
        found = vpc.select_subnets(
            availability_zones=given.availability_zones,
            one_per_az=given.one_per_az,
            subnet_filters=given.subnet_filters,
            subnet_group_name=given.subnet_group_name,
            subnets=given.subnets,
            subnet_type=given.subnet_type,
        )
        subnets = list(found.subnets)
    else:
        subnets = list(given.subnets if isinstance(given, ec2.SelectedSubnets) else given)
    if not subnets:
        raise ValueError(
            f"{name} must hold at least one subnet of {vpc.node.path}: leave it out for the default"
        )
    for subnet in subnets:
        owner = subnet.node.scope
        if isinstance(owner, ec2.Vpc) and owner is not vpc:
            raise ValueError(
                f"{name} must hold subnets of {vpc.node.path}, got {subnet.node.path} of {owner.node.path}"
            )
    return subnets


def _private(name: str, vpc: ec2.IVpc, given: Subnets) -> list[ec2.ISubnet]:
    subnets = chosen_subnets(name, vpc, given)
    public = {subnet.node.path for subnet in vpc.public_subnets}
    for subnet in subnets:
        if subnet.node.path in public:
            raise ValueError(
                f"{name} must hold private subnets, got {subnet.node.path}, which is public: tasks and data "
                "get no public addresses, without which nothing in a public subnet has a way out"
            )
    return subnets


def one_per_zone(subnets: Sequence[ec2.ISubnet]) -> list[ec2.ISubnet]:
    """The first subnet of each availability zone: a load balancer takes no second."""
    return list({subnet.availability_zone: subnet for subnet in reversed(subnets)}.values())[::-1]


def public_ranges() -> list[str]:
    """IPv4 without the private, shared and link-local ranges: fewer networks than a security group takes."""
    found = [ipaddress.IPv4Network("0.0.0.0/0")]
    for private in (*_PRIVATE, *_NOT_PUBLIC):
        found = [
            part
            for network in found
            for part in (network.address_exclude(private) if private.subnet_of(network) else [network])
        ]
    return [str(network) for network in sorted(found)]


def network_of(vpc: ec2.IVpc) -> DifyNetwork | None:
    """The :class:`DifyNetwork` that defined a VPC; None for any other VPC."""
    owner = vpc.node.scope
    return owner if isinstance(owner, DifyNetwork) else None


def require_two_zones(what: str, subnets: Sequence[ec2.ISubnet]) -> None:
    """Check that subnets cover two availability zones.

    Raises:
        ValueError: If they do not.
    """
    if len({subnet.availability_zone for subnet in subnets}) < 2:  # noqa: PLR2004
        raise ValueError(f"{what} needs subnets in two availability zones, got {len(subnets)} in one")


def _subnets(egress: Egress, prefix_length: int) -> list[ec2.SubnetConfiguration]:
    isolated = ec2.SubnetType.PRIVATE_ISOLATED
    app = isolated if egress is Egress.ISOLATED else ec2.SubnetType.PRIVATE_WITH_EGRESS
    small, large = prefix_length + _SMALL_STEP, prefix_length + _APP_STEP
    configuration = [
        ec2.SubnetConfiguration(name=DATA_GROUP, subnet_type=isolated, cidr_mask=small),
        ec2.SubnetConfiguration(name=APP_GROUP, subnet_type=app, cidr_mask=large),
    ]
    if egress is not Egress.ISOLATED:
        configuration.append(
            ec2.SubnetConfiguration(
                name=PUBLIC_GROUP,
                subnet_type=ec2.SubnetType.PUBLIC,
                cidr_mask=small,
                map_public_ip_on_launch=False,
            )
        )
    return configuration


def _check_closed(
    egress: Egress, accounts: Sequence[str], models: bool | None, domains: Sequence[str] | None
) -> None:
    for name, given in (
        ("trusted_accounts", bool(accounts)),
        ("model_endpoints", models is not None),
        ("dns_domains", domains is not None),
    ):
        if given and egress is not Egress.ISOLATED:
            raise ValueError(f"DifyNetwork.{name} has no effect on a network that has a way to the internet")
    require_literal_list("DifyNetwork.trusted_accounts", accounts)
    for account in accounts:
        require_match("DifyNetwork.trusted_accounts", account, r"\d{12}", "ids of accounts, of 12 digits")
    require_literal_list("DifyNetwork.dns_domains", domains or ())
    for domain in domains or ():
        meaning = "domains such as example.internal or *.example.internal"
        require_match("DifyNetwork.dns_domains", domain, _DOMAIN, meaning)


def _check_cidr(cidr: str) -> int:
    """The prefix length of the address space."""
    if is_token(cidr):
        raise ValueError("DifyNetwork.cidr must be literal: the subnets are laid out at synthesis")
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(
            f"DifyNetwork.cidr must be an IPv4 network such as 10.0.0.0/16, got {cidr!r}: {error}"
        ) from None
    if not _WIDEST_PREFIX <= network.prefixlen <= _NARROWEST_PREFIX:
        raise ValueError(
            f"DifyNetwork.cidr must be a /{_WIDEST_PREFIX} to /{_NARROWEST_PREFIX} network, got {cidr!r}"
        )
    if "/" in cidr and cidr.partition("/")[2] != str(network.prefixlen):
        raise ValueError(f"DifyNetwork.cidr must be written as {network}, got {cidr!r}")
    if not any(network.subnet_of(private) for private in _PRIVATE):
        raise ValueError(
            f"DifyNetwork.cidr must be a private network, got {cidr!r}, whose addresses belong to others"
        )
    return network.prefixlen


def _replace_with_script(instance: ec2.Instance) -> None:
    """Let another script make another instance, which runs it.

    CloudFormation only stops and starts an instance whose user data changes, and cloud-init runs user data
    at the first start. ``user_data_causes_replacement`` of an instance also changes its logical id; the L2 of
    NAT instances does not pass it on.
    """
    machine = instance.node.default_child
    assert isinstance(machine, ec2.CfnInstance)
    id = cdk.Stack.of(machine).get_logical_id(machine)
    digest = hashlib.sha256(id.encode() + nat_script().read_bytes()).hexdigest()
    machine.override_logical_id(_PATH_HASH.sub("", id) + digest[:8].upper())


def _any_zone(number: int) -> str:
    """Stands for a zone that is chosen by id afterwards."""
    return cdk.Fn.select(number, cdk.Fn.get_azs())


def _check_zones(zones: Sequence[str] | None, region: str) -> None:
    if zones is None:
        return
    require_literal_list("DifyNetwork.zones", zones)
    if is_token(list(zones)):
        return
    if len(zones) not in (2, _MAX_ZONES) or len(set(zones)) != len(zones):
        raise ValueError(f"DifyNetwork.zones must be two or three different zones, got {list(zones)!r}")
    names = [zone for zone in zones if not _ZONE_ID.fullmatch(zone)]
    if names and len(names) != len(zones):
        raise ValueError(f"DifyNetwork.zones must be all names or all ids, got {list(zones)!r}")
    for name in names:
        if not (is_token(region) or name.startswith(region)):
            raise ValueError(f"DifyNetwork.zones must lie in the stack's region {region}, got {name!r}")
