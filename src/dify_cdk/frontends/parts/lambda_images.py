"""Where the container images of Lambda functions come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk.cdk_helpers.assets import docker_dir
from dify_cdk.dify.components import Component
from dify_cdk.dify.release import DifyRelease
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
    """Images are built by Docker on the machine that deploys, and pushed as CDK assets.

    Docker pulls Dify's images with the log-in that it has: ``DifyRelease.credentials`` are not for it.

    Raises:
        ValueError: If ``DifyRelease.images`` replaces the image, for a Dockerfile needs its name.
    """

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component; synthesis only reads the folder."""
        del scope
        return lambda_.DockerImageCode.from_image_asset(
            str(docker_dir(_FOLDERS[component])),
            platform=_platform(architecture),
            build_args={"IMAGE": _base_image(release, component)},
        )


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class CloudBuild:
    """Images are built in AWS CodeBuild while the stack is deployed: no Docker on any machine of yours.

    Needs the package ``cdklabs.deploy-time-build``: ``pip install 'dify-cdk[cloud-build]'``. Dify's images
    are pulled without a log-in, so that they must lie in a registry that needs none.

    Raises:
        ValueError: If ``DifyRelease.images`` replaces the image, for a Dockerfile needs its name, or the
            registry needs a log-in.
    """

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component."""
        from cdklabs.deploy_time_build import ContainerImageBuild

        base = _base_image(release, component)
        if release.needs_login:
            raise ValueError(
                "CloudBuild pulls without a log-in, which this DifyRelease needs for its registry: use "
                "LocalBuild or ReadyImages"
            )
        build = ContainerImageBuild(
            scope,
            "Image",
            directory=str(docker_dir(_FOLDERS[component])),
            platform=_platform(architecture),
            build_args={"IMAGE": base},
        )
        return build.to_lambda_docker_image_code()


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyImages:
    """Images that lie in Amazon ECR already, built from the Dockerfiles of this package.

    Attributes:
        api: Repository of the api image.
        web: Repository of the web image.
        tag_or_digest: Tag, or digest beginning with ``sha256:``, of both.
    """

    api: ecr.IRepository
    web: ecr.IRepository
    tag_or_digest: str

    def code(
        self, scope: Construct, component: Component, *, release: DifyRelease, architecture: Architecture
    ) -> lambda_.DockerImageCode:
        """The image of a component."""
        del scope, release, architecture
        repository = self.api if component is Component.API else self.web
        return lambda_.DockerImageCode.from_ecr(repository, tag_or_digest=self.tag_or_digest)


def _base_image(release: DifyRelease, component: Component) -> str:
    if component in release.images:
        raise ValueError(
            f"DifyRelease.images replaces the image of {component}, which cannot be built upon for AWS "
            "Lambda: build it from the Dockerfiles of this package and use ReadyImages"
        )
    return release.image_name(component)


def _platform(architecture: Architecture) -> ecr_assets.Platform:
    if architecture is Architecture.ARM64:
        return ecr_assets.Platform.LINUX_ARM64
    return ecr_assets.Platform.LINUX_AMD64
