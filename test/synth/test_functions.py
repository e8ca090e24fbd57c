"""api and web as Lambda functions: what a caller can add to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm

from dify_cdk import (
    CloudBuild,
    Component,
    DifyCloudFrontLambdaFrontend,
    DifyRelease,
    DifyWorkers,
    FunctionSize,
    Limits,
    LocalBuild,
    Uploads,
)
from dify_cdk.dify.digests import LAMBDA_ADAPTER
from dify_cdk.frontends.parts import lambda_images
from dify_cdk.frontends.parts.lambda_images import _arguments
from support import Template
from synth.installation import OFFICE, function_of, joined, synthesized, workers_in

DIGEST = f"sha256:{'1' * 64}"


def _template(stack: cdk.Stack, workers: DifyWorkers, **options: Any) -> Template:
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE, **options)
    return synthesized(stack)


def _variables(template: Template, component: Component) -> Mapping[str, Any]:
    variables: Mapping[str, Any] = function_of(template, component)[1]["Environment"]["Variables"]
    return variables


class TestVariables:
    def test_plain_ones_reach_the_function(self, stack: cdk.Stack) -> None:
        template = _template(stack, workers_in(stack, environment={Component.WEB: {"ALLOW_EMBED": "true"}}))
        assert _variables(template, Component.WEB)["ALLOW_EMBED"] == "true"

    @pytest.mark.parametrize("field", ["password", None])
    def test_secrets_are_fetched_by_the_entry_script(self, stack: cdk.Stack, field: str | None) -> None:
        secret = secretsmanager.Secret(stack, "Mine")
        own = {Component.API: {"SMTP_PASSWORD": ecs.Secret.from_secrets_manager(secret, field)}}
        template = _template(stack, workers_in(stack, environment=own))
        variables = _variables(template, Component.API)
        (mine,) = template.of_type("AWS::SecretsManager::Secret").keys() & {stack.get_logical_id(_l1(secret))}
        asked = json.loads(joined(variables["DIFY_CDK_SECRETS"]))
        assert {"arn": mine, "env": {"SMTP_PASSWORD": field}} in asked
        assert "SMTP_PASSWORD" not in variables
        assert mine in _may_read(template, Component.API)

    def test_fails_when_a_secret_is_for_web(self, stack: cdk.Stack) -> None:
        secret = ecs.Secret.from_secrets_manager(secretsmanager.Secret(stack, "Mine"))
        workers = workers_in(stack, environment={Component.WEB: {"SENTRY_AUTH_TOKEN": secret}})
        with pytest.raises(
            ValueError, match="SENTRY_AUTH_TOKEN must be text where the component runs on AWS Lam"
        ):
            _template(stack, workers)

    def test_fails_when_a_secret_is_a_parameter(self, stack: cdk.Stack) -> None:
        parameter = ssm.StringParameter.from_secure_string_parameter_attributes(
            stack, "Parameter", parameter_name="/mine"
        )
        own = {Component.API: {"SMTP_PASSWORD": ecs.Secret.from_ssm_parameter(parameter)}}
        with pytest.raises(ValueError, match="SMTP_PASSWORD must come from Secrets Manager where"):
            _template(stack, workers_in(stack, environment=own))

    def test_fails_when_a_secret_is_an_old_version(self, stack: cdk.Stack) -> None:
        version = ecs.SecretVersionInfo(version_stage="AWSPREVIOUS")
        mine = secretsmanager.Secret(stack, "Mine")
        secret = ecs.Secret.from_secrets_manager_version(mine, version, "password")
        workers = workers_in(stack, environment={Component.API: {"SMTP_PASSWORD": secret}})
        with pytest.raises(ValueError, match=r"must be the current version of its secret .* got AWSPREVIOUS"):
            _template(stack, workers)


class TestKeepWarm:
    def test_a_schedule_calls_the_function_as_its_url_would(self, stack: cdk.Stack) -> None:
        template = _template(stack, workers_in(stack), api=FunctionSize(memory_mib=2048, keep_warm_minutes=5))
        (schedule,) = template.properties("AWS::Scheduler::Schedule").values()
        assert schedule["ScheduleExpression"] == "rate(5 minutes)"
        target = schedule["Target"]
        assert target["Arn"] == {"Fn::GetAtt": [function_of(template, Component.API)[0], "Arn"]}
        event = json.loads(target["Input"])
        assert (event["version"], event["rawPath"], event["isBase64Encoded"]) == ("2.0", "/health", False)
        assert event["requestContext"]["http"]["method"] == "GET"
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}

    def test_web_has_a_path_that_renders_nothing(self, stack: cdk.Stack) -> None:
        web = FunctionSize(memory_mib=1024, timeout_seconds=60, keep_warm_minutes=10)
        (schedule,) = (
            _template(stack, workers_in(stack), web=web).properties("AWS::Scheduler::Schedule").values()
        )
        assert json.loads(schedule["Target"]["Input"])["rawPath"] == "/favicon.ico"

    def test_there_is_none_by_default(self, stack: cdk.Stack) -> None:
        assert not _template(stack, workers_in(stack)).of_type("AWS::Scheduler::Schedule")

    @pytest.mark.parametrize("minutes", [0, 16])
    def test_fails_when_the_pause_is_out_of_range(self, minutes: int) -> None:
        with pytest.raises(ValueError, match=r"FunctionSize.keep_warm_minutes must be between 1 and 15"):
            FunctionSize(memory_mib=2048, keep_warm_minutes=minutes)

    def test_fails_when_environments_are_provisioned_as_well(self) -> None:
        with pytest.raises(
            ValueError, match="keep_warm_minutes and provisioned_concurrency exclude each other"
        ):
            FunctionSize(memory_mib=2048, keep_warm_minutes=5, provisioned_concurrency=1)


class TestImages:
    @pytest.mark.parametrize("images", [LocalBuild(), CloudBuild()])
    def test_fails_when_an_own_image_would_be_built_upon(
        self, stack: cdk.Stack, images: LocalBuild | CloudBuild
    ) -> None:
        release = DifyRelease(images={Component.API: ecs.ContainerImage.from_registry("example/api:1")})
        with pytest.raises(ValueError, match=r"DifyRelease.images replaces the image of api"):
            _template(stack, workers_in(stack, release=release), images=images)

    def test_fails_when_a_cloud_build_would_need_a_log_in(self, stack: cdk.Stack) -> None:
        release = DifyRelease(registry="123456789012.dkr.ecr.us-east-1.amazonaws.com/dify")
        with pytest.raises(
            ValueError, match="CloudBuild pulls without a log-in, which this DifyRelease needs"
        ):
            _template(stack, workers_in(stack, release=release), images=CloudBuild())

    def test_dockerfiles_are_told_digests_and_the_adapter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lambda_images, "KNOWN_DIGESTS", {})
        release = DifyRelease(digests={Component.API: DIGEST})
        assert _arguments(release, Component.API, None) == {"IMAGE": f"langgenius/dify-api:1.17.1@{DIGEST}"}
        own = f"registry.example.com:5000/lwa:0.9.1@{DIGEST}"
        assert _arguments(release, Component.WEB, LocalBuild(adapter=own).adapter)["LWA_IMAGE"] == own
        monkeypatch.setattr(lambda_images, "KNOWN_DIGESTS", {LAMBDA_ADAPTER: DIGEST})
        assert _arguments(release, Component.API, None)["LWA_IMAGE"] == f"{LAMBDA_ADAPTER}@{DIGEST}"
        assert _arguments(release, Component.API, own)["LWA_IMAGE"] == own

    @pytest.mark.parametrize("images", [LocalBuild, CloudBuild])
    @pytest.mark.parametrize("adapter", ["", "public.ecr.aws/lwa", "lwa@sha256:12", "lwa:1 --x"])
    def test_fails_when_the_adapter_has_no_version(
        self, images: type[LocalBuild | CloudBuild], adapter: str
    ) -> None:
        with pytest.raises(
            ValueError, match=rf"^{images.__name__}\.adapter must be the name of an image with"
        ):
            images(adapter=adapter)


class TestMustCarry:
    @pytest.mark.parametrize("uploads", [Uploads.EDGE_SIGNED, Uploads.HTTP_API])
    def test_fails_when_uploads_are_too_small(self, stack: cdk.Stack, uploads: Uploads) -> None:
        wanted = Limits(request_timeout_seconds=60, streaming=True, websocket=False, max_body_mb=50)
        message = (
            r"DifyCloudFrontLambdaFrontend does not support bodies of 50 MB, only of [\d.]+ MB: use "
            "DifyAlbFrontend or other options of DifyCloudFrontLambdaFrontend"
        )
        with pytest.raises(ValueError, match=message):
            _template(stack, workers_in(stack), uploads=uploads, must_support=wanted)

    def test_a_load_balancer_carries_any_size(self, stack: cdk.Stack) -> None:
        wanted = Limits(request_timeout_seconds=120, streaming=True, websocket=False, max_body_mb=None)
        assert _template(stack, workers_in(stack), uploads=Uploads.VPC_ORIGIN, must_support=wanted)

    def test_fails_when_a_request_may_be_silent_for_longer(self, stack: cdk.Stack) -> None:
        wanted = Limits(request_timeout_seconds=121, streaming=True, websocket=False, max_body_mb=1)
        with pytest.raises(ValueError, match="does not support requests of 121 seconds, only of 120"):
            _template(stack, workers_in(stack), must_support=wanted)


def _l1(secret: secretsmanager.Secret) -> cdk.CfnElement:
    resource = secret.node.default_child
    assert isinstance(resource, cdk.CfnElement)
    return resource


def _may_read(template: Template, component: Component) -> set[str]:
    """Logical ids of the secrets that the function's component may read."""
    function = function_of(template, component)[1]
    (role_id, _) = function["Role"]["Fn::GetAtt"]
    found: set[str] = set()
    for policy in template.properties("AWS::IAM::Policy").values():
        if {"Ref": role_id} not in policy["Roles"]:
            continue
        for statement in policy["PolicyDocument"]["Statement"]:
            if "secretsmanager:GetSecretValue" in statement["Action"]:
                resources = statement["Resource"]
                found |= {row["Ref"] for row in (resources if isinstance(resources, list) else [resources])}
    return found
