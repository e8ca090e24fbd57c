"""Where the container images of Lambda functions come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_literal, require_match
from dify_cdk.cdk_helpers.assets import docker_dir
from dify_cdk.dify.components import Component
from dify_cdk.dify.digests import DIGEST, KNOWN_DIGESTS, LAMBDA_ADAPTER
from dify_cdk.dify.release import TAG, DifyRelease, ecr_registry
from dify_cdk.options.sizes import Architecture

_FOLDERS = {Component.API: "api_lambda", Component.WEB: "web_lambda"}


class LambdaImages(Protocol):
    """A way to get the images of api and web for Lambda."""

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component."""
        ...


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class LocalBuild:
    """Builds the images with Docker on the machine that deploys, and pushes them as CDK assets.

    Docker pulls Dify's images with its own log-in; ``DifyRelease.credentials`` are not used.

    Attributes:
        adapter: Image of AWS Lambda Web Adapter, such as a copy in a private registry, with tag, digest or
            both. Default: the version that the library is tested with, from Amazon ECR Public.

    Raises:
        ValueError: If ``adapter`` names no version, ``DifyRelease.images`` replaces the image, for a
            Dockerfile needs its name, or a name is known only at deployment.
    """

    adapter: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _require_adapter("LocalBuild", self.adapter)

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component; synthesis only reads the folder."""
        del scope
        arguments = _arguments(release, component, self.adapter)
        for name, source in (("IMAGE", "DifyRelease"), ("LWA_IMAGE", "LocalBuild.adapter")):
            require_literal(
                f"{source}: the image of {component}",
                arguments.get(name),
                "it is built before the deployment",
            )
        return lambda_.DockerImageCode.from_image_asset(
            str(docker_dir(_FOLDERS[component])), platform=_platform(architecture), build_args=arguments
        )


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class CloudBuild:
    """Builds the images in AWS CodeBuild during the deployment: without Docker on your machine.

    Needs the package ``cdklabs.deploy-time-build``: ``pip install 'dify-cdk[cloud-build]'``. Dify's images
    are pulled without a log-in, so that they have to be in a registry that needs none.

    Attributes:
        adapter: Image of AWS Lambda Web Adapter, with tag, digest or both. Default: the version that the
            library is tested with, from Amazon ECR Public.

    Raises:
        ValueError: If ``adapter`` names no version, ``DifyRelease.images`` replaces the image, for a
            Dockerfile needs its name, or the registry needs a log-in.
    """

    adapter: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _require_adapter("CloudBuild", self.adapter)

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component."""
        from cdklabs.deploy_time_build import ContainerImageBuild

        arguments = _arguments(release, component, self.adapter)
        if release.needs_login:
            raise ValueError(
                "CloudBuild pulls without a log-in, which this DifyRelease needs for its registry: use "
                "LocalBuild or ReadyImages"
            )
        if ecr_registry(self.adapter):
            raise ValueError(
                "CloudBuild pulls without a log-in, which CloudBuild.adapter needs in Amazon ECR: use "
                f"LocalBuild or ReadyImages, got {self.adapter!r}"
            )
        build = ContainerImageBuild(
            scope,
            "Image",
            directory=str(docker_dir(_FOLDERS[component])),
            platform=_platform(architecture),
            build_args=arguments,
        )
        return build.to_lambda_docker_image_code()


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyImages:
    """Takes images that are in Amazon ECR already, built from the Dockerfiles of this package.

    Attributes:
        api: Repository of the api image, in the stack's region.
        web: Repository of the web image, likewise.
        tag_or_digest: Tag, or digest beginning with ``sha256:``, of both images.

    Raises:
        ValueError: If ``tag_or_digest`` is neither, or a repository is in another region than the stack, from
            where AWS Lambda takes no image.

    See https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
    """

    api: ecr.IRepository
    web: ecr.IRepository
    tag_or_digest: str

    def __post_init__(self) -> None:
        """Check the tag."""
        require_match(
            "ReadyImages.tag_or_digest", self.tag_or_digest, rf"{TAG}|{DIGEST}", "a tag or a digest"
        )

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component."""
        del release, architecture
        repository = self.api if component is Component.API else self.web
        here, there = cdk.Stack.of(scope).region, repository.env.region
        if here != there and not is_token([here, there]):
            raise ValueError(
                f"ReadyImages.{component} must be a repository in the stack's region {here}, got one in "
                f"{there}: replicate it"
            )
        return lambda_.DockerImageCode.from_ecr(repository, tag_or_digest=self.tag_or_digest)


def _require_adapter(name: str, adapter: str | None) -> None:
    if adapter is not None:
        meaning = "the name of an image with a tag or a digest"
        require_match(f"{name}.adapter", adapter, rf"[^\s@]+(:[\w.-]+|@{DIGEST}|:[\w.-]+@{DIGEST})", meaning)


def _arguments(release: DifyRelease, component: Component, adapter: str | None) -> dict[str, str]:
    """What the Dockerfiles are told; the adapter's own line holds where there is nothing to say."""
    known = KNOWN_DIGESTS.get(LAMBDA_ADAPTER)
    adapter = adapter or (f"{LAMBDA_ADAPTER}@{known}" if known else None)
    return {"IMAGE": _base_image(release, component), **({"LWA_IMAGE": adapter} if adapter else {})}


def _base_image(release: DifyRelease, component: Component) -> str:
    if release.own_image(component) is not None:
        raise ValueError(
            f"DifyRelease.images replaces the image of {component}, which cannot be built upon for AWS "
            "Lambda: build it from the Dockerfiles of this package and use ReadyImages"
        )
    return release.image_name(component)


def _platform(architecture: Architecture) -> ecr_assets.Platform:
    if architecture is Architecture.ARM64:
        return ecr_assets.Platform.LINUX_ARM64
    return ecr_assets.Platform.LINUX_AMD64
