"""A frontend that is no part of the package: a network load balancer, and nginx that knows the routes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from dify_cdk import Component, ComponentService, DifyWorkers, Limits, PublicEndpoint, Route, routes_to

NGINX = "public.ecr.aws/nginx/nginx:1.28"
PORT = 8080
IDLE_SECONDS = 350  # of a TLS listener of a network load balancer, which cannot be changed

SERVER = """
log_format dify '$status $upstream_header_time';
server {{
  listen {port};
  access_log /dev/stdout dify;
  resolver 169.254.169.253 valid=10s;
  if ($request_uri ~* "^[^?]*([.][.]|%2e)") {{ return 400; }}
  client_max_body_size 0;
  proxy_request_buffering off;
  proxy_buffering off;
  proxy_http_version 1.1;
  proxy_read_timeout {seconds}s;
  proxy_set_header Host $host;
  proxy_set_header CF-Connecting-IP $remote_addr;
  proxy_set_header X-Forwarded-Proto https;
{locations}}}
"""


class NlbFrontend(Construct):
    """A network load balancer with TLS, which cannot tell paths apart, and nginx behind it, which can.

    Args:
        workers: The background components; api and web take images, sizes and variables from them.
        host_name: Host name of the certificate; a record of yours leads to the load balancer.
        certificate: In the region of the stack.
        networks: IPv4 networks that may enter.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        workers: DifyWorkers,
        host_name: str,
        certificate: acm.ICertificate,
        networks: list[str],
    ) -> None:
        super().__init__(scope, id)
        self._limits = Limits(
            request_timeout_seconds=IDLE_SECONDS, streaming=True, websocket=False, max_body_mb=None
        )
        endpoint = PublicEndpoint(
            scheme="https", host=host_name, limits=self._limits, idle_timeout_seconds=IDLE_SECONDS
        )
        self._url = endpoint.url
        self._services = {
            component: ComponentService(
                self,
                component.construct_id,
                component=component,
                platform=workers.platform,
                endpoint=endpoint,
            )
            for component in (Component.API, Component.WEB)
        }
        workers.hold_back(self._services)
        self._log = logs.LogGroup(self, "Log", retention=logs.RetentionDays.ONE_MONTH)
        ends = {
            **self._services,
            Component.PLUGIN_DAEMON: workers.services[Component.PLUGIN_DAEMON],
        }
        nginx = self._define_nginx(workers, [self._location(route, workers) for route in routes_to(ends)])
        for component, service in ends.items():
            service.connections.allow_from(nginx, ec2.Port.tcp(component.port), "nginx")
        self._define_load_balancer(workers, certificate, networks, nginx)
        workers.announce(endpoint)

    @property
    def url(self) -> str:
        """What users type."""
        return self._url

    @property
    def limits(self) -> Limits:
        """What it supports."""
        return self._limits

    @property
    def services(self) -> dict[Component, ComponentService]:
        """The services of api and web."""
        return dict(self._services)

    @property
    def functions(self) -> dict[Component, lambda_.FunctionBase]:
        """None."""
        return {}

    def error_metric(self) -> cloudwatch.Metric:
        """What nginx answers with status 5xx; a load balancer that sees no requests counts none."""
        pattern = logs.FilterPattern.literal("[status=5*, seconds]")
        return self._read_log("Errors", pattern, "1", "Sum")

    def latency_metric(self) -> cloudwatch.Metric:
        """In how many seconds answers begin."""
        pattern = logs.FilterPattern.literal("[status, seconds>=0]")
        return self._read_log("Latency", pattern, "$seconds", "p90")

    def _read_log(
        self, name: str, pattern: logs.IFilterPattern, value: str, statistic: str
    ) -> cloudwatch.Metric:
        found = self.node.try_find_child(name) or logs.MetricFilter(
            self,
            name,
            log_group=self._log,
            filter_pattern=pattern,
            metric_namespace=cdk.Names.unique_resource_name(self, separator="/"),
            metric_name=name,
            metric_value=value,
        )
        assert isinstance(found, logs.MetricFilter)
        return found.metric(statistic=statistic, period=cdk.Duration.minutes(5))

    def _location(self, route: Route, workers: DifyWorkers) -> str:
        end = "" if route.prefix.endswith("/") else "(/|$)"
        host = f"{route.component.dns_label}.{workers.namespace}"
        # With a variable nginx asks for the address again when a task has been replaced.
        return (
            f"  location ~ ^{route.prefix}{end} "
            f"{{ set $end http://{host}:{route.component.port}; proxy_pass $end; }}\n"
        )

    def _define_nginx(self, workers: DifyWorkers, locations: list[str]) -> ecs.FargateService:
        server = SERVER.format(port=PORT, seconds=IDLE_SECONDS, locations="".join(locations))
        task = ecs.FargateTaskDefinition(self, "Task", cpu=256, memory_limit_mib=512)
        task.add_container(
            "nginx",
            image=ecs.ContainerImage.from_registry(NGINX),
            environment={"SERVER": server},
            entry_point=["sh", "-c"],
            command=['printf %s "$SERVER" > /etc/nginx/conf.d/default.conf && exec nginx -g "daemon off;"'],
            port_mappings=[ecs.PortMapping(container_port=PORT)],
            logging=ecs.LogDrivers.aws_logs(stream_prefix="nginx", log_group=self._log),
        )
        return ecs.FargateService(
            self,
            "Nginx",
            cluster=workers.cluster,
            task_definition=task,
            desired_count=2,
            min_healthy_percent=100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            vpc_subnets=ec2.SubnetSelection(subnets=workers.platform.tiers.app),
        )

    def _define_load_balancer(
        self,
        workers: DifyWorkers,
        certificate: acm.ICertificate,
        networks: list[str],
        nginx: ecs.FargateService,
    ) -> None:
        vpc = workers.platform.data.vpc
        group = ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, allow_all_outbound=False)
        for network in networks:
            group.add_ingress_rule(ec2.Peer.ipv4(network), ec2.Port.tcp(443), "Users")
        nginx.connections.allow_from(group, ec2.Port.tcp(PORT), "Load balancer")
        balancer = elbv2.NetworkLoadBalancer(
            self,
            "Nlb",
            vpc=vpc,
            internet_facing=True,
            vpc_subnets=ec2.SubnetSelection(subnets=workers.platform.tiers.public),
            security_groups=[group],
        )
        listener = balancer.add_listener(
            "Tls",
            port=443,
            protocol=elbv2.Protocol.TLS,
            certificates=[certificate],
            ssl_policy=elbv2.SslPolicy.TLS13_RES,
        )
        # Else nginx would see the load balancer's address in the place of the user's.
        listener.add_targets(
            "Targets", port=PORT, protocol=elbv2.Protocol.TCP, targets=[nginx], preserve_client_ip=True
        )
