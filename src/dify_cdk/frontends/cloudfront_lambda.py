"""v3: CloudFront before api and web on AWS Lambda, unchanged behind Lambda Web Adapter."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token
from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.cdk_helpers.companion import companion_stack
from dify_cdk.cdk_helpers.custom_resources import LOG_DAYS
from dify_cdk.cdk_helpers.metrics import combined, metric, seconds
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_basic_execution
from dify_cdk.cdk_helpers.names import has_chosen_name, name_of
from dify_cdk.dify.components import Component, Host, hosted_by
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.limits import EDGE_READ_TIMEOUT_SECONDS, Limits, require_support
from dify_cdk.dify.routes import cloudfront_behaviors, require_served
from dify_cdk.frontends.parts.access_logs import limit_log_readers
from dify_cdk.frontends.parts.certificates import DomainName
from dify_cdk.frontends.parts.component_function import ComponentFunction, PublicName
from dify_cdk.frontends.parts.distribution import Behavior, Edge
from dify_cdk.frontends.parts.lambda_images import LambdaImages, LocalBuild
from dify_cdk.frontends.parts.names import CLOUDFRONT_REGION, global_name
from dify_cdk.frontends.parts.uploads import (
    HttpApiUploads,
    UploadOrigin,
    Uploads,
    VpcOriginUploads,
    upload_patterns,
)
from dify_cdk.frontends.protocol import check_frontend
from dify_cdk.options.access import Access
from dify_cdk.options.domain import Domain
from dify_cdk.options.function_size import DEFAULT_API, DEFAULT_WEB, FunctionSize
from dify_cdk.options.sizes import with_room_for_proxy
from dify_cdk.options.throttle import Throttle
from dify_cdk.options.web_acl import WebAcl
from dify_cdk.workers.component_service import SERVICE_CONNECT_IDLE_SECONDS, ComponentService, Platform
from dify_cdk.workers.workers import DifyWorkers

DEFAULT_IMAGES = LocalBuild()

_NAME = "DifyCloudFrontLambdaFrontend"
_FUNCTIONS = (Component.API, Component.WEB)
_STACK_NAME_LENGTH = 100  # 128, and room for the name of a stage
_CONTROL_NAME_LENGTH = 64
_PARAMETER_PATH_LENGTH = 100

_LARGEST_BODY_MB = {
    Uploads.EDGE_SIGNED: 1.048576,  # what Lambda@Edge sees of a body: 1 MiB
    Uploads.HTTP_API: 10,
    Uploads.VPC_ORIGIN: None,
}


_IDLE_SECONDS = {  # of the hop before the Fargate services
    Uploads.EDGE_SIGNED: SERVICE_CONNECT_IDLE_SECONDS,  # there is none, callers inside close theirs
    Uploads.HTTP_API: SERVICE_CONNECT_IDLE_SECONDS,
    Uploads.VPC_ORIGIN: EDGE_READ_TIMEOUT_SECONDS,
}


@checked
class DifyCloudFrontLambdaFrontend(Construct):
    """CloudFront before Lambda functions that run Dify's api and web images, with streaming.

    Defines two functions with function URLs that only the distribution may call, the distribution with TLS
    and an IP filter, a Lambda@Edge function that hashes bodies for the signature, and one small Fargate
    service of api that answers calls inside the network and takes uploads. By default the two
    functions cost nothing while nobody uses Dify, and the next request waits for a cold start.

    The idle timeout is 120 seconds, also for a stream that waits for a worker, see :class:`Limits`; the total
    timeout is that of the function. Request bodies may have 1 MB, except on the paths for files, see
    :class:`Uploads`.

    Args:
        workers: The background components; api and web take images, sizes and variables from them.
        access: Who may enter. A CloudFront Function or AWS WAF filters addresses, CloudFront itself
            countries.
        domain: Custom domain, with a certificate in us-east-1. Default: CloudFront's own host name, with TLS.
        uploads: Where files and the plugin daemon's endpoints go. Default: an HTTP API, 10 MB.
        upload_throttle: How many requests the HTTP API of ``uploads`` lets through, files and calls of the
            plugin daemon's endpoints together; the others are answered with 429. Default: 50 a second, and
            50 at one moment.
        collaboration: Whether several people can edit a workflow at the same time, which takes one more
            Fargate service, ``api_websocket``, and ``Uploads.VPC_ORIGIN`` for its WebSocket connections.
            Default: no.
        images: Where the two Lambda images come from. Default: Docker on the machine that deploys.
        api: Size of the api function. Default: 2 GiB, 15 minutes.
        web: Size of the web function. Default: 1 GiB, one minute.
        web_acl: What AWS WAF checks before a request enters. Default: no web ACL; a CloudFront Function
            filters addresses, at no fixed price.
        must_support: What your use of Dify needs; an error if the frontend does not support it. Default:
            nothing is checked.
        announce: Whether links in mails and files point to this frontend's URL. Default: yes; a second
            frontend for the same workers needs ``False``.

    Raises:
        ValueError: If the stack has no region, provisioned concurrency is asked for without ``domain``,
            ``access`` lists more networks than fit, ``uploads`` does not support ``collaboration`` or what
            ``must_support`` asks for, ``upload_throttle`` is given where there is no such API, a variable or
            an image of ``workers`` cannot be used in a Lambda function, another frontend of this kind with
            ``Uploads.HTTP_API`` stands beside the same workers, another frontend has announced its URL or has
            the same host name, or the workers are in another stack.

    See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html

    Examples:
        >>> DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        workers: DifyWorkers,
        access: Access,
        domain: Domain | None = None,
        uploads: Uploads = Uploads.HTTP_API,
        upload_throttle: Throttle | None = None,
        collaboration: bool = False,
        images: LambdaImages = DEFAULT_IMAGES,
        api: FunctionSize = DEFAULT_API,
        web: FunctionSize = DEFAULT_WEB,
        web_acl: WebAcl | None = None,
        must_support: Limits | None = None,
        announce: bool = True,
    ) -> None:
        super().__init__(scope, id)
        check_frontend(self, workers, access)
        _check(self, domain, {Component.API: api, Component.WEB: web})
        _check_collaboration(collaboration, uploads)
        self._limits = Limits(
            request_timeout_seconds=EDGE_READ_TIMEOUT_SECONDS,
            streaming=True,
            websocket=uploads is Uploads.VPC_ORIGIN,
            max_body_mb=_LARGEST_BODY_MB[uploads],
        )
        if must_support is not None:
            require_support(_NAME, must_support, supported=self._limits)
        if domain:
            domain.require_one_host_name(_NAME, "a distribution has the same behaviors under all its names")
            workers.claim("host name", domain.host_name)
        name = DomainName(self, "Domain", domain=domain) if domain else None
        kind = Construct(self, "Lambda")
        public = PublicName(
            host=name.host_name if name else None,
            parameter=_parameter_name(self),
            limits=self._limits,
            collaboration=collaboration,
        )
        sizes = dict(zip(_FUNCTIONS, (api, web), strict=True))
        self._functions = _define_functions(kind, workers, public, sizes, images)
        second = _define_upload_origin(kind, uploads, upload_throttle, workers.platform)
        behaviors = self._behaviors(self._define_signer(kind), second, collaboration)
        self._edge = Edge(self, "Edge", behaviors=behaviors, access=access, name=name, web_acl=web_acl)
        host = public.host or self._edge.distribution.distribution_domain_name
        self._endpoint = PublicEndpoint(
            scheme="https",
            host=host,
            limits=self._limits,
            idle_timeout_seconds=_IDLE_SECONDS[uploads],
            collaboration=collaboration,
        )
        if public.host is None:
            ssm.StringParameter(kind, "PublicUrl", parameter_name=public.parameter, string_value=self.url)
        self._services = self._serve_inside(kind, workers, second)
        require_served(_NAME, {*self._functions, *self._services, Component.PLUGIN_DAEMON})
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
    def distribution(self) -> cloudfront.Distribution:
        """The CloudFront distribution."""
        return self._edge.distribution

    @property
    def functions(self) -> dict[Component, lambda_.DockerImageFunction]:
        """The functions of api and web."""
        return {component: function.function for component, function in self._functions.items()}

    @property
    def services(self) -> dict[Component, ComponentService]:
        """The small Fargate service of api, and of collaboration if it is on."""
        return dict(self._services)

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

    def error_metric(self) -> cloudwatch.MathExpression:
        """Answers of the functions with status 5xx in five minutes.

        Not the distribution's, whose metrics are in us-east-1 only.
        """
        return combined("SUM", self._of_functions("Url5xxCount", "Sum"), "Server errors")

    def latency_metric(self) -> cloudwatch.MathExpression:
        """Seconds in which the slower function gives nine of ten answers, in five minutes."""
        return seconds(combined("MAX", self._of_functions("UrlRequestLatency", "p90"), "Latency"))

    def _of_functions(self, name: str, statistic: str) -> list[cloudwatch.Metric]:
        return [
            metric("AWS/Lambda", name, {"FunctionName": function.function_name}, statistic)
            for function in self.functions.values()
        ]

    def _behaviors(
        self, signer: cloudfront.EdgeLambda, second: UploadOrigin | None, collaboration: bool
    ) -> list[Behavior]:
        """File patterns come before the prefixes that contain them."""
        found = []
        if second is not None:
            services = [pattern for pattern, _ in cloudfront_behaviors(_services_only(collaboration))]
            found = [
                Behavior(pattern=pattern, origin=second.origin, keeps_host=second.keeps_host)
                for pattern in (*upload_patterns(), *services)
            ]
        # Built once each: every call makes another origin, access control and pair of permissions.
        signed = {component: _signed_origin(function) for component, function in self._functions.items()}
        # A prefix of which every path is for files, such as /triggers, leads to the second origin whole.
        taken = {behavior.pattern for behavior in found}
        patterns = [pattern for pattern, _ in cloudfront_behaviors([Component.API]) if pattern not in taken]
        for pattern, component in (*((pattern, Component.API) for pattern in patterns), ("*", Component.WEB)):
            found.append(
                Behavior(pattern=pattern, origin=signed[component], keeps_host=False, edge_lambdas=[signer])
            )
        return found

    def _define_signer(self, kind: Construct) -> cloudfront.EdgeLambda:
        """The function that hashes bodies, in us-east-1, where all edge functions live."""
        stack_id = global_name(self, "edge", longest=_STACK_NAME_LENGTH)
        # The L2 takes a stack of that id, or makes a bare one.
        if cdk.Stack.of(self).region != CLOUDFRONT_REGION:
            companion_stack(self, stack_id, region=CLOUDFRONT_REGION)
        function = cloudfront.experimental.EdgeFunction(
            kind,
            "BodySigner",
            stack_id=stack_id,
            runtime=lambda_.Runtime.NODEJS_22_X,
            handler="index.handler",
            code=lambda_.Code.from_asset(str(handler_dir("body_signer"))),
            memory_size=128,
            timeout=cdk.Duration.seconds(10),
            description="Dify: hashes bodies for signed requests",
        )
        if has_chosen_name(self):
            _name_parameter(function)
        _limit_logs(function.lambda_)
        acknowledge(
            function.lambda_, {"AwsSolutions-L1": "the newest runtime that runs at the edge everywhere"}
        )
        acknowledge_basic_execution(function.lambda_)
        return cloudfront.EdgeLambda(
            function_version=function.current_version,
            event_type=cloudfront.LambdaEdgeEventType.ORIGIN_REQUEST,
            include_body=True,
        )

    def _serve_inside(
        self, kind: Construct, workers: DifyWorkers, second: UploadOrigin | None
    ) -> dict[Component, ComponentService]:
        """The small Fargate api (the plugin daemon's and web's calls, uploads), and collaboration."""
        platform = workers.platform
        components = [Component.API, *_services_only(self._endpoint.collaboration)]
        behind_load_balancer = isinstance(second, VpcOriginUploads)
        for component in components:
            if not behind_load_balancer or component is Component.API:
                roomy = with_room_for_proxy(component, platform.sizes[component])
                platform = platform.with_size(component, roomy)
        services = {
            component: ComponentService(
                kind,
                component.construct_id,
                component=component,
                platform=platform,
                endpoint=self._endpoint,
                grace=behind_load_balancer,
            )
            for component in components
        }
        workers.hold_back(services)
        if second is not None:
            second.connect(services, workers)
        return services


def _services_only(collaboration: bool) -> list[Component]:
    """What users reach of the frontend and no function runs; without a second origin they cannot."""
    hosted = hosted_by(Host.FRONTEND, {"collaboration"} if collaboration else ())
    return [component for component in hosted if component not in _FUNCTIONS]


def _signed_origin(function: ComponentFunction) -> cloudfront.IOrigin:
    control = cloudfront.FunctionUrlOriginAccessControl(
        function,
        "AccessControl",
        origin_access_control_name=global_name(function, "AccessControl", longest=_CONTROL_NAME_LENGTH),
        signing=cloudfront.Signing.SIGV4_ALWAYS,
    )
    return origins.FunctionUrlOrigin.with_origin_access_control(
        function.url,
        origin_access_control=control,
        read_timeout=cdk.Duration.seconds(EDGE_READ_TIMEOUT_SECONDS),
        keepalive_timeout=cdk.Duration.seconds(60),
    )


def _define_functions(
    kind: Construct,
    workers: DifyWorkers,
    name: PublicName,
    sizes: Mapping[Component, FunctionSize],
    images: LambdaImages,
) -> dict[Component, ComponentFunction]:
    functions = {
        component: ComponentFunction(
            kind,
            f"{component.construct_id}Function",
            component=component,
            platform=workers.platform,
            name=name,
            size=size,
            images=images,
        )
        for component, size in sizes.items()
    }
    for component, function in functions.items():
        before = component.spec.starts_after
        function.function.node.add_dependency(
            functions[before].resource if before in functions else workers.migration
        )
    return functions


def _define_upload_origin(
    kind: Construct, uploads: Uploads, throttle: Throttle | None, platform: Platform
) -> UploadOrigin | None:
    if throttle is not None and uploads is not Uploads.HTTP_API:
        raise ValueError(
            f"{_NAME}.upload_throttle is of the HTTP API of Uploads.HTTP_API, which uploads=Uploads."
            f"{uploads.name} does not have: remove it"
        )
    match uploads:
        case Uploads.HTTP_API:
            return HttpApiUploads(kind, "Uploads", platform=platform, throttle=throttle)
        case Uploads.VPC_ORIGIN:
            return VpcOriginUploads(
                kind, "VpcOrigin", platform=platform, timeout_seconds=EDGE_READ_TIMEOUT_SECONDS
            )
        case Uploads.EDGE_SIGNED:
            return None


def _parameter_name(frontend: Construct) -> str:
    """A name with the construct's path in it, known before the parameter is defined."""
    return f"/dify/{name_of(frontend, longest=_PARAMETER_PATH_LENGTH)}/public-url"


def _check(frontend: Construct, domain: Domain | None, sizes: dict[Component, FunctionSize]) -> None:
    if is_token(cdk.Stack.of(frontend).region):
        raise ValueError(
            "edge functions need the stack's region, give the stack env=cdk.Environment(region=...)"
        )
    if domain is None and any(size.provisioned_concurrency for size in sizes.values()):
        raise ValueError(
            "FunctionSize.provisioned_concurrency needs domain=: such environments start before "
            "CloudFront's host name is known"
        )


def _check_collaboration(collaboration: bool, uploads: Uploads) -> None:
    if collaboration and uploads is not Uploads.VPC_ORIGIN:
        raise ValueError(
            "collaboration=True needs uploads=Uploads.VPC_ORIGIN: neither a function URL nor an HTTP API "
            "supports WebSocket connections"
        )


def _name_parameter(function: cloudfront.experimental.EdgeFunction) -> None:
    """Tell the parameter by which the stack learns the version from that of the same app under another name.

    There is none in us-east-1. The L2 has no argument for it, and names it after the path alone.
    """
    reader = function.node.try_find_child("ArnReader")
    if reader is None:
        return
    parameter = function.lambda_.node.find_child("Parameter").node.default_child
    resource = reader.node.default_child
    assert isinstance(parameter, ssm.CfnParameter)
    assert isinstance(resource, cdk.CfnResource)
    region = cdk.Stack.of(function).region
    parameter.name = f"/cdk/EdgeFunctionArn/{region}/{name_of(function, longest=_PARAMETER_PATH_LENGTH)}"
    resource.add_property_override("ParameterName", parameter.name)


def _limit_logs(function: lambda_.IFunction) -> None:
    """Where a feature flag makes the CDK define a log group for the function, ours is like all others.

    The group cannot be passed: it would have to be in the edge function's own stack.
    """
    group = function.node.try_find_child("LogGroup")
    if group is None:
        return
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = LOG_DAYS
    resource.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
