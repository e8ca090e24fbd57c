"""The Lambda functions behind our custom resources: one handler package, one function and role each."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import custom_resources as cr
from constructs import Construct

from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_basic_execution, acknowledge_wildcards
from dify_cdk.options.sizes import Architecture

_RUNTIME_REASON = "the runtime is pinned to what the handlers are tested with"
_FRAMEWORK_REASON = (
    "written by aws-cdk-lib's provider framework: it may invoke any version of our own functions only"
)


class DeployFunction(Construct):
    """One handler of the package ``deploy`` as a function with its own role and log group.

    Args:
        handler: Module and function, for example ``migration.on_event``.
        description: What it does, shown in the console.
        timeout: Longest run.
        statements: What its role may do.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        handler: str,
        description: str,
        timeout: cdk.Duration,
        statements: Sequence[iam.PolicyStatement],
    ) -> None:
        super().__init__(scope, id)
        self._function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=handler,
            # The tests compile the handlers; without the exclusion the asset's hash would change.
            code=lambda_.Code.from_asset(str(handler_dir("deploy")), exclude=["__pycache__", "*.pyc"]),
            description=description,
            timeout=timeout,
            memory_size=256,
            log_group=log_group(self, "Logs"),
            initial_policy=list(statements),
        )
        acknowledge(self._function, {"AwsSolutions-L1": _RUNTIME_REASON})
        acknowledge_basic_execution(self._function)

    @property
    def function(self) -> lambda_.Function:
        """The function."""
        return self._function


LOG_DAYS = 30


def lambda_architecture(architecture: Architecture) -> lambda_.Architecture:
    """Lambda's own word for a processor."""
    return lambda_.Architecture.ARM_64 if architecture is Architecture.ARM64 else lambda_.Architecture.X86_64


def log_group(scope: Construct, id: str, *, name: str | None = None) -> logs.LogGroup:
    """A log group that is kept for a month and deleted with its stack."""
    return logs.LogGroup(
        scope,
        id,
        log_group_name=name,
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )


def define_provider(
    scope: Construct,
    on_event: DeployFunction,
    is_complete: DeployFunction | None = None,
    total_timeout: cdk.Duration | None = None,
) -> cr.Provider:
    """The CDK's provider framework around our functions.

    Args:
        scope: Parent construct, which gets a child ``Provider``.
        on_event: Starts the work.
        is_complete: Asks whether it is done. Default: it is done when ``on_event`` returns.
        total_timeout: How long ``is_complete`` is asked. Default: the framework's.
    """
    waits = is_complete is not None
    provider = cr.Provider(
        scope,
        "Provider",
        on_event_handler=on_event.function,
        is_complete_handler=is_complete.function if is_complete else None,
        query_interval=cdk.Duration.seconds(10) if waits else None,
        total_timeout=total_timeout,
        log_group=log_group(scope, "ProviderLogs"),
        disable_waiter_state_machine_logging=True if waits else None,
    )
    ours = [function.function.function_arn for function in (on_event, is_complete) if function]
    names = ("framework-isComplete", "framework-onTimeout") if waits else ()
    theirs = [_function(provider, name).function_arn for name in names]
    acknowledge_wildcards(provider, [f"{arn}:*" for arn in (*ours, *theirs)], _FRAMEWORK_REASON)
    acknowledge_basic_execution(provider)
    reasons = {
        "AwsSolutions-L1": _FRAMEWORK_REASON,
        "AwsSolutions-SF1": "the functions it calls write the log",
        "AwsSolutions-SF2": "runs for minutes at a deployment: tracing would tell nothing the logs do not",
    }
    acknowledge(provider, reasons)
    return provider


def _function(provider: cr.Provider, name: str) -> lambda_.Function:
    function = provider.node.find_child(name)
    assert isinstance(function, lambda_.Function)
    return function
