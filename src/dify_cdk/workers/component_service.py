"""From a component to its task definition and its service: the only place that names containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import aws_cdk as cdk
import jsii
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_servicediscovery as servicediscovery
from constructs import Construct, IDependable

from dify_cdk._arguments import checked
from dify_cdk.cdk_helpers.custom_resources import log_group
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_wildcards
from dify_cdk.data.data import DifyData
from dify_cdk.dify.components import BrokerHealth, Component, HealthClient, HttpHealth, Replicas
from dify_cdk.dify.connections import Part, Pools, connections_of
from dify_cdk.dify.environment import (
    CACHE_PORT,
    Context,
    PublicEndpoint,
    plain_variables,
    require_free,
    secret_options,
    secret_variables,
)
from dify_cdk.dify.release import DifyRelease
from dify_cdk.network.network import Tiers
from dify_cdk.options.sizes import Architecture, ComponentSize, Scaling, Spot
from dify_cdk.workers.ecs_exec import exec_command, grant_exec
from dify_cdk.workers.security_groups import SecurityGroups

Environment = Mapping[Component, Mapping[str, "str | ecs.Secret"]]
"""Variables of your own, by component: text that everybody may read, or a secret that ECS fills in.

A mapping that is built as a variable needs the annotation: ``variables: Environment = {...}``."""

# Remote port of the broker in the state "established"; the kernel writes both in hexadecimal.
_BROKER_CHECK = f"cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ':{CACHE_PORT:04X} 01 '"

SERVICE_CONNECT_IDLE_SECONDS = 300
"""How long the proxy of Service Connect keeps a connection that is not in use; ECS's own default, written out
because containers have to keep theirs longer.

See https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-service-timeoutconfiguration.html
"""

PLUGIN_DAEMON_IDLE_SECONDS = 120
"""How long the plugin daemon keeps a connection to api that is not in use, on which plugins call back.

Read in ``internal/core/dify_invocation/calldify/http_client.go`` of dify-plugin-daemon 0.6.10.
"""

_STOP_SECONDS = 120  # Fargate's longest wait between SIGTERM and SIGKILL
START_SECONDS = 180  # api imports for up to a minute on a small task
_LOG_BUFFER_MIB = 25  # the default of 10 MiB loses lines when a burst is logged
_RELOCATABLE = (100, 200)
_NEVER_TWICE = (0, 100)

_PLAIN_REASON = {"AwsSolutions-ECS2": "only public values are plain; secrets come from Secrets Manager"}


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where the value of a variable is read when its container starts: a secret, or one of its fields."""

    secret: secretsmanager.ISecret
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Where and from what tasks are made; workers and frontends share one.

    Attributes:
        cluster: ECS cluster.
        tiers: Subnets.
        data: Database, cache, bucket and secrets.
        release: Images.
        architecture: Processor, except for the sandbox.
        sizes: Size of every component.
        extras: Variables added by the user.
        options: Values of variables that follow from arguments, by variable name.
        secret_options: Secrets of variables that follow from arguments, by variable name.
        security_groups: The security group of every component.
        namespace: The private DNS namespace.
        names: The private DNS service of each component that has a name.
        ready: What has to exist before any task can start.
        pools: How many connections to the database each process may open.
        exec_components: Components whose containers ECS Exec opens.
        parts: What services and functions made so far take of the database's connections.
        hosted: The components that something runs so far, as a service, a function or a single task.
        sized: Those of them whose tasks have one of the ``sizes``: not what functions run.
    """

    cluster: ecs.ICluster
    tiers: Tiers
    data: DifyData
    release: DifyRelease
    architecture: Architecture
    sizes: Mapping[Component, ComponentSize]
    extras: Environment
    options: Mapping[str, str]
    secret_options: Mapping[str, SecretSource]
    security_groups: SecurityGroups
    namespace: servicediscovery.INamespace
    names: Mapping[Component, servicediscovery.IService]
    ready: Sequence[IDependable]
    pools: Pools
    exec_components: Collection[Component] = ()
    parts: list[Part] = field(default_factory=list)
    hosted: set[Component] = field(default_factory=set)
    sized: set[Component] = field(default_factory=set)

    def with_size(self, component: Component, size: ComponentSize) -> Platform:
        """The same platform with another size of one component."""
        return replace(self, sizes={**self.sizes, component: size})

    def context(self, endpoint: PublicEndpoint | None, pools: Pools | None = None) -> Context:
        """What the variables of a component are made of.

        Args:
            endpoint: Where users reach Dify, as far as it is known already.
            pools: Other sizes of connection pools than those of tasks. Default: those.
        """
        return Context(
            data=self.data.endpoints,
            namespace=self.namespace.namespace_name,
            endpoint=endpoint,
            pools=pools or self.pools,
            options=self.options,
            secret_options=self.secret_options.keys(),
        )

    def secrets_of(self, component: Component) -> dict[str, SecretSource]:
        """The variables of a component that are filled from secrets, by name."""
        return {**self.own_secrets_of(component), **self.chosen_secrets_of(component)}

    def own_secrets_of(self, component: Component) -> dict[str, SecretSource]:
        """Those of them that belong to the data."""
        return {
            name: SecretSource(self.data.secret(source.purpose), source.field)
            for name, source in secret_variables(component).items()
        }

    def chosen_secrets_of(self, component: Component) -> dict[str, SecretSource]:
        """Those of them that a caller brought through an argument."""
        names = secret_options(component)
        return {name: source for name, source in self.secret_options.items() if name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A start command other than the image's own."""

    entry_point: Sequence[str] | None = None
    command: Sequence[str] | None = None


class ComponentTask(Construct):
    """The task definition of one component: roles, log group, one container named after the component.

    Args:
        component: What runs in it.
        platform: Where and from what.
        endpoint: Where users reach Dify, as far as it is known already.
        start: Another start command. Default: the image's.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        component: Component,
        platform: Platform,
        endpoint: PublicEndpoint | None,
        start: Start | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._component = component
        self._platform = platform
        self._extras = platform.extras.get(component, {})
        self._logs = log_group(self, "Logs")
        size = platform.sizes[component]
        self._definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=size.cpu_units,
            memory_limit_mib=size.memory_mib,
            runtime_platform=_processor(component, platform),
        )
        self._plain = plain_variables(component, platform.context(endpoint), self._extras)
        self._container = self._define_container(start or Start(), endpoint)
        platform.hosted.add(component)
        platform.sized.add(component)
        platform.data.grant_access(self._definition.task_role, component)
        if component in platform.exec_components:
            grant_exec(self._definition.task_role)
        acknowledge(self._definition, _PLAIN_REASON)
        execution_role = self._definition.obtain_execution_role()
        platform.release.grant_pull(self, component, execution_role)
        acknowledge_wildcards(execution_role, ["*"], "ecr:GetAuthorizationToken takes no resource")

    @property
    def definition(self) -> ecs.FargateTaskDefinition:
        """The task definition."""
        return self._definition

    @property
    def container(self) -> ecs.ContainerDefinition:
        """The only container."""
        return self._container

    @property
    def logs(self) -> logs.LogGroup:
        """Where the container logs to."""
        return self._logs

    @property
    def connections_to_database(self) -> float:
        """How many connections to the database one task opens at most."""
        return connections_of(self._component, self._plain)

    def announce(self, endpoint: PublicEndpoint) -> None:
        """Add what is known only once there is a frontend.

        Raises:
            ValueError: If the frontend imposes a limit that the user set as well.
        """
        context = self._platform.context(endpoint)
        require_free(self._component, self._extras, context)
        for name, value in plain_variables(self._component, context, self._extras).items():
            if name not in self._plain:
                self._container.add_environment(name, value)

    def replace_command(self, start: Start) -> None:
        """Start the container in another way than at first; an L2 container cannot change its command."""
        resource = self._definition.node.default_child
        assert isinstance(resource, ecs.CfnTaskDefinition)
        resource.add_property_override("ContainerDefinitions.0.Command", list(start.command or ()))

    def _define_container(self, start: Start, endpoint: PublicEndpoint | None) -> ecs.ContainerDefinition:
        component = self._component
        extras = self._extras
        require_free(component, extras, self._platform.context(endpoint))
        secret_extras = {name: value for name, value in extras.items() if not isinstance(value, str)}
        secrets = {
            name: ecs.Secret.from_secrets_manager(source.secret, source.field)
            for name, source in self._platform.secrets_of(component).items()
        }
        return self._definition.add_container(
            component,
            container_name=component,
            image=self._platform.release.container_image(self, component),
            environment=self._plain,
            secrets={**secrets, **secret_extras},
            port_mappings=_port_mapping(component),
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=component,
                log_group=self._logs,
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=cdk.Size.mebibytes(_LOG_BUFFER_MIB),
            ),
            entry_point=list(start.entry_point) if start.entry_point else None,
            command=list(start.command) if start.command else None,
            linux_parameters=_linux(self, component, self._platform),
            stop_timeout=cdk.Duration.seconds(_STOP_SECONDS),
            health_check=_health_check(component, extras),
        )


@checked
@jsii.implements(ec2.IConnectable)
class ComponentService(Construct):
    """One component as an ECS service: private subnets, private name, circuit breaker with rollback.

    Args:
        component: What runs in it.
        platform: Where and from what.
        endpoint: Where users reach Dify, as far as it is known already.
        start: Another start command. Default: the image's.
        grace: Whether a load balancer checks its health, which is ignored while a task starts. Default: no.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        component: Component,
        platform: Platform,
        endpoint: PublicEndpoint | None,
        start: Start | None = None,
        grace: bool = False,
    ) -> None:
        super().__init__(scope, id)
        self._component = component
        self._platform = platform
        self._task = ComponentTask(
            self, "Task", component=component, platform=platform, endpoint=endpoint, start=start
        )
        size = platform.sizes[component]
        never_two = component.spec.replicas is Replicas.NEVER_TWO
        minimum, maximum = _NEVER_TWICE if never_two else _RELOCATABLE
        rebalancing = ecs.AvailabilityZoneRebalancing
        self._service = ecs.FargateService(
            self,
            "Service",
            cluster=platform.cluster,
            task_definition=self._task.definition,
            # Where it scales, a number in the template would undo at every deployment what scaling did.
            desired_count=None if isinstance(size.tasks, Scaling) else size.tasks,
            min_healthy_percent=minimum,
            max_healthy_percent=maximum,
            # Rebalancing starts a second task before it stops the first, which a scheduler must not have.
            availability_zone_rebalancing=rebalancing.DISABLED if never_two else rebalancing.ENABLED,
            capacity_provider_strategies=_capacity(size.spot),
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            security_groups=[platform.security_groups.group(component)],
            vpc_subnets=ec2.SubnetSelection(subnets=platform.tiers.app),
            health_check_grace_period=cdk.Duration.seconds(START_SECONDS) if grace else None,
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        # The L2 waits for the task role's policy only; the execution role's lets the task read secrets.
        self.wait_for(self._task, *platform.security_groups.rules_of(component), *platform.ready)
        self._number = self._scale(size.tasks) if isinstance(size.tasks, Scaling) else None
        if component in platform.exec_components:
            self.override("EnableExecuteCommand", True)
        name = platform.names.get(component)
        if name is not None:
            self._service.associate_cloud_map_service(service=name, container=self._task.container)
        platform.parts.append(
            Part(
                name=component,
                most=size.most_tasks,
                connections=self._task.connections_to_database,
                doubles=not never_two,
            )
        )

    @property
    def component(self) -> Component:
        """The component."""
        return self._component

    @property
    def platform(self) -> Platform:
        """Where it runs, and from what."""
        return self._platform

    @property
    def task(self) -> ComponentTask:
        """Task definition and container."""
        return self._task

    @property
    def service(self) -> ecs.FargateService:
        """The ECS service."""
        return self._service

    @property
    def resource(self) -> ecs.CfnService:
        """What to depend on before others may need it: afterwards its tasks are those of this deployment."""
        resource = self._service.node.find_child("Service")
        assert isinstance(resource, ecs.CfnService)
        return resource

    @property
    def connections(self) -> ec2.Connections:
        """The component's security group."""
        return self._service.connections

    @property
    def execute_command(self) -> str:
        """The shell command that opens a shell in one of the tasks; needs AWS's Session Manager plugin.

        Raises:
            ValueError: If ECS Exec is off for the component.
        """
        if self._component not in self._platform.exec_components:
            raise ValueError(
                f"component {self._component} has no ECS Exec, add Component.{self._component.name} to "
                "exec_components= of DifyWorkers"
            )
        return exec_command(
            self._component,
            region=cdk.Stack.of(self).region,
            cluster=self._platform.cluster.cluster_name,
            service=self._service.service_name,
        )

    def join_service_connect(self, discovery_name: str) -> None:
        """Register the tasks with Cloud Map in the form that API Gateway's private integrations need.

        Server side only: nobody inside the network uses the name. The L2 always adds a client alias, which
        would change the hosts file of every other task in the namespace.

        Args:
            discovery_name: Name in the namespace, other than the component's own DNS name.
        """
        self.override(
            "ServiceConnectConfiguration",
            {
                "Enabled": True,
                "Namespace": self._platform.namespace.namespace_arn,
                "Services": [
                    {
                        "PortName": self._component.dns_label,
                        "DiscoveryName": discovery_name,
                        # Zero is no limit: the frontend's own timeout is the only one that counts.
                        "Timeout": {
                            "PerRequestTimeoutSeconds": 0,
                            "IdleTimeoutSeconds": SERVICE_CONNECT_IDLE_SECONDS,
                        },
                    }
                ],
                "LogConfiguration": {
                    "LogDriver": "awslogs",
                    "Options": {
                        "awslogs-group": self._task.logs.log_group_name,
                        "awslogs-region": cdk.Stack.of(self).region,
                        "awslogs-stream-prefix": "service-connect",
                    },
                },
            },
        )

    def override(self, name: str, value: object) -> None:
        """Write a property of the ECS service as it stands, where the L2 writes none or another."""
        self.resource.add_property_override(name, value)

    def follow_queue(self, waiting_per_task: cloudwatch.IMetric, most: int) -> None:
        """Let the number of tasks, which has to scale already, follow what waits for each of them as well.

        Tasks are taken away only when all such policies agree. A new task needs minutes until it takes jobs:
        until then the queue is as long as before, and does not ask for more.

        Args:
            waiting_per_task: Measured once a minute.
            most: How much may wait.
        """
        assert self._number is not None
        self._number.scale_to_track_custom_metric(
            "Queue",
            metric=waiting_per_task,
            target_value=most,
            scale_out_cooldown=cdk.Duration.seconds(START_SECONDS),
        )

    def _scale(self, scaling: Scaling) -> ecs.ScalableTaskCount:
        target = self._service.auto_scale_task_count(
            min_capacity=scaling.min_tasks, max_capacity=scaling.max_tasks
        )
        # The L2 names the service-linked role, which fails in an account that has none yet ("Unable to assume
        # IAM role", https://github.com/aws/aws-cdk/issues/4108); without a name AWS makes it, see
        # https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
        resource = target.node.find_child("Target").node.default_child
        assert isinstance(resource, appscaling.CfnScalableTarget)
        resource.add_property_deletion_override("RoleARN")
        target.scale_on_cpu_utilization("Cpu", target_utilization_percent=scaling.cpu_percent)
        return target

    def wait_for(self, *dependencies: IDependable) -> None:
        """Start only after something else is done."""
        self._service.node.add_dependency(*dependencies)


def _processor(component: Component, platform: Platform) -> ecs.RuntimePlatform:
    arm = platform.architecture is Architecture.ARM64 and not component.spec.x86_only
    return ecs.RuntimePlatform(
        cpu_architecture=ecs.CpuArchitecture.ARM64 if arm else ecs.CpuArchitecture.X86_64,
        operating_system_family=ecs.OperatingSystemFamily.LINUX,
    )


def _linux(scope: Construct, component: Component, platform: Platform) -> ecs.LinuxParameters | None:
    """An init process where there are orphans, or a process 1 that ignores the signal to stop.

    ECS Exec leaves its agent's children behind. The process also makes a new revision, without which running
    tasks would stay closed.
    """
    if component.spec.init_process or component in platform.exec_components:
        return ecs.LinuxParameters(scope, "Linux", init_process_enabled=True)
    return None


def _capacity(spot: Spot | None) -> list[ecs.CapacityProviderStrategy]:
    """There from the start, and never empty: so every change of it is an update in place."""
    if spot is None:
        return [ecs.CapacityProviderStrategy(capacity_provider="FARGATE", weight=1)]
    spare = ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT", weight=1)
    if not spot.on_demand_base:
        return [spare]
    base = ecs.CapacityProviderStrategy(capacity_provider="FARGATE", base=spot.on_demand_base, weight=0)
    return [base, spare]


def _port_mapping(component: Component) -> list[ecs.PortMapping] | None:
    port = component.spec.port
    if port is None:
        return None
    if not isinstance(component.spec.health, HttpHealth):  # such as a proxy: CONNECT is not plain HTTP
        return [ecs.PortMapping(container_port=port, name=component.dns_label)]
    http: ecs.AppProtocol = ecs.AppProtocol.http  # type: ignore[assignment]  # a jsii class property
    return [ecs.PortMapping(container_port=port, name=component.dns_label, app_protocol=http)]


def _health_check(component: Component, extras: Mapping[str, object]) -> ecs.HealthCheck | None:
    """What tells ECS that a container has to be replaced: it asks that container, and nothing behind it."""
    health = component.spec.health
    if isinstance(health, HttpHealth):
        return _http_check(component.port, health)
    if isinstance(health, BrokerHealth) and {name.upper() for name in extras}.isdisjoint(health.unless):
        return _broker_check()
    return None


def _http_check(port: int, health: HttpHealth) -> ecs.HealthCheck:
    commands = {
        HealthClient.CURL: ["CMD-SHELL", f"curl -fsS http://localhost:{port}{health.path} || exit 1"],
        HealthClient.NODE: [
            *("CMD", "node", "-e"),
            f"fetch('http://127.0.0.1:{port}{health.path}')"
            ".then(r=>process.exit(r.status<400?0:1)).catch(()=>process.exit(1))",
        ],
    }
    return ecs.HealthCheck(
        command=commands[health.client],
        interval=cdk.Duration.seconds(15),
        timeout=cdk.Duration.seconds(10),
        retries=3,
        start_period=cdk.Duration.seconds(START_SECONDS),
    )


def _broker_check() -> ecs.HealthCheck:
    """Whether a worker or the scheduler is connected to the broker; reads two files and starts no Python.

    Celery connects again by itself. One that does not for five minutes, longer than ElastiCache needs to put
    another node in a failed one's place, is replaced, and with it jobs that could not report back.

    Broker and cache are two databases behind one address and port, so any connection to the cache counts as
    one to the broker: a worker that has lost only those on which it fetches jobs passes. Nor is seen here one
    that is connected and takes no job (celery/celery#7276), or a broker that falls silent without closing its
    connections. Where no worker fetches jobs any more, the alarm ``UnservedJobs`` of ``DifyMonitoring`` is
    raised; jobs that wait in vain make the queue longer.

    Measured with celery 5.6.3, kombu 5.6.2 and redis 7.0: a worker is connected when it says that it is
    ready, beat with the first job that is due, a minute after its start; both stay so when idle. The end of
    the broker is seen within a second. When it is back, a worker connects with the next of its attempts, each
    of which it makes 2 seconds later than the one before and none later than 30, and beat with its next job.
    ``celery inspect ping``, which Dify's Compose file has and leaves off, starts a Python with Dify's
    configuration each time.
    """
    return ecs.HealthCheck(
        command=["CMD-SHELL", f"{_BROKER_CHECK} || exit 1"],
        interval=cdk.Duration.seconds(60),
        timeout=cdk.Duration.seconds(10),
        retries=5,
        start_period=cdk.Duration.seconds(START_SECONDS),
    )
