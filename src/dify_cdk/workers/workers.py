"""Everything of Dify that works in the background, and every internal name."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_servicediscovery as servicediscovery
from constructs import Construct, IDependable, IValidation

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_match
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.names import name_of
from dify_cdk.cdk_helpers.service_role import ECS, ServiceRole
from dify_cdk.data.data import DifyData
from dify_cdk.dify import ssrf_proxy as squid
from dify_cdk.dify.components import (
    NAMED_COMPONENTS,
    Component,
    Host,
    hosted_by,
)
from dify_cdk.dify.connections import DEFAULT_POOLS, Pools, pools_for, too_many
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.release import DifyRelease, ecr_registry
from dify_cdk.network.endpoints import ENDPOINT_SERVICES
from dify_cdk.network.network import Egress, Subnets, network_of, tiers_of
from dify_cdk.options.bedrock import Bedrock
from dify_cdk.options.mail import SesMail, SmtpMail
from dify_cdk.options.plugins import Plugins
from dify_cdk.options.sandbox import Sandbox
from dify_cdk.options.savings import saving_warnings
from dify_cdk.options.sizes import (
    DEFAULT_SIZES,
    DEFAULT_WAITING_JOBS,
    Architecture,
    ComponentSize,
    Scaling,
    sizes_with,
    with_room_for_proxy,
)
from dify_cdk.workers.bedrock_grants import grant_models
from dify_cdk.workers.component_service import START_SECONDS, ComponentService, Environment, Platform, Start
from dify_cdk.workers.ecs_exec import require_exec
from dify_cdk.workers.migration import Migration
from dify_cdk.workers.queue_metrics import QueueMetrics
from dify_cdk.workers.security_groups import SecurityGroups
from dify_cdk.workers.ses_sender import MailVariables, define_mail

DEFAULT_RELEASE = DifyRelease()
DEFAULT_SANDBOX = Sandbox()
DEFAULT_PLUGINS = Plugins()
DEFAULT_SCHEDULER = DEFAULT_SIZES[Component.BEAT]

PLUGIN_DISCOVERY_NAME = "daemon-http"
_DNS_TTL_SECONDS = 10
_TARGET_GROUPS = 5  # of one ECS service
_LONGEST_LABEL = 50
_NAMESPACE = r"(?=.{1,200}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


@checked
class DifyWorkers(Construct):
    """The background components of Dify on Fargate, the migration before them, and all private DNS names.

    Defines the cluster, a private DNS namespace with names for api, web, plugin daemon, sandbox and SSRF
    proxy, a security group for every component, the one-off migration, and one service each for worker, beat,
    plugin daemon, sandbox and SSRF proxy. The frontend, which you define next to it in the same stack, runs
    api and web; another frontend changes only the URL and the limits that these components are told.
    Synthesis fails if no frontend has announced its URL.

    The sandbox runs code of Dify's users. It can reach the SSRF proxy and, in a network with internet egress,
    TCP 443 and DNS anywhere, because Fargate pulls the image, reads secrets and writes logs through the
    task's own network interface. Database, cache, api and plugin daemon do not accept its connections, and
    its task role has no permissions.

    Args:
        data: Database, cache, bucket and secrets.
        cluster: ECS cluster with the capacity providers ``FARGATE`` and, for :class:`Spot`, ``FARGATE_SPOT``.
            Default: one is defined, without Container Insights, after ECS's service-linked role. A cluster of
            yours is defined without us, so nothing here makes sure of the role before it: in an account
            without one, first run
            ``aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com``.
        release: Images. Default: the release that the library is written for.
        architecture: Processor of all tasks but those of the sandbox. Default: x86-64.
        sizes: Size, number of tasks and capacity of single components, also of api and web; that of beat is
            ``scheduler``. Default: one on-demand task each, large enough for a handful of users.
        scheduler: Size of beat. ``None`` runs no beat: schedules, triggers and clean-ups stop, which raises a
            warning and saves one small task. Default: one small task.
        environment: Variables to add, by component: text, or an ``ecs.Secret`` of a Secrets Manager field or
            an SSM parameter. They replace defaults of the library. A variable that follows from the
            architecture is an error, which names the argument to use instead. Default: none.
        sandbox: Extra Python packages and syscalls of the sandbox. Default: the image as it is.
        plugins: Where plugins come from. Default: Dify's marketplace and the public Python package index;
            without internet egress from the subnets of the tasks, uploads only.
        models: What plugins may do with Amazon Bedrock through the plugin daemon's task role. Default:
            nothing.
        mail: How Dify sends mail. Default: it sends none, so that nobody can be invited or reset a password.
        namespace: Name of the private DNS namespace, such as ``dify.internal``. Default: derived from the
            construct's path.
        app_subnets: Where the tasks run: private subnets of the data's VPC, as a list, an
            ``ec2.SubnetSelection`` or the result of ``vpc.select_subnets``. Default: the private subnets,
            else the isolated ones.
        exec_components: Components whose containers can be entered by ECS Exec. Everybody with
            ``ecs:ExecuteCommand`` can then open a shell and read their secrets, so list them only while you
            need it; ``execute_command`` of the service is the command to run. If your own ``cluster``
            encrypts or logs sessions, grant that to the task roles yourself. Sandbox, SSRF proxy and
            migration cannot be listed, and Lambda functions have no shell. Default: none.

    Raises:
        ValueError: If a size is not possible for its component, a variable must not be set or is read by
            nobody, the VPC has no private subnets, one of ``app_subnets`` is public, the namespace is
            malformed or ends with ``.local``, ``models`` is given where no endpoint leads to Amazon Bedrock,
            or ``exec_components`` holds a component that ECS Exec must not open. At synthesis, if ``cluster``
            is defined in the app and has not the capacity providers.

    Examples:
        >>> workers = DifyWorkers(stack, "Workers", data=data)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        data: DifyData,
        cluster: ecs.ICluster | None = None,
        release: DifyRelease = DEFAULT_RELEASE,
        architecture: Architecture = Architecture.X86_64,
        sizes: Mapping[Component, ComponentSize] | None = None,
        scheduler: ComponentSize | None = DEFAULT_SCHEDULER,
        environment: Environment | None = None,
        sandbox: Sandbox = DEFAULT_SANDBOX,
        plugins: Plugins = DEFAULT_PLUGINS,
        models: Bedrock | None = None,
        mail: SesMail | SmtpMail | None = None,
        namespace: str | None = None,
        app_subnets: Subnets | None = None,
        exec_components: Collection[Component] = (),
    ) -> None:
        super().__init__(scope, id)
        self._announced: PublicEndpoint | None = None
        self._claimed: set[tuple[str, str]] = set()
        self._queue: QueueMetrics | None = None
        tiers = tiers_of(data.vpc, app=app_subnets)
        dns = self._define_namespace(namespace or self._default_namespace(), data.vpc)
        post = define_mail(self, mail, rotation=data.rotation) if mail else MailVariables()
        cluster, providers = (cluster, [cluster]) if cluster else self._define_cluster(data.vpc)
        all_sizes = _all_sizes(sizes or {}, scheduler)
        self._platform = Platform(
            cluster=cluster,
            tiers=tiers,
            data=data,
            release=release,
            architecture=architecture,
            sizes=all_sizes,
            extras=_extras(environment or {}, scheduler),
            options={
                **sandbox.environment(),
                **sandbox.environment_of_callers(),
                **plugins.environment(closed=tiers.closed),
                **post.plain,
            },
            secret_options=post.secrets,
            security_groups=SecurityGroups(self, "Mesh", data=data, tiers=tiers),
            namespace=dns,
            names={component: _define_name(dns, component) for component in NAMED_COMPONENTS},
            ready=[*tiers.way_out, *providers],
            pools=_pools(data, all_sizes),
            exec_components=require_exec(exec_components, has_scheduler=scheduler is not None),
        )
        self._migration = Migration(self, "Migration", platform=self._platform)
        self._mirror = sandbox.pip_mirror_host()
        self._services = self._define_services(scheduler is not None, sandbox)
        if models is not None:
            _require_way_to_models(data.vpc)
            grant_models(self._services[Component.PLUGIN_DAEMON].task.definition.task_role, models)
        self._plugin_targets: list[dict[str, object]] = []
        self._set_attachments()
        self._warn(scheduler, release)
        if tiers.closed:
            self._warn_of_closed_network(plugins, mail, models)
        self._let_resolve(
            f"*.{dns.namespace_name}", self._mirror, plugins.pip_mirror_host(), post.plain.get("SMTP_SERVER")
        )
        for look in (_Announcement, _Hosts, _Connections, _CapacityProviders):
            self.node.add_validation(look(self))
        self.node.add_validation(_Unread(self, sizes or {}))

    @property
    def platform(self) -> Platform:
        """Cluster, subnets, images, sizes and other things that a frontend defines api and web with."""
        return self._platform

    @property
    def cluster(self) -> ecs.ICluster:
        """The ECS cluster."""
        return self._platform.cluster

    @property
    def namespace(self) -> str:
        """Name of the private DNS namespace."""
        return self._platform.namespace.namespace_name

    @property
    def is_announced(self) -> bool:
        """Whether a frontend has announced the public URL."""
        return self._announced is not None

    @property
    def migration(self) -> Construct:
        """What to depend on before running Dify's code: afterwards the database schema is up to date."""
        return self._migration.resource

    @property
    def migration_family(self) -> str:
        """Family of the migration's task definition."""
        return self._migration.task.definition.family

    @property
    def services(self) -> Mapping[Component, ComponentService]:
        """The service of each background component."""
        return dict(self._services)

    def hold_back(self, services: Mapping[Component, ComponentService]) -> None:
        """Let services start in the order in which a release of Dify needs them. Frontends call it.

        First the migration, then what runs on its schema, then the pages that call api. Each service waits
        until CloudFormation says that the one before it is stable; where that one is not among the services,
        such as an api that a function runs, it waits for the migration. The plugin daemon, which the
        migration calls, waits for database and cache only, and the proxy for nothing.

        Args:
            services: The services of one frontend, by component.
        """
        for component, service in services.items():
            before = component.spec.starts_after
            if before is not None:
                service.wait_for(services[before].resource if before in services else self.migration)
            elif component.spec.uses_data:
                data = self._platform.data
                service.wait_for(data.initialization, data.cache)

    def announce(self, endpoint: PublicEndpoint) -> None:
        """Tell the background components the public URL of Dify and what the frontend there supports.

        Frontends call it unless they have ``announce=False``; only one may.

        Args:
            endpoint: URL, limits and timeouts of the frontend.

        Raises:
            ValueError: If another frontend has announced its URL, or ``environment`` sets a variable that
                follows from the limits of this one.
        """
        if self._announced is not None:
            raise ValueError(
                f"{self.node.path} has its public URL already; only one frontend can announce it, "
                "give the others announce=False"
            )
        self._announced = endpoint
        self._let_resolve(*endpoint.hosts)
        for service in self._services.values():
            service.task.announce(endpoint)
        if endpoint.internal:  # HTTP nodes may call Dify's own address although it is a private one
            proxy = self._services[Component.SSRF_PROXY]
            proxy.task.replace_command(self._proxy_start(allowed_hosts=endpoint.hosts))

    def admit_plugin_targets(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Register the plugin daemon as a target of a load balancer, for ``/e/*``. Frontends call it.

        Args:
            target_group: Target group that a listener rule forwards to: ECS refuses one without a listener.

        Raises:
            ValueError: If the daemon has as many as ECS takes.

        See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/register-multiple-targetgroups.html
        """
        if len(self._plugin_targets) == _TARGET_GROUPS:
            raise ValueError(
                f"{self.node.path} stands behind {_TARGET_GROUPS} load balancers already, and an ECS service "
                "registers with no more: use other workers for another frontend"
            )
        self._plugin_targets.append(
            {
                "ContainerName": str(Component.PLUGIN_DAEMON),
                "ContainerPort": Component.PLUGIN_DAEMON.port,
                "TargetGroupArn": target_group.target_group_arn,
            }
        )
        self._services[Component.PLUGIN_DAEMON].override("LoadBalancers", self._plugin_targets)
        # Refused without a load balancer, so it cannot be there from the start.
        self._services[Component.PLUGIN_DAEMON].override("HealthCheckGracePeriodSeconds", START_SECONDS)
        self._services[Component.PLUGIN_DAEMON].wait_for(target_group.load_balancer_attached)

    def measure_queue(self) -> QueueMetrics:
        """Define what measures the job queue, unless it is defined already, and return its metrics.

        A worker with ``Scaling`` calls it, and so does ``DifyMonitoring``; without them nothing is measured.
        It costs a small Lambda function that runs every minute, and three custom metrics of 0.30 USD a month
        each.

        Returns:
            A construct with ``metric_waiting_jobs()``, ``metric_connected_workers()`` and
            ``metric_waiting_jobs_per_worker()``, for alarms and graphs of your own.
        """
        if self._queue is None:
            self._queue = QueueMetrics(
                self, "QueueMetrics", data=self._platform.data, tiers=self._platform.tiers
            )
        return self._queue

    def claim(self, what: str, name: str) -> None:
        """Reserve a name that AWS lets only one frontend have. Frontends call it.

        Args:
            what: What the name is, for the error: such as ``host name``.
            name: The name.

        Raises:
            ValueError: If another frontend of these workers has reserved it.
        """
        if (what, name) in self._claimed:
            raise ValueError(
                f"another frontend beside {self.node.path} has the {what} {name} already: two cannot stand "
                "side by side with it"
            )
        self._claimed.add((what, name))

    def admit_plugin_discovery(self) -> str:
        """Register the plugin daemon for private integrations of API Gateway, once for all frontends.

        Frontends call it.

        Returns:
            Its discovery name in AWS Cloud Map.

        Raises:
            ValueError: If the daemon's size leaves no room for the proxy of Service Connect.
        """
        with_room_for_proxy(Component.PLUGIN_DAEMON, self._platform.sizes[Component.PLUGIN_DAEMON])
        self._services[Component.PLUGIN_DAEMON].join_service_connect(PLUGIN_DISCOVERY_NAME)
        return PLUGIN_DISCOVERY_NAME

    def _set_attachments(self) -> None:
        """Set LoadBalancers and ServiceConnectConfiguration of the plugin daemon explicitly, even when empty.

        ECS keeps the old value of an absent property, so a removed frontend would stay attached. The L2
        leaves both out.
        """
        self._services[Component.PLUGIN_DAEMON].override("LoadBalancers", [])
        self._services[Component.PLUGIN_DAEMON].override("ServiceConnectConfiguration", {"Enabled": False})

    def _default_namespace(self) -> str:
        unique = name_of(self, longest=_LONGEST_LABEL)
        return f"{unique.lower()}.internal"

    def _define_namespace(self, name: str, vpc: ec2.IVpc) -> servicediscovery.PrivateDnsNamespace:
        meaning = "a lower-case DNS name with at least two labels, such as dify.internal"
        require_match("DifyWorkers.namespace", name, _NAMESPACE, meaning)
        if name.endswith(".local"):
            raise ValueError(
                f"DifyWorkers.namespace must not end with .local, which multicast DNS owns, got {name!r}"
            )
        return servicediscovery.PrivateDnsNamespace(self, "Namespace", name=name, vpc=vpc, description="Dify")

    def _define_cluster(self, vpc: ec2.IVpc) -> tuple[ecs.ICluster, list[IDependable]]:
        cluster = ecs.Cluster(self, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.DISABLED)
        cluster.node.add_dependency(ServiceRole(self, "ServiceRole", service=ECS).resource)
        # The cluster's own switch defines this in an aspect, too late for services to depend on it: ECS
        # refuses a service whose capacity provider is not associated yet.
        providers = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "CapacityProviders",
            cluster=cluster.cluster_name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategy=[],
        )
        reason = (
            "CPU and memory of every service are metrics without it; pass your own cluster to pay for more"
        )
        acknowledge(cluster, {"AwsSolutions-ECS4": reason})
        return cluster, [providers]

    def _define_services(self, with_scheduler: bool, sandbox: Sandbox) -> dict[Component, ComponentService]:
        starts = {Component.SANDBOX: _sandbox_start(sandbox), Component.SSRF_PROXY: self._proxy_start()}
        services = {
            component: ComponentService(
                self,
                component.construct_id,
                component=component,
                platform=self._platform,
                endpoint=None,
                start=starts.get(component),
            )
            for component in hosted_by(Host.WORKERS, {"scheduler"} if with_scheduler else ())
        }
        self.hold_back(services)
        tasks = self._platform.sizes[Component.WORKER].tasks
        if isinstance(tasks, Scaling):
            services[Component.WORKER].follow_queue(
                self.measure_queue().metric_waiting_jobs_per_worker(),
                tasks.waiting_jobs or DEFAULT_WAITING_JOBS,
            )
        return services

    def _proxy_start(self, allowed_hosts: Sequence[str] = ()) -> Start:
        configuration = squid.configuration(
            port=Component.SSRF_PROXY.port,
            allowed_hosts=[*allowed_hosts, *([self._mirror] if self._mirror else [])],
            network=[_network_of_address(self._platform.data.vpc.vpc_cidr_block)],
        )
        entry_point, command = squid.command(configuration)
        return Start(entry_point=entry_point, command=command)

    def _warn(self, scheduler: ComponentSize | None, release: DifyRelease) -> None:
        validations = cdk.Validations.of(self)
        platform = self._platform
        savings = saving_warnings(
            platform.sizes,
            has_scheduler=scheduler is not None,
            database_pauses=platform.data.database.pauses,
        )
        for id, text in savings.items():
            validations.add_warning(id, text)
        if not release.is_tested:
            validations.add_warning(
                "DifyReleaseUntested",
                "this combination of image tags is not one that this version of dify-cdk knows",
            )

        if release.hides_its_registry:
            validations.add_warning(
                "DifyReleaseRegistry",
                "the registry is known only at deployment, so that no task is allowed to pull from Amazon "
                "ECR: if it is there, write registry_uri of one of its repositories, or its host",
            )
        if release.differing:
            validations.add_warning(
                "DifyReleaseImages",
                f"{', '.join(release.differing)} and api have images of their own, where Dify has one: they "
                "may run different code, and the migration prepares the database for its own only; "
                "images={Component.API: ...} stands for all that share it",
            )

    def _let_resolve(self, *hosts: str | None) -> None:
        """Have the network's DNS answer for names that tasks use by what they are told here."""
        network = network_of(self._platform.data.vpc)
        for host in hosts:
            if network is not None and host is not None and not is_token(host):
                network.resolve(host)

    def _warn_of_closed_network(
        self, plugins: Plugins, mail: SesMail | SmtpMail | None, models: Bedrock | None
    ) -> None:
        validations = cdk.Validations.of(self)
        self._warn_of_registry(self._platform.release)
        if network_of(self._platform.data.vpc) is None and self._platform.exec_components:
            validations.add_warning(
                "DifyWorkersExecEndpoint",
                "the subnets of the tasks have no internet egress, so that ECS Exec needs an interface "
                "endpoint for ssmmessages in your VPC, which a DifyNetwork would have",
            )
        if network_of(self._platform.data.vpc) is None:
            validations.add_warning(
                "DifyWorkersEndpoints",
                "the subnets of the tasks have no internet egress, and the VPC is your own: give it a "
                f"gateway endpoint for s3 and interface endpoints for {', '.join(ENDPOINT_SERVICES)}, each "
                "with a policy like those of a DifyNetwork, or tasks can use them with keys of any account",
            )
        if plugins.pip_mirror_url is None:
            validations.add_warning(
                "DifyWorkersClosedPlugins",
                "the subnets of the tasks have no internet egress, so that plugins cannot install the Python "
                "packages they need: pass plugins=Plugins(pip_mirror_url=...)",
            )
        if isinstance(mail, SesMail):
            validations.add_warning(
                "DifyWorkersClosedMail",
                "the subnets of the tasks have no internet egress: Amazon SES needs an interface endpoint "
                "for email-smtp that lets api and worker in on port 587, in zones that have it",
            )
        if models is not None and models.assume_roles:
            validations.add_warning(
                "DifyWorkersClosedRoles",
                "the subnets of the tasks have no internet egress: assume_roles of Bedrock needs an "
                "interface endpoint for sts that lets the plugin daemon in",
            )
        region = cdk.Stack.of(self).region
        if models is not None and models.regions is not None and not is_token([region, *models.regions]):
            self._warn_of_other_regions(region, models.regions)

    def _warn_of_registry(self, release: DifyRelease) -> None:
        validations = cdk.Validations.of(self)
        if release.registry is None and any(release.own_image(component) is None for component in Component):
            validations.add_warning(
                "DifyWorkersClosedNetwork",
                "the subnets of the tasks have no internet egress, but the images come from Docker Hub: "
                "pass release=DifyRelease(registry=...)",
            )
        place, network = ecr_registry(release.registry), network_of(self._platform.data.vpc)
        stack = cdk.Stack.of(self)
        if place is not None and not place.plain:
            validations.add_warning(
                "DifyWorkersRegistryHost",
                f"the endpoints of a closed network do not answer for {place.host}: write "
                f"{place.account}.dkr.ecr.{place.region}.amazonaws.com, with .cn in China",
            )
        if place is None or network is None or is_token(release.registry):
            return
        if not is_token(stack.region) and place.region != stack.region:
            validations.add_warning(
                "DifyWorkersRegistryRegion",
                f"the endpoints of the network lead to Amazon ECR in {stack.region} only, but the images are "
                f"in {place.region}: replicate them",
            )
        if not is_token(stack.account) and place.account not in (stack.account, *network.trusted_accounts):
            validations.add_warning(
                "DifyWorkersRegistryAccount",
                f"the endpoints of the network let no image of account {place.account} in: pass "
                f"DifyNetwork(trusted_accounts=[{place.account!r}])",
            )

    def _warn_of_other_regions(self, region: str, allowed: Sequence[str]) -> None:
        if region in allowed:
            return
        cdk.Validations.of(self).add_warning(
            "DifyWorkersClosedModels",
            "the subnets of the tasks have no internet egress, and the endpoints of Amazon Bedrock lead to "
            f"the stack's own region {region}: add it to Bedrock.regions, which are {', '.join(allowed)}",
        )


@jsii.implements(IValidation)
class _Announcement:
    """Says at synthesis that a frontend is missing; until then one may still be added."""

    def __init__(self, workers: DifyWorkers) -> None:
        self._workers = workers

    def validate(self) -> list[str]:
        """The errors."""
        if self._workers.is_announced:
            return []
        return [
            f"{self._workers.node.path} has no frontend: add one, such as DifyAlbFrontend(..., workers=...)"
        ]


@jsii.implements(IValidation)
class _Hosts:
    """Says at synthesis that nothing runs a component, such as a frontend of the user's own without web."""

    def __init__(self, workers: DifyWorkers) -> None:
        self._workers = workers

    def validate(self) -> list[str]:
        """The errors."""
        if not self._workers.is_announced:
            return []
        hosted = self._workers.platform.hosted
        return [
            f"{self._workers.node.path}: nothing runs {component}, which {component.spec.host} has to: "
            "define a ComponentService for it there"
            for component in Component
            if component.spec.option is None and component not in hosted
        ]


@jsii.implements(IValidation)
class _Connections:
    """Warns at synthesis, when all services are known, of more connections than the database takes."""

    def __init__(self, workers: DifyWorkers) -> None:
        self._workers = workers

    def validate(self) -> list[str]:
        """No errors: tasks that scale so far may never come together."""
        platform = self._workers.platform
        available = platform.data.database.max_connections
        found = None if available is None else too_many(platform.parts, available)
        if found:
            cdk.Validations.of(self._workers).add_warning(
                "DifyDatabaseConnections",
                f"Dify can open more connections than the {available} that the database takes with this "
                f"DatabaseCapacity.max_acu, and requests fail then: {found}; raise max_acu, or let less run "
                "at once",
            )
        return []


@jsii.implements(IValidation)
class _Unread:
    """Warns at synthesis of what is given for components that nothing runs.

    No error: the same workers may stand behind another frontend tomorrow.
    """

    def __init__(self, workers: DifyWorkers, sizes: Collection[Component]) -> None:
        self._workers = workers
        self._sizes = sizes

    def validate(self) -> list[str]:
        """No errors."""
        platform = self._workers.platform
        if not self._workers.is_announced:  # the error about that comes first
            return []
        given = {
            "sizes": set(self._sizes) - platform.sized,
            "environment": {one for one, own in platform.extras.items() if own} - platform.hosted,
            "exec_components": set(platform.exec_components) - platform.sized,
        }
        found = [
            f"{name}= holds {', '.join(sorted(ones))}, which {'run' if len(ones) > 1 else 'runs'} in no task"
            for name, ones in given.items()
            if ones
        ]
        if found:
            cdk.Validations.of(self._workers).add_warning(
                "DifyWorkersUnread",
                f"{'; '.join(found)}: nobody reads that. api_websocket needs collaboration=True of "
                "the frontend, and functions of DifyCloudFrontLambdaFrontend have sizes of their own, "
                "api= and web=",
            )
        return []


@jsii.implements(IValidation)
class _CapacityProviders:
    """Says at synthesis that a cluster of the app lacks what services ask for: its switch is an aspect."""

    def __init__(self, workers: DifyWorkers) -> None:
        self._workers = workers

    def validate(self) -> list[str]:
        """The errors."""
        platform = self._workers.platform
        cluster = platform.cluster  # of an imported one nothing is known, and ours has them
        if not isinstance(cluster, ecs.Cluster) or cluster.node.scope is self._workers:
            return []
        spot = any(platform.sizes[component].spot is not None for component in platform.sized)
        wanted = ["FARGATE", *(["FARGATE_SPOT"] if spot else [])]
        found = _capacity_providers_of(cluster)
        missing = [name for name in wanted if name not in found]
        if not missing or is_token(found):
            return []
        return [
            f"{cluster.node.path} has no capacity provider {' and '.join(missing)}, which the "
            f"services of {self._workers.node.path} ask for: define it with "
            "enable_fargate_capacity_providers=True"
        ]


def _capacity_providers_of(cluster: ecs.Cluster) -> list[str]:
    found: list[str] = []
    for construct in cluster.node.find_all():
        if isinstance(construct, ecs.CfnClusterCapacityProviderAssociations | ecs.CfnCluster):
            found += cdk.Stack.of(cluster).resolve(construct.capacity_providers) or []
    return found


def _require_way_to_models(vpc: ec2.IVpc) -> None:
    network = network_of(vpc)
    if network is not None and network.egress is Egress.ISOLATED and network.model_endpoints is None:
        raise ValueError(
            f"DifyWorkers.models needs a way to Amazon Bedrock, and {network.node.path} is isolated and has "
            "no endpoint of it: give it model_endpoints=True, where AWS has Bedrock"
        )


def _pools(data: DifyData, sizes: Mapping[Component, ComponentSize]) -> Pools:
    """What the database leaves for each process, with one api_websocket whether it runs or not."""
    tasks = {
        component: sizes[component].most_tasks
        for component in (Component.API, Component.API_WEBSOCKET, Component.WORKER)
    }
    available = data.database.max_connections
    if available is None or is_token(list(tasks.values())):
        return DEFAULT_POOLS
    return pools_for(available, tasks)


def _network_of_address(cidr: str) -> str:
    """The range itself: until a VPC is looked up, the CDK's stand-in for it has an address with host bits."""
    return cidr if is_token(cidr) else str(ipaddress.ip_network(cidr, strict=False))


def _all_sizes(
    own: Mapping[Component, ComponentSize], scheduler: ComponentSize | None
) -> dict[Component, ComponentSize]:
    if Component.BEAT in own:
        raise ValueError("sizes of beat: use scheduler= of DifyWorkers")
    return sizes_with(own if scheduler is None else {**own, Component.BEAT: scheduler})


def _extras(own: Environment, scheduler: ComponentSize | None) -> Environment:
    if scheduler is None and own.get(Component.BEAT):
        raise ValueError(
            "environment of beat: scheduler=None of DifyWorkers runs none, so that nobody reads it"
        )
    return own


def _define_name(
    namespace: servicediscovery.PrivateDnsNamespace, component: Component
) -> servicediscovery.Service:
    return servicediscovery.Service(
        namespace,
        component.construct_id,
        namespace=namespace,
        name=component.dns_label,
        dns_record_type=servicediscovery.DnsRecordType.A,
        dns_ttl=cdk.Duration.seconds(_DNS_TTL_SECONDS),
        custom_health_check=servicediscovery.HealthCheckCustomConfig(failure_threshold=1),
    )


def _sandbox_start(sandbox: Sandbox) -> Start:
    return Start(entry_point=sandbox.entry_point(), command=sandbox.command())
