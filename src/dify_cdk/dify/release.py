"""Which container images make up a Dify release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dify_cdk._arguments import checked
from dify_cdk._checks import require_match
from dify_cdk.dify.components import Component, ReleaseTag

if TYPE_CHECKING:
    from aws_cdk import aws_ecs as ecs
    from aws_cdk import aws_secretsmanager as secretsmanager
    from constructs import Construct

TESTED_COMBINATIONS = frozenset({("1.17.1", "0.2.15", "0.6.10-local", "6.6-24.04_beta")})
"""Tags this library is written for, in the order of ``ReleaseTag``."""

_ECR = re.compile(
    r"(?P<account>.+?)\.dkr\.ecr\.(?P<region>.+?)\.amazonaws\.com(?P<china>\.cn)?(?:/(?P<prefix>.+))?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EcrRegistry:
    """A prefix of image names that is in Amazon ECR.

    Attributes:
        host: Host name of the registry.
        partition: ``aws`` or ``aws-cn``.
        account: Account that owns it.
        region: Its region.
        prefix: What comes before the repository names, or empty.
    """

    host: str
    partition: str
    account: str
    region: str
    prefix: str


def ecr_registry(registry: str | None) -> EcrRegistry | None:
    """A prefix taken apart if it is in Amazon ECR, else None."""
    match = _ECR.match(registry or "")
    if match is None:
        return None
    return EcrRegistry(
        host=match[0].partition("/")[0],
        partition="aws-cn" if match["china"] else "aws",
        account=match["account"],
        region=match["region"],
        prefix=match["prefix"] or "",
    )


_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


@checked
@dataclass(frozen=True, kw_only=True)
class DifyRelease:
    """The pinned image of every component.

    Attributes:
        version: Tag of the api and web images, also used by worker, beat and the migration.
        sandbox: Tag of the sandbox image.
        plugin_daemon: Tag of the plugin daemon image; the ``-local`` flavour runs plugins itself.
        ssrf_proxy: Tag of the squid image.
        registry: Prefix before the repository names, such as a private registry or an Amazon ECR
            pull-through cache: ``123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub``. For ECR the
            pull permissions are granted. Default: Docker Hub.
        credentials: Secret with ``username`` and ``password`` for the registry, which avoids Docker Hub's
            limit for anonymous pulls. Not for ECR, which takes no password. Default: anonymous.
        images: An own image for single components, any ``ecs.ContainerImage``; registry, credentials and tag
            are then the image's own business. Default: none.

    Raises:
        ValueError: If a tag is malformed, or the registry ends with a slash, has a scheme, or is an ECR
            registry together with ``credentials``.
    """

    version: str = "1.17.1"
    sandbox: str = "0.2.15"
    plugin_daemon: str = "0.6.10-local"
    ssrf_proxy: str = "6.6-24.04_beta"
    registry: str | None = None
    credentials: secretsmanager.ISecret | None = None
    images: Mapping[Component, ecs.ContainerImage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check tags and registry."""
        for name in ReleaseTag:
            require_match(f"DifyRelease.{name}", getattr(self, name), _TAG, "an image tag such as 1.17.1")
        if self.registry is not None:
            meaning = "a registry and optional path without scheme or trailing slash"
            require_match(
                "DifyRelease.registry", self.registry, r"(?!.*//)[a-z0-9][a-z0-9.:_/-]*[a-z0-9]", meaning
            )
            if self.credentials is not None and ecr_registry(self.registry):
                raise ValueError(
                    "DifyRelease.credentials cannot be used with an Amazon ECR registry, remove it"
                )

    @property
    def is_tested(self) -> bool:
        """Whether this combination of tags is one the library was written for."""
        return tuple(getattr(self, name) for name in ReleaseTag) in TESTED_COMBINATIONS

    @property
    def needs_login(self) -> bool:
        """Whether pulling takes more than a name: credentials, or permissions in Amazon ECR."""
        return self.credentials is not None or _ECR.match(self.registry or "") is not None

    def tag(self, component: Component) -> str:
        """The image tag of a component."""
        tag: str = getattr(self, component.spec.tag)
        return tag

    def image_name(self, component: Component) -> str:
        """The full name of a component's pinned image, whether or not ``images`` replaces it."""
        prefix = "" if self.registry is None else f"{self.registry}/"
        return f"{prefix}{component.spec.repository}:{self.tag(component)}"

    def container_image(self, scope: Construct, component: Component) -> ecs.ContainerImage:
        """The image of a component for an ECS container.

        Args:
            scope: Where an ECR repository is referred to, if the registry is one.
            component: The component to run.
        """
        from aws_cdk import aws_ecr as ecr
        from aws_cdk import aws_ecs as ecs

        own = self.images.get(component)
        if own is not None:
            return own
        place = ecr_registry(self.registry)
        if place is None:
            return ecs.ContainerImage.from_registry(self.image_name(component), credentials=self.credentials)
        name = "/".join(part for part in (place.prefix, component.spec.repository) if part)
        arn = f"arn:{place.partition}:ecr:{place.region}:{place.account}:repository/{name}"
        repository = ecr.Repository.from_repository_attributes(
            scope, "Repository", repository_arn=arn, repository_name=name
        )
        return ecs.ContainerImage.from_ecr_repository(repository, self.tag(component))
