"""v1 and v4: an application load balancer before api and web on ECS Fargate."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from dify_cdk._checks import require_between, require_literal
from dify_cdk._fargate import RoleService
from dify_cdk.access import Access
from dify_cdk.domain import Domain
from dify_cdk.environment import Door
from dify_cdk.frontends._alb import LoadBalancer
from dify_cdk.frontends._domain import DomainName
from dify_cdk.frontends._same_stack import require_same_stack
from dify_cdk.limits import DOORS, Limits, require_carries
from dify_cdk.roles import Role
from dify_cdk.workers import DifyWorkers

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


class DifyAlbFrontend(Construct):
    """An application load balancer that leads to api, web and the plugin daemon's endpoints.

    Defines the load balancer with its listeners, rules, target groups and access logs, and the Fargate
    services of api and web. It carries streaming, WebSocket and bodies of any size.

    With a ``domain`` it listens on HTTPS with TLS 1.2 or newer and redirects HTTP; without one it speaks
    plain HTTP, which raises a warning: passwords then travel in clear text.

    Args:
        workers: The background half; api and web take images, sizes and variables from it.
        access: Who may enter. A load balancer cannot filter by country.
        domain: Own host name. Default: the load balancer's name, without TLS.
        request_timeout: How long a request may stay silent, 1 to 4,000 seconds; also told to Dify, so that
            no inner hop gives up earlier. Streamed answers are never silent for long. Default: ten minutes.
        scheme: Public or internal. Default: public.
        must_carry: What the frontend has to carry at least; more than it can is an error. Default: nothing.
        announce: Whether this is the URL that links in mails and files point to. Default: yes; a second
            frontend beside the first one needs ``False``.

    Raises:
        ValueError: If ``access`` filters by country or lists more networks than a security group holds, the
            timeout is out of range, subnets for the load balancer are missing, another frontend has
            announced itself, or the workers are in another stack.

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
        request_timeout: cdk.Duration | None = None,
        scheme: AlbScheme = AlbScheme.INTERNET_FACING,
        must_carry: Limits | None = None,
        announce: bool = True,
    ) -> None:
        super().__init__(scope, id)
        if access.countries:
            raise ValueError(
                "Access.countries cannot be enforced by a load balancer, only by CloudFront: list networks"
            )
        require_same_stack(self, workers)
        if must_carry is not None:
            require_carries(_NAME, must_carry)
        self._limits = replace(DOORS[_NAME], request_timeout_seconds=_seconds(request_timeout))
        platform = workers.platform
        public = scheme is AlbScheme.INTERNET_FACING
        name = DomainName(self, "Domain", domain=domain) if domain else None
        kind = Construct(self, "Alb")
        self._load_balancer = LoadBalancer(
            kind,
            "PublicAlb" if public else "InternalAlb",
            platform=platform,
            public=public,
            access=access,
            certificate=name.certificate if name else None,
            idle_timeout_seconds=self._limits.request_timeout_seconds,
        )
        self._door = self._describe(domain, internal=not public)
        self._services = {
            role: RoleService(
                kind, role.construct_id, role=role, platform=platform, door=self._door, grace=True
            )
            for role in (Role.API, Role.WEB)
        }
        self._services[Role.API].wait_for(workers.migration)
        self._connect(workers)
        if domain and name:
            workers.claim("host name", domain.host_name)
            name.point_at(targets.LoadBalancerTarget(self._load_balancer.alb))
        elif public:
            self._warn_about_plain_text()
        if announce:
            workers.announce(self._door)

    @property
    def url(self) -> str:
        """What users type, without a trailing slash; a token unless there is a domain."""
        return self._door.url

    @property
    def limits(self) -> Limits:
        """What this way in carries."""
        return self._limits

    @property
    def load_balancer(self) -> elbv2.IApplicationLoadBalancer:
        """The load balancer."""
        return self._load_balancer.alb

    @property
    def services(self) -> dict[Role, RoleService]:
        """The services of api and web."""
        return dict(self._services)

    def _describe(self, domain: Domain | None, *, internal: bool) -> Door:
        host = domain.host_name if domain else self._load_balancer.alb.load_balancer_dns_name
        scheme = "https" if domain else "http"
        return Door(scheme=scheme, host=host, limits=self._limits, internal=internal)

    def _connect(self, workers: DifyWorkers) -> None:
        """Register api and web as targets here, and the plugin daemon, which belongs to the workers."""
        groups = self._load_balancer.route(list(self._services.values()))
        daemon = workers.services[Role.PLUGIN_DAEMON]
        self._load_balancer.allow_to(daemon)
        workers.admit_plugin_targets(groups[Role.PLUGIN_DAEMON])

    def _warn_about_plain_text(self) -> None:
        cdk.Validations.of(self).add_warning(
            "DifyAlbWithoutTls",
            "the load balancer speaks plain HTTP, so that passwords travel in clear text: pass domain=",
        )


def _seconds(request_timeout: cdk.Duration | None) -> int:
    seconds = _DEFAULT_TIMEOUT_SECONDS if request_timeout is None else request_timeout.to_seconds()
    require_literal("DifyAlbFrontend.request_timeout", seconds, "timeouts inside Dify are computed from it")
    require_between(
        "DifyAlbFrontend.request_timeout in seconds", seconds, 1, DOORS[_NAME].request_timeout_seconds
    )
    return int(seconds)
