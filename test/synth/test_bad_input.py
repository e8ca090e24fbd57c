"""Bad input fails where it is written, in the caller's words, and not at deployment."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_backup as backup
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk import (
    Access,
    AlarmThresholds,
    AlbScheme,
    Bedrock,
    CacheSize,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyBackup,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Domain,
    Egress,
    MailSecurity,
    Plugins,
    Scaling,
    SesMail,
    SmtpMail,
    Spot,
)
from support import REGION
from synth.installation import OFFICE, certificate_in, workers_in

SMALL = ComponentSize(cpu_units=256, memory_mib=1024)
TWICE = ComponentSize(cpu_units=256, memory_mib=1024, tasks=2)
SCALED = ComponentSize(cpu_units=256, memory_mib=1024, tasks=Scaling(max_tasks=2))
SPARE = ComponentSize(cpu_units=256, memory_mib=1024, spot=Spot(on_demand_base=0))
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/docker-hub"


@dataclass(frozen=True)
class Site:
    """What is shared: a stack with network, data and workers, to which each case adds its own part."""

    app: cdk.App
    stack: cdk.Stack
    network: DifyNetwork
    data: DifyData
    workers: DifyWorkers
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def scope(self) -> Construct:
        """An empty place in the shared stack."""
        return Construct(self.stack, f"Case{next(self.numbers)}")

    def new_stack(self, region: str | None = REGION) -> cdk.Stack:
        """A stack beside the shared one."""
        return cdk.Stack(self.app, f"Stack{next(self.numbers)}", env=cdk.Environment(region=region))

    def network_of(self, **arguments: Any) -> DifyNetwork:
        """A network of its own."""
        return DifyNetwork(self.new_stack(), "Network", **arguments)

    def data_of(self, **arguments: Any) -> DifyData:
        """Data in the shared network, or in the ``vpc`` given."""
        return DifyData(self.scope(), "Data", **{"vpc": self.network.vpc, **arguments})

    def workers_of(self, **arguments: Any) -> DifyWorkers:
        """Workers of its own on the shared data."""
        return DifyWorkers(self.scope(), "Workers", **{"data": self.data, **arguments})

    def frontend_of(self, **arguments: Any) -> DifyAlbFrontend:
        """A frontend of the shared workers."""
        defaults = {"workers": self.workers, "access": OFFICE, "announce": False}
        return DifyAlbFrontend(self.scope(), "Frontend", **{**defaults, **arguments})

    def vpc_of(self, **arguments: Any) -> ec2.Vpc:
        """Somebody else's VPC."""
        return ec2.Vpc(self.new_stack(), "Vpc", **arguments)

    def certificate(self) -> acm.ICertificate:
        """An existing certificate."""
        return certificate_in(self.scope())

    def domain(self) -> Domain:
        """A host name with a certificate and without a zone."""
        return Domain(host_name="dify.example.com", certificate=self.certificate())


def site_in(app: cdk.App) -> Site:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    network = DifyNetwork(stack, "Network")
    data = DifyData(stack, "Data", vpc=network.vpc)
    return Site(
        app=app, stack=stack, network=network, data=data, workers=DifyWorkers(stack, "Workers", data=data)
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One for the module: a case fails before it changes anything that another one looks at."""
    return site_in(cdk.App(outdir=str(tmp_path_factory.mktemp("bad")), analytics_reporting=False))


Make = Callable[[Site], object]


def networks(count: int) -> list[str]:
    return [f"10.0.{number}.0/24" for number in range(count)]


def imported_vpc(site: Site, zones: list[str], **subnets: list[str]) -> ec2.IVpc:
    tables = {f"{kind}_route_table_ids": [f"rtb-{id}" for id in ids] for kind, ids in subnets.items()}
    ids = {f"{kind}_ids": ids for kind, ids in subnets.items()}
    return ec2.Vpc.from_vpc_attributes(
        site.scope(),
        "Vpc",
        vpc_id="vpc-1",
        vpc_cidr_block="10.0.0.0/16",
        availability_zones=zones,
        **cast("Any", {**ids, **tables}),
    )


def public_only(site: Site) -> ec2.Vpc:
    public = ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)
    return site.vpc_of(max_azs=2, subnet_configuration=[public])


def without_region(site: Site) -> DifyAlbFrontend:
    stack = site.new_stack(region=None)
    workers = workers_in(stack)
    return DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)


def isolated(site: Site, **arguments: Any) -> DifyAlbFrontend:
    stack = site.new_stack()
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    return DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, **arguments)


def secret(site: Site) -> secretsmanager.ISecret:
    return secretsmanager.Secret(site.scope(), "Secret")


NETWORK: dict[str, tuple[Make, str]] = {
    "a_cidr_is_an_address": (
        lambda site: site.network_of(cidr="10.0.0.0"),
        r"^DifyNetwork\.cidr must be a /16 to /19 network, got '10\.0\.0\.0'$",
    ),
    "a_cidr_is_text": (
        lambda site: site.network_of(cidr="ten"),
        r"^DifyNetwork\.cidr must be an IPv4 network such as 10\.0\.0\.0/16, got 'ten'",
    ),
    "a_cidr_has_host_bits": (lambda site: site.network_of(cidr="10.0.0.1/16"), r"has host bits set$"),
    "a_cidr_is_ipv6": (
        lambda site: site.network_of(cidr="fd00::/16"),
        r"^DifyNetwork\.cidr must be an IPv4 network",
    ),
    "a_cidr_is_too_wide": (lambda site: site.network_of(cidr="10.0.0.0/15"), r"must be a /16 to /19 network"),
    "a_cidr_is_too_narrow": (
        lambda site: site.network_of(cidr="10.0.0.0/20"),
        r"must be a /16 to /19 network",
    ),
    "a_cidr_is_public": (
        lambda site: site.network_of(cidr="52.94.0.0/16"),
        r"must be a private network, got '52\.94\.0\.0/16', whose addresses belong to others$",
    ),
    "a_cidr_is_loopback": (
        lambda site: site.network_of(cidr="127.0.0.0/16"),
        r"^DifyNetwork\.cidr must be a private network",
    ),
    "a_cidr_is_link_local": (
        lambda site: site.network_of(cidr="169.254.0.0/16"),
        r"^DifyNetwork\.cidr must be a private network",
    ),
    "a_cidr_is_nobodys": (
        lambda site: site.network_of(cidr="0.0.0.0/16"),
        r"^DifyNetwork\.cidr must be a private network",
    ),
    "a_cidr_has_a_mask": (
        lambda site: site.network_of(cidr="10.0.0.0/255.255.0.0"),
        r"^DifyNetwork\.cidr must be",
    ),
    "there_is_one_zone": (
        lambda site: site.network_of(zones=["us-east-1a"]),
        r"^DifyNetwork\.zones must be two or three different zones, got \['us-east-1a'\]$",
    ),
    "zones_are_names_and_ids": (
        lambda site: site.network_of(zones=["us-east-1a", "use1-az2"]),
        r"^DifyNetwork\.zones must be all names or all ids, got \['us-east-1a', 'use1-az2'\]$",
    ),
    "there_are_four_zones": (
        lambda site: site.network_of(zones=[f"us-east-1{letter}" for letter in "abcd"]),
        r"^DifyNetwork\.zones must be two or three different zones",
    ),
    "a_zone_is_repeated": (
        lambda site: site.network_of(zones=["us-east-1a", "us-east-1a"]),
        r"^DifyNetwork\.zones must be two or three different zones",
    ),
    "a_zone_lies_in_another_region": (
        lambda site: site.network_of(zones=["us-east-1a", "eu-west-1a"]),
        r"^DifyNetwork\.zones must lie in the stack's region us-east-1, got 'eu-west-1a'$",
    ),
    "an_isolated_network_shall_have_ipv6": (
        lambda site: site.network_of(egress=Egress.ISOLATED, ipv6=True),
        r"^DifyNetwork\.ipv6 needs public subnets, which an isolated network has not$",
    ),
}


def cases(table: dict[str, tuple[Make, str]]) -> pytest.MarkDecorator:
    rows = [pytest.param(make, message, id=name) for name, (make, message) in table.items()]
    return pytest.mark.parametrize(("make", "message"), rows)


@cases(NETWORK)
def test_fails_when_a_network_cannot_be_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


DATA: dict[str, tuple[Make, str]] = {
    "the_vpc_has_one_zone": (
        lambda site: site.data_of(vpc=site.vpc_of(max_azs=1)),
        r"^DifyData needs subnets in two availability zones, got 1 in one$",
    ),
    "an_imported_vpc_has_one_zone": (
        lambda site: site.data_of(vpc=imported_vpc(site, ["us-east-1a"], private_subnet=["subnet-1"])),
        r"^DifyData needs subnets in two availability zones",
    ),
    "the_subnets_given_share_a_zone": (
        lambda site: site.data_of(subnets=site.network.vpc.isolated_subnets[:1] * 2),
        r"^DifyData needs subnets in two availability zones, got 2 in one$",
    ),
    "the_vpc_has_no_private_subnets": (
        lambda site: site.data_of(vpc=public_only(site)),
        r"^vpc Stack\d+/Vpc has no private subnets, but tasks and data must not stand in public ones$",
    ),
    "the_removal_policy_is_snapshot": (
        lambda site: site.data_of(removal_policy=cdk.RemovalPolicy.SNAPSHOT),
        r"^DifyData\.removal_policy must be RETAIN, DESTROY or left out, got .*SNAPSHOT$",
    ),
    "min_acu_is_no_half": (
        lambda _: DatabaseCapacity(min_acu=0.75),
        r"^DatabaseCapacity\.min_acu must be a multiple of 0\.5, got 0\.75$",
    ),
    "max_acu_is_no_half": (
        lambda _: DatabaseCapacity(max_acu=4.2),
        r"^DatabaseCapacity\.max_acu must be a multiple of 0\.5, got 4\.2$",
    ),
    "min_acu_is_negative": (
        lambda _: DatabaseCapacity(min_acu=-0.5),
        r"^DatabaseCapacity\.min_acu must be between 0 and 256, got -0\.5$",
    ),
    "max_acu_is_too_small": (
        lambda _: DatabaseCapacity(min_acu=0, max_acu=0.5),
        r"^DatabaseCapacity\.max_acu must be between 1 and 256, got 0\.5$",
    ),
    "max_acu_is_too_large": (
        lambda _: DatabaseCapacity(max_acu=256.5),
        r"^DatabaseCapacity\.max_acu must be between 1 and 256, got 256\.5$",
    ),
    "min_acu_exceeds_max_acu": (
        lambda _: DatabaseCapacity(min_acu=8, max_acu=4),
        r"^DatabaseCapacity\.min_acu 8 must not exceed max_acu 4$",
    ),
    "a_cluster_that_never_pauses_shall_pause": (
        lambda _: DatabaseCapacity(pause_after_minutes=10),
        r"^DatabaseCapacity\.pause_after_minutes needs min_acu=0, else the cluster never pauses$",
    ),
    "it_shall_pause_too_soon": (
        lambda _: DatabaseCapacity(min_acu=0, pause_after_minutes=4),
        r"^DatabaseCapacity\.pause_after_minutes must be between 5 and 1440, got 4$",
    ),
    "there_are_too_many_readers": (
        lambda _: DatabaseCapacity(readers=16),
        r"^DatabaseCapacity\.readers must be between 0 and 15, got 16$",
    ),
    "there_are_too_many_replicas": (
        lambda _: CacheSize(replicas=6),
        r"^CacheSize\.replicas must be between 0 and 5, got 6$",
    ),
    "a_node_type_is_an_instance_type": (
        lambda _: CacheSize(node_type="t4g.micro"),
        r"^CacheSize\.node_type must be a node type such as cache\.t4g\.micro, got 't4g\.micro'$",
    ),
    "the_master_user_is_no_name": (
        lambda site: site.data_of(master_user="dify-admin"),
        r"^DifyData\.master_user must ",
    ),
    "the_master_user_is_one_of_the_components": (
        lambda site: site.data_of(master_user="dify"),
        r"^DifyData\.master_user must ",
    ),
}


@cases(DATA)
def test_fails_when_data_cannot_be_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


WORKERS: dict[str, tuple[Make, str]] = {
    "fargate_has_no_such_cpu": (
        lambda _: ComponentSize(cpu_units=300, memory_mib=1024),
        r"^ComponentSize\.cpu_units must be one of 256, 512, 1024, 2048, 4096, 8192, 16384, got 300$",
    ),
    "fargate_has_no_such_memory": (
        lambda _: ComponentSize(cpu_units=256, memory_mib=4096),
        r"^ComponentSize\.memory_mib must be one of 512, 1024, 2048 with cpu_units=256, got 4096$",
    ),
    "a_component_has_no_tasks": (
        lambda _: ComponentSize(cpu_units=256, memory_mib=512, tasks=0),
        r"^ComponentSize\.tasks must be between 1 and 5000, got 0$",
    ),
    "the_scheduler_would_run_twice": (
        lambda site: site.workers_of(scheduler=TWICE),
        r"^sizes of beat: exactly one task can run, got tasks=2$",
    ),
    "beat_would_run_twice": (
        lambda site: site.workers_of(sizes={Component.BEAT: TWICE}),
        r"exactly one task can run|use scheduler=",
    ),
    "beat_has_a_size_and_no_scheduler": (
        lambda site: site.workers_of(sizes={Component.BEAT: SMALL}, scheduler=None),
        r"scheduler",
    ),
    "the_plugin_daemon_would_run_twice": (
        lambda site: site.workers_of(sizes={Component.PLUGIN_DAEMON: TWICE}),
        r"^sizes of plugin_daemon: exactly one task can run, got tasks=2$",
    ),
    "a_size_is_for_no_component": (lambda site: site.workers_of(sizes={"workr": SMALL}), r"workr"),
    "variables_are_for_no_component": (
        lambda site: site.workers_of(environment={"workr": {"MAIL_TYPE": "smtp"}}),
        r"workr",
    ),
    "variables_are_not_by_component": (
        lambda site: site.workers_of(environment={"MAIL_TYPE": "smtp"}),
        r"MAIL_TYPE",
    ),
    "a_variable_is_reserved": (
        lambda site: site.workers_of(environment={Component.WORKER: {"DB_HOST": "db.example.com"}}),
        r"^environment of worker: DB_HOST is set by dify_cdk and cannot be changed: the database is the ",
    ),
    "a_variable_is_reserved_in_lower_case": (
        lambda site: site.workers_of(environment={Component.BEAT: {"celery_broker_url": "redis://x"}}),
        r"^environment of beat: celery_broker_url is set by dify_cdk and cannot be changed: the cache is ",
    ),
    "a_secret_variable_is_reserved": (
        lambda site: site.workers_of(environment={Component.MIGRATION: {"SECRET_KEY": "mine"}}),
        r"^environment of migration: SECRET_KEY is set by dify_cdk, use secret_key= of DifyData$",
    ),
    "a_variable_of_the_daemon_is_reserved": (
        lambda site: site.workers_of(environment={Component.PLUGIN_DAEMON: {"SERVER_KEY": "mine"}}),
        r"^environment of plugin_daemon: SERVER_KEY is set by dify_cdk and cannot be changed: DifyData makes",
    ),
    "a_variable_has_no_name": (
        lambda site: site.workers_of(environment={Component.WORKER: {"A=B": "x"}}),
        r"^environment of worker: 'A=B' is not a variable name$",
    ),
    "the_namespace_is_local": (
        lambda site: site.workers_of(namespace="dify.local"),
        r"^DifyWorkers\.namespace must not end with \.local, .* got 'dify\.local'$",
    ),
    "the_namespace_has_one_label": (
        lambda site: site.workers_of(namespace="dify"),
        r"^DifyWorkers\.namespace must be a lower-case DNS name with at least two labels",
    ),
    "the_namespace_is_upper_case": (
        lambda site: site.workers_of(namespace="Dify.internal"),
        r"^DifyWorkers\.namespace must be a lower-case DNS name",
    ),
    "a_label_of_the_namespace_is_too_long": (
        lambda site: site.workers_of(namespace=f"{'a' * 64}.internal"),
        r"^DifyWorkers\.namespace must be a lower-case DNS name",
    ),
    "the_namespace_is_too_long": (
        lambda site: site.workers_of(namespace=f"{'a.' * 100}internal"),
        r"^DifyWorkers\.namespace must be a lower-case DNS name",
    ),
    "a_tag_is_an_image": (
        lambda _: DifyRelease(version="langgenius/dify-api:1.17.1"),
        r"^DifyRelease\.version must be an image tag such as 1\.17\.1, got ",
    ),
    "a_tag_is_too_long": (
        lambda _: DifyRelease(sandbox="1" * 129),
        r"^DifyRelease\.sandbox must be an image tag",
    ),
    "a_registry_ends_with_a_slash": (
        lambda _: DifyRelease(registry="mirror.example/"),
        r"^DifyRelease\.registry must be a registry and optional path without scheme or trailing slash",
    ),
    "an_ecr_registry_has_credentials": (
        lambda site: DifyRelease(registry=ECR, credentials=secret(site)),
        r"^DifyRelease\.credentials cannot be used with an Amazon ECR registry, remove it$",
    ),
}


@cases(WORKERS)
def test_fails_when_workers_cannot_be_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


def scaled(site: Site, component: Component) -> DifyWorkers:
    return site.workers_of(sizes={component: SCALED})


def cannot_scale(component: Component) -> str:
    """What is said about a component that runs once, or whose CPU tells nothing."""
    return (
        rf"^sizes of {component}: only api, web, worker can scale, "
        r"got tasks=Scaling\(max_tasks=2, min_tasks=1, cpu_percent=60, waiting_jobs=None\); give one number$"
    )


SCALING: dict[str, tuple[Make, str]] = {
    "there_is_nothing_to_scale": (
        lambda _: Scaling(min_tasks=3, max_tasks=3),
        r"^Scaling\.max_tasks must be more than min_tasks=3, got 3: write tasks= with one number if ",
    ),
    "the_bounds_are_swapped": (
        lambda _: Scaling(min_tasks=4, max_tasks=2),
        r"^Scaling\.max_tasks must be more than min_tasks=4, got 2: ",
    ),
    "the_lower_bound_is_no_task": (
        lambda _: Scaling(min_tasks=0, max_tasks=2),
        r"^Scaling\.min_tasks must be between 1 and 5000, got 0$",
    ),
    "the_upper_bound_is_more_than_a_service_has": (
        lambda _: Scaling(max_tasks=5001),
        r"^Scaling\.max_tasks must be between 1 and 5000, got 5001$",
    ),
    "the_target_is_a_fraction": (
        lambda _: Scaling(max_tasks=2, cpu_percent=cast("int", 0.6)),
        r"^Scaling\.cpu_percent must be between 10 and 90, got 0\.6$",
    ),
    "the_target_is_never_exceeded": (
        lambda _: Scaling(max_tasks=2, cpu_percent=100),
        r"^Scaling\.cpu_percent must be between 10 and 90, got 100$",
    ),
    "no_job_may_wait": (
        lambda _: Scaling(max_tasks=2, waiting_jobs=0),
        r"^Scaling\.waiting_jobs must be between 1 and 1000, got 0$",
    ),
    "jobs_shall_wait_for_api": (
        lambda site: site.workers_of(
            sizes={Component.API: replace(SCALED, tasks=Scaling(max_tasks=2, waiting_jobs=8))}
        ),
        r"^sizes of api: jobs wait for the worker only, got Scaling\.waiting_jobs=8; leave it out$",
    ),
    "the_scheduler_would_scale": (
        lambda site: site.workers_of(scheduler=SCALED),
        cannot_scale(Component.BEAT),
    ),
    **{
        f"{component}_would_scale": (partial(scaled, component=component), cannot_scale(component))
        for component in (
            Component.PLUGIN_DAEMON,
            Component.SANDBOX,
            Component.SSRF_PROXY,
            Component.MIGRATION,
        )
    },
    "the_base_of_spot_is_negative": (
        lambda _: Spot(on_demand_base=-1),
        r"^Spot\.on_demand_base must be between 0 and 5000, got -1$",
    ),
    "the_only_task_would_stay_on_demand": (
        lambda _: ComponentSize(cpu_units=256, memory_mib=1024, spot=Spot()),
        r"^ComponentSize\.spot has no effect: Spot\.on_demand_base=1 keeps all of at most 1 tasks on demand",
    ),
    "all_scaled_tasks_would_stay_on_demand": (
        lambda _: ComponentSize(
            cpu_units=256, memory_mib=1024, tasks=Scaling(max_tasks=3), spot=Spot(on_demand_base=3)
        ),
        r"^ComponentSize\.spot has no effect: Spot\.on_demand_base=3 keeps all of at most 3 tasks on demand",
    ),
    "the_migration_would_run_on_spot": (
        lambda site: site.workers_of(sizes={Component.MIGRATION: SPARE}),
        r"^sizes of migration: it always runs on demand, .* got spot=Spot\(on_demand_base=0\); leave ",
    ),
}


@cases(SCALING)
def test_fails_when_tasks_cannot_be_counted_or_placed_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


EXEC: dict[str, tuple[Make, str]] = {
    "the_sandbox_would_be_opened": (
        lambda site: site.workers_of(exec_components=[Component.SANDBOX]),
        r"^DifyWorkers\.exec_components must not hold sandbox: it runs other people's code and must have no ",
    ),
    "the_proxy_would_be_opened": (
        lambda site: site.workers_of(exec_components={Component.API, Component.SSRF_PROXY}),
        r"^DifyWorkers\.exec_components must not hold ssrf_proxy: it guards the network and must have no ",
    ),
    "the_migration_would_be_opened": (
        lambda site: site.workers_of(exec_components=[Component.MIGRATION]),
        r"^DifyWorkers\.exec_components must not hold migration: it is over before anybody could look at it$",
    ),
    "a_scheduler_that_does_not_run_would_be_opened": (
        lambda site: site.workers_of(exec_components=[Component.BEAT], scheduler=None),
        r"^DifyWorkers\.exec_components must not hold beat: scheduler=None runs none$",
    ),
}


@cases(EXEC)
def test_fails_when_a_container_must_not_be_opened_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


ACCESS: dict[str, tuple[Make, str]] = {
    "nobody_may_enter": (lambda _: Access(), r"^Access lets nobody in: give .*Access\.anyone\(\)$"),
    "the_world_is_listed": (
        lambda _: Access(ipv4=["0.0.0.0/0"]),
        r"^Access must not list 0\.0\.0\.0/0: write Access\.anyone\(\) to let the whole world in$",
    ),
    "an_entry_is_a_single_address": (
        lambda _: Access(ipv4=["203.0.113.7"]),
        r"^Access\.ipv4 must hold networks such as 203\.0\.113\.0/24, .* without a prefix length$",
    ),
    "an_entry_has_host_bits": (lambda _: Access(ipv4=["203.0.113.7/24"]), r"has host bits set$"),
    "an_entry_is_of_the_other_family": (
        lambda _: Access(ipv4=["2001:db8::/32"]),
        r"^Access\.ipv4 must hold IPv4 networks, got '2001:db8::/32'; put it into ipv6=$",
    ),
    "a_country_is_a_name": (
        lambda _: Access(countries=["Japan"]),
        r"^Access\.countries must be two-letter country codes such as JP, got 'Japan'$",
    ),
    "a_host_name_has_a_scheme": (
        lambda site: Domain(host_name="https://dify.example.com", certificate=site.certificate()),
        r"^Domain\.host_name must be a lower-case host name such as dify\.example\.com, without scheme",
    ),
    "a_host_name_is_too_long": (
        lambda site: Domain(host_name=f"{'a' * 64}.example.com", certificate=site.certificate()),
        r"^Domain\.host_name must be a lower-case host name",
    ),
    "a_domain_has_neither_zone_nor_certificate": (
        lambda _: Domain(host_name="dify.example.com"),
        r"^Domain dify\.example\.com needs zone= or certificate=, or no TLS certificate exists$",
    ),
}


@cases(ACCESS)
def test_fails_when_nobody_could_be_served_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


FRONTEND: dict[str, tuple[Make, str]] = {
    "countries_are_filtered": (
        lambda site: site.frontend_of(access=Access(countries=["JP"])),
        r"^Access\.countries cannot be enforced by a load balancer, only by CloudFront: list networks, or "
        r"pass edge=CloudFrontEdge\(\)$",
    ),
    "there_are_too_many_networks": (
        lambda site: site.frontend_of(access=Access(ipv4=networks(61))),
        r"^Access lists 61 IPv4 networks, but a security group holds 60 for the ports 80: merge ",
    ),
    "there_are_too_many_networks_for_two_ports": (
        lambda site: site.frontend_of(access=Access(ipv4=networks(31)), domain=site.domain()),
        r"^Access lists 31 IPv4 networks, but a security group holds 30 for the ports 80, 443: merge ",
    ),
    "there_are_too_many_networks_with_its_own_addresses": (
        lambda site: site.frontend_of(access=Access(ipv4=networks(60), also=["198.51.100.7"])),
        r"^Access lists 61 IPv4 networks",
    ),
    "ipv6_is_let_into_a_network_without_it": (
        lambda site: site.frontend_of(access=Access(ipv6=["2001:db8::/32"])),
        r"^Access\.ipv6 needs IPv6 addresses, give Dify/Network ipv6=True$",
    ),
    "ipv6_is_let_into_an_internal_one": (
        lambda site: site.frontend_of(access=Access(ipv6=["fd00::/8"]), scheme=AlbScheme.INTERNAL),
        r"^Access\.ipv6 cannot be used with an internal load balancer, which has IPv4 addresses only$",
    ),
    "requests_may_be_silent_too_long": (
        lambda site: site.frontend_of(request_timeout=cdk.Duration.seconds(4001)),
        r"^DifyAlbFrontend\.request_timeout in seconds must be between 1 and 4000, got 4001$",
    ),
    "requests_must_not_be_silent_at_all": (
        lambda site: site.frontend_of(request_timeout=cdk.Duration.seconds(0)),
        r"^DifyAlbFrontend\.request_timeout in seconds must be between 1 and 4000, got 0$",
    ),
    "it_stands_in_another_stack": (
        lambda site: DifyAlbFrontend(site.new_stack(), "Frontend", workers=site.workers, access=OFFICE),
        r"^Stack\d+/Frontend and its workers must share a stack",
    ),
    "it_stands_in_another_stack_with_a_domain": (
        lambda site: DifyAlbFrontend(
            site.new_stack(), "Frontend", workers=site.workers, access=OFFICE, domain=site.domain()
        ),
        r"^Stack\d+/Frontend and its workers must share a stack",
    ),
    "a_public_one_stands_in_an_isolated_network": (isolated, r"public subnets"),
    "its_stack_has_no_region_for_access_logs": (
        without_region,
        r"^a load balancer's access logs need the stack's region, give the stack env=cdk\.Environment",
    ),
    "a_variable_of_api_is_reserved": (
        lambda site: site.frontend_of(
            workers=site.workers_of(environment={Component.API: {"GUNICORN_TIMEOUT": "5"}})
        ),
        r"^environment of api: GUNICORN_TIMEOUT is set by dify_cdk, use request_timeout= ",
    ),
    "a_variable_of_web_is_reserved": (
        lambda site: site.frontend_of(
            workers=site.workers_of(environment={Component.WEB: {"APP_API_URL": "x"}})
        ),
        r"^environment of web: APP_API_URL is set by dify_cdk, use domain= of the frontend$",
    ),
}


@cases(FRONTEND)
def test_fails_when_a_load_balancer_cannot_be_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(site)


REGION_OF_COPIES = "us-west-2"


def vault(site: Site, region: str = REGION_OF_COPIES) -> backup.IBackupVault:
    arn = f"arn:aws:backup:{region}:123456789012:backup-vault:copies"
    return backup.BackupVault.from_backup_vault_arn(site.scope(), "Vault", arn)


def public_zone(site: Site, name: str) -> route53.IPublicHostedZone:
    return route53.PublicHostedZone.from_public_hosted_zone_attributes(
        site.scope(), "Zone", hosted_zone_id="Z1", zone_name=name
    )


def backup_of(site: Site, **arguments: Any) -> DifyBackup:
    return DifyBackup(site.scope(), "Backup", data=site.data, **arguments)


OPERATIONS: dict[str, tuple[Make, str]] = {
    "a_model_is_an_arn": (
        lambda _: Bedrock(models=[f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-pro-v1:0"]),
        r"^entries of Bedrock\.models must be model ids such as anthropic\.claude-\*, got 'arn:aws:bedrock",
    ),
    "a_model_is_an_inference_profile": (
        lambda _: Bedrock(models=["eu.amazon.nova-pro-v1:0"]),
        r"got the inference profile 'eu\.amazon\.nova-pro-v1:0': write 'amazon\.nova-pro-v1:0', which allows",
    ),
    "a_region_of_models_is_a_zone": (
        lambda _: Bedrock(regions=["us-east-1a"]),
        r"^entries of Bedrock\.regions must be regions such as us-east-1, got 'us-east-1a'$",
    ),
    "models_run_in_no_region": (
        lambda _: Bedrock(regions=[]),
        r"^Bedrock\.regions must not be empty: None allows all regions$",
    ),
    "a_role_to_assume_is_a_name": (
        lambda _: Bedrock(assume_roles=["models"]),
        r"^entries of Bedrock\.assume_roles must be ARNs of roles, got 'models'$",
    ),
    "a_sender_is_a_domain": (
        lambda _: SesMail(sender="example.com"),
        r"^SesMail\.sender must be an address such as dify@example\.com or .*, got 'example\.com'$",
    ),
    "a_sender_is_known_only_at_deployment": (
        lambda _: SesMail(sender=cdk.Token.as_string({"Ref": "Sender"})),
        r"^SesMail\.sender must be literal: a policy is made from it$",
    ),
    "a_zone_is_not_of_the_senders_domain": (
        lambda site: SesMail(sender="dify@example.com", zone=public_zone(site, "example.org")),
        r"^SesMail\.zone must be the zone of the sender's domain example\.com, got example\.org: leave ",
    ),
    "a_mail_server_is_a_url": (
        lambda _: SmtpMail(host="smtp://smtp.example.com", sender="dify@example.com"),
        r"^SmtpMail\.host must be a host name such as smtp\.example\.com without port, got 'smtp://",
    ),
    "a_mail_server_listens_nowhere": (
        lambda _: SmtpMail(host="smtp.example.com", sender="dify@example.com", port=70000),
        r"^SmtpMail\.port must be between 1 and 65535, got 70000$",
    ),
    "a_mail_password_would_travel_in_clear_text": (
        lambda site: SmtpMail(
            host="smtp.example.com",
            sender="dify@example.com",
            credentials=secret(site),
            security=MailSecurity.NONE,
        ),
        r"^SmtpMail\.credentials would travel in clear text with security=MailSecurity\.NONE: encrypt ",
    ),
    "mail_is_set_twice": (
        lambda site: site.workers_of(
            mail=SmtpMail(host="smtp.example.com", sender="dify@example.com"),
            environment={Component.WORKER: {"SMTP_SERVER": "other.example.com"}},
        ),
        r"^environment of worker: SMTP_SERVER is set by dify_cdk, use mail=SesMail",
    ),
    "a_package_index_has_no_scheme": (
        lambda _: Plugins(pip_mirror_url="pypi.example.internal/simple"),
        r"^Plugins\.pip_mirror_url must be a URL such as https://pip\.example\.com/simple, got 'pypi\.",
    ),
    "a_package_index_carries_a_password": (
        lambda _: Plugins(pip_mirror_url="https://me:hidden@pypi.example.internal/simple"),
        r"^Plugins\.pip_mirror_url must not hold credentials, .* got a URL for pypi\.example\.internal that",
    ),
    "a_package_index_is_set_twice": (
        lambda site: site.workers_of(
            plugins=Plugins(pip_mirror_url="http://pypi.example.internal/simple"),
            environment={Component.PLUGIN_DAEMON: {"PIP_MIRROR_URL": "http://other.example.internal"}},
        ),
        r"^environment of plugin_daemon: PIP_MIRROR_URL is set by dify_cdk, use plugins=Plugins\(",
    ),
    "a_rotation_is_negative": (
        lambda site: site.data_of(rotation=-1),
        r"^DifyData\.rotation must be a count such as 0, 1 or 2, got -1; raise it by one",
    ),
    "an_alarm_is_always_raised": (
        lambda _: AlarmThresholds(server_errors=0),
        r"^AlarmThresholds\.server_errors must be above 0, got 0; None raises no alarm$",
    ),
    "an_alarm_is_never_raised": (
        lambda _: AlarmThresholds(memory_percent=120),
        r"^AlarmThresholds\.memory_percent must be below 100, got 120$",
    ),
    "a_backup_is_kept_for_no_time": (
        lambda site: backup_of(site, keep_days=0),
        r"^DifyBackup\.keep_days must be between 1 and 36500, got 0$",
    ),
    "a_backup_starts_at_no_hour": (
        lambda site: backup_of(site, hour_utc=24),
        r"^DifyBackup\.hour_utc must be between 0 and 23, got 24$",
    ),
    "a_copy_of_a_backup_stays_in_the_region": (
        lambda site: backup_of(site, copy_to=vault(site, REGION)),
        r"^DifyBackup\.copy_to must be in another region than the stack's, got us-east-1$",
    ),
}


@cases(OPERATIONS)
def test_fails_when_operating_it_cannot_work_because(site: Site, make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make(site)
    assert "hidden" not in str(caught.value)


def test_fails_when_two_frontends_announce_themselves(site: Site) -> None:
    workers = site.workers_of()
    site.frontend_of(workers=workers, announce=True)
    with pytest.raises(
        ValueError, match=r"^Dify/Case\d+/Workers has its public URL already; .* announce=False$"
    ):
        site.frontend_of(workers=workers, announce=True)


def test_fails_at_synthesis_when_workers_have_no_frontend(app: cdk.App) -> None:
    """Only then: until the end one may still be added. The CDK itself raises, hence the type."""
    site_in(app)
    with pytest.raises(
        RuntimeError, match=r"Dify/Workers has no frontend: add one, such as DifyAlbFrontend\("
    ):
        app.synth()


def test_fails_at_synthesis_when_no_frontend_announces_itself(app: cdk.App) -> None:
    site = site_in(app)
    DifyAlbFrontend(site.stack, "Frontend", workers=site.workers, access=OFFICE, announce=False)
    with pytest.raises(RuntimeError, match=r"Dify/Workers has no frontend"):
        app.synth()


def test_the_shared_site_is_good(site: Site) -> None:
    """Else every case above could fail for a reason that all of them share."""
    assert site.network_of().public_addresses
    assert site.data_of().vpc is site.network.vpc
    assert site.frontend_of(workers=site.workers_of(), request_timeout=cdk.Duration.seconds(4000)).url
    assert site.frontend_of(access=Access(ipv4=networks(60))).limits.streaming
    assert isolated(site, scheme=AlbScheme.INTERNAL).url
    assert backup_of(site, copy_to=vault(site)).plan
    assert SesMail(sender="dify@example.com", zone=public_zone(site, "example.com")).address
