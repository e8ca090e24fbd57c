"""Where v3 sends what a signed function URL cannot take: uploads, and the plugin daemon's endpoints.

Lambda@Edge hashes at most 1 MB of a body, so larger ones need another origin. The same small Fargate api
that answers inside the network takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.cdk_helpers.custom_resources import log_group
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_basic_execution
from dify_cdk.data.secrets import define_secret
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import ROUTES, cloudfront_behaviors, http_api_routes
from dify_cdk.frontends.parts.clients import FromCloudFront
from dify_cdk.frontends.parts.load_balancer import LoadBalancer
from dify_cdk.frontends.parts.private_http_api import PrivateApi
from dify_cdk.options.throttle import Throttle
from dify_cdk.workers.component_service import ComponentService, Platform
from dify_cdk.workers.workers import DifyWorkers

ORIGIN_HEADER = "x-dify-origin"
_DISCOVERY_SUFFIX = "lambda"
_CACHE_SECONDS = 300
_THROTTLE = Throttle(requests_per_second=50, burst=50)
_HTTP_API_READ_SECONDS = 60  # longer than the 30 seconds after which API Gateway answers itself


class Uploads(StrEnum):
    """How request bodies over 1 MB, and requests to the plugin daemon's endpoints, reach Dify in v3.

    Prices are AWS's list prices of us-east-1 in November 2026; ``dify-cdk compare`` computes them in full.
    """

    EDGE_SIGNED = "edge_signed"
    """They do not: larger bodies are answered with 413, and ``/e/*`` is not served. Costs nothing more."""
    HTTP_API = "http_api"
    """Through an HTTP API and a VPC link, for paths of files and ``/e/*``.

    There bodies may have 10 MB, the total timeout is 30 seconds, and answers do not stream.

    Costs 1 USD for a million requests, where each 512 KB of a body, or part of it, counts as one; nothing by
    the hour.
    """
    VPC_ORIGIN = "vpc_origin"
    """Through an internal load balancer, for paths of files, ``/e/*`` and WebSocket.

    There bodies have no limit but the 64 GB of CloudFront.

    Costs 16.43 USD a month for the load balancer, whether it is used or not, and 5.84 USD a month for each
    capacity unit in constant use.
    """


def upload_patterns() -> tuple[str, ...]:
    """Path patterns for files, below the prefixes that api answers, and those of the plugin daemon."""
    files = (pattern for route in ROUTES if route.component is Component.API for pattern in route.uploads)
    hooks = (pattern for pattern, _ in cloudfront_behaviors([Component.PLUGIN_DAEMON]))
    return (*files, *hooks)


class UploadOrigin(Protocol):
    """A second origin for the patterns of :func:`upload_patterns`."""

    @property
    def origin(self) -> cloudfront.IOrigin:
        """The origin."""
        ...

    @property
    def keeps_host(self) -> bool:
        """Whether it may see the viewer's Host header."""
        ...

    def connect(self, services: Mapping[Component, ComponentService], workers: DifyWorkers) -> None:
        """Let it lead to what runs inside the network, and to the plugin daemon."""
        ...


class HttpApiUploads(Construct):
    """Uploads through an HTTP API that only this distribution can call: it proves itself with a header.

    Everybody can ask the API's own host name, and each header that is new costs a call of the authorizer,
    whose concurrency is that of the account. It gets none of its own: a new account has 10 in all, of which
    AWS reserves none. So the stage has a throttle, which requests of the distribution count in as well.

    Args:
        platform: Where the services run.
        throttle: How many requests are let through. Default: 50 a second.
    """

    def __init__(self, scope: Construct, id: str, *, platform: Platform, throttle: Throttle | None) -> None:
        super().__init__(scope, id)
        # Stateless: a new value only has to reach CloudFront and the authorizer.
        self._secret = define_secret(
            self, "OriginHeader", "Dify: CloudFront proves itself with it", cdk.RemovalPolicy.DESTROY
        )
        self._api = PrivateApi(
            self,
            "PrivateApi",
            platform=platform,
            authorizer=self._define_authorizer(),
            throttle=throttle or _THROTTLE,
            default_endpoint=True,
            dual_stack=False,  # CloudFront is the only caller
        )
        self._origin = origins.HttpOrigin(
            self._api.host,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            read_timeout=cdk.Duration.seconds(_HTTP_API_READ_SECONDS),
            custom_headers={ORIGIN_HEADER: self._secret.secret_value.unsafe_unwrap()},  # a dynamic reference
        )

    @property
    def origin(self) -> cloudfront.IOrigin:
        """The API's own endpoint."""
        return self._origin

    @property
    def keeps_host(self) -> bool:
        """API Gateway finds the API by its host name."""
        return False

    def connect(self, services: Mapping[Component, ComponentService], workers: DifyWorkers) -> None:
        """Lead on what CloudFront sends, and no other prefix. Its function set the headers.

        CloudFront compares a resolved path and may pass on another one.
        """
        workers.claim("discovery names of", "Uploads.HTTP_API")
        daemon = workers.services[Component.PLUGIN_DAEMON]
        ends = {Component.PLUGIN_DAEMON: self._api.integrate(daemon, workers.admit_plugin_discovery(), {})}
        for component, service in services.items():
            name = f"{component.dns_label}-{_DISCOVERY_SUFFIX}"
            service.join_service_connect(name)
            ends[component] = self._api.integrate(service, name, {})
        for path, route in http_api_routes(ends):
            if route.uploads:
                self._api.api.add_routes(
                    path=path, methods=[apigateway.HttpMethod.ANY], integration=ends[route.component]
                )
        self._api.finish()

    def _define_authorizer(self) -> authorizers.HttpLambdaAuthorizer:
        function = lambda_.Function(
            self,
            "Authorizer",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="authorizer.handler",
            code=lambda_.Code.from_asset(
                str(handler_dir("origin_authorizer")), exclude=["__pycache__", "*.pyc"]
            ),
            environment={"SECRET_ARN": self._secret.secret_arn},
            description="Dify: lets requests of this distribution in",
            timeout=cdk.Duration.seconds(10),
            memory_size=256,
            log_group=log_group(self, "AuthorizerLogs"),
        )
        self._secret.grant_read(function)
        acknowledge(function, {"AwsSolutions-L1": "the runtime is pinned to what the handler is tested with"})
        acknowledge_basic_execution(function)
        return authorizers.HttpLambdaAuthorizer(
            "Origin",
            function,
            response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
            identity_source=[f"$request.header.{ORIGIN_HEADER}"],
            results_cache_ttl=cdk.Duration.seconds(_CACHE_SECONDS),
        )


class VpcOriginUploads(Construct):
    """Uploads through an internal load balancer that only CloudFront can reach.

    Args:
        platform: Where the services run.
        timeout_seconds: Idle timeout of a request.
    """

    def __init__(self, scope: Construct, id: str, *, platform: Platform, timeout_seconds: int) -> None:
        super().__init__(scope, id)
        self._load_balancer = LoadBalancer(
            self,
            "InternalAlb",
            platform=platform,
            public=False,
            clients=FromCloudFront(),
            certificate=None,
            idle_timeout_seconds=timeout_seconds,
        )
        self._origin = self._load_balancer.vpc_origin(timeout_seconds)

    @property
    def origin(self) -> cloudfront.IOrigin:
        """The load balancer."""
        return self._origin

    @property
    def keeps_host(self) -> bool:
        """A load balancer takes any host name."""
        return True

    def connect(self, services: Mapping[Component, ComponentService], workers: DifyWorkers) -> None:
        """Register them and the plugin daemon as targets."""
        groups = self._load_balancer.route(list(services.values()))
        self._load_balancer.allow_to(workers.services[Component.PLUGIN_DAEMON])
        workers.admit_plugin_targets(groups[Component.PLUGIN_DAEMON])
