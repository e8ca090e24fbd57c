"""v2: an API Gateway HTTP API before api and web on ECS Fargate, without a load balancer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import require_between, require_literal
from dify_cdk.cdk_helpers.metrics import period, seconds
from dify_cdk.dify.components import Component, Host, hosted_by
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.limits import FRONTEND_LIMITS, Limits, require_support
from dify_cdk.dify.routes import http_api_routes, require_served
from dify_cdk.frontends.parts.certificates import DomainName
from dify_cdk.frontends.parts.clients import Networks, clients_of
from dify_cdk.frontends.parts.ip_authorizer import IpAuthorizer
from dify_cdk.frontends.parts.private_http_api import PrivateApi, ip_address_type
from dify_cdk.frontends.protocol import check_frontend
from dify_cdk.options.access import Access
from dify_cdk.options.domain import Domain
from dify_cdk.options.sizes import with_room_for_proxy
from dify_cdk.options.throttle import Throttle
from dify_cdk.workers.component_service import SERVICE_CONNECT_IDLE_SECONDS, ComponentService, Platform
from dify_cdk.workers.workers import DifyWorkers

_NAME = "DifyHttpApiFrontend"
_DEFAULT_CACHE_SECONDS = 300

# X-Forwarded-* is reserved in parameter mappings; Dify reads CF-Connecting-IP first.
_CLIENT_ADDRESS = {"CF-Connecting-IP": "$context.identity.sourceIp"}
_HOOK_URL = {"Dify-Hook-Url": "https://${context.domainName}${request.path}"}


@checked
class DifyHttpApiFrontend(Construct):
    """An HTTP API that leads to api, web and the plugin daemon's endpoints through a VPC link.

    It has no load balancer and no hourly price: you pay for each request, and TLS needs no custom domain. It
    supports neither streaming nor WebSocket, its total timeout is 30 seconds, and request bodies may have
    10 MB. Dify's own limits are set to that, so that users see Dify's message and not a gateway error.

    ECS Service Connect registers the tasks with Cloud Map in the form that private integrations need. A
    VPC link without traffic for 60 days becomes inactive, and the next requests fail for some minutes.

    Args:
        workers: The background components; api and web take images, sizes and variables from them. Default
            sizes grow by what the proxy of Service Connect needs; sizes of yours need 512 CPU units or more.
        access: Who may enter: a Lambda authorizer decides by source address. With ``Access.anyone()`` there
            is no authorizer.
        domain: Custom domain. Default: the API's own host name, with TLS.
        request_timeout: Total timeout of a request, 1 to 30 seconds; Dify's own timeouts are set from it.
            Default: 30 seconds.
        throttle: Rate and burst above which requests are answered with 429. Default: the account's quota.
        authorizer_cache_seconds: Seconds for which the decision for an address is cached, 0 to 3,600; 0 asks
            for every request. After a change of ``access``, clients denied earlier stay denied, and removed
            ones stay admitted, until the cached decision expires or is cleared with
            ``aws apigatewayv2 reset-authorizers-cache``. Default: five minutes.
        llrt_bootstrap: Path of your own LLRT binary, which runs the authorizer instead of Python. LLRT is
            experimental and starts faster. Default: Python.
        must_support: What your use of Dify needs; an error if the frontend does not support it. Default:
            nothing is checked.
        announce: Whether links in mails and files point to this frontend's URL. Default: yes; a second
            frontend for the same workers needs ``False``.

    Raises:
        ValueError: If ``access`` filters by country or lists more than the authorizer holds, the API does not
            support ``request_timeout`` or what ``must_support`` asks for, ``authorizer_cache_seconds`` is out
            of range, the LLRT binary is not one that Lambda can run, a size leaves no room for the proxy of
            Service Connect, another HTTP API stands beside the same workers, another frontend has announced
            its URL or has the same host name, or the workers are in another stack.

    See https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html

    Examples:
        >>> DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=Access(ipv4=["203.0.113.0/24"]))
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
        throttle: Throttle | None = None,
        authorizer_cache_seconds: int = _DEFAULT_CACHE_SECONDS,
        llrt_bootstrap: Path | None = None,
        must_support: Limits | None = None,
        announce: bool = True,
    ) -> None:
        super().__init__(scope, id)
        if access.countries:
            raise ValueError(
                "Access.countries cannot be enforced by an HTTP API, only by CloudFront: list networks"
            )
        check_frontend(self, workers, access)
        self._limits = _limits(request_timeout)
        if must_support is not None:
            require_support(_NAME, must_support, supported=self._limits)
        platform = workers.platform
        kind = Construct(self, "HttpApi")
        clients = clients_of(access)
        authorizer = None
        if isinstance(clients, Networks):
            authorizer = IpAuthorizer(
                kind,
                "Authorizer",
                networks=clients,
                cache_seconds=authorizer_cache_seconds,
                llrt_bootstrap=llrt_bootstrap,
            ).authorizer
        self._api = PrivateApi(
            kind,
            "PrivateApi",
            platform=platform,
            authorizer=authorizer,
            throttle=throttle,
            default_endpoint=domain is None,
            dual_stack=bool(access.ipv6),
        )
        host = domain.host_name if domain else self._api.host
        self._endpoint = PublicEndpoint(
            scheme="https", host=host, limits=self._limits, idle_timeout_seconds=SERVICE_CONNECT_IDLE_SECONDS
        )
        self._services = self._define_services(kind, platform)
        workers.hold_back(self._services)
        workers.claim("discovery names of", _NAME)
        self._connect(workers)
        if domain:
            domain.require_one_host_name(_NAME, "an HTTP API has the same routes under all its names")
            workers.claim("host name", domain.host_name)
            self._take_over(domain, dual_stack=bool(access.ipv6))
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
    def api(self) -> apigateway.HttpApi:
        """The HTTP API."""
        return self._api.api

    @property
    def services(self) -> dict[Component, ComponentService]:
        """The services of api and web."""
        return dict(self._services)

    @property
    def functions(self) -> dict[Component, lambda_.FunctionBase]:
        """None: everything runs on Fargate."""
        return {}

    def error_metric(self) -> cloudwatch.Metric:
        """Answers with status 5xx in five minutes."""
        return self.api.metric_server_error(statistic="Sum", period=period())

    def latency_metric(self) -> cloudwatch.MathExpression:
        """Seconds in which nine of ten answers come, in five minutes."""
        return seconds(self.api.metric_latency(statistic="p90", period=period()))

    def _define_services(self, kind: Construct, platform: Platform) -> dict[Component, ComponentService]:
        components = hosted_by(Host.FRONTEND)
        for component in components:
            platform = platform.with_size(
                component, with_room_for_proxy(component, platform.sizes[component])
            )
        services = {
            component: ComponentService(
                kind, component.construct_id, component=component, platform=platform, endpoint=self._endpoint
            )
            for component in components
        }
        for component, service in services.items():
            service.join_service_connect(f"{component.dns_label}-httpapi")
        return services

    def _connect(self, workers: DifyWorkers) -> None:
        """Define one integration per component, and every path of the route table."""
        daemon = workers.services[Component.PLUGIN_DAEMON]
        ends = {
            component: self._api.integrate(service, f"{component.dns_label}-httpapi", _CLIENT_ADDRESS)
            for component, service in self._services.items()
        }
        ends[Component.PLUGIN_DAEMON] = self._api.integrate(
            daemon, workers.admit_plugin_discovery(), {**_CLIENT_ADDRESS, **_HOOK_URL}
        )
        require_served(_NAME, ends)
        for path, route in http_api_routes(ends):
            self._api.api.add_routes(
                path=path, methods=[apigateway.HttpMethod.ANY], integration=ends[route.component]
            )
        self._api.finish(self._limits.request_timeout_seconds)

    def _take_over(self, domain: Domain, *, dual_stack: bool) -> None:
        """Serve the custom domain."""
        name = DomainName(self, "Domain", domain=domain)
        own = apigateway.DomainName(
            self._api,
            "DomainName",
            domain_name=domain.host_name,
            certificate=name.certificate,
            endpoint_type=apigateway.EndpointType.REGIONAL,
            ip_address_type=ip_address_type(dual_stack),
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )
        apigateway.ApiMapping(self._api, "Mapping", api=self._api.api, domain_name=own, stage=self._api.stage)
        name.point_at(
            targets.ApiGatewayv2DomainProperties(own.regional_domain_name, own.regional_hosted_zone_id)
        )


def _limits(request_timeout: cdk.Duration | None) -> Limits:
    most = FRONTEND_LIMITS[_NAME]
    if request_timeout is None:
        return most
    seconds = request_timeout.to_seconds()
    require_literal(f"{_NAME}.request_timeout", seconds, "timeouts inside Dify are computed from it")
    limits = replace(most, request_timeout_seconds=int(seconds))
    require_support(_NAME, limits, supported=most)
    require_between(f"{_NAME}.request_timeout in seconds", seconds, 1, most.request_timeout_seconds)
    return limits
