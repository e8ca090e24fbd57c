"""Images: what pulls may pull, wherever the registry is written and however, and one image has one place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager

from dify_cdk import (
    CloudBuild,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Egress,
    LocalBuild,
    ReadyImages,
)
from iam import text
from support import REGION, Template
from synth.installation import OFFICE, synthesized, warnings_of, workers_in

ACCOUNT = "123456789012"
SHARED = {one for one in Component if one.spec.repository == "langgenius/dify-api"}

Write = Callable[[cdk.Stack], str]
ECR: dict[str, Write] = {
    "a_host": lambda _: f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
    "a_host_in_china": lambda _: f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
    "a_host_in_govcloud": lambda _: f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com",
    "a_host_of_another_partition": lambda _: f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu",
    "pseudo_parameters": lambda _: f"{cdk.Aws.ACCOUNT_ID}.dkr.ecr.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}",
    "the_suffix_only": lambda _: f"{ACCOUNT}.dkr.ecr.{REGION}.{cdk.Aws.URL_SUFFIX}",
    "a_repository": lambda stack: ecr.Repository(stack, "Repository").registry_uri,
    "an_imported_repository": lambda stack: (
        ecr.Repository.from_repository_name(stack, "Repository", "a").registry_uri
    ),
    "a_repository_elsewhere": lambda stack: (
        ecr.Repository.from_repository_arn(
            stack, "Repository", f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/a"
        ).registry_uri
    ),
    "dual_stack": lambda _: f"{ACCOUNT}.dkr-ecr.{REGION}.on.aws",
    "fips": lambda _: f"{ACCOUNT}.dkr.ecr-fips.{REGION}.amazonaws.com",
    "dual_stack_and_fips": lambda _: f"{ACCOUNT}.dkr-ecr-fips.{REGION}.on.aws",
}
in_ecr = pytest.mark.parametrize("write", ECR.values(), ids=ECR)


def build(stack: cdk.Stack, **options: Any) -> Template:
    workers = workers_in(stack, **options)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    return synthesized(stack)


def allowed(template: Template, component: Component, action: str) -> str:
    """What the execution role of a component may do that with, as JSON."""
    role = template.task_of(component)["ExecutionRoleArn"]["Fn::GetAtt"][0]
    policies = [p for p in template.properties("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    statements = [one for p in policies for one in p["PolicyDocument"]["Statement"]]
    return " ".join(json.dumps(one["Resource"]) for one in statements if action in one["Action"])


@in_ecr
def test_tasks_may_pull_from_amazon_ecr_however_its_host_is_written(stack: cdk.Stack, write: Write) -> None:
    registry = f"{write(stack)}/hub"
    release = DifyRelease(registry=registry)
    assert release.needs_login
    template = build(stack, release=release)
    for component, container in template.containers().items():
        repository = Component(component).spec.repository
        assert allowed(template, Component(component), "ecr:GetAuthorizationToken") == '"*"'
        pulls = allowed(template, Component(component), "ecr:BatchGetImage")
        assert re.search(rf"repository/hub/{repository}\"\W*$", pulls)
        image = json.dumps(container["Image"])
        assert f"/hub/{repository}" in image
        assert "Token[" not in image + pulls


@pytest.mark.parametrize(
    ("host", "own"),
    [
        (ECR["a_host"], False),
        (ECR["a_host_in_china"], False),
        (ECR["a_host_in_govcloud"], True),
        (ECR["a_host_of_another_partition"], True),
        (ECR["pseudo_parameters"], True),
    ],
)
def test_the_permission_is_for_the_registry_s_own_partition(stack: cdk.Stack, host: Write, own: bool) -> None:
    template = build(stack, release=DifyRelease(registry=host(stack)))
    pulls = allowed(template, Component.API, "ecr:BatchGetImage")
    assert ("AWS::Partition" in pulls) is own
    assert own or f"arn:aws{'-cn' if 'cn-north' in pulls else ''}:ecr:" in pulls


@pytest.mark.parametrize("name", ["dual_stack", "fips", "dual_stack_and_fips"])
def test_the_host_that_was_written_is_the_one_that_is_asked(stack: cdk.Stack, name: str) -> None:
    host = ECR[name](stack)
    for container in build(stack, release=DifyRelease(registry=host)).containers().values():
        assert str(container["Image"]).startswith(f"{host}/")


@pytest.mark.parametrize("name", ["dual_stack", "fips"])
def test_a_closed_network_leads_to_the_plain_host_only(stack: cdk.Stack, name: str) -> None:
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
    data = DifyData(stack, "Data", vpc=network.vpc)
    release = DifyRelease(registry=ECR[name](stack))
    found = warnings_of(DifyWorkers(stack, "Workers", data=data, release=release))
    assert any("DifyWorkersRegistryHost" in one for one in found)


@in_ecr
def test_credentials_and_a_cloud_build_are_refused_in_amazon_ecr(stack: cdk.Stack, write: Write) -> None:
    registry = write(stack)
    secret = secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "registry")
    with pytest.raises(ValueError, match="credentials cannot be used with an Amazon ECR registry"):
        DifyRelease(registry=registry, credentials=secret)
    workers = workers_in(stack)
    with pytest.raises(ValueError, match=r"CloudBuild pulls without a log-in, which CloudBuild\.adapter"):
        functions(stack, workers, images=CloudBuild(adapter=f"{registry}/adapter:1"))


@pytest.mark.parametrize(
    "registry",
    [
        "123456789012.dkr.ecr.amazonaws.com",
        "my-account.dkr.ecr.us-east-1.amazonaws.com",
        "dkr.ecr.us-east-1.amazonaws.com/hub",
        "123456789012.dkr-ecr.on.aws",
    ],
)
def test_fails_when_a_host_only_looks_like_one_of_amazon_ecr(registry: str) -> None:
    with pytest.raises(ValueError, match=r"^DifyRelease\.registry must begin with a host of Amazon ECR "):
        DifyRelease(registry=registry)


@pytest.mark.parametrize("form", ["https://{}", "{}/", "{} ", "{}//a/"])
def test_fails_when_what_surrounds_a_token_is_malformed(stack: cdk.Stack, form: str) -> None:
    registry = form.format(ECR["pseudo_parameters"](stack))
    with pytest.raises(ValueError, match=r"^DifyRelease\.registry must be a registry and optional path"):
        DifyRelease(registry=registry)


class TestARegistryThatNobodyKnows:
    def test_is_warned_about(self, stack: cdk.Stack) -> None:
        unknown = cdk.CfnParameter(stack, "Registry").value_as_string
        found = warnings_of(workers_in(stack, release=DifyRelease(registry=unknown)))
        assert [one for one in found if "DifyReleaseRegistry" in one]

    def test_is_not_amazon_ecr_with_credentials(self, stack: cdk.Stack) -> None:
        unknown = cdk.CfnParameter(stack, "Registry").value_as_string
        secret = secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "registry")
        release = DifyRelease(registry=unknown, credentials=secret)
        assert not [one for one in warnings_of(workers_in(stack, release=release)) if "Registry" in one]


OWN = ecs.ContainerImage.from_registry("fork.example.com/api:1")
OTHER = ecs.ContainerImage.from_registry("fork.example.com/worker:1")


class TestOneImageForSeveralComponents:
    def test_api_s_stands_for_all_that_share_it(self, stack: cdk.Stack) -> None:
        """A fork's migrations would never run, and its worker would be Dify's."""
        workers = workers_in(stack, release=DifyRelease(images={Component.API: OWN}))
        DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, collaboration=True)
        containers = synthesized(stack).containers()
        of_the_fork = {name for name, one in containers.items() if "fork.example.com" in text(one["Image"])}
        assert of_the_fork == SHARED
        assert warnings_of(workers) == []

    @pytest.mark.parametrize(
        ("images", "named"),
        [
            ({Component.WORKER: OTHER}, "worker"),
            ({Component.API: OWN, Component.WORKER: OTHER}, "worker"),
            ({Component.API: OWN, Component.MIGRATION: OTHER, Component.BEAT: OTHER}, "migration, beat"),
        ],
    )
    def test_another_one_is_used_and_warned_about(
        self, stack: cdk.Stack, images: dict[Component, ecs.ContainerImage], named: str
    ) -> None:
        workers = workers_in(stack, release=DifyRelease(images=images))
        (found,) = warnings_of(workers)
        assert found.startswith(f"{named} and api have images of their own, where Dify has one")
        DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
        containers = synthesized(stack).containers()
        assert {
            name for name, one in containers.items() if "fork.example.com/worker" in text(one["Image"])
        } == {component for component, image in images.items() if image is OTHER}

    @pytest.mark.parametrize(
        "images", [dict.fromkeys(SHARED, OWN), {Component.WEB: OTHER}, {Component.SANDBOX: OTHER}]
    )
    def test_the_same_one_or_one_that_nobody_shares_is_no_warning(
        self, stack: cdk.Stack, images: dict[Component, ecs.ContainerImage]
    ) -> None:
        assert warnings_of(workers_in(stack, release=DifyRelease(images=images))) == []


def functions(stack: cdk.Stack, workers: DifyWorkers, **options: Any) -> DifyCloudFrontLambdaFrontend:
    return DifyCloudFrontLambdaFrontend(stack, "Functions", workers=workers, access=OFFICE, **options)


class TestImagesOfFunctions:
    @pytest.mark.parametrize("field", ["version", "registry"])
    def test_fails_when_a_build_before_the_deployment_needs_a_value_of_it(
        self, stack: cdk.Stack, field: str
    ) -> None:
        release = DifyRelease(**{field: cdk.CfnParameter(stack, "Value").value_as_string})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^DifyRelease: the image of api must be literal: it is built"):
            functions(stack, workers_in(stack, release=release))

    def test_fails_when_the_adapter_is_known_at_deployment_only(self, stack: cdk.Stack) -> None:
        images = LocalBuild(adapter=cdk.CfnParameter(stack, "Value").value_as_string)
        with pytest.raises(ValueError, match=r"^LocalBuild\.adapter: the image of api must be literal"):
            functions(stack, workers_in(stack), images=images)

    @pytest.mark.parametrize("tag", ["", "a:b", "sha256:1", "latest "])
    def test_fails_when_ready_images_have_no_tag(self, stack: cdk.Stack, tag: str) -> None:
        repository = ecr.Repository.from_repository_name(stack, "Repository", "a")
        with pytest.raises(ValueError, match=r"^ReadyImages\.tag_or_digest must be a tag or a digest, got "):
            ReadyImages(api=repository, web=repository, tag_or_digest=tag)

    def test_fails_when_ready_images_are_in_another_region(self, stack: cdk.Stack) -> None:
        here, there = (
            ecr.Repository.from_repository_arn(stack, region, f"arn:aws:ecr:{region}:{ACCOUNT}:repository/a")
            for region in (REGION, "eu-west-1")
        )
        images = ReadyImages(api=here, web=there, tag_or_digest="1")
        message = (
            r"^ReadyImages\.web must be a repository in the stack's region us-east-1, got one in eu-west-1"
        )
        with pytest.raises(ValueError, match=message):
            functions(stack, workers_in(stack), images=images)
