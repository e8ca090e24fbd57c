"""How to read from a resource what only one can have: a key, or nothing where AWS makes up a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, product

from dify_cdk.report.plan.sides import Entry, Reading
from dify_cdk.report.templates.values import NOTHING, Value, entity, inside, members, text

Key = tuple[Value, ...]
Keys = Callable[[Reading, Entry], Iterator[Key]]


def by(*paths: str) -> Keys:
    """All of these properties together; one that ends with ``?`` may be missing."""

    def keys(reading: Reading, entry: Entry) -> Iterator[Key]:
        found = [entity(reading.value(entry, path.removesuffix("?"))) for path in paths]
        if all(value != NOTHING or path.endswith("?") for path, value in zip(paths, found, strict=True)):
            yield tuple(found)

    return keys


def each(*paths: str) -> Keys:
    """Every combination of the items of these lists."""

    def keys(reading: Reading, entry: Entry) -> Iterator[Key]:
        yield from product(*(map(entity, members(reading.value(entry, path))) for path in paths))

    return keys


def any_of(*paths: str) -> Keys:
    """What stands at any of these paths."""

    def keys(reading: Reading, entry: Entry) -> Iterator[Key]:
        found = chain.from_iterable(members(reading.value(entry, path)) for path in paths)
        yield from ((_host(entity(value)),) for value in found)

    return keys


def _first(*values: Value) -> Value:
    return next((value for value in values if value != NOTHING), NOTHING)


def _host(name: Value) -> Value:
    """A host name: upper and lower case are the same, a dot at the end says nothing."""
    return ("text", str(name[1]).lower().removesuffix(".")) if name[0] == "text" else name


_NAMESPACES = tuple(f"AWS::ServiceDiscovery::{kind}Namespace" for kind in ("PrivateDns", "PublicDns", "Http"))


def _namespace(reading: Reading, value: Value) -> Value:
    """A namespace, which Service Connect takes by name as well."""
    if value[0] == "text":
        named = (one for one in reading.of_type(*_NAMESPACES) if reading.value(one, "Name") == value)
        return next((reading.itself(one) for one in named), value)
    return entity(value)


def cloud_map_names(reading: Reading, entry: Entry) -> Iterator[Key]:
    """Namespace and name of a Cloud Map service."""
    namespace = _first(*(reading.value(entry, path) for path in ("NamespaceId", "DnsConfig/NamespaceId")))
    name = reading.value(entry, "Name")
    if NOTHING not in (namespace, name):
        yield _namespace(reading, namespace), _host(name)


def discovery_names(reading: Reading, entry: Entry) -> Iterator[Key]:
    """Namespace and name of every Cloud Map service that ECS Service Connect makes for an ECS service."""
    path = "ServiceConnectConfiguration"
    if reading.value(entry, f"{path}/Enabled") != text(value=True):
        return
    cluster = reading.target(reading.value(entry, "Cluster"))
    default = reading.value(cluster, "ServiceConnectDefaults/Namespace") if cluster else NOTHING
    namespace = _namespace(reading, _first(reading.value(entry, f"{path}/Namespace"), default))
    for service in members(reading.value(entry, f"{path}/Services")):
        yield namespace, _host(_first(inside(service, "DiscoveryName"), inside(service, "PortName")))


def records(reading: Reading, entry: Entry) -> Iterator[Key]:
    """Zone, name and type of every record, and what tells weighted ones apart."""
    of_entry = partial(reading.value, entry)
    single = entry.type == "AWS::Route53::RecordSet"
    records = [of_entry] if single else [partial(inside, one) for one in members(of_entry("RecordSets"))]
    for record in records:
        places = (read(name) for read in (record, of_entry) for name in ("HostedZoneId", "HostedZoneName"))
        zone = _host(entity(_first(*places)))
        yield zone, _host(record("Name")), record("Type"), record("SetIdentifier")


_PEERS = ("CidrIp", "CidrIpv6", "{}PrefixListId", "{}SecurityGroupId", "{}SecurityGroupName")


def group_rules(direction: str, peer: str) -> Keys:
    """Rules of a security group: a resource each, or a list in the group."""

    def rule(group: Value, read: Callable[[str], Value]) -> Key:
        protocol = read("IpProtocol")
        ports = (NOTHING, NOTHING) if protocol == text(-1) else (read("FromPort"), read("ToPort"))
        return (entity(group), protocol, *ports, *(entity(read(name.format(peer))) for name in _PEERS))

    def keys(reading: Reading, entry: Entry) -> Iterator[Key]:
        of_entry = partial(reading.value, entry)
        if entry.type.endswith(direction):
            yield rule(_first(of_entry("GroupId"), of_entry("GroupName")), of_entry)
            return
        for member in members(of_entry(f"SecurityGroup{direction}")):
            yield rule(reading.itself(entry), partial(inside, member))

    return keys


def routes(reading: Reading, entry: Entry) -> Iterator[Key]:
    """Route table and destination."""
    names = (f"Destination{kind}" for kind in ("CidrBlock", "Ipv6CidrBlock", "PrefixListId"))
    destination = _first(*(reading.value(entry, name) for name in names))
    if destination != NOTHING:
        yield entity(reading.value(entry, "RouteTableId")), destination


def internet_gateways(reading: Reading, entry: Entry) -> Iterator[Key]:
    """The VPC that an internet gateway is attached to; a VPN gateway is another thing."""
    if reading.value(entry, "InternetGatewayId") != NOTHING:
        yield from by("VpcId")(reading, entry)


def private_dns(reading: Reading, entry: Entry) -> Iterator[Key]:
    """VPC and service whose public name an interface endpoint takes over."""
    if reading.value(entry, "PrivateDnsEnabled") == text(value=True):
        yield from by("VpcId", "ServiceName")(reading, entry)


def gateway_routes(reading: Reading, entry: Entry) -> Iterator[Key]:
    """Every route table that a gateway endpoint writes into."""
    if reading.value(entry, "VpcEndpointType") in (NOTHING, text("Gateway")):
        yield from each("RouteTableIds", "ServiceName")(reading, entry)


def addresses(reading: Reading, entry: Entry) -> Iterator[Key]:
    """An Elastic IP in use; the address itself if it says which instance has it."""
    if entry.type == "AWS::EC2::EIP":
        if reading.value(entry, "InstanceId") != NOTHING:
            yield (reading.itself(entry),)
        return
    address = entity(_first(reading.value(entry, "AllocationId"), reading.value(entry, "EIP")))
    if address != NOTHING:
        yield (address,)
