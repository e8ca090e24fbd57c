"""An HTTP API whose routes end at ECS services inside the network, without a load balancer."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicediscovery as servicediscovery
from aws_cdk import custom_resources as cr
from constructs import Construct

from dify_cdk.cdk_helpers.custom_resources import DeployFunction, define_provider, log_group
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_wildcards
from dify_cdk.dify.limits import HTTP_API_TIMEOUT_SECONDS
from dify_cdk.options.throttle import Throttle
from dify_cdk.workers.component_service import ComponentService, Platform

_RESOLVER_SECONDS = 600
_LOG_FORMAT = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "sourceIp": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "route": "$context.routeKey",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "integrationError": "$context.integrationErrorMessage",
    "integrationLatency": "$context.integrationLatency",
    "authorizerError": "$context.authorizer.error",
}


def ip_address_type(dual_stack: bool) -> apigateway.IpAddressType:
    """What an API or its domain name listens on; without IPv6 no client ever arrives by it."""
    return apigateway.IpAddressType.DUAL_STACK if dual_stack else apigateway.IpAddressType.IPV4


class PrivateApi(Construct):
    """An HTTP API with a ``$default`` stage, a VPC link, and a resolver for what Service Connect registers.

    Args:
        platform: Where the services run.
        authorizer: Who is let in. Default: everybody.
        throttle: Limits of the stage. Default: the account's.
        default_endpoint: Whether the API answers under its ``execute-api`` name.
        dual_stack: Whether it has IPv6 addresses as well.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        platform: Platform,
        authorizer: apigateway.IHttpRouteAuthorizer | None,
        throttle: Throttle | None,
        default_endpoint: bool,
        dual_stack: bool,
    ) -> None:
        super().__init__(scope, id)
        self._platform = platform
        vpc = platform.data.vpc
        self._group = ec2.SecurityGroup(
            self, "LinkSecurityGroup", vpc=vpc, allow_all_outbound=False, description="Dify VPC link"
        )
        self._link = apigateway.VpcLink(
            self,
            "Link",
            vpc=vpc,
            subnets=ec2.SubnetSelection(subnets=platform.tiers.app),
            security_groups=[self._group],
        )
        self._api = apigateway.HttpApi(
            self,
            "HttpApi",
            create_default_stage=False,
            default_authorizer=authorizer,
            disable_execute_api_endpoint=not default_endpoint,
            ip_address_type=ip_address_type(dual_stack),
            description="Dify",
        )
        if authorizer is None:
            acknowledge(self._api, {"AwsSolutions-APIG4": "the caller wrote Access.anyone()"})
        self._stage = self._define_stage(throttle)
        self._resolver = self._define_resolver()

    @property
    def api(self) -> apigateway.HttpApi:
        """The API."""
        return self._api

    @property
    def stage(self) -> apigateway.HttpStage:
        """Its stage."""
        return self._stage

    @property
    def host(self) -> str:
        """The API's own host name (a token)."""
        stack = cdk.Stack.of(self)
        return f"{self._api.api_id}.execute-api.{stack.region}.{stack.url_suffix}"

    def integrate(
        self, service: ComponentService, discovery_name: str, headers: Mapping[str, str]
    ) -> integrations.HttpServiceDiscoveryIntegration:
        """An integration that ends at a service's tasks.

        Args:
            service: A service that has joined Service Connect.
            discovery_name: The name under which it joined.
            headers: Headers to overwrite, with the expressions of API Gateway's parameter mapping.
        """
        component = service.component
        port = ec2.Port.tcp(component.port)
        self._group.connections.allow_to(service.service, port, "VPC link")
        resolved = cdk.CustomResource(
            self,
            f"{component.construct_id}Discovery",
            service_token=self._resolver.service_token,
            resource_type="Custom::DifyServiceDiscovery",
            service_timeout=cdk.Duration.seconds(_RESOLVER_SECONDS + 60),
            properties={
                "NamespaceId": self._platform.namespace.namespace_id,
                "DiscoveryName": discovery_name,
                # A replaced ECS service may have registered anew: only then is it looked up again.
                "Service": service.service.service_arn,
            },
        )
        discovered = servicediscovery.Service.from_service_attributes(
            self,
            f"{component.construct_id}Service",
            namespace=self._platform.namespace,
            service_name=discovery_name,
            service_id=discovery_name,
            service_arn=resolved.get_att_string("ServiceArn"),
            dns_record_type=servicediscovery.DnsRecordType.A,
            routing_policy=servicediscovery.RoutingPolicy.MULTIVALUE,
        )
        mapping = apigateway.ParameterMapping()
        for name, value in headers.items():
            mapping.overwrite_header(name, apigateway.MappingValue.custom(value))
        return integrations.HttpServiceDiscoveryIntegration(
            component.construct_id, discovered, vpc_link=self._link, parameter_mapping=mapping
        )

    def finish(self, timeout_seconds: int = HTTP_API_TIMEOUT_SECONDS) -> None:
        """Give every integration its timeout, after all routes are defined.

        The L2 takes ``timeout`` and drops it (aws-cdk-lib 2.275), so that the API's default would hold.

        Args:
            timeout_seconds: Total timeout of a request, 1 to 30 seconds. Default: the most.
        """
        milliseconds = timeout_seconds * 1000
        for construct in self._api.node.find_all():
            if isinstance(construct, apigateway.CfnIntegration):
                construct.timeout_in_millis = milliseconds

    def _define_stage(self, throttle: Throttle | None) -> apigateway.HttpStage:
        stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self._api,
            stage_name="$default",
            auto_deploy=True,
            detailed_metrics_enabled=True,
            throttle=_settings(throttle),
        )
        resource = stage.node.default_child
        assert isinstance(resource, apigateway.CfnStage)
        # The L2's default format has variables of REST APIs.
        resource.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group(self, "AccessLogs").log_group_arn,
            format=cdk.Stack.of(self).to_json_string(_LOG_FORMAT),
        )
        return stage

    def _define_resolver(self) -> cr.Provider:
        scope = Construct(self, "Resolver")
        handler = DeployFunction(
            scope,
            "Handler",
            handler="resolver.on_event",
            description="Dify: finds the Cloud Map service that ECS Service Connect registered",
            timeout=cdk.Duration.seconds(_RESOLVER_SECONDS),
            statements=[iam.PolicyStatement(actions=["servicediscovery:ListServices"], resources=["*"])],
        )
        acknowledge_wildcards(handler, ["*"], "servicediscovery:ListServices cannot be limited to a resource")
        return define_provider(scope, handler)


def _settings(throttle: Throttle | None) -> apigateway.ThrottleSettings | None:
    if throttle is None:
        return None
    return apigateway.ThrottleSettings(rate_limit=throttle.requests_per_second, burst_limit=throttle.burst)
