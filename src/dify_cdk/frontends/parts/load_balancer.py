"""A load balancer with its listeners, target groups, access rules and logs."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_s3 as s3
from constructs import Construct

from dify_cdk._checks import is_token
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.prefix_lists import CLOUDFRONT, managed_prefix_list
from dify_cdk.dify.components import Component, HttpHealth
from dify_cdk.dify.routes import (
    DOT_SEGMENT,
    DOT_SEGMENT_PRIORITY,
    PLUGIN_HOST_PRIORITY,
    STATIC_PATTERN,
    STATIC_PRIORITY,
    RouteClass,
    alb_rules,
)
from dify_cdk.frontends.parts.access_logs import define_log_bucket
from dify_cdk.frontends.parts.clients import Clients, Everybody, FromCloudFront, Networks
from dify_cdk.frontends.parts.cognito import CognitoLogin
from dify_cdk.frontends.parts.names import global_name
from dify_cdk.network.network import (
    DifyNetwork,
    Subnets,
    chosen_subnets,
    network_of,
    one_per_zone,
    require_two_zones,
)
from dify_cdk.options.access import ANYONE_IPV4, ANYONE_IPV6
from dify_cdk.workers.component_service import ComponentService, Platform

_DRAIN_SECONDS = 30
_RULES_PER_GROUP = 60  # inbound rules of one security group, counted for IPv4 and IPv6 apart
_VPC_ORIGIN_NAME_LENGTH = 64
_HTTP, _HTTPS = 80, 443
_NO_DOT_SEGMENTS = "Paths must not have the segments . and .."


class LoadBalancer(Construct):
    """An application load balancer that knows Dify's routes, and refuses the segments ``.`` and ``..``.

    Everything that belongs to one load balancer lives below it, target groups included: a target group
    cannot serve two, so that a change of the scheme replaces the whole and nothing else.

    Args:
        platform: Where the services run.
        public: Whether it has public addresses.
        clients: Who may enter.
        certificate: Turns on TLS, and redirects HTTP to it; behind CloudFront there is no HTTP then. Default:
            plain HTTP.
        idle_timeout_seconds: Idle timeout of a connection, 1 to 4000.
        subnets: Where it stands. Default: the first public, or else app subnet of each zone.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        platform: Platform,
        public: bool,
        clients: Clients,
        certificate: acm.ICertificate | None,
        idle_timeout_seconds: int,
        subnets: Subnets | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._vpc = platform.data.vpc
        dual_stack = _speaks_ipv6(self._vpc, clients, public)
        chosen = _own_subnets(self._vpc, subnets, public) if subnets is not None else []
        found = chosen or one_per_zone(platform.tiers.public if public else platform.tiers.app)
        if not found:
            raise ValueError(
                f"a public load balancer needs public subnets, and vpc {self._vpc.node.path} has none: "
                "add some, or pass scheme=AlbScheme.INTERNAL"
            )
        require_two_zones("a load balancer", found)
        self._group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=self._vpc, allow_all_outbound=False, description="Dify load balancer"
        )
        self._alb = elbv2.ApplicationLoadBalancer(
            self,
            "Alb",
            vpc=self._vpc,
            internet_facing=public,
            vpc_subnets=ec2.SubnetSelection(subnets=found),
            security_group=self._group,
            drop_invalid_header_fields=True,
            idle_timeout=cdk.Duration.seconds(idle_timeout_seconds),
            ip_address_type=elbv2.IpAddressType.DUAL_STACK if dual_stack else elbv2.IpAddressType.IPV4,
        )
        if dual_stack and _is_ipv4_only(found):
            self._warn_of_ipv4()
        self._alb.log_access_logs(self._define_log_bucket())
        self._ports = _ports(certificate, clients)
        self._admit(clients, dual_stack)
        self._listener = self._define_listeners(certificate)
        self._refuse_dot_segments()

    @property
    def alb(self) -> elbv2.ApplicationLoadBalancer:
        """The load balancer."""
        return self._alb

    def route(
        self,
        services: Sequence[ComponentService],
        login: CognitoLogin | None = None,
        plugin_host: str | None = None,
    ) -> dict[Component, elbv2.ApplicationTargetGroup]:
        """Send each route of the table to the service that answers it, and the rest to web.

        Args:
            services: The services to register as targets.
            login: What stands before pages and scripts. Default: nothing.
            plugin_host: Host name under which plugins answer, and nothing else. Default: they have none.

        Returns:
            The target group of every component that a route leads to, for services to register themselves.
        """
        own = {service.component: service for service in services}
        components = [*own, Component.PLUGIN_DAEMON]
        groups = {component: self._define_targets(component, own.get(component)) for component in components}
        for rule in alb_rules(components):
            forward = elbv2.ListenerAction.forward([groups[rule.route.component]])
            action = login.guard(rule.route.route_class, forward) if login else forward
            own_host = plugin_host if rule.route.component is Component.PLUGIN_DAEMON else None
            priority = PLUGIN_HOST_PRIORITY if own_host else rule.priority
            self._define_rule(rule.route.construct_id, priority, rule.patterns, action, host=own_host)
        if plugin_host:
            nothing = elbv2.ListenerAction.fixed_response(404)
            self._define_rule("PluginHost", PLUGIN_HOST_PRIORITY + 1, (), nothing, host=plugin_host)
        if Component.WEB not in groups:
            self._listener.add_action("Default", action=elbv2.ListenerAction.fixed_response(404))
            return groups
        pages = elbv2.ListenerAction.forward([groups[Component.WEB]])
        self._listener.add_action("Default", action=login.guard(RouteClass.PAGE, pages) if login else pages)
        if login:
            self._define_rule("Static", STATIC_PRIORITY, [STATIC_PATTERN], pages)
        return groups

    def allow_to(self, service: ComponentService) -> None:
        """Let the load balancer reach a service that registers its targets itself."""
        port = ec2.Port.tcp(service.component.port)
        self._alb.connections.allow_to(service.service, port, "Load balancer")

    def vpc_origin(self, read_timeout_seconds: int) -> cloudfront.IOrigin:
        """The load balancer as CloudFront reaches it through a VPC origin, with TLS where it has any.

        The origin's id names its protocol: one that a distribution uses cannot be changed, only replaced.

        Args:
            read_timeout_seconds: Idle timeout of an answer.

        Raises:
            ValueError: If the network has no internet gateway, which AWS asks for although nothing is routed
                there.
        """
        _require_internet_gateway(self._vpc)
        return origins.VpcOrigin.with_vpc_origin(
            self._define_vpc_origin(),
            domain_name=self._alb.load_balancer_dns_name,
            read_timeout=cdk.Duration.seconds(read_timeout_seconds),
        )

    def _warn_of_ipv4(self) -> None:
        cdk.Validations.of(self).add_warning(
            "DifyAlbIpv6",
            f"Access.ipv6 needs subnets with IPv6 addresses, and those of {self._vpc.node.path} are defined "
            "without: AWS refuses such a load balancer",
        )

    def _define_vpc_origin(self) -> cloudfront.VpcOrigin:
        secure = _HTTPS in self._ports
        policies = cloudfront.OriginProtocolPolicy
        id = "HttpsVpcOrigin" if secure else "HttpVpcOrigin"
        origin = cloudfront.VpcOrigin(
            self,
            id,
            endpoint=cloudfront.VpcOriginEndpoint.application_load_balancer(self._alb),
            vpc_origin_name=global_name(self, id, longest=_VPC_ORIGIN_NAME_LENGTH),
            protocol_policy=policies.HTTPS_ONLY if secure else policies.HTTP_ONLY,
        )
        # CloudFront refuses every change of one in use, tags included, and the L2 cannot leave them out:
        # https://github.com/aws/aws-cdk/issues/35765
        resource = origin.node.default_child
        assert isinstance(resource, cloudfront.CfnVpcOrigin)
        resource.add_property_deletion_override("Tags")
        # Routes wait for the gateway to be attached; the VPC's own promise covers the gateway alone.
        origin.node.add_dependency(
            *(subnet.internet_connectivity_established for subnet in self._vpc.public_subnets)
        )
        return origin

    def _refuse_dot_segments(self) -> None:
        """Answer 400, before all routes; the L2 has no regular expressions, and patterns no percent sign."""
        elbv2.CfnListenerRule(
            self,
            "DotSegments",
            listener_arn=self._listener.listener_arn,
            priority=DOT_SEGMENT_PRIORITY,
            conditions=[
                elbv2.CfnListenerRule.RuleConditionProperty(
                    field="path-pattern",
                    path_pattern_config=elbv2.CfnListenerRule.PathPatternConfigProperty(
                        regex_values=[DOT_SEGMENT]
                    ),
                )
            ],
            actions=[
                elbv2.CfnListenerRule.ActionProperty(
                    type="fixed-response",
                    fixed_response_config=elbv2.CfnListenerRule.FixedResponseConfigProperty(
                        status_code="400", content_type="text/plain", message_body=_NO_DOT_SEGMENTS
                    ),
                )
            ],
        )

    def _define_rule(
        self,
        id: str,
        priority: int,
        patterns: Sequence[str],
        action: elbv2.ListenerAction,
        host: str | None = None,
    ) -> None:
        paths = [elbv2.ListenerCondition.path_patterns(list(patterns))] if patterns else []
        hosts = [elbv2.ListenerCondition.host_headers([host])] if host else []
        elbv2.ApplicationListenerRule(
            self,
            id,
            listener=self._listener,
            priority=priority,
            conditions=[*hosts, *paths],
            action=action,
        )

    def _define_targets(
        self, component: Component, service: ComponentService | None
    ) -> elbv2.ApplicationTargetGroup:
        health = component.spec.health
        assert isinstance(health, HttpHealth)  # what a route leads to speaks HTTP
        targets = []
        if service is not None:
            target = service.service.load_balancer_target(
                container_name=component, container_port=component.port
            )
            targets.append(target)
        return elbv2.ApplicationTargetGroup(
            self,
            f"{component.construct_id}Targets",
            vpc=self._vpc,
            port=component.port,
            protocol=elbv2.ApplicationProtocol.HTTP,
            target_type=elbv2.TargetType.IP,
            targets=targets,
            deregistration_delay=cdk.Duration.seconds(_DRAIN_SECONDS),
            stickiness_cookie_duration=cdk.Duration.days(1) if component is Component.API_WEBSOCKET else None,
            health_check=elbv2.HealthCheck(
                path=health.path,
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(30),
                timeout=cdk.Duration.seconds(10),
                healthy_threshold_count=2,
                unhealthy_threshold_count=5,
            ),
        )

    def _define_listeners(self, certificate: acm.ICertificate | None) -> elbv2.ApplicationListener:
        if certificate is None:
            return self._define_http(None)
        if _HTTP in self._ports:
            redirect = elbv2.ListenerAction.redirect(protocol="HTTPS", port=str(_HTTPS), permanent=True)
            self._define_http(redirect)
        return self._alb.add_listener(
            "Https",
            port=_HTTPS,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            open=False,
            certificates=[certificate],
            ssl_policy=elbv2.SslPolicy.TLS13_RES,
        )

    def _define_http(self, action: elbv2.ListenerAction | None) -> elbv2.ApplicationListener:
        # One id with and without TLS: CloudFormation adds before it removes, and a load balancer refuses a
        # second listener on a port.
        return self._alb.add_listener(
            "Http", port=_HTTP, protocol=elbv2.ApplicationProtocol.HTTP, open=False, default_action=action
        )

    def _admit(self, clients: Clients, dual_stack: bool) -> None:
        match clients:
            case FromCloudFront():
                self._admit_cloudfront()
            case Everybody():
                self._admit_networks((ANYONE_IPV4,), (ANYONE_IPV6,) if dual_stack else ())
                acknowledge(self._group, {"AwsSolutions-EC23": "the caller wrote Access.anyone()"})
            case Networks():
                self._admit_networks(clients.all_ipv4, clients.ipv6 if dual_stack else ())
                if is_token(clients.all_ipv4):
                    reason = "addresses known at deployment are the caller's choice"
                    acknowledge(self._group, {"AwsSolutions-EC23": reason})

    def _admit_networks(self, ipv4: Sequence[str], ipv6: Sequence[str]) -> None:
        most = _RULES_PER_GROUP // len(self._ports)
        for family, networks in (("IPv4", ipv4), ("IPv6", ipv6)):
            if len(networks) > most:
                raise ValueError(
                    f"Access lists {len(networks)} {family} networks, but a security group holds {most} "
                    f"for the ports {', '.join(map(str, self._ports))}: merge some of them"
                )
            for network in networks:
                peer = ec2.Peer.ipv4(network) if family == "IPv4" else ec2.Peer.ipv6(network)
                for port in self._ports:
                    self._group.add_ingress_rule(peer, ec2.Port.tcp(port), "Access")

    def _admit_cloudfront(self) -> None:
        """One rule for every port a listener may have, as the list counts as 55 of the group's 60 rules.

        A rule of another port would be added before the old one goes: too many, where TLS comes or goes.
        """
        peer = managed_prefix_list(self, "CloudFrontPrefixList", CLOUDFRONT)
        self._group.add_ingress_rule(peer, ec2.Port.tcp_range(_HTTP, _HTTPS), "CloudFront")

    def _define_log_bucket(self) -> s3.Bucket:
        if is_token(cdk.Stack.of(self).region):
            raise ValueError(
                "a load balancer's access logs need the stack's region, give the stack "
                "env=cdk.Environment(region=...)"
            )
        return define_log_bucket(self, s3.ObjectOwnership.BUCKET_OWNER_ENFORCED)


def _own_subnets(vpc: ec2.IVpc, given: Subnets, public: bool) -> list[ec2.ISubnet]:
    name = "DifyAlbFrontend.subnets"
    found = chosen_subnets(name, vpc, given)
    by_zone: dict[str, ec2.ISubnet] = {}
    for subnet in found:
        other = by_zone.setdefault(subnet.availability_zone, subnet)
        if other is not subnet:
            raise ValueError(
                f"{name} must hold one subnet for each availability zone, since a load balancer takes no "
                f"second, got {other.node.path} and {subnet.node.path} in {subnet.availability_zone}"
            )
    private = {subnet.node.path for subnet in (*vpc.private_subnets, *vpc.isolated_subnets)}
    for subnet in found:
        if public and subnet.node.path in private:
            raise ValueError(
                f"{name} must hold public subnets, got {subnet.node.path}: choose others, or pass "
                "scheme=AlbScheme.INTERNAL"
            )
    return found


def _ports(certificate: acm.ICertificate | None, clients: Clients) -> tuple[int, ...]:
    """The listeners' ports.

    No browser comes to a load balancer behind CloudFront, which speaks one protocol to it. A redirect on
    port 80 would be what users get from the moment TLS is added until CloudFront has moved to port 443.
    """
    if certificate is None:
        return (_HTTP,)
    match clients:
        case FromCloudFront():
            return (_HTTPS,)
        case Networks() | Everybody():
            return (_HTTP, _HTTPS)


def _speaks_ipv6(vpc: ec2.IVpc, clients: Clients, public: bool) -> bool:
    """Whether the load balancer gets IPv6 addresses, which its subnets must be able to give."""
    network = network_of(vpc)
    match clients:
        case FromCloudFront():
            return False
        case Networks(ipv6=(_, *_)):
            _require_ipv6(network, public)
            return True
        case Networks() | Everybody():
            return network is not None and network.ipv6 and public


def _require_ipv6(network: DifyNetwork | None, public: bool) -> None:
    if not public:
        raise ValueError(
            "Access.ipv6 cannot be used with an internal load balancer, which has IPv4 addresses only"
        )
    if network is not None and not network.ipv6:
        raise ValueError(f"Access.ipv6 needs IPv6 addresses, give {network.node.path} ipv6=True")


def _is_ipv4_only(subnets: Sequence[ec2.ISubnet]) -> bool:
    """Whether the subnets are of the app, which gives them no IPv6 range; a range by override is not seen."""
    resources = [subnet.node.default_child for subnet in subnets]
    return all(isinstance(one, ec2.CfnSubnet) and one.ipv6_cidr_block is None for one in resources)


def _require_internet_gateway(vpc: ec2.IVpc) -> None:
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
    if isinstance(vpc, ec2.Vpc) and not vpc.public_subnets:  # an imported one is not known well enough
        raise ValueError(
            f"CloudFront reaches a load balancer in a VPC with an internet gateway only, and {vpc.node.path} "
            "has none: use another egress than Egress.ISOLATED, or scheme=AlbScheme.INTERNAL without edge="
        )
