"""Paths that programs read in different ways, for every public pattern of the route table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from dify_cdk.dify.routes import ROUTES, STATIC_PATTERN
from paths import NEVER_AT_API_OR_DAEMON

PAGES = ("/apps", "/signin", "/chat/token")
"""Pages that the web of ``test/next`` has."""

_UP = (
    *("../", "%2e%2e/", ".%2E/", "%2e./", "..//"),
    *("..%2f", "%2E%2e%2F", "..\\", "..%5c", "%2e%2e\\"),
    *("%252e%252e/", "..%252f", "..;/", "..;x=1/", "..%00/", ".../"),
)
"""What goes one segment up in some program."""

_FRONTS = (
    *("//", "///", "/%2f", "/\\", "/./", "/%2e/", "/;/", "/x/../"),
    *("/v1?/../", "/v1%3f/../", "/v1#/../", "/v1%23/../"),
)
_ENDS = ("/", "//", "/.", "/..", ";x", "%00", "%20", "%2f", "%0a", "#", "?x")

_UNRESERVED = re.compile(r"%(?:2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")


def corpus(file: str) -> tuple[str, ...]:
    """All paths, each as a client sends it.

    Args:
        file: Path of a static file that web has.
    """
    patterns = [pattern for route in ROUTES for pattern in route.patterns] + [STATIC_PATTERN]
    bases = [pattern.replace("*", "x") for pattern in patterns] + [file]
    uploads = [pattern.replace("*", "x") for route in ROUTES for pattern in route.uploads]
    below = [f"{route.prefix.rstrip('/')}/x" for route in ROUTES]
    wanted = [*NEVER_AT_API_OR_DAEMON, *below, *PAGES, file]
    found = [*bases, *uploads, *wanted]
    for target in wanted:
        found += [path for base in bases for path in _climbs(base, target)]
        found += _disguises(target)
    # A hop that compares what is left takes these for public ones.
    found += [path for base in NEVER_AT_API_OR_DAEMON for target in below for path in _climbs(base, target)]
    return tuple(dict.fromkeys(found))


def _climbs(base: str, target: str) -> Iterator[str]:
    """From one path up to the root, and down to another one; also a step further up than there is."""
    depth = len([part for part in base.split("/") if part])
    yield from (f"{base.rstrip('/')}/{up * depth}{target[1:]}" for up in _UP)
    yield f"{base.rstrip('/')}/{'../' * (depth + 1)}{target[1:]}"
    yield f"{base.rstrip('/')}/./{'../' * depth}{target[1:]}"


def _disguises(target: str) -> Iterator[str]:
    """One path in other words, in front, at its end and as a whole."""
    first = f"/%{ord(target[1]):02x}{target[2:]}"
    yield from (first, first.replace("%", "%25"), target.upper(), "/" + target[1:].replace("/", "%2f"))
    yield from (f"{front}{target[1:]}" for front in _FRONTS)
    yield from (f"{target}{end}" for end in _ENDS)


def is_dotted(path: str) -> bool:
    """Whether a segment is ``.`` or ``..``, percent-encoded or not, without the library's expression."""
    return any(unquote(part) in (".", "..") for part in as_sent(path).split("/"))


def segmented(path: str) -> str:
    """A path as nothing but its segments: several slashes are one, and one at the end is none."""
    return "/" + re.sub("/+", "/", path).strip("/")


def as_sent(target: str) -> str:
    """What a client sent, without its query."""
    return target.partition("?")[0]


def resolved(target: str) -> str:
    """A path without dot segments, as RFC 3986 describes it."""
    plain = _UNRESERVED.sub(lambda found: unquote(found[0]), as_sent(target))
    kept: list[str] = []
    for part in plain.split("/")[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    stays_open = bool(kept) and plain.endswith(("/.", "/.."))
    return "/" + "/".join(kept) + ("/" if stays_open else "")


def decoded(target: str) -> str:
    """A path without its percent-encoding, as far as that can be sent; HTTP APIs are seen to pass it on.

    See https://github.com/middleapi/standard-server/pull/93: what follows a ``?`` that they decode is lost.
    """
    plain = unquote(as_sent(target), errors="replace").partition("?")[0]
    return quote(plain, safe="%/\\#;=")
