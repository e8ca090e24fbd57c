"""v1 and v4: an application load balancer before api and web on ECS Fargate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import require_between, require_literal
from dify_cdk.dify.components import BACKEND_COMPONENTS, Component, Host, hosted_by
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.limits import EDGE_READ_TIMEOUT_SECONDS, FRONTEND_LIMITS, Limits, require_support
from dify_cdk.dify.routes import require_served
from dify_cdk.frontends.parts.certificates import DomainName
from dify_cdk.frontends.parts.clients import FromCloudFront, clients_of
from dify_cdk.frontends.parts.cognito import CognitoLogin
from dify_cdk.frontends.parts.distribution import Behavior, Edge
from dify_cdk.frontends.parts.load_balancer import LoadBalancer
from dify_cdk.frontends.protocol import require_same_stack
from dify_cdk.options.access import Access
from dify_cdk.options.domain import Domain
from dify_cdk.options.login import Login
from dify_cdk.options.web_acl import WebAcl
from dify_cdk.workers.component_service import PLUGIN_DAEMON_IDLE_SECONDS, ComponentService
from dify_cdk.workers.workers import DifyWorkers

_DEFAULT_TIMEOUT_SECONDS = 600
_NAME = "DifyAlbFrontend"


class AlbScheme(StrEnum):
    """Who can reach the load balancer's addresses."""

    INTERNET_FACING = "internet-facing"
    """Public addresses in the public subnets."""
    INTERNAL = "internal"
    """Private addresses in the app subnets: for VPN, Direct Connect and peered networks.

    List the VPC's own range in ``access`` as well if workflows call Dify's own URL.
    """


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class CloudFrontEdge:
    """CloudFront before a load balancer that has private addresses only.

    The distribution gives TLS without a custom domain, and filters addresses and countries. Nobody but
    CloudFront can reach the load balancer, through a VPC origin. Its idle timeout is 120 seconds, and it
    supports streaming and WebSocket.

    CloudFront cannot change a VPC origin in use: tags of the construct tree do not reach it, and tags of the
    stack as CloudFormation knows them (``cdk deploy --tags``) cannot change later.

    Attributes:
        web_acl: What AWS WAF checks before a request enters. Default: nothing; addresses are filtered by a
            CloudFront Function, which has no fixed price.

    See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
    """

    web_acl: WebAcl | None = None


@checked
class DifyAlbFrontend(Construct):
    """An application load balancer that leads to api, web and the plugin daemon's endpoints.

    Defines the load balancer with its listeners, rules, target groups and access logs, and the Fargate
    services of api and web. It supports streaming, WebSocket and bodies of any size. With ``edge`` it defines
    a CloudFront distribution before a load balancer that only CloudFront can reach.

    With a ``domain`` it listens on HTTPS with TLS 1.2 or newer and redirects HTTP. Without one it speaks
    plain HTTP, in which passwords travel in clear text; unless it is internal, that raises a warning. Dify
    takes a client's address from the header ``CF-Connecting-IP``, which only ``edge`` keeps clients from
    writing themselves.

    Args:
        workers: The background half; api and web take images, sizes and variables from it.
        access: Who may enter. Only with ``edge`` can it filter by country.
        domain: Custom domain. Default: the load balancer's name without TLS; CloudFront's with TLS. With
            ``edge`` the way from CloudFront to the load balancer has TLS as well if there is, or can be, a
            certificate in the stack's region; CloudFront's own name is not answered then.
        edge: CloudFront before the load balancer, which is internal then. Default: none.
        login: Amazon Cognito before pages and scripts. Needs ``domain``. Default: Dify's own login only.
        collaboration: Whether people edit a workflow together: one more service, with WebSocket connections.
        request_timeout: Idle timeout of a request, 1 to 4,000 seconds, behind CloudFront at most 120; also
            told to Dify, so that no inner hop ends it earlier. Streamed answers reach it only while they
            wait for a worker, see :class:`Limits`. Default: ten minutes, behind CloudFront two.
        scheme: Public or internal. Default: public, behind CloudFront internal.
        must_support: What the frontend has to support; more than it does is an error. Default: nothing.
        announce: Whether this is the URL that links in mails and files point to. Default: yes; a second
            frontend beside the first one needs ``False``.

    Raises:
        ValueError: If ``access`` filters by country without ``edge`` or lists more networks than fit, the
            timeout is out of range, subnets or an internet gateway are missing, ``login`` has no domain or no
            way out to Cognito, another frontend has announced itself, or the workers are in another stack.

    See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html

    Example:
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
        must_support: Limits | None = None,
        announce: bool = True,
    ) -> None:
        super().__init__(scope, id)
        require_same_stack(self, workers)
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
        )
        self._edge = self._define_edge(edge, access, name) if edge else None
        self._endpoint = PublicEndpoint(
            scheme="https" if edge or domain else "http",
            host=domain.host_name if domain else self._default_host(),
            limits=self._limits,
            # Not the balancer alone: a plugin's call is lost as well when api closes first.
            idle_timeout_seconds=max(self._limits.request_timeout_seconds, PLUGIN_DAEMON_IDLE_SECONDS),
            internal=not public and edge is None,
            collaboration=collaboration,
        )
        self._services = self._define_services(kind, workers)
        self._connect(workers)
        if name:
            workers.claim("host name", name.host_name)
            if not edge:
                name.point_at(targets.LoadBalancerTarget(self._load_balancer.alb))
        elif public:
            self._warn_about_plain_text()
        if announce:
            workers.announce(self._endpoint)

    @property
    def url(self) -> str:
        """What users type, without a trailing slash; a token unless there is a domain."""
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
        """Who may sign in; None without ``login``."""
        return self._login.user_pool if self._login else None

    @property
    def services(self) -> dict[Component, ComponentService]:
        """The services of api and web, and of collaboration if it is on."""
        return dict(self._services)

    def _define_login(self, login: Login, name: DomainName | None, workers: DifyWorkers) -> CognitoLogin:
        if name is None:
            raise ValueError("login= needs domain=: Cognito sends browsers back to a host name with TLS")
        if workers.platform.tiers.closed:
            raise ValueError(
                "login= needs a way out to Cognito for the load balancer, and this network has none"
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
        for component, service in services.items():
            if component in BACKEND_COMPONENTS:
                service.wait_for(workers.migration)
            if self._edge:  # where they leave another frontend, they do so only when this one is there
                service.wait_for(self._edge.distribution)
        return services

    def _connect(self, workers: DifyWorkers) -> None:
        """Register what runs here as targets, and the plugin daemon, which belongs to the workers."""
        require_served(_NAME, {*self._services, Component.PLUGIN_DAEMON})
        groups = self._load_balancer.route(list(self._services.values()), self._login)
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
