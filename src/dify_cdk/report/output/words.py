"""Values as words and figures, the same in every format."""

from __future__ import annotations

import re

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_CDK_ASSETS = re.compile(r"/cdk-[^/]*-container-assets-")


def number(count: int) -> str:
    """A count; nothing is a dash, so that it does not look like something."""
    return str(count) if count else "-"


def decimal(value: float | None) -> str:
    """A number without needless zeros, or a question mark."""
    return "?" if value is None else f"{value:g}"


def gigabytes(mebibytes: int | None) -> str:
    """MiB as GB."""
    return "?" if mebibytes is None else f"{mebibytes / 1024:.3g}"


def money(amount: float | None) -> str:
    """USD with cents, or a question mark."""
    if amount is None:
        return "?"
    return f"{amount:,.2f}" if abs(amount) >= _CENT / 2 else "0.00"


_CENT = 0.01


def short_image(image: str) -> str:
    """An image reference for reading: a private registry's host and a digest take more room than they say."""
    match = _DIGEST.search(image)
    if match and _CDK_ASSETS.search(image):
        return f"CDK asset {match[1]}"
    host, slash, rest = image.partition("/")
    if slash and ".dkr.ecr." in host:
        image = f"ECR {rest}"
    return _DIGEST.sub(r"\1", image)
