"""What a company brings: subnets, certificates, zones and clusters that fit, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_efs as efs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53 as route53

import dify_cdk
from dify_cdk import (
    Access,
    AlbScheme,
    CloudFrontEdge,
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyHttpApiFrontend,
    DifyMonitoring,
    DifyNetwork,
    DifyWorkers,
    Domain,
    Spot,
    Uploads,
)
from support import REGION, Template
from synth.installation import (
    HOST,
    OFFICE,
    certificate_in,
    data_in,
    synthesized,
    warnings_of,
    workers_in,
    zone_in,
)

TWO_ZONES = ["us-east-1a", "us-east-1b"]


def imported(stack: cdk.Stack, per_zone: int = 2) -> ec2.IVpc:
    """A VPC of the company's, with several subnets of each kind in each zone."""
    kinds = {}
    for kind in ("public", "private", "isolated"):
        ids = [f"subnet-{kind}-{group}{zone}" for group in range(per_zone) for zone in "ab"]
        kinds[f"{kind}_subnet_ids"] = ids
        kinds[f"{kind}_subnet_route_table_ids"] = [f"rtb-{id}" for id in ids]
        kinds[f"{kind}_subnet_names"] = [f"{kind}{group}" for group in range(per_zone)]
    attributes: Any = kinds
    return ec2.Vpc.from_vpc_attributes(
        stack, "Vpc", vpc_id="vpc-1", vpc_cidr_block="10.0.0.0/16", availability_zones=TWO_ZONES, **attributes
    )


def own(stack: cdk.Stack, **options: Any) -> DifyWorkers:
    """Workers in that VPC."""
    return DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=imported(stack)), **options)


def balancer_of(template: Template) -> dict[str, Any]:
    (found,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    return found


class TestSubnets:
    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            (lambda s, w: DifyAlbFrontend(s, "F", workers=w, access=OFFICE), "public"),
            (
                lambda s, w: DifyAlbFrontend(s, "F", workers=w, access=OFFICE, scheme=AlbScheme.INTERNAL),
                "private",
            ),
            (
                lambda s, w: DifyAlbFrontend(s, "F", workers=w, access=OFFICE, edge=CloudFrontEdge()),
                "private",
            ),
            (
                lambda s, w: DifyCloudFrontLambdaFrontend(
                    s, "F", workers=w, access=OFFICE, uploads=Uploads.VPC_ORIGIN
                ),
                "private",
            ),
        ],
        ids=["public", "internal", "edge", "uploads"],
    )
    def test_a_load_balancer_gets_one_in_each_zone(
        self, stack: cdk.Stack, make: Callable[..., object], kind: str
    ) -> None:
        make(stack, own(stack))
        subnets = balancer_of(synthesized(stack))["Subnets"]
        assert subnets == [f"subnet-{kind}-0a", f"subnet-{kind}-0b"]

    @pytest.mark.parametrize("form", ["list", "selection", "selected"])
    def test_an_argument_chooses_in_every_form_that_the_cdk_has(self, stack: cdk.Stack, form: str) -> None:
        vpc = imported(stack)
        forms: dict[str, Callable[[str], Any]] = {
            "list": lambda name: vpc.select_subnets(subnet_group_name=name).subnets,
            "selection": lambda name: ec2.SubnetSelection(subnet_group_name=name),
            "selected": lambda name: vpc.select_subnets(subnet_group_name=name),
        }
        chosen = forms[form]
        data = DifyData(stack, "Data", vpc=vpc, subnets=chosen("isolated1"))
        workers = DifyWorkers(stack, "Workers", data=data, app_subnets=chosen("private1"))
        DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE, subnets=chosen("public1"))
        template = synthesized(stack)
        (group,) = template.properties("AWS::RDS::DBSubnetGroup").values()
        (cache,) = template.properties("AWS::ElastiCache::SubnetGroup").values()
        assert group["SubnetIds"] == cache["SubnetIds"] == ["subnet-isolated-1a", "subnet-isolated-1b"]
        assert balancer_of(template)["Subnets"] == ["subnet-public-1a", "subnet-public-1b"]
        for service in template.services().values():
            where = service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
            assert where == ["subnet-private-1a", "subnet-private-1b"]

    @pytest.mark.parametrize("name", ["DifyWorkers.app_subnets", "DifyData.subnets"])
    @pytest.mark.parametrize("kind", ["imported", "ours", "the_cdk_s"])
    def test_fails_when_tasks_or_data_would_stand_in_public_ones(
        self, stack: cdk.Stack, name: str, kind: str
    ) -> None:
        vpcs: dict[str, Callable[[], ec2.IVpc]] = {
            "imported": lambda: imported(stack),
            "ours": lambda: DifyNetwork(stack, "Network").vpc,
            "the_cdk_s": lambda: ec2.Vpc(stack, "Own"),
        }
        vpc = vpcs[kind]()
        public = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
        with pytest.raises(ValueError, match=rf"^{name} must hold private subnets, got .*, which is public"):
            if name == "DifyData.subnets":
                DifyData(stack, "Data", vpc=vpc, subnets=public)
            else:
                DifyWorkers(stack, "W", data=DifyData(stack, "Data", vpc=vpc), app_subnets=public)

    def test_fails_when_they_are_of_another_vpc(self, stack: cdk.Stack) -> None:
        data = data_in(stack)
        other = ec2.Vpc(stack, "Other")
        with pytest.raises(ValueError, match=r"must hold subnets of Dify/Network/Vpc, got .* of Dify/Other$"):
            DifyWorkers(stack, "Workers", data=data, app_subnets=other.private_subnets)
        workers = DifyWorkers(stack, "Second", data=data)
        with pytest.raises(
            ValueError, match=r"^DifyAlbFrontend\.subnets must hold subnets of Dify/Network/Vpc"
        ):
            DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE, subnets=other.public_subnets)

    def test_fails_when_there_are_none(self, stack: cdk.Stack) -> None:
        with pytest.raises(ValueError, match=r"^DifyWorkers\.app_subnets must hold at least one subnet"):
            workers_in(stack, app_subnets=[])

    def test_fails_when_two_of_a_load_balancer_are_in_one_zone(self, stack: cdk.Stack) -> None:
        workers = own(stack)
        public = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
        message = r"^DifyAlbFrontend\.subnets must hold one subnet for each .* in us-east-1a$"
        with pytest.raises(ValueError, match=message):
            DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE, subnets=public)

    def test_fails_when_a_public_load_balancer_would_stand_in_private_ones(self, stack: cdk.Stack) -> None:
        workers = own(stack)
        private = ec2.SubnetSelection(subnet_group_name="private0")
        with pytest.raises(ValueError, match=r"^DifyAlbFrontend\.subnets must hold public subnets, got "):
            DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE, subnets=private)
        DifyAlbFrontend(
            stack, "G", workers=workers, access=OFFICE, subnets=private, scheme=AlbScheme.INTERNAL
        )


def private_zones(stack: cdk.Stack) -> dict[str, Callable[[], route53.IHostedZone]]:
    vpc = ec2.Vpc.from_vpc_attributes(stack, "ZoneVpc", vpc_id="vpc-2", availability_zones=TWO_ZONES)
    return {
        "private": lambda: route53.PrivateHostedZone(stack, "Z", zone_name="example.com", vpc=vpc),
        "of_a_vpc": lambda: route53.HostedZone(stack, "Z", zone_name="example.com", vpcs=[vpc]),
        "imported": lambda: route53.PrivateHostedZone.from_private_hosted_zone_attributes(
            stack, "Z", hosted_zone_id="Z1", zone_name="example.com"
        ),
    }


class TestDomains:
    @pytest.mark.parametrize("kind", ["private", "of_a_vpc", "imported"])
    @pytest.mark.parametrize("frontend", [DifyAlbFrontend, DifyHttpApiFrontend])
    def test_fails_when_a_certificate_would_wait_for_ever(
        self, stack: cdk.Stack, kind: str, frontend: Callable[..., object]
    ) -> None:
        zone = private_zones(stack)[kind]()
        workers = workers_in(stack)
        with pytest.raises(ValueError, match=rf"^Domain {HOST} needs certificate=: its zone is private"):
            frontend(stack, "F", workers=workers, access=OFFICE, domain=Domain(host_name=HOST, zone=zone))

    def test_a_private_zone_gets_records_with_a_certificate(self, stack: cdk.Stack) -> None:
        zone = private_zones(stack)["private"]()
        domain = Domain(host_name=HOST, zone=zone, certificate=certificate_in(stack))
        DifyAlbFrontend(
            stack, "F", workers=workers_in(stack), access=OFFICE, domain=domain, scheme=AlbScheme.INTERNAL
        )
        assert len(synthesized(stack).of_type("AWS::Route53::RecordSet")) == 2

    @pytest.mark.parametrize(
        "zone",
        [
            lambda s: route53.PublicHostedZone(s, "Z", zone_name="example.com"),
            lambda s: route53.HostedZone(s, "Z", zone_name="example.com"),
            zone_in,
        ],
    )
    def test_a_public_zone_validates_one(self, stack: cdk.Stack, zone: Callable[[cdk.Stack], Any]) -> None:
        domain = Domain(host_name=HOST, zone=zone(stack))
        DifyAlbFrontend(stack, "F", workers=workers_in(stack), access=OFFICE, domain=domain)
        assert synthesized(stack).of_type("AWS::CertificateManager::Certificate")

    @pytest.mark.parametrize("frontend", [DifyAlbFrontend, DifyHttpApiFrontend])
    @pytest.mark.parametrize("form", ["imported", "defined"])
    def test_fails_when_a_certificate_is_in_another_region(
        self, stack: cdk.Stack, frontend: Callable[..., object], form: str
    ) -> None:
        if form == "imported":
            certificate = certificate_in(stack, "eu-west-1")
        else:
            elsewhere = cdk.Stack(
                cdk.App.of(stack),
                "There",
                env=cdk.Environment(region="eu-west-1"),
                cross_region_references=True,
            )
            certificate = acm.Certificate(elsewhere, "Certificate", domain_name=HOST)
        workers = workers_in(stack)
        message = rf"^Domain\.certificate must be in {REGION}, got one in eu-west-1$"
        with pytest.raises(ValueError, match=message):
            frontend(
                stack,
                "F",
                workers=workers,
                access=OFFICE,
                domain=Domain(host_name=HOST, certificate=certificate),
            )

    def test_a_certificate_whose_region_nobody_knows_is_used(self, stack: cdk.Stack) -> None:
        arn = cdk.CfnParameter(stack, "Arn").value_as_string
        certificate = acm.Certificate.from_certificate_arn(stack, "Own", arn)
        domain = Domain(host_name=HOST, certificate=certificate)
        DifyAlbFrontend(stack, "F", workers=workers_in(stack), access=OFFICE, domain=domain)
        assert synthesized(stack).of_type("AWS::ElasticLoadBalancingV2::Listener")


class TestCluster:
    @pytest.mark.parametrize(
        ("options", "spot", "missing"),
        [
            ({}, False, "FARGATE"),
            ({}, True, "FARGATE and FARGATE_SPOT"),
            ({"enable_fargate_capacity_providers": True}, True, None),
        ],
    )
    def test_fails_at_synthesis_without_capacity_providers(
        self, stack: cdk.Stack, options: dict[str, Any], spot: bool, missing: str | None
    ) -> None:
        data = data_in(stack)
        cluster = ecs.Cluster(stack, "Cluster", vpc=data.vpc, **options)
        size = ComponentSize(cpu_units=1024, memory_mib=2048, tasks=2, spot=Spot() if spot else None)
        workers = DifyWorkers(stack, "W", data=data, cluster=cluster, sizes={Component.WORKER: size})
        DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE)
        if missing is None:
            template = synthesized(stack)
            providers = template.of_type("AWS::ECS::ClusterCapacityProviderAssociations")
            assert len(providers) == 1
            for id, service in template.of_type("AWS::ECS::Service").items():
                assert set(providers) <= set(service["DependsOn"]), id
            return
        with pytest.raises(RuntimeError, match=rf"Dify/Cluster has no capacity provider {missing}, which"):
            synthesized(stack)

    def test_of_an_imported_one_nothing_is_known(self, stack: cdk.Stack) -> None:
        data = data_in(stack)
        cluster = ecs.Cluster.from_cluster_attributes(stack, "C", cluster_name="own", vpc=data.vpc)
        DifyAlbFrontend(
            stack, "F", workers=DifyWorkers(stack, "W", data=data, cluster=cluster), access=OFFICE
        )
        assert synthesized(stack).services()


class TestIpv6:
    @pytest.mark.parametrize(
        ("vpc", "warned"),
        [
            (lambda s: ec2.Vpc(s, "Own"), True),
            (lambda s: ec2.Vpc(s, "Own", ip_protocol=ec2.IpProtocol.DUAL_STACK), False),
            (imported, False),
        ],
        ids=["ipv4", "dual_stack", "imported"],
    )
    def test_subnets_that_are_known_to_have_none_are_warned_about(
        self, stack: cdk.Stack, vpc: Callable[[cdk.Stack], ec2.IVpc], warned: bool
    ) -> None:
        workers = DifyWorkers(stack, "W", data=DifyData(stack, "Data", vpc=vpc(stack)))
        access = Access(ipv6=["2600:1f18::/32"])
        frontend = DifyAlbFrontend(stack, "F", workers=workers, access=access)
        found = [
            one for part in frontend.node.find_all() for one in warnings_of(part) if "DifyAlbIpv6" in one
        ]
        assert bool(found) is warned


@pytest.mark.parametrize("region", ["af-south-1", "ap-east-1", "eu-south-1", "me-south-1", "eu-west-1"])
@pytest.mark.parametrize("kind", ["edge", "functions"])
def test_cloudfront_writes_no_logs_where_their_bucket_is_refused(
    new_stack: Callable[..., cdk.Stack], region: str, kind: str
) -> None:
    stack = new_stack(region)
    workers = workers_in(stack)
    frontend: DifyAlbFrontend | DifyCloudFrontLambdaFrontend
    if kind == "edge":
        frontend = DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE, edge=CloudFrontEdge())
    else:
        frontend = DifyCloudFrontLambdaFrontend(stack, "F", workers=workers, access=OFFICE)
    warned = [one for part in frontend.node.find_all() for one in warnings_of(part) if "WithoutLogs" in one]
    (distribution,) = synthesized(stack).properties("AWS::CloudFront::Distribution").values()
    assert ("Logging" in distribution["DistributionConfig"]) is (region == "eu-west-1") is (not warned)


def test_fails_when_monitoring_gets_parts_of_two_installations(app: cdk.App) -> None:
    first, second = (cdk.Stack(app, name, env=cdk.Environment(region=REGION)) for name in ("A", "B"))
    workers = {stack: workers_in(stack) for stack in (first, second)}
    frontend = DifyAlbFrontend(second, "F", workers=workers[second], access=OFFICE)
    with pytest.raises(
        ValueError, match=r"^DifyMonitoring\.frontend must be a frontend of A/Workers, got one"
    ):
        DifyMonitoring(first, "M", workers=workers[first], frontend=frontend)


def test_fails_when_a_sixth_load_balancer_leads_to_the_plugin_daemon(
    stack: cdk.Stack, workers: DifyWorkers
) -> None:
    groups = [
        elbv2.ApplicationTargetGroup(stack, f"Group{number}", vpc=workers.platform.data.vpc, port=80)
        for number in range(6)
    ]
    for group in groups[:5]:
        workers.admit_plugin_targets(group)
    with pytest.raises(ValueError, match=r"^Dify/Workers stands behind 5 load balancers already"):
        workers.admit_plugin_targets(groups[5])


def test_what_has_connections_is_an_argument_for_those_of_others(stack: cdk.Stack) -> None:
    """Of every public class, where the CDK asks for an ``IConnectable``: a file system, an endpoint."""
    data = data_in(stack)
    workers = DifyWorkers(stack, "Workers", data=data)
    frontend = DifyAlbFrontend(stack, "F", workers=workers, access=OFFICE)
    parts: list[Any] = [
        *(getattr(data, name) for name in ("database", "cache")),
        *workers.services.values(),
        *frontend.services.values(),
    ]
    public = {
        getattr(dify_cdk, name)
        for name in dify_cdk.__all__
        if hasattr(getattr(dify_cdk, name), "connections")
        or hasattr(getattr(dify_cdk, name), "grant_principal")
    }
    assert public == {type(part) for part in parts}
    group = ec2.SecurityGroup(stack, "FileSystem", vpc=data.vpc)
    files = efs.FileSystem(stack, "Files", vpc=data.vpc, security_group=group)
    for part in parts:
        files.connections.allow_default_port_from(part)
        group.connections.allow_from(part, ec2.Port.tcp(8080))
    template = synthesized(stack)
    rules = template.properties("AWS::EC2::SecurityGroupIngress").values()
    into = [one for one in rules if "FileSystem" in str(one["GroupId"])]
    assert len({str(one["SourceSecurityGroupId"]) for one in into}) == len(parts)
