"""api or web as a Lambda function with a function URL, from a container image with Lambda Web Adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from constructs import Construct

from dify_cdk._checks import is_token
from dify_cdk.cdk_helpers.custom_resources import lambda_architecture, log_group
from dify_cdk.cdk_helpers.nag import acknowledge_vpc_execution, acknowledge_wildcards
from dify_cdk.dify.components import Component, HttpHealth
from dify_cdk.dify.connections import FUNCTION_POOLS, Part, connections_of
from dify_cdk.dify.environment import PublicEndpoint, plain_variables, require_free
from dify_cdk.dify.limits import Limits
from dify_cdk.frontends.parts.lambda_images import LambdaImages
from dify_cdk.options.function_size import FunctionSize
from dify_cdk.workers.component_service import Platform

_KEPT_SECONDS = 70
"""How long servers in functions keep idle connections, but for a margin. Lambda Web Adapter keeps them for 4
seconds, but in an environment that is frozen between requests nobody counts them. Every fifth slow request
was lost with gunicorn's 2 seconds, none with 75."""

_ENVIRONMENT_BYTES = 4096  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_TOKEN_BYTES = 80  # about a long host name or ARN
_HOST = "host.invalid"  # stands for the host name that only the running function learns


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicName:
    """How the functions learn their public URL.

    Attributes:
        host: Custom domain; None where only CloudFront's is there.
        parameter: Name of the SSM parameter with the URL, for the latter case.
        limits: What the frontend supports.
        collaboration: Whether ``api_websocket`` runs behind it.
    """

    host: str | None
    parameter: str
    limits: Limits
    collaboration: bool


class ComponentFunction(Construct):
    """A component of Dify as a Lambda function inside the network.

    Its configuration holds no secret: the entry script of the image fetches the fields it is told to when
    an environment starts.

    Args:
        component: ``api`` or ``web``.
        platform: Where it runs, and from what.
        name: How it learns its public URL.
        size: Memory, time and concurrency.
        images: Where the image comes from.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        component: Component,
        platform: Platform,
        name: PublicName,
        size: FunctionSize,
        images: LambdaImages,
    ) -> None:
        super().__init__(scope, id)
        self._component = component
        self._secrets = _by_secret(platform, component)
        environment = self._environment(platform, name, size)
        _require_room(component, environment)
        self._function = lambda_.DockerImageFunction(
            self,
            "Function",
            code=images.code(self, component, release=platform.release, architecture=platform.architecture),
            architecture=lambda_architecture(platform.architecture),
            memory_size=size.memory_mib,
            timeout=cdk.Duration.seconds(size.timeout_seconds),
            reserved_concurrent_executions=size.reserved_concurrency,
            vpc=platform.data.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=platform.tiers.app),
            security_groups=[platform.security_groups.group(component)],
            environment=environment,
            log_group=log_group(self, "Logs"),
            description=f"Dify: {component}",
        )
        platform.hosted.add(component)
        self._grant(platform, name)
        self._count_connections(platform, environment, size)
        self._target = self._define_target(size)
        if size.keep_warm_minutes is not None:
            self._keep_warm(size.keep_warm_minutes)
        self._url = self._target.add_function_url(
            auth_type=lambda_.FunctionUrlAuthType.AWS_IAM, invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM
        )

    @property
    def function(self) -> lambda_.DockerImageFunction:
        """The function."""
        return self._function

    @property
    def resource(self) -> lambda_.CfnFunction:
        """What to depend on before others may call it; the L2 would bring those that may call it along."""
        resource = self._function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        return resource

    @property
    def url(self) -> lambda_.FunctionUrl:
        """Its URL, which only CloudFront may call."""
        return self._url

    def _environment(self, platform: Platform, name: PublicName, size: FunctionSize) -> dict[str, str]:
        endpoint = PublicEndpoint(
            scheme="https",
            host=name.host or _HOST,
            limits=name.limits,
            idle_timeout_seconds=_KEPT_SECONDS,
            collaboration=name.collaboration,
        )
        context = platform.context(endpoint, FUNCTION_POOLS)
        extras = platform.extras.get(self._component, {})
        require_free(self._component, extras, context)
        values = plain_variables(self._component, context, extras)
        if size.provisioned_concurrency:  # with true, an environment counts as ready while it still starts
            values["AWS_LWA_ASYNC_INIT"] = "false"
        late = {} if name.host else {key: text for key, text in values.items() if _HOST in text}
        plain = {key: text for key, text in values.items() if key not in late}
        if late:
            plain["DIFY_CDK_URL_PARAMETER"] = name.parameter
            plain["DIFY_CDK_URL_TEMPLATES"] = _compact({key: _template(text) for key, text in late.items()})
        if self._secrets:
            plain["DIFY_CDK_SECRETS"] = _compact(
                [{"arn": arn, "env": variables} for arn, variables in self._secrets.items()]
            )
        return plain

    def _count_connections(
        self, platform: Platform, environment: Mapping[str, str], size: FunctionSize
    ) -> None:
        """Add what all environments take of the database's connections, where their number is known.

        The account's own limit, which holds without one, is more than most databases take, and a few people
        never reach it: every installation would be warned.
        """
        most = size.reserved_concurrency
        if most is None or is_token(most):
            return
        each = connections_of(self._component, environment)
        part = Part(name=f"{self._component}_function", most=most, connections=each, doubles=False)
        platform.parts.append(part)

    def _grant(self, platform: Platform, name: PublicName) -> None:
        role = self._function.role
        assert role is not None
        arns = {
            source.secret.secret_arn: None for source in platform.own_secrets_of(self._component).values()
        }
        if arns:
            statement = iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=list(arns))
            self._function.add_to_role_policy(statement)
            platform.data.grant_access(role, self._component)
        for source in platform.chosen_secrets_of(self._component).values():
            source.secret.grant_read(role)
        for value in platform.extras.get(self._component, {}).values():
            if isinstance(value, ecs.Secret):
                value.grant_read(role)
        if name.host is None:
            parameter = cdk.Stack.of(self).format_arn(
                service="ssm", resource="parameter", resource_name=name.parameter.lstrip("/")
            )
            self._function.add_to_role_policy(
                iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[parameter])
            )
        acknowledge_vpc_execution(self._function)

    def _keep_warm(self, minutes: int) -> None:
        """Call the function as its URL would, so that the adapter passes a plain request on."""
        health = self._component.spec.health
        assert isinstance(health, HttpHealth)  # a path that asks nobody else is a cheap one
        # The target's own role would lie at the stack.
        caller = iam.Role(
            self,
            "KeepWarmRole",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
        )
        target = scheduler_targets.LambdaInvoke(
            self._target,
            role=caller,
            input=scheduler.ScheduleTargetInput.from_object(_url_event(health.path)),
            # A call that was missed is no longer of use.
            retry_attempts=0,
            max_event_age=cdk.Duration.minutes(1),
        )
        scheduler.Schedule(
            self,
            "KeepWarm",
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.minutes(minutes)),
            target=target,
            description=f"Dify: keeps one environment of {self._component} ready",
        )
        acknowledge_wildcards(caller, [f"{self._target.function_arn}:*"], "the function in any version")

    def _define_target(self, size: FunctionSize) -> lambda_.Function | lambda_.Alias:
        if not size.provisioned_concurrency:
            return self._function
        return lambda_.Alias(
            self,
            "Live",
            alias_name="live",
            version=self._function.current_version,
            provisioned_concurrent_executions=size.provisioned_concurrency,
        )


def _url_event(path: str) -> dict[str, object]:
    """What a function URL hands over for a GET request.

    See https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    """
    http = {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}
    context = {
        "accountId": "anonymous",
        "apiId": "keep-warm",
        "domainName": "localhost",
        "domainPrefix": "localhost",
        "http": {**http, "userAgent": "keep-warm"},
        "requestId": "keep-warm",
        "routeKey": "$default",
        "stage": "$default",
        "time": "01/Jan/2026:00:00:00 +0000",
        "timeEpoch": 1767225600000,
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "localhost", "x-forwarded-proto": "https"},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _template(text: str) -> str:
    return text.replace(f"https://{_HOST}", "{url}").replace(_HOST, "{host}")


def _by_secret(platform: Platform, component: Component) -> dict[str, dict[str, str | None]]:
    """ARN of each secret to its variables with their fields, so that an ARN stands there once."""
    grouped: dict[str, dict[str, str | None]] = {}
    for variable, source in platform.secrets_of(component).items():
        grouped.setdefault(source.secret.secret_arn, {})[variable] = source.field
    for variable, value in platform.extras.get(component, {}).items():
        if not isinstance(value, str):
            arn, name = _source(component, variable, value)
            grouped.setdefault(arn, {})[variable] = name
    return grouped


def _source(component: Component, variable: str, value: ecs.Secret) -> tuple[str, str | None]:
    """The secret and the field that a user's variable comes from, as the entry script asks for them.

    Raises:
        ValueError: If it is not the current version of a Secrets Manager secret.
    """
    where = f"environment of {component}: {variable}"
    if component is not Component.API:
        raise ValueError(
            f"{where} must be text where the component runs on AWS Lambda, which fetches secrets for api"
        )
    if not value.has_field:
        if ":ssm:" in value.arn:
            raise ValueError(
                f"{where} must come from Secrets Manager where the component runs on AWS Lambda, not from SSM"
            )
        return value.arn, None
    arn, name, stage, version = value.arn.rsplit(":", 3)
    if stage or version:
        raise ValueError(
            f"{where} must be the current version of its secret where the component runs on AWS Lambda, got "
            f"{stage or version}"
        )
    return arn, name


def _compact(value: object) -> str:
    """JSON without blanks. The CDK's own function would lose nulls; ARNs need no escaping."""
    return json.dumps(value, separators=(",", ":"))


def _require_room(component: Component, environment: Mapping[str, str]) -> None:
    """A function's environment holds 4 KB; what tokens grow to is estimated."""
    size = sum(len(name) + _length(text) for name, text in environment.items())
    if size > _ENVIRONMENT_BYTES:
        raise ValueError(
            f"environment of {component}: about {size} characters, but a Lambda function holds "
            f"{_ENVIRONMENT_BYTES}: remove some of your own variables"
        )


def _length(text: str) -> int:
    return max(len(text), _TOKEN_BYTES) if is_token(text) else len(text)
