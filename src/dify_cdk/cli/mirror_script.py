"""A shell script that copies the images of a Dify release into a private registry: ``dify-cdk mirror``.

Images are copied with all their platforms, without pulling them to a machine: by digest, the one that the
library knows or else the one that the tag has now, and the copy has to have the same one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dify_cdk.cdk_helpers.assets import docker_dir
from dify_cdk.dify.components import Component
from dify_cdk.dify.digests import KNOWN_DIGESTS
from dify_cdk.dify.release import DifyRelease, EcrRegistry, ecr_registry

_LAMBDA_IMAGES = ("api_lambda", "web_lambda")
_ADAPTER = "LWA_IMAGE"
_ARGUMENT = re.compile(r"^ARG (\w+)=(\S+)$", re.MULTILINE)
_PLACEHOLDER = "$REGISTRY"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A program that copies images from one registry to another.

    Attributes:
        copy: Command with ``{source}`` and ``{target}``, for all platforms of an image, which changes
            nothing about it.
        digest: Command that prints the digest of ``{image}``: that of the list, if it has several platforms.
        login: Command that reads a password from its input, with ``{host}``.
    """

    copy: str
    digest: str
    login: str


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "docker": Tool(
            copy="docker buildx imagetools create --prefer-index=false --tag {target} {source}",
            digest="docker buildx imagetools inspect --format '{{{{.Manifest.Digest}}}}' {image}",
            login="docker login --username AWS --password-stdin {host}",
        ),
        "crane": Tool(
            copy="crane copy {source} {target}",
            digest="crane digest {image}",
            login="crane auth login --username AWS --password-stdin {host}",
        ),
        "skopeo": Tool(
            copy="skopeo copy --all --preserve-digests docker://{source} docker://{target}",
            digest="skopeo inspect --no-tags --format '{{{{.Digest}}}}' docker://{image}",
            login="skopeo login --username AWS --password-stdin {host}",
        ),
    }
)
"""The programs to choose from, the default first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One image.

    Attributes:
        source: Full name where it comes from, with its tag.
        name: Repository and tag below the prefix of a private registry.
        digest: What it has to be; None for what the tag stands for when it is copied.
    """

    source: str
    name: str
    digest: str | None = None

    @property
    def repository(self) -> str:
        """The name without its tag."""
        return self.name.rpartition(":")[0]


def images(versions: Sequence[str]) -> tuple[Image, ...]:
    """The images of releases, each once, and those that the Dockerfiles for AWS Lambda build upon.

    Raises:
        ValueError: If a version is no image tag.
    """
    releases = [DifyRelease(version=version) for version in versions]
    of_dify = [_of_dify(release, component) for release in releases for component in Component]
    adapters = [_adapter(folder) for folder in _LAMBDA_IMAGES]
    return tuple(dict.fromkeys((*of_dify, *adapters)))


def _of_dify(release: DifyRelease, component: Component) -> Image:
    """Without a host the source is Docker Hub."""
    name = f"{component.spec.repository}:{release.tag(component)}"
    return Image(source=name, name=name, digest=release.digest(component))


def _adapter(folder: str) -> Image:
    """The image of Lambda Web Adapter that a Dockerfile names as its default."""
    text = (docker_dir(folder) / "Dockerfile").read_text(encoding="utf-8")
    arguments = dict(_ARGUMENT.findall(text))
    source = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], arguments[_ADAPTER])
    return Image(source=source, name=source.partition("/")[2], digest=KNOWN_DIGESTS.get(source))


def mirror_script(*, registry: str | None, versions: Sequence[str], tool: str) -> str:
    """The script.

    Args:
        registry: Prefix of the names to copy to, as for ``DifyRelease``. None: the shell's ``$REGISTRY``.
        versions: Tags of Dify releases.
        tool: One of :data:`TOOLS`.

    Raises:
        ValueError: If the prefix or a version is malformed.
    """
    DifyRelease(registry=registry)
    lines = _lines(registry, images(versions), TOOLS[tool])
    return "\n".join(lines) + "\n"


def _lines(registry: str | None, found: tuple[Image, ...], tool: Tool) -> Iterator[str]:
    yield "set -eu"
    yield from _function(tool)
    if registry is None:
        yield ': "${REGISTRY:?set it to a prefix, for example registry.example.com/dify}"'
    place = ecr_registry(registry)
    if place is not None:
        yield from _repositories(place, found)
        password = f"aws ecr get-login-password --region {shlex.quote(place.region)}"
        yield f"{password} | {tool.login.format(host=shlex.quote(place.host))}"
    for image in found:
        words = ["mirror", shlex.quote(image.source), _target(registry, image.name), image.digest]
        yield " ".join(word for word in words if word is not None)
    yield "# Then, in the app: release=DifyRelease(registry=...) with the same prefix."
    adapter = _target(registry, found[-1].name)
    yield f"# Images for AWS Lambda are built with: LocalBuild(adapter=...), {adapter}"


def _function(tool: Tool) -> Iterator[str]:
    """A shell function that copies an image by digest, and ends the script if the copy has another one."""
    wanted, copied = (tool.digest.format(image=f'"${number}"') for number in (1, 2))
    copy = tool.copy.format(source='"${1%:*}@$digest"', target='"$2"')
    yield from (
        "# mirror SOURCE TARGET [DIGEST]: without a digest, the one that the source's tag has now",
        "mirror() {",
        '  digest="${3:-}"',
        f'  if [ -z "$digest" ]; then digest="$({wanted})"; fi',
        f"  {copy}",
        f'  copied="$({copied})"',
        '  if [ "$copied" != "$digest" ]; then',
        '    echo "$2 is $copied, but $1 is $digest: do not use it" >&2',
        "    exit 1",
        "  fi",
        '  echo "$2@$digest"',
        "}",
    )


def _target(registry: str | None, name: str) -> str:
    if registry is None:
        return f'"{_PLACEHOLDER}/{name}"'
    return shlex.quote(f"{registry}/{name}")


def _repositories(place: EcrRegistry, found: tuple[Image, ...]) -> Iterator[str]:
    """Amazon ECR has no repository until somebody makes it."""
    region = shlex.quote(place.region)
    for repository in dict.fromkeys(image.repository for image in found):
        name = shlex.quote("/".join(filter(None, (place.prefix, repository))))
        options = f"--region {region} --repository-name"
        yield (
            f"aws ecr describe-repositories --region {region} --repository-names {name} >/dev/null 2>&1 || "
            f"aws ecr create-repository {options} {name} >/dev/null"
        )
