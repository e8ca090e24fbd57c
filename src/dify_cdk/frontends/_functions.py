"""api or web as a Lambda function with a function URL, from a container image with Lambda Web Adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk._acknowledge import acknowledge, acknowledge_basic_execution, acknowledge_wildcards
from dify_cdk._checks import is_token
from dify_cdk._deploy import lambda_architecture, log_group
from dify_cdk._fargate import Platform
from dify_cdk.environment import Door, SecretField, plain_variables, require_free, secret_variables
from dify_cdk.frontends._images import LambdaImages
from dify_cdk.functions import FunctionSize
from dify_cdk.limits import Limits
from dify_cdk.roles import Role

_ENVIRONMENT_BYTES = 4096  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_TOKEN_BYTES = 80  # about a long host name or ARN
_HOST = "host.invalid"  # stands for the host name that only the running function learns


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicName:
    """How the functions learn their public URL.

    Attributes:
        host: Own host name; None where only CloudFront's is there.
        parameter: Name of the SSM parameter with the URL, for the latter case.
        limits: What the way in carries.
    """

    host: str | None
    parameter: str
    limits: Limits


class RoleFunction(Construct):
    """A role of Dify as a Lambda function inside the network.

    Its configuration holds no secret: the entry script of the image fetches the fields it is told to when
    an environment starts.

    Args:
        role: ``api`` or ``web``.
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
        role: Role,
        platform: Platform,
        name: PublicName,
        size: FunctionSize,
        images: LambdaImages,
    ) -> None:
        super().__init__(scope, id)
        self._role = role
        environment = self._environment(platform, name, size)
        _require_room(role, environment)
        self._function = lambda_.DockerImageFunction(
            self,
            "Function",
            code=images.code(self, role, release=platform.release, architecture=platform.architecture),
            architecture=lambda_architecture(platform.architecture),
            memory_size=size.memory_mib,
            timeout=cdk.Duration.seconds(size.timeout_seconds),
            reserved_concurrent_executions=size.reserved_concurrency,
            vpc=platform.data.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=platform.tiers.app),
            security_groups=[platform.mesh.group(role)],
            environment=environment,
            log_group=log_group(self, "Logs"),
            description=f"Dify: {role}",
        )
        self._grant(platform, name)
        self._target = self._define_target(size)
        self._url = self._target.add_function_url(
            auth_type=lambda_.FunctionUrlAuthType.AWS_IAM, invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM
        )

    @property
    def function(self) -> lambda_.DockerImageFunction:
        """The function."""
        return self._function

    @property
    def url(self) -> lambda_.FunctionUrl:
        """Its URL, which only CloudFront may call."""
        return self._url

    def _environment(self, platform: Platform, name: PublicName, size: FunctionSize) -> dict[str, str]:
        door = Door(scheme="https", host=name.host or _HOST, limits=name.limits)
        context = platform.context(door)
        extras = platform.extras.get(self._role, {})
        require_free(self._role, extras, context)
        values = {**plain_variables(self._role, context), **_plain_extras(self._role, extras)}
        if size.provisioned_concurrency:  # with true, an environment counts as ready while it still starts
            values["AWS_LWA_ASYNC_INIT"] = "false"
        late = {} if name.host else {key: text for key, text in values.items() if _HOST in text}
        plain = {key: text for key, text in values.items() if key not in late}
        if late:
            plain["DIFY_CDK_URL_PARAMETER"] = name.parameter
            plain["DIFY_CDK_URL_TEMPLATES"] = _compact({key: _template(text) for key, text in late.items()})
        secrets = secret_variables(self._role)
        if secrets:
            plain["DIFY_CDK_SECRETS"] = _compact(_by_secret(platform, secrets))
        return plain

    def _grant(self, platform: Platform, name: PublicName) -> None:
        arns = {
            platform.data.secret(source.purpose).secret_arn: None
            for source in secret_variables(self._role).values()
        }
        if arns:
            statement = iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=list(arns))
            self._function.add_to_role_policy(statement)
            role = self._function.role
            assert role is not None
            platform.data.grant_access(role, self._role)
        if name.host is None:
            parameter = cdk.Stack.of(self).format_arn(
                service="ssm", resource="parameter", resource_name=name.parameter.lstrip("/")
            )
            self._function.add_to_role_policy(
                iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[parameter])
            )
        acknowledge_basic_execution(self._function)
        vpc_policy = (
            "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
        )
        reason = "the managed policy lets Lambda attach the function to the network"
        acknowledge(self._function, {f"AwsSolutions-IAM4[{vpc_policy}]": reason})
        acknowledge_wildcards(self._function, ["*"], reason)

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


def _plain_extras(role: Role, extras: Mapping[str, object]) -> dict[str, str]:
    """The variables a user adds, of which a Lambda function can take the plain ones only.

    Raises:
        ValueError: If one of them comes from a secret: that would put its value into the configuration.
    """
    for variable, value in extras.items():
        if not isinstance(value, str):
            raise ValueError(
                f"environment of role {role}: {variable} must be text where the role runs on AWS Lambda"
            )
    return {variable: str(value) for variable, value in extras.items()}


def _template(text: str) -> str:
    return text.replace(f"https://{_HOST}", "{url}").replace(_HOST, "{host}")


def _by_secret(platform: Platform, secrets: Mapping[str, SecretField]) -> list[dict[str, object]]:
    """The variables of each secret, so that its ARN stands there once."""
    grouped: dict[str, dict[str, str | None]] = {}
    for variable, source in secrets.items():
        grouped.setdefault(platform.data.secret(source.purpose).secret_arn, {})[variable] = source.field
    return [{"arn": arn, "env": variables} for arn, variables in grouped.items()]


def _compact(value: object) -> str:
    """JSON without blanks. The CDK's own function would lose nulls; ARNs need no escaping."""
    return json.dumps(value, separators=(",", ":"))


def _require_room(role: Role, environment: Mapping[str, str]) -> None:
    """A function's environment holds 4 KB; what tokens grow to is estimated."""
    size = sum(len(name) + _length(text) for name, text in environment.items())
    if size > _ENVIRONMENT_BYTES:
        raise ValueError(
            f"environment of role {role}: about {size} characters, but a Lambda function holds "
            f"{_ENVIRONMENT_BYTES}: remove some of your own variables"
        )


def _length(text: str) -> int:
    return max(len(text), _TOKEN_BYTES) if is_token(text) else len(text)
