"""A shell script that copies the images of a Dify release into a private registry: ``dify-cdk mirror``.

Images are copied with all their platforms, without pulling them to a machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dify_cdk.cdk_helpers.assets import docker_dir
from dify_cdk.dify.components import Component
from dify_cdk.dify.release import DifyRelease, EcrRegistry, ecr_registry

_LAMBDA_IMAGES = ("api_lambda", "web_lambda")
_ADAPTER = "LWA_IMAGE"
_ARGUMENT = re.compile(r"^ARG (\w+)=(\S+)$", re.MULTILINE)
_PLACEHOLDER = "$REGISTRY"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A program that copies images from one registry to another.

    Attributes:
        copy: Command with ``{source}`` and ``{target}``, for all platforms of an image.
        login: Command that reads a password from its input, with ``{host}``.
    """

    copy: str
    login: str


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "docker": Tool(
            copy="docker buildx imagetools create --tag {target} {source}",
            login="docker login --username AWS --password-stdin {host}",
        ),
        "crane": Tool(
            copy="crane copy {source} {target}",
            login="crane auth login --username AWS --password-stdin {host}",
        ),
        "skopeo": Tool(
            copy="skopeo copy --all docker://{source} docker://{target}",
            login="skopeo login --username AWS --password-stdin {host}",
        ),
    }
)
"""The programs to choose from, the default first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One image.

    Attributes:
        source: Full name where it comes from.
        name: Repository and tag below the prefix of a private registry.
    """

    source: str
    name: str

    @property
    def repository(self) -> str:
        """The name without its tag."""
        return self.name.rpartition(":")[0]


def images(versions: Sequence[str]) -> tuple[Image, ...]:
    """The images of releases, each once, and those that the Dockerfiles for AWS Lambda build upon.

    Raises:
        ValueError: If a version is no image tag.
    """
    names = (
        DifyRelease(version=version).image_name(component) for version in versions for component in Component
    )
    of_dify = [Image(source=name, name=name) for name in names]  # without a host it is Docker Hub
    adapters = [
        Image(source=source, name=source.partition("/")[2]) for source in map(_adapter, _LAMBDA_IMAGES)
    ]
    return tuple(dict.fromkeys((*of_dify, *adapters)))


def _adapter(folder: str) -> str:
    """The image of Lambda Web Adapter that a Dockerfile names as its default."""
    text = (docker_dir(folder) / "Dockerfile").read_text(encoding="utf-8")
    arguments = dict(_ARGUMENT.findall(text))
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], arguments[_ADAPTER])


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
    if registry is None:
        yield ': "${REGISTRY:?set it to a prefix, for example registry.example.com/dify}"'
    place = ecr_registry(registry)
    if place is not None:
        yield from _repositories(place, found)
        password = f"aws ecr get-login-password --region {shlex.quote(place.region)}"
        yield f"{password} | {tool.login.format(host=shlex.quote(place.host))}"
    for image in found:
        target = _target(registry, image.name)
        yield tool.copy.format(source=shlex.quote(image.source), target=target)
    yield "# Then, in the app: release=DifyRelease(registry=...) with the same prefix."
    adapter = _target(registry, found[-1].name)
    yield f"# Images for AWS Lambda are built with: --build-arg {_ADAPTER}={adapter}"


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
