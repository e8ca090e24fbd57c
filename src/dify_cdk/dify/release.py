"""Which container images make up a Dify release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_match
from dify_cdk.dify.components import Component, ReleaseTag
from dify_cdk.dify.digests import DIGEST, KNOWN_DIGESTS, TESTED_COMBINATIONS

if TYPE_CHECKING:
    from aws_cdk import aws_ecr as ecr
    from aws_cdk import aws_ecs as ecs
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_secretsmanager as secretsmanager
    from constructs import Construct

_TOKEN = r"\$\{Token\[[^\]]*\]\}"  # how the CDK writes a part of a text that is known only at deployment
_ECR = re.compile(
    rf"(?P<host>(?P<account>[0-9]+|{_TOKEN})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+|{_TOKEN})"
    rf"\.(?P<suffix>[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+|{_TOKEN}))(?:/(?P<prefix>.+))?"
)
_MEANT_FOR_ECR = re.compile(r"\bdkr[.-]ecr\b")
_PARTITIONS = {"amazonaws.com": "aws", "amazonaws.com.cn": "aws-cn"}
_GOVCLOUD = "us-gov-"  # whose hosts have the suffix of the regions of partition aws


@dataclass(frozen=True, kw_only=True, slots=True)
class EcrRegistry:
    """A prefix of image names that is in Amazon ECR.

    Attributes:
        host: Host name of the registry.
        plain: Whether the host is the one that Amazon ECS writes by itself, and not that of dual-stack or
            FIPS endpoints.
        partition: ``aws`` or ``aws-cn``; None where the host does not say it.
        account: Account that owns it.
        region: Its region.
        prefix: What comes before the repository names, or empty.
    """

    host: str
    plain: bool
    partition: str | None
    account: str
    region: str
    prefix: str


def ecr_registry(registry: str | None) -> EcrRegistry | None:
    """A prefix, or an image's name, taken apart if it is in Amazon ECR, else None.

    Hosts are those of ``IRepository.registry_uri``, whose parts may be tokens, and of dual-stack and FIPS
    endpoints; see https://docs.aws.amazon.com/general/latest/gr/ecr.html
    """
    match = _ECR.fullmatch(registry or "")
    if match is None:
        return None
    return EcrRegistry(
        host=match["host"],
        plain=".dkr.ecr." in match["host"],
        partition=None if match["region"].startswith(_GOVCLOUD) else _PARTITIONS.get(match["suffix"]),
        account=match["account"],
        region=match["region"],
        prefix=match["prefix"] or "",
    )


_DIGEST_MEANING = "a digest, sha256: and 64 hexadecimal digits"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


@checked
@dataclass(frozen=True, kw_only=True)
class DifyRelease:
    """The pinned image of every component: a release of Dify.

    The defaults are the tags that this version of the library is written for. Another combination raises the
    warning ``DifyReleaseUntested``.

    Whoever owns a repository can move a tag to another image, which the next deployment then runs. A digest
    cannot be moved. Write it behind a tag, ``0.2.15@sha256:`` and 64 hexadecimal digits, or into ``digests``.

    Attributes:
        version: Tag of the api and web images; worker, beat, api_websocket and migration run the api image.
            It stands for two images, so that their digests go into ``digests``.
        sandbox: Tag of the sandbox image, with or without a digest.
        plugin_daemon: Tag of the plugin daemon image, likewise; the ``-local`` variant runs plugins itself.
        ssrf_proxy: Tag of the squid image, likewise.
        digests: Digest of the image by component, for example ``{Component.API: "sha256:..."}``, whose image
            worker, beat and the migration run as well; of the list of platforms, not of one of them.
            Default, and for images that are not named: what the library knows of the tag, if anything. An
            empty mapping pins by tag only, for a registry whose copies were changed.
        registry: Prefix of the repository names, of a private registry or an Amazon ECR pull-through cache,
            such as ``123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub``, or ``registry_uri`` of a
            repository with a path. The permissions to pull from ECR are granted, also for the hosts of
            dual-stack and FIPS endpoints. A registry that is a token as a whole cannot be told from others
            and raises the warning ``DifyReleaseRegistry``. Default: Docker Hub.
        credentials: Secret with the JSON fields ``username`` and ``password`` for the registry, which avoids
            Docker Hub's limit for anonymous pulls. Not for ECR, which uses IAM. Default: anonymous pulls.
        images: Images of your own by component, any ``ecs.ContainerImage``; ``registry``, ``credentials``,
            tags and digests do not apply to them. ``Component.API`` stands for the worker, beat,
            api_websocket and the migration as well, which run the same image; name one of them to give it
            another, which raises the warning ``DifyReleaseImages``. Default: none.

    Raises:
        ValueError: If a tag or a digest is malformed, ``version`` has a digest, an image has two of them,
            ``images`` names something else than a component, or the registry ends with a slash, has a scheme,
            looks like one of Amazon ECR but is none, or is one together with ``credentials``.
    """

    version: str = "1.17.1"
    sandbox: str = "0.2.15"
    plugin_daemon: str = "0.6.10-local"
    ssrf_proxy: str = "6.6-24.04_beta"
    digests: Mapping[Component, str] | None = None
    registry: str | None = None
    credentials: secretsmanager.ISecret | None = None
    images: Mapping[Component, ecs.ContainerImage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check tags, digests and registry."""
        for name in ReleaseTag:
            _require_tag(name, getattr(self, name))
        for component, digest in (self.digests or {}).items():
            require_match(f"DifyRelease.digests[{component}]", digest, DIGEST, _DIGEST_MEANING)
        self._given_digests()
        if self.registry is not None:
            meaning = "a registry and optional path without scheme or trailing slash"
            require_match(
                "DifyRelease.registry", self.registry, r"(?!.*//)[a-z0-9][a-z0-9.:_/-]*[a-z0-9]", meaning
            )
            _require_prefix(self.registry, meaning)
            if self.credentials is not None and ecr_registry(self.registry):
                raise ValueError(
                    "DifyRelease.credentials cannot be used with an Amazon ECR registry, remove it"
                )

    @property
    def is_tested(self) -> bool:
        """Whether this combination of tags is one the library was written for."""
        return tuple(_tag_of(getattr(self, name)) for name in ReleaseTag) in TESTED_COMBINATIONS

    @property
    def needs_login(self) -> bool:
        """Whether pulling needs credentials, or permissions in Amazon ECR."""
        return self.credentials is not None or ecr_registry(self.registry) is not None

    @property
    def hides_its_registry(self) -> bool:
        """Whether the registry may be in Amazon ECR, and nobody knows before the deployment."""
        host = (self.registry or "").partition("/")[0]
        return is_token(host) and self.credentials is None and ecr_registry(self.registry) is None

    def own_image(self, component: Component) -> ecs.ContainerImage | None:
        """The image of the caller's own that a component runs, if there is one."""
        return self.images.get(component, self.images.get(_lead_of(component)))

    @property
    def differing(self) -> tuple[Component, ...]:
        """Components that run another image than the first one of those that share one."""
        return tuple(
            component
            for component, image in self.images.items()
            if image is not self.images.get(_lead_of(component))
        )

    def tag(self, component: Component) -> str:
        """The image tag of a component, without a digest."""
        return _tag_of(getattr(self, component.spec.tag))

    def digest(self, component: Component) -> str | None:
        """The digest of a component's image; None where only its tag pins it."""
        known = {} if self.digests == {} else KNOWN_DIGESTS
        default = known.get(f"{component.spec.repository}:{self.tag(component)}")
        return self._given_digests().get(component.spec.repository, default)

    def image_name(self, component: Component) -> str:
        """The full name of a component's pinned image, whether or not ``images`` replaces it.

        With tag and digest where there is one, as Docker takes it; the tag then is for people only.
        """
        digest = self.digest(component)
        return f"{self._repository(component)}:{self.tag(component)}{f'@{digest}' if digest else ''}"

    def reference(self, component: Component) -> str:
        """What Amazon ECS is told, which documents an image by tag or by digest, not by both."""
        digest = self.digest(component)
        return f"{self._repository(component)}@{digest}" if digest else self.image_name(component)

    def container_image(self, scope: Construct, component: Component) -> ecs.ContainerImage:
        """The image of a component for an ECS container.

        Args:
            scope: Construct below which an ECR repository is imported, if the registry is in ECR.
            component: The component to run.
        """
        from aws_cdk import aws_ecs as ecs

        own = self.own_image(component)
        if own is not None:
            return own
        place = ecr_registry(self.registry)
        if place is None or not place.plain:  # the L2 would write another host
            return ecs.ContainerImage.from_registry(self.reference(component), credentials=self.credentials)
        return ecs.ContainerImage.from_ecr_repository(
            _repository_in(scope, place, component), self.digest(component) or self.tag(component)
        )

    def grant_pull(self, scope: Construct, component: Component, grantee: iam.IGrantable) -> None:
        """Grant what :meth:`container_image` does not by itself: the pull by another host of Amazon ECR."""
        place = ecr_registry(self.registry)
        if place is not None and not place.plain and self.own_image(component) is None:
            _repository_in(scope, place, component).grant_pull(grantee)

    def _repository(self, component: Component) -> str:
        prefix = "" if self.registry is None else f"{self.registry}/"
        return f"{prefix}{component.spec.repository}"

    def _given_digests(self) -> dict[str, str]:
        """What the caller gave, by repository.

        Raises:
            ValueError: If that is two digests for one image.
        """
        found: dict[str, str] = {}
        behind_tags = {one: _digest_of(getattr(self, one.spec.tag)) for one in Component}
        for given in (behind_tags, self.digests or {}):
            for component, digest in given.items():
                repository = component.spec.repository
                if digest and found.setdefault(repository, digest) != digest:
                    raise ValueError(
                        f"DifyRelease.digests[{component}] is {digest}, but {repository} was given "
                        f"{found[repository]} as well: one image has one digest"
                    )
        return found


def _repository_in(scope: Construct, place: EcrRegistry, component: Component) -> ecr.IRepository:
    import aws_cdk as cdk
    from aws_cdk import aws_ecr as ecr

    name = "/".join(part for part in (place.prefix, component.spec.repository) if part)
    partition = place.partition or cdk.Aws.PARTITION
    arn = f"arn:{partition}:ecr:{place.region}:{place.account}:repository/{name}"
    return ecr.Repository.from_repository_attributes(
        scope, "Repository", repository_arn=arn, repository_name=name
    )


def _lead_of(component: Component) -> Component:
    """The first of those that share its image, which stands for all of them."""
    return next(one for one in Component if one.spec.repository == component.spec.repository)


def _require_prefix(registry: str, meaning: str) -> None:
    """What can be seen of a registry of which parts are tokens."""
    if "://" in registry or registry.endswith("/") or re.search(r"\s", registry):
        raise ValueError(f"DifyRelease.registry must be {meaning}, got {registry!r}")
    if _MEANT_FOR_ECR.search(registry) and ecr_registry(registry) is None:
        raise ValueError(
            "DifyRelease.registry must begin with a host of Amazon ECR such as "
            f"123456789012.dkr.ecr.us-east-1.amazonaws.com or registry_uri of a repository, got {registry!r}"
        )


def _tag_of(value: str) -> str:
    return value.partition("@")[0]


def _digest_of(value: str) -> str | None:
    return value.partition("@")[2] or None


def _require_tag(name: ReleaseTag, value: str) -> None:
    meaning = "an image tag such as 1.17.1"
    if name is not ReleaseTag.VERSION:
        require_match(f"DifyRelease.{name}", value, rf"{TAG}(@{DIGEST})?", meaning)
        return
    if isinstance(value, str) and re.fullmatch(rf"{TAG}@{DIGEST}", value):
        raise ValueError(
            "DifyRelease.version must be an image tag, which stands for two images, langgenius/dify-api and "
            f"langgenius/dify-web: write version={_tag_of(value)!r} and "
            'digests={Component.API: "sha256:...", Component.WEB: "sha256:..."}'
        )
    require_match(f"DifyRelease.{name}", value, TAG, meaning)
