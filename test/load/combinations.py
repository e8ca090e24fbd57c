"""Apps of valid arguments at random, one for each seed: network, data, workers and every frontend."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager

from dify_cdk import (
    Access,
    AlbScheme,
    Architecture,
    Bedrock,
    CacheSize,
    CloudBuild,
    CloudFrontEdge,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyHttpApiFrontend,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Domain,
    Egress,
    FunctionSize,
    LocalBuild,
    Login,
    Plugins,
    ReadyImages,
    Sandbox,
    Scaling,
    SesMail,
    SmtpMail,
    Spot,
    Throttle,
    Uploads,
    WebAcl,
)

ZONES = {  # names of zones that exist, and ids where names can mean a zone without VPC links
    "us-east-1": [["use1-az1", "use1-az4"], ["use1-az2", "use1-az5", "use1-az6"]],
    "ap-northeast-1": [["apne1-az1", "apne1-az2", "apne1-az4"]],
    "eu-west-1": [["eu-west-1a", "eu-west-1b"], ["eu-west-1a", "eu-west-1b", "eu-west-1c"]],
}
CERTIFICATE = "arn:aws:acm:{region}:123456789012:certificate/00000000-0000-0000-0000-000000000000"
REGISTRY = "123456789012.dkr.ecr.{region}.amazonaws.com/mirror"
# Roles behind a proxy of Service Connect need 512 CPU units.
SIZES = ((512, 1024), (512, 2048), (1024, 2048), (1024, 4096), (2048, 8192))
SCALES = ("api", "web", "worker")
MANY = 120  # networks that a CloudFront Function and an authorizer hold


class Builder:
    """One app.

    Args:
        app: Where it is defined.
        seed: What it is made of.
    """

    def __init__(self, app: cdk.App, seed: int) -> None:
        self._random = Random(seed)
        self._region = self._one_of(ZONES)
        self._stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=self._region))
        self._egress = self._one_of(Egress)
        self._closed = self._egress is Egress.ISOLATED

    def build(self) -> cdk.Stack:
        """Define every construct."""
        self._network = DifyNetwork(
            self._stack,
            "Network",
            egress=self._egress,
            cidr=self._one_of(["10.0.0.0/16", "10.64.0.0/18", "172.16.32.0/19", "192.168.0.0/17"]),
            ipv6=False if self._closed else self._coin(),
            zones=self._maybe(lambda: self._one_of(ZONES[self._region])),
        )
        self._data = self._define_data()
        self._workers = self._define_workers()
        frontends = [self._alb, self._http_api, self._lambda]
        first = self._one_of(frontends)
        for frontend in frontends:
            frontend(announce=frontend == first)
        return self._stack

    def _define_data(self) -> DifyData:
        pauses = self._coin()
        minimum = 0 if pauses else self._one_of([0.5, 1, 2.5])
        return DifyData(
            self._stack,
            "Data",
            vpc=self._network.vpc,
            capacity=DatabaseCapacity(
                min_acu=minimum,
                max_acu=self._one_of([2.5, 4, 64]),
                readers=self._random.randint(0, 2),
                pause_after_minutes=self._maybe(lambda: 30) if pauses else None,
            ),
            cache_size=CacheSize(
                node_type=self._one_of(["cache.t4g.micro", "cache.r7g.large"]),
                replicas=self._random.randint(0, 2),
            ),
            secret_key=self._maybe(self._secret),
            snapshot_identifier=self._maybe(lambda: "my-snapshot"),
            master_user=self._one_of(["dify_master", "postgres"]),
            removal_policy=self._one_of([None, cdk.RemovalPolicy.RETAIN, cdk.RemovalPolicy.DESTROY]),
            rotation=self._random.randint(0, 2),
        )

    def _define_workers(self) -> DifyWorkers:
        self._registry = REGISTRY.format(region=self._region) if self._closed or self._coin() else None
        own = ecs.Secret.from_secrets_manager(self._secret(), self._maybe(lambda: "field"))
        return DifyWorkers(
            self._stack,
            "Workers",
            data=self._data,
            release=DifyRelease(version=self._one_of(["1.17.1", "1.18.0"]), registry=self._registry),
            architecture=self._one_of(Architecture),
            sizes={
                component: self._size(component)
                for component in self._some((*SCALES, "plugin_daemon", "sandbox"))
            },
            scheduler=self._maybe(lambda: ComponentSize(cpu_units=256, memory_mib=1024)),
            environment={
                Component.API: {"LOG_LEVEL": "DEBUG", **self._either({}, {"SENTRY_DSN": own})},
                Component.WORKER: self._either({}, {"CELERY_WORKER_AMOUNT": "4"}),
            },
            sandbox=Sandbox(
                python_packages=self._either((), ("numpy==2.1.3",)),
                allowed_syscalls=self._maybe(lambda: [0, 1, 2, 3]),
                pip_mirror_url=self._maybe(lambda: "https://pypi.example.com/simple"),
            ),
            namespace=self._maybe(lambda: "dify.internal"),
            exec_components=frozenset(self._some((Component.API, Component.WORKER, Component.PLUGIN_DAEMON))),
            models=self._maybe(self._bedrock),
            mail=self._maybe(self._mail),
            plugins=Plugins(
                marketplace=self._one_of([None, True, False]),
                pip_mirror_url=self._maybe(lambda: "http://pypi.example.internal:8080/simple"),
            ),
        )

    def _alb(self, announce: bool) -> None:
        edge = None if self._closed else self._maybe(lambda: CloudFrontEdge(web_acl=self._maybe(self._acl)))
        internal = self._closed or (edge is None and self._coin())
        domain = self._maybe(lambda: self._domain("alb"))
        DifyAlbFrontend(
            self._stack,
            "Alb",
            workers=self._workers,
            access=self._access(
                ipv6=bool(edge) or (self._network.ipv6 and not internal),
                many=20,
                country=bool(edge),
                edge=edge,
            ),
            domain=domain,
            edge=edge,
            login=self._maybe(Login) if domain and not self._closed else None,
            collaboration=self._coin(),
            request_timeout=self._maybe(lambda: cdk.Duration.seconds(self._random.randint(1, 120))),
            scheme=AlbScheme.INTERNAL if internal else None,
            announce=announce,
        )

    def _http_api(self, announce: bool) -> None:
        DifyHttpApiFrontend(
            self._stack,
            "HttpApi",
            workers=self._workers,
            access=self._access(ipv6=True, many=50),
            domain=self._maybe(lambda: self._domain("http-api")),
            request_timeout=self._maybe(lambda: cdk.Duration.seconds(self._random.randint(1, 30))),
            throttle=self._maybe(lambda: Throttle(requests_per_second=10, burst=20)),
            authorizer_cache_seconds=self._one_of([0, 300, 3600]),
            announce=announce,
        )

    def _lambda(self, announce: bool) -> None:
        uploads = self._one_of([u for u in Uploads if not (self._closed and u is Uploads.VPC_ORIGIN)])
        domain = self._maybe(lambda: self._domain("lambda"))
        acl = self._maybe(self._acl)
        builds = [LocalBuild(), self._ready_images(), *(() if self._registry else (CloudBuild(),))]
        DifyCloudFrontLambdaFrontend(
            self._stack,
            "Lambda",
            workers=self._workers,
            access=self._access(ipv6=True, many=MANY, country=True, acl=acl),
            domain=domain,
            uploads=uploads,
            collaboration=uploads is Uploads.VPC_ORIGIN and self._coin(),
            images=self._one_of(builds),
            api=self._function(domain is not None),
            web=self._function(domain is not None),
            web_acl=acl,
            announce=announce,
        )

    # ---- values

    def _access(
        self,
        *,
        ipv6: bool,
        many: int,
        country: bool = False,
        edge: CloudFrontEdge | None = None,
        acl: WebAcl | None = None,
    ) -> Access:
        acl = acl or (edge.web_acl if edge else None)
        literal = acl is not None and acl.filters_addresses
        if not literal and self._coin():
            return Access.anyone()
        count = self._random.randint(1, many)
        return Access(
            ipv4=[f"203.0.{number}.0/24" for number in range(count)],
            ipv6=["2001:db8::/32"] if ipv6 and self._coin() else [],
            also=[] if literal else self._network.public_addresses,
            countries=["JP", "US"] if country and self._coin() else [],
        )

    def _acl(self) -> WebAcl:
        rate = self._maybe(lambda: 2000)
        return WebAcl.managed(rate=rate) if self._coin() else WebAcl.addresses(rate=rate)

    def _bedrock(self) -> Bedrock:
        return Bedrock(
            models=self._maybe(lambda: ["anthropic.claude-sonnet-4-5-20250929-v1:0"]),
            regions=self._maybe(lambda: [self._region]),
        )

    def _mail(self) -> SesMail | SmtpMail:
        if self._coin():
            return SesMail(sender="dify@example.com")
        secret = self._maybe(self._secret)
        return SmtpMail(host="smtp.example.com", sender="dify@example.com", credentials=secret)

    def _domain(self, name: str) -> Domain:
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self._stack, f"Zone-{name}", hosted_zone_id="Z0000000000000000000", zone_name="example.com"
        )
        own, edge = (
            acm.Certificate.from_certificate_arn(
                self._stack, f"{id}-{name}", CERTIFICATE.format(region=region)
            )
            for id, region in (("Own", self._region), ("Edge", "us-east-1"))
        )
        return Domain(
            host_name=f"{name}.example.com",
            zone=self._maybe(lambda: zone),
            certificate=own,
            edge_certificate=edge,
        )

    def _size(self, component: str) -> ComponentSize:
        cpu_units, memory_mib = self._one_of(SIZES)
        tasks: int | Scaling = 1
        if component in SCALES:
            tasks = self._either(self._random.randint(1, 3), Scaling(min_tasks=2, max_tasks=8))
        spot = self._maybe(lambda: Spot(on_demand_base=0))
        return ComponentSize(cpu_units=cpu_units, memory_mib=memory_mib, tasks=tasks, spot=spot)

    def _function(self, with_domain: bool) -> FunctionSize:
        provisioned = self._random.randint(0, 3) if with_domain else 0
        return FunctionSize(
            memory_mib=self._one_of([1024, 1769, 3008]),
            timeout_seconds=self._one_of([60, 900]),
            reserved_concurrency=self._maybe(lambda: 20),
            provisioned_concurrency=provisioned,
            keep_warm_minutes=None if provisioned else self._maybe(lambda: 5),
        )

    def _ready_images(self) -> ReadyImages:
        api, web = (
            ecr.Repository.from_repository_name(self._stack, f"Repository-{name}", name)
            for name in ("api", "web")
        )
        return ReadyImages(api=api, web=web, tag_or_digest="1.17.1")

    def _secret(self) -> secretsmanager.ISecret:
        name = f"Imported{self._random.getrandbits(64)}"
        arn = f"arn:aws:secretsmanager:{self._region}:123456789012:secret:{name}-AbCdEf"
        return secretsmanager.Secret.from_secret_complete_arn(self._stack, name, arn)

    # ---- chance

    def _coin(self) -> bool:
        return self._random.random() < 0.5

    def _one_of(self, values: Any) -> Any:
        return self._random.choice(list(values))

    def _either(self, one: Any, other: Any) -> Any:
        return one if self._coin() else other

    def _maybe(self, value: Callable[[], Any]) -> Any:
        return value() if self._coin() else None

    def _some(self, values: tuple[Any, ...]) -> list[Any]:
        return [Component(value) for value in values if self._coin()]
