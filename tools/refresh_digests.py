"""Ask the registries for the digests that ``releases.json`` lacks: ``python3 dev.py digests``.

It needs the internet and no account. A digest that the file has is asked for as well: where a tag stands for
another image by now, the line says so, the file keeps what it has, and the command ends with 1. Read why it
was moved; ``--write`` then takes the new one over.

See https://github.com/opencontainers/distribution-spec/blob/main/spec.md and
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from dify_cdk.dify.digests import DIGEST, RELEASES_FILE

DOCKER_HUB = "registry-1.docker.io"
_SECONDS = 30
_UNAUTHORIZED = 401
# Lists first: a digest of one platform would start on no other.
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True, slots=True)
class Name:
    """An image taken apart.

    Attributes:
        host: The registry.
        repository: Its repository there.
        tag: Its tag.
    """

    host: str
    repository: str
    tag: str


def parse(image: str) -> Name:
    """An image's name; without a host it is of Docker Hub."""
    path, _, tag = image.rpartition(":")
    host, slash, rest = path.partition("/")
    if slash and ("." in host or ":" in host):
        return Name(host, rest, tag)
    return Name(DOCKER_HUB, path, tag)


def digest_of(image: str, *, scheme: str = "https") -> str:
    """What the tag of an image stands for now: the digest of its list of platforms, if it has several.

    Args:
        image: Repository and tag, with or without a host.
        scheme: ``http`` for a registry on this machine.

    Raises:
        OSError: If the registry does not answer, or refuses.
        ValueError: If its answer has no digest.
    """
    name = parse(image)
    url = f"{scheme}://{name.host}/v2/{name.repository}/manifests/{name.tag}"
    try:
        digest = _ask(url, token=None)
    except HTTPError as error:
        if error.code != _UNAUTHORIZED:
            raise
        digest = _ask(url, _token(error.headers.get("WWW-Authenticate") or "", name, scheme))
    if digest is None or not re.fullmatch(DIGEST, digest):
        raise ValueError(f"{image}: the registry answers without a digest, got {digest!r}")
    return digest


def _ask(url: str, token: str | None) -> str | None:
    headers = {"Accept": _ACCEPT, **({"Authorization": f"Bearer {token}"} if token else {})}
    with urlopen(Request(url, method="HEAD", headers=headers), timeout=_SECONDS) as answer:
        digest: str | None = answer.headers.get("Docker-Content-Digest")
    return digest


def _token(challenge: str, name: Name, scheme: str) -> str:
    """A token for everybody, from where the registry says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.startswith("Bearer ") or not asked.get("realm", "").startswith(f"{scheme}://"):
        raise ValueError(f"{name.host} asks for a log-in of an unknown kind, {challenge!r}")
    query = urlencode({"service": asked.get("service", ""), "scope": f"repository:{name.repository}:pull"})
    with urlopen(f"{asked['realm']}?{query}", timeout=_SECONDS) as answer:
        found = json.load(answer)
    token: str = found.get("token") or found["access_token"]
    return token


def refresh(file: Path, *, write: bool, scheme: str = "https") -> Iterator[str]:
    """Fill in what is missing, and say what has moved or could not be had: one line each.

    Args:
        file: The table of releases.
        write: Whether a digest that has moved is taken over.
        scheme: As for :func:`digest_of`.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    for row in (*(release["digests"] for release in content["releases"]), content["lambda_adapter"]):
        for image, known in row.items():
            try:
                found = digest_of(image, scheme=scheme)
            except (OSError, ValueError) as error:
                yield f"failed   {image}: {error}"
                continue
            if known is None or write:
                row[image] = found
            if known not in (None, found):
                yield f"moved    {image}: {known} was it, {found} is it now"
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="take over digests of tags that were moved")
    parser.add_argument("--file", type=Path, default=RELEASES_FILE, help=argparse.SUPPRESS)
    parser.add_argument("--scheme", default="https", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    lines = list(refresh(options.file, write=options.write, scheme=options.scheme))
    print("\n".join(lines) if lines else "every tag stands for the digest that the table has")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
