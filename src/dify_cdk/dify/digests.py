"""The releases that the library is written for, and what their tags stood for: digests.

A tag can be moved to another image by whoever owns the repository, a digest cannot. ``releases.json`` has a
row for each release; ``tools/refresh_digests.py`` asks the registries for digests that it lacks.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dify_cdk.dify.components import ReleaseTag

RELEASES_FILE = Path(__file__).with_name("releases.json")

DIGEST = r"sha256:[0-9a-f]{64}"
"""What a digest looks like: the only algorithm that registries use."""

_CONTENT: dict[str, Any] = json.loads(RELEASES_FILE.read_text(encoding="utf-8"))


def _digests() -> dict[str, str]:
    rows = [*(release["digests"] for release in _CONTENT["releases"]), _CONTENT["lambda_adapter"]]
    return {image: digest for row in rows for image, digest in row.items() if digest is not None}


def tags_of(release: dict[str, Any]) -> tuple[str, ...]:
    """The tags of a release, in the order of ``ReleaseTag``.

    Raises:
        ValueError: If one is missing, as when a component with an image of its own is new.
    """
    for name in ReleaseTag:
        if name not in release:
            raise ValueError(
                f"releases.json does not say which {name} belongs to version {release['version']}: write its "
                "tag into the row, and its image into digests"
            )
    return tuple(release[name] for name in ReleaseTag)


TESTED_COMBINATIONS = frozenset(map(tags_of, _CONTENT["releases"]))
"""Tags this library is written for, in the order of ``ReleaseTag``."""

KNOWN_DIGESTS = MappingProxyType(_digests())
"""Digest of an image, by its repository and tag; those that nobody has looked up are not there."""

(LAMBDA_ADAPTER,) = _CONTENT["lambda_adapter"]
"""The image of AWS Lambda Web Adapter that the Dockerfiles take by default."""
