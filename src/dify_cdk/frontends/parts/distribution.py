"""A CloudFront distribution before Dify: one set of cache rules, headers and filters for every frontend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.names import has_chosen_name
from dify_cdk.dify.routes import STATIC_PATTERN
from dify_cdk.frontends.parts import viewer_function
from dify_cdk.frontends.parts.access_logs import define_log_bucket
from dify_cdk.frontends.parts.certificates import DomainName
from dify_cdk.frontends.parts.clients import Everybody, PublicClients, clients_of
from dify_cdk.frontends.parts.cloudfront_acl import define_web_acl
from dify_cdk.frontends.parts.names import global_name
from dify_cdk.options.access import Access
from dify_cdk.options.web_acl import WebAcl

_DEFAULT_PATTERN = "*"
# A deployment with a bucket there fails, see
# https://docs.aws.amazon.com/systems-manager-automation-runbooks/latest/userguide/automation-aws-enable-cloudfront-access-logs.html
_REGIONS_WITHOUT_LOGS = ("af-south-1", "ap-east-1", "eu-south-1", "me-south-1")
_FUNCTION_NAME_LENGTH = 64
_MAX_BEHAVIORS = (
    75  # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
)
_ERROR_CODES = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """One row of a distribution.

    Attributes:
        pattern: Path pattern; ``*`` is the default.
        origin: Where matching requests go.
        keeps_host: Whether the viewer's Host header goes on; an origin that checks a signature, and API
            Gateway, must see their own.
        edge_lambdas: Functions between CloudFront and the origin.
    """

    pattern: str
    origin: cloudfront.IOrigin
    keeps_host: bool
    edge_lambdas: Sequence[cloudfront.EdgeLambda] = ()


class Edge(Construct):
    """A distribution with TLS, an IP filter at the edge, access logs, and caching of hashed files only.

    Errors are never cached. A viewer-request CloudFront Function filters by address, overwrites
    ``CF-Connecting-IP`` with the viewer's, and tells the plugin daemon its hook URL.

    Args:
        behaviors: In order of precedence; exactly one is the default.
        access: Who may enter.
        name: Custom domain, with a certificate in us-east-1. Default: CloudFront's own host name.
        web_acl: What AWS WAF checks first. Default: nothing, there is no web ACL.

    Raises:
        ValueError: If there are more behaviors than CloudFront allows, or the list of networks does not fit
            into a CloudFront Function or cannot be in a web ACL.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        behaviors: Sequence[Behavior],
        access: Access,
        name: DomainName | None,
        web_acl: WebAcl | None = None,
    ) -> None:
        super().__init__(scope, id)
        _require_room(behaviors)
        (default,) = [behavior for behavior in behaviors if behavior.pattern == _DEFAULT_PATTERN]
        clients = clients_of(access)
        function = self._define_viewer_function(clients, web_acl)
        acl_arn = define_web_acl(self, web_acl, clients) if web_acl else None
        static = Behavior(pattern=STATIC_PATTERN, origin=default.origin, keeps_host=default.keeps_host)
        rows = [static, *(behavior for behavior in behaviors if behavior is not default)]
        countries = list(access.countries)
        logs = cdk.Stack.of(self).region not in _REGIONS_WITHOUT_LOGS
        self._distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_behavior=_options(default, function, cached=False),
            additional_behaviors={row.pattern: _options(row, function, cached=row is static) for row in rows},
            certificate=None if name is None else name.edge_certificate,
            domain_names=None if name is None else name.host_names,
            # CloudFront's own host name has a policy of its own, which cannot be chosen.
            minimum_protocol_version=None
            if name is None
            else cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            enable_ipv6=True,
            error_responses=[
                cloudfront.ErrorResponse(http_status=code, ttl=cdk.Duration.seconds(0))
                for code in _ERROR_CODES
            ],
            geo_restriction=cloudfront.GeoRestriction.allowlist(*countries) if countries else None,
            enable_logging=logs,
            # CloudFront writes standard logs with ACLs.
            log_bucket=define_log_bucket(self, s3.ObjectOwnership.OBJECT_WRITER) if logs else None,
            web_acl_id=acl_arn,
            comment=f"Dify {self.node.path}",
        )
        if name is not None:
            name.point_at(targets.CloudFrontTarget(self._distribution))
        self._acknowledge(with_domain=name is not None, with_acl=web_acl is not None)
        if not logs:
            self._go_without_logs()

    @property
    def distribution(self) -> cloudfront.Distribution:
        """The distribution."""
        return self._distribution

    def _define_viewer_function(self, clients: PublicClients, web_acl: WebAcl | None) -> cloudfront.Function:
        only_headers = web_acl is not None and web_acl.filters_addresses
        code = viewer_function.code(Everybody() if only_headers else clients)
        # CloudFront updates a function minutes before the distribution. A function that stopped filtering
        # would let everyone in until the web ACL is attached, so the two variants have different ids.
        id = "ViewerHeaders" if only_headers else "ViewerRequest"
        return cloudfront.Function(
            self,
            id,
            function_name=global_name(self, id, longest=_FUNCTION_NAME_LENGTH)
            if has_chosen_name(self)
            else None,
            code=cloudfront.FunctionCode.from_inline(code),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            comment="Dify: who may enter, and headers",
        )

    def _go_without_logs(self) -> None:
        region = cdk.Stack.of(self).region
        cdk.Validations.of(self).add_warning(
            "DifyEdgeWithoutLogs",
            f"CloudFront delivers no access logs to buckets in {region}, so that there are none: set up its "
            "standard logging (v2) for the distribution if you need them",
        )
        acknowledge(self._distribution, {"AwsSolutions-CFR3": f"CloudFront delivers no logs to {region}"})

    def _acknowledge(self, *, with_domain: bool, with_acl: bool) -> None:
        reasons = {"AwsSolutions-CFR1": "countries are the caller's choice"}
        if not with_acl:
            reasons["AwsSolutions-CFR2"] = "addresses are filtered by a function; a web ACL has a fixed price"
        if not with_domain:
            reasons["AwsSolutions-CFR4"] = "CloudFront's own host name decides its TLS versions itself"
        acknowledge(self._distribution, reasons)


def _options(
    behavior: Behavior, function: cloudfront.Function, *, cached: bool
) -> cloudfront.BehaviorOptions:
    policies = cloudfront.OriginRequestPolicy
    every_header = policies.ALL_VIEWER if behavior.keeps_host else policies.ALL_VIEWER_EXCEPT_HOST_HEADER
    return cloudfront.BehaviorOptions(
        origin=behavior.origin,
        viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
        allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD
        if cached
        else cloudfront.AllowedMethods.ALLOW_ALL,
        cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED
        if cached
        else cloudfront.CachePolicy.CACHING_DISABLED,
        origin_request_policy=every_header,
        compress=True,
        edge_lambdas=list(behavior.edge_lambdas) or None,
        function_associations=[
            cloudfront.FunctionAssociation(
                function=function, event_type=cloudfront.FunctionEventType.VIEWER_REQUEST
            )
        ],
    )


def _require_room(behaviors: Sequence[Behavior]) -> None:
    count = len(behaviors) + 1  # the cached one
    if count > _MAX_BEHAVIORS:
        raise ValueError(f"a distribution holds {_MAX_BEHAVIORS} cache behaviors, {count} are needed")
