"""v1 and v4: an application load balancer before api and web on ECS Fargate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import require_between, require_literal
from dify_cdk.cdk_helpers.metrics import combined, period
from dify_cdk.dify.components import Component, Host, hosted_by
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.limits import EDGE_READ_TIMEOUT_SECONDS, FRONTEND_LIMITS, Limits, require_support
from dify_cdk.dify.routes import require_served
from dify_cdk.frontends.parts.access_logs import limit_log_readers
from dify_cdk.frontends.parts.certificates import DomainName
from dify_cdk.frontends.parts.clients import FromCloudFront, clients_of
from dify_cdk.frontends.parts.cognito import CognitoLogin
from dify_cdk.frontends.parts.distribution import Behavior, Edge
from dify_cdk.frontends.parts.load_balancer import LoadBalancer
from dify_cdk.frontends.protocol import check_frontend
from dify_cdk.network.network import Subnets
from dify_cdk.options.access import Access
from dify_cdk.options.domain import Domain
from dify_cdk.options.login import Login
from dify_cdk.options.web_acl import WebAcl
from dify_cdk.workers.component_service import PLUGIN_DAEMON_IDLE_SECONDS, ComponentService
from dify_cdk.workers.workers import DifyWorkers

_DEFAULT_TIMEOUT_SECONDS = 600
_NAME = "DifyAlbFrontend"


class AlbScheme(StrEnum):
    """Whether the load balancer has public or private addresses."""

    INTERNET_FACING = "internet-facing"
    """Public addresses in the public subnets."""
    INTERNAL = "internal"
    """Private addresses in the app subnets: for VPN, Direct Connect and peered networks.

    If workflows call Dify's own URL, list the VPC's address range in ``access`` as well.
    """


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class CloudFrontEdge:
    """CloudFront before a load balancer that has private addresses only.

    The distribution has TLS without a custom domain, and filters addresses and countries. Only CloudFront can
    reach the load balancer, through a VPC origin. Its idle timeout is 120 seconds, and it supports streaming
    and WebSocket. The VPC needs an internet gateway.

    CloudFront cannot change a VPC origin in use, not even its tags: ``cdk.Tags`` does not apply to it, and
    the tags of the stack (``cdk deploy --tags``) must stay as they were at its first deployment.

    Attributes:
        web_acl: What AWS WAF checks before a request enters. Default: no web ACL; a CloudFront Function
            filters addresses, at no fixed price.

    See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
    """

    web_acl: WebAcl | None = None


@checked
class DifyAlbFrontend(Construct):
    """An application load balancer that leads to api, web and the plugin daemon's endpoints.

    Defines the load balancer with its listeners, rules, target groups and access logs, and the Fargate
    services of api and web. It supports streaming, WebSocket and bodies of any size. With ``edge`` it defines
    a CloudFront distribution before a load balancer that only CloudFront can reach; bodies then end at 64 GB.

    With a ``domain`` it requires TLS 1.2 or newer and redirects HTTP to HTTPS. Without ``domain`` and
    ``edge`` it speaks plain HTTP, so that passwords are sent in clear text; unless it is internal, that
    raises the warning ``DifyAlbWithoutTls``. Dify takes a client's address from the header
    ``CF-Connecting-IP``, which a client can forge unless ``edge`` overwrites it.

    Args:
        workers: The background components; api and web take images, sizes and variables from them.
        access: Who may enter. Only with ``edge`` can it filter by country.
        domain: Custom domain. Default: the load balancer's own DNS name, without TLS; with ``edge``
            CloudFront's own host name, with TLS. With ``edge`` and a domain, CloudFront also connects to the
            load balancer by TLS if the domain has a ``zone``, or a ``certificate`` in the stack's region;
            requests to CloudFront's own host name then fail.
        edge: CloudFront before the load balancer, which is then internal. Default: no CloudFront.
        login: Amazon Cognito before pages and scripts. Needs ``domain``. Default: Dify's own login only.
        collaboration: Whether several people can edit a workflow at the same time, which takes one more
            service, ``api_websocket``, with WebSocket connections. Default: no.
        request_timeout: Idle timeout of a request, 1 to 4,000 seconds, with ``edge`` at most 120; Dify's own
            timeouts are set from it, so that no inner hop ends a request earlier. A streamed answer reaches
            it only while it waits for a worker, see :class:`Limits`. Default: ten minutes, with ``edge`` two.
        scheme: Public or internal. Default: public, with ``edge`` internal.
        subnets: Where the load balancer stands: one subnet in each of two zones or more, as a list, an
            ``ec2.SubnetSelection`` or the result of ``vpc.select_subnets``. Default: the first public subnet
            of each zone, or the first of the tasks' if it is internal.
        must_support: What your use of Dify needs; an error if the frontend does not support it. Default:
            nothing is checked.
        announce: Whether links in mails and files point to this frontend's URL. Default: yes; a second
            frontend for the same workers needs ``False``.

    Raises:
        ValueError: If ``access`` filters by country without ``edge`` or lists more networks than fit, the
            frontend does not support what ``must_support`` asks for, ``request_timeout`` is out of range,
            ``scheme`` is public with ``edge``, ``subnets`` has two in one zone or private ones for a public
            load balancer, subnets or an internet gateway are missing, ``login`` has no
            ``domain`` or no egress to Cognito, the stack has no region, another frontend has announced its
            URL or has the same host name, or the workers are in another stack.

    See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html

    Examples:
        >>> DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access(ipv4=["203.0.113.0/24"]))
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        workers: DifyWorkers,
        access: Access,
        domain: Domain | None = None,
        edge: CloudFrontEdge | None = None,
        login: Login | None = None,
        collaboration: bool = False,
        request_timeout: cdk.Duration | None = None,
        scheme: AlbScheme | None = None,
        subnets: Subnets | None = None,
        must_support: Limits | None = None,
        announce: bool = True,
    ) -> None:
        super().__init__(scope, id)
        check_frontend(self, workers, access)
        public = _is_public(scheme, edge)
        _check_access(access, edge)
        self._limits = _limits(request_timeout, edge)
        if must_support is not None:
            require_support(_NAME, must_support, supported=self._limits)
        name = DomainName(self, "Domain", domain=domain) if domain else None
        self._login = self._define_login(login, name, workers) if login else None
        kind = Construct(self, "Alb")
        self._load_balancer = LoadBalancer(
            kind,
            "PublicAlb" if public else "InternalAlb",
            platform=workers.platform,
            public=public,
            clients=FromCloudFront() if edge else clients_of(access),
            certificate=_certificate(name, edge, login),
            idle_timeout_seconds=self._limits.request_timeout_seconds,
            subnets=subnets,
        )
        self._edge = self._define_edge(edge, access, name) if edge else None
        self._endpoint = PublicEndpoint(
            scheme="https" if edge or domain else "http",
            host=domain.host_name if domain else self._default_host(),
            limits=self._limits,
            # Not the balancer alone: a plugin's call is lost as well when api closes first.
            idle_timeout_seconds=max(self._limits.request_timeout_seconds, PLUGIN_DAEMON_IDLE_SECONDS),
            internal=not public and edge is None,
            plugin_host=domain.plugin_host_name if domain else None,
            collaboration=collaboration,
        )
        self._services = self._define_services(kind, workers)
        self._connect(workers)
        if name:
            for host_name in name.host_names:
                workers.claim("host name", host_name)
            if not edge:
                name.point_at(targets.LoadBalancerTarget(self._load_balancer.alb))
        elif public:
            self._warn_about_plain_text()
        if announce:
            workers.announce(self._endpoint)

    @property
    def url(self) -> str:
        """The public URL, without a trailing slash; a token unless there is a ``domain``."""
        return self._endpoint.url

    @property
    def limits(self) -> Limits:
        """What this frontend supports."""
        return self._limits

    @property
    def load_balancer(self) -> elbv2.IApplicationLoadBalancer:
        """The load balancer."""
        return self._load_balancer.alb

    @property
    def distribution(self) -> cloudfront.Distribution | None:
        """The CloudFront distribution; None without ``edge``."""
        return self._edge.distribution if self._edge else None

    @property
    def user_pool(self) -> cognito.IUserPool | None:
        """The user pool that may sign in; None without ``login``."""
        return self._login.user_pool if self._login else None

    @property
    def services(self) -> dict[Component, ComponentService]:
        """The services of api and web, and of collaboration if it is on."""
        return dict(self._services)

    @property
    def functions(self) -> dict[Component, lambda_.FunctionBase]:
        """None: everything runs on Fargate."""
        return {}

    def error_metric(self) -> cloudwatch.MathExpression:
        """Answers with status 5xx in five minutes, the load balancer's own among them.

        Its own are those of targets that cannot be reached or do not answer in time. Also with ``edge``, as
        CloudFront's metrics are in us-east-1 only.
        """
        errors = [
            self.load_balancer.metrics.http_code_target(
                elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=period()
            ),
            self.load_balancer.metrics.http_code_elb(elbv2.HttpCodeElb.ELB_5XX_COUNT, period=period()),
        ]
        return combined("SUM", errors, "Server errors")

    def latency_metric(self) -> cloudwatch.Metric:
        """Seconds in which targets begin nine of ten answers, in five minutes."""
        return self.load_balancer.metrics.target_response_time(statistic="p90", period=period())

    def limit_log_readers(self, *readers: str) -> None:
        """Let nobody but these read the access logs, which hold secrets in paths and queries for 90 days.

        Refuses administrators as well; whoever may change the bucket's policy can lift it. Without a call,
        whoever the account allows ``s3:GetObject`` reads them, as AWS's policy ``ReadOnlyAccess`` does.

        Args:
            readers: ARNs of roles and users, with ``*`` and ``?`` for anything.

        Raises:
            ValueError: If nobody is named, or an entry is no such ARN.
        """
        limit_log_readers(self, _NAME, readers)

    def _define_login(self, login: Login, name: DomainName | None, workers: DifyWorkers) -> CognitoLogin:
        if name is None:
            raise ValueError("login= needs domain=: Cognito sends browsers back to a host name with TLS")
        if workers.platform.tiers.closed:
            raise ValueError(
                "login= needs egress to Cognito for the load balancer, and this network has none"
            )
        return CognitoLogin(self, "Login", login=login, host_name=name.host_name)

    def _define_edge(self, edge: CloudFrontEdge, access: Access, name: DomainName | None) -> Edge:
        origin = self._load_balancer.vpc_origin(self._limits.request_timeout_seconds)
        # One row: the load balancer knows the routes.
        everything = Behavior(pattern="*", origin=origin, keeps_host=True)
        return Edge(self, "Edge", behaviors=[everything], access=access, name=name, web_acl=edge.web_acl)

    def _default_host(self) -> str:
        if self._edge is None:
            return self._load_balancer.alb.load_balancer_dns_name
        return self._edge.distribution.distribution_domain_name

    def _define_services(self, kind: Construct, workers: DifyWorkers) -> dict[Component, ComponentService]:
        services = {
            component: ComponentService(
                kind,
                component.construct_id,
                component=component,
                platform=workers.platform,
                endpoint=self._endpoint,
                grace=True,
            )
            for component in hosted_by(
                Host.FRONTEND, {"collaboration"} if self._endpoint.collaboration else ()
            )
        }
        workers.hold_back(services)
        for service in services.values():
            if self._edge:  # where they leave another frontend, they do so only when this one is there
                service.wait_for(self._edge.distribution)
        return services

    def _connect(self, workers: DifyWorkers) -> None:
        """Register what runs here as targets, and the plugin daemon, which belongs to the workers."""
        require_served(_NAME, {*self._services, Component.PLUGIN_DAEMON})
        groups = self._load_balancer.route(
            list(self._services.values()), self._login, self._endpoint.plugin_host
        )
        daemon = workers.services[Component.PLUGIN_DAEMON]
        self._load_balancer.allow_to(daemon)
        workers.admit_plugin_targets(groups[Component.PLUGIN_DAEMON])

    def _warn_about_plain_text(self) -> None:
        cdk.Validations.of(self).add_warning(
            "DifyAlbWithoutTls",
            "the load balancer speaks plain HTTP, so that passwords travel in clear text: pass domain=, or "
            "edge=CloudFrontEdge()",
        )


def _is_public(scheme: AlbScheme | None, edge: CloudFrontEdge | None) -> bool:
    if edge is None:
        return scheme is not AlbScheme.INTERNAL
    if scheme is AlbScheme.INTERNET_FACING:
        raise ValueError(
            "scheme=AlbScheme.INTERNET_FACING cannot be used with edge=: only CloudFront reaches it"
        )
    return False


def _check_access(access: Access, edge: CloudFrontEdge | None) -> None:
    if access.countries and edge is None:
        raise ValueError(
            "Access.countries cannot be enforced by a load balancer, only by CloudFront: list networks, or "
            "pass edge=CloudFrontEdge()"
        )


def _certificate(
    name: DomainName | None, edge: CloudFrontEdge | None, login: Login | None
) -> acm.ICertificate | None:
    """TLS at the load balancer: behind CloudFront only if needed, or if it takes no more of the caller."""
    if name is None or (edge and not login and not name.has_certificate):
        return None
    return name.certificate


def _limits(request_timeout: cdk.Duration | None, edge: CloudFrontEdge | None) -> Limits:
    most = FRONTEND_LIMITS[_NAME].request_timeout_seconds if edge is None else EDGE_READ_TIMEOUT_SECONDS
    default = min(_DEFAULT_TIMEOUT_SECONDS, most)
    seconds = default if request_timeout is None else request_timeout.to_seconds()
    require_literal(f"{_NAME}.request_timeout", seconds, "timeouts inside Dify are computed from it")
    behind = " behind CloudFront" if edge else ""
    require_between(f"{_NAME}.request_timeout in seconds{behind}", seconds, 1, most)
    return replace(FRONTEND_LIMITS[_NAME], request_timeout_seconds=int(seconds))
