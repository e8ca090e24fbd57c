"""The IP allow-list of an HTTP API: a Lambda authorizer whose decision is cached by source address."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk._checks import is_token, require_between
from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.cdk_helpers.custom_resources import lambda_architecture, log_group
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_basic_execution
from dify_cdk.frontends.parts.clients import Networks
from dify_cdk.options.llrt import check_bootstrap

_FOLDER = "ip_authorizer"
_LLRT_HANDLER = "index.mjs"
_MAX_CACHE_SECONDS = 3600
_ENVIRONMENT_BYTES = 4096
_RESERVED_BYTES = 256  # names, separators, and what tokens grow to is checked by Lambda itself
_TOKEN_BYTES = len("255.255.255.255/32")


class IpAuthorizer(Construct):
    """Lets requests from listed networks in.

    Args:
        networks: Who may enter.
        cache_seconds: How long the decision for an address is cached, 0 to 3600; 0 asks for every request.
        llrt_bootstrap: Path of an LLRT binary to run instead of Python. Default: Python.

    Raises:
        ValueError: If the list is too long for a function's environment, or the binary is none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        networks: Networks,
        cache_seconds: int,
        llrt_bootstrap: Path | None,
    ) -> None:
        super().__init__(scope, id)
        require_between("DifyHttpApiFrontend.authorizer_cache_seconds", cache_seconds, 0, _MAX_CACHE_SECONDS)
        environment = {"ALLOWED_IPV4": ",".join(networks.all_ipv4), "ALLOWED_IPV6": ",".join(networks.ipv6)}
        _require_room((*networks.all_ipv4, *networks.ipv6))
        if llrt_bootstrap is None:
            function = self._define_python(environment)
        else:
            function = self._define_llrt(environment, llrt_bootstrap)
        acknowledge(function, {"AwsSolutions-L1": "the runtime is pinned to what the handler is tested with"})
        acknowledge_basic_execution(function)
        self._authorizer = authorizers.HttpLambdaAuthorizer(
            "SourceIp",
            function,
            response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
            # Without an identity source nothing is cached, which is what a cache of 0 seconds asks for.
            identity_source=["$context.identity.sourceIp"] if cache_seconds else [],
            results_cache_ttl=cdk.Duration.seconds(cache_seconds),
        )

    @property
    def authorizer(self) -> authorizers.HttpLambdaAuthorizer:
        """The authorizer for the routes."""
        return self._authorizer

    def _define_python(self, environment: dict[str, str]) -> lambda_.Function:
        return lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="authorizer.handler",
            code=lambda_.Code.from_asset(
                str(handler_dir(_FOLDER)), exclude=["__pycache__", "*.pyc", _LLRT_HANDLER]
            ),
            environment=environment,
            description="Dify: lets requests from listed networks in",
            timeout=cdk.Duration.seconds(5),
            memory_size=128,
            log_group=log_group(self, "Logs"),
        )

    def _define_llrt(self, environment: dict[str, str], bootstrap: Path) -> lambda_.Function:
        architecture = check_bootstrap(bootstrap)
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "bootstrap"
            shutil.copyfile(bootstrap, program)
            program.chmod(0o755)
            shutil.copyfile(handler_dir(_FOLDER) / _LLRT_HANDLER, Path(folder) / _LLRT_HANDLER)
            return lambda_.Function(
                self,
                "LlrtFunction",
                runtime=lambda_.Runtime.PROVIDED_AL2023,
                architecture=lambda_architecture(architecture),
                handler="index.handler",
                code=lambda_.Code.from_asset(folder),
                environment=environment,
                description="Dify: lets requests from listed networks in, on LLRT",
                timeout=cdk.Duration.seconds(5),
                memory_size=128,
                log_group=log_group(self, "Logs"),
            )


def _require_room(networks: Sequence[str]) -> None:
    """A function's environment holds 4 KB, of which a token may take an address."""
    size = sum(1 + (_TOKEN_BYTES if is_token(network) else len(network)) for network in networks)
    if size > _ENVIRONMENT_BYTES - _RESERVED_BYTES:
        raise ValueError(
            f"Access lists {len(networks)} networks of together {size} characters, but the authorizer of an "
            f"HTTP API holds {_ENVIRONMENT_BYTES - _RESERVED_BYTES}: merge some of them"
        )
