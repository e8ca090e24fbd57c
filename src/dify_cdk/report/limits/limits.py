"""What an architecture really supports, end to end: the least that any hop of a request allows.

For each class of paths a request is followed through the templates hop by hop, from the public entry point
to the container or function that answers. A hop that cannot be followed makes a limit ``unknown``, never a
guess. An entry point that serves none of Dify's paths is followed along all of its own routes instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from dify_cdk.report.limits.standby import cold_start, counted, named, standby
from dify_cdk.report.limits.verdict import Verdict, largest, not_served, possible, timeout
from dify_cdk.report.templates.joined import join
from dify_cdk.report.templates.subject import Subject
from dify_cdk.report.templates.template import Resource, Template
from dify_cdk.report.traffic.entry_points import entry_points, own_paths, through
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.filters import filters
from dify_cdk.report.traffic.hops import Ends, Kind, Request, Way
from dify_cdk.report.traffic.tls import AWS_DOMAIN, NO_TLS, tls

CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "app": (
            "/console/api/apps/1/chat-messages",
            "/api/chat-messages",
            "/v1/workflows/run",
            "/openapi/v1/apps",
            "/mcp/server/1/mcp",
        ),
        "web": ("/", "/apps", "/signin", "/explore/apps"),
        "uploads": (
            "/console/api/files/upload",
            "/console/api/workspaces/current/plugin/upload/pkg",
            "/console/api/workspaces/current/plugin/upload/bundle",
            "/console/api/workspaces/custom-config/webapp-logo/upload",
            "/console/api/apps/1/audio-to-text",
            "/console/api/apps/1/annotations/batch-import",
            "/console/api/apps/imports",
            "/console/api/rag/pipelines/imports",
            "/api/files/upload",
            "/api/apps/1/audio-to-text",
            "/api/audio-to-text",
            "/v1/files/upload",
            "/v1/apps/1/audio-to-text",
            "/v1/audio-to-text",
            "/v1/datasets/pipeline/file-upload",
            "/v1/datasets/1/document/create-by-file",
            "/v1/datasets/1/documents/1/update-by-file",
            "/files/upload/for-plugin",
            "/triggers/webhook/1",
        ),
        "plugin endpoints": ("/e/1/hook",),
    }
)
"""Paths of Dify that stand for all of their class; the lowest limit among them counts."""

_SOCKET = ("/socket.io/",)
_APP, _PAGES, _FILES, _HOOKS = "app", "web", "uploads", "plugin endpoints"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One limit of an architecture.

    Attributes:
        name: ``request timeout``, ``streaming``, ``largest request``, ``WebSocket``, ``TLS``, ``IP filter``,
            ``scales to zero`` or ``cold start``.
        scope: Class of paths: ``app`` (the api's long requests), ``web`` (pages), ``uploads``,
            ``plugin endpoints``; empty if it is about the whole. Of several entry points the id follows.
        value: Seconds, MB (10**6 bytes), whether something is possible, or a word; ``unknown`` where the
            templates do not tell, ``not served`` for a class without a route; None if no limit is known.
        unit: ``s``, ``MB`` or empty.
        text: The value for people.
        hop: What sets it, in words and with the logical id.
        source: Page that proves it; empty where the template alone does.
    """

    name: str
    scope: str
    value: float | bool | str | None
    unit: str
    text: str
    hop: str
    source: str


def effective_limits(subject: Subject) -> tuple[Limit, ...]:
    """Compute every limit of a subject; nothing for one without a public entry point."""
    view = join(subject)
    found = entry_points(view)
    limits: list[Limit] = []
    ways: list[Way] = []
    for entry in found:
        followed = _followed(view, entry)
        ways += [way for some in followed.values() for way in some]
        own = _of_entry_point(view, entry, followed)
        limits += (_at(entry, limit) for limit in own) if len(found) > 1 else own
    if found:
        limits.append(_limit("scales to zero", "", _standby(view, ways)))
    return tuple(sorted(limits, key=lambda limit: _ORDER.index(limit.name)))


_ORDER = (
    *("request timeout", "streaming", "largest request", "WebSocket", "TLS", "IP filter"),
    *("scales to zero", "cold start"),
)


def _at(entry: Resource, limit: Limit) -> Limit:
    """The limit of one of several entry points."""
    return replace(limit, scope=f"{limit.scope} at {entry.id}".lstrip())


def _followed(view: Template, entry: Resource) -> dict[str, list[Way]]:
    """The ways of each class of paths; of the entry point's own routes if it serves none of Dify's."""
    classes = {
        name: _follow(view, entry, paths, "GET" if name == _PAGES else "POST")
        for name, paths in CLASSES.items()
    }
    if any(way.end.kind is not Ends.ANSWER for ways in classes.values() for way in ways):
        return classes
    return {"": _follow(view, entry, own_paths(view, entry), "POST")}


def _follow(view: Template, entry: Resource, paths: Iterable[str], method: str) -> list[Way]:
    requests = (Request(path=path, method=method) for path in paths)
    return [way for request in requests for way in through(view, entry, request)]


def _of_entry_point(view: Template, entry: Resource, followed: Mapping[str, list[Way]]) -> Iterator[Limit]:
    for scope, ways in followed.items():
        if _falls_to_pages(scope, followed):
            for kind in (Kind.TIMEOUT, Kind.STREAMING, Kind.LARGEST):
                yield _limit(kind, scope, not_served(ways))
        else:
            yield _limit(Kind.TIMEOUT, scope, timeout(ways))
            yield _limit(Kind.STREAMING, scope, possible(Kind.STREAMING, ways))
            yield _limit(Kind.LARGEST, scope, largest(ways, files=scope == _FILES))
    paths = own_paths(view, entry) if "" in followed else _SOCKET
    yield _limit(Kind.WEBSOCKET, "", possible(Kind.WEBSOCKET, _follow(view, entry, paths, "GET")))
    yield _limit("TLS", "", _tls(view, entry))
    yield _limit("IP filter", "", _ip_filter(view, entry))
    for scope in (_APP, _PAGES, ""):
        if scope in followed:
            yield _limit("cold start", scope, cold_start(view, followed[scope]))


def _limit(name: str, scope: str, verdict: Verdict) -> Limit:
    return Limit(name=name, scope=scope, **asdict(verdict))


def _falls_to_pages(scope: str, followed: Mapping[str, list[Way]]) -> bool:
    """Whether a class has no route of its own, where pages and app have different ones."""
    if {kind for kind, _ in _ends(followed[scope])} <= {Ends.ANSWER}:
        return True
    pages = _ends(followed.get(_PAGES, ()))
    apart = not _ends(followed.get(_APP, ())) & pages
    return scope == _HOOKS and apart and _ends(followed[scope]) == pages


def _ends(ways: Iterable[Way]) -> set[tuple[Ends, str]]:
    return {(way.end.kind, way.end.name) for way in ways}


def _tls(view: Template, entry: Resource) -> Verdict:
    found = tls(view, entry)
    version = f"TLS {found.version} or newer" if found.version else "TLS"
    plain = ", plain HTTP too" if found.plain else ""
    text = f"{found.where}, {version}, {found.domain or AWS_DOMAIN}{plain}"
    if found.where == NO_TLS:
        text = f"{NO_TLS}: plain HTTP"
    return Verdict(value=found.where, text=text, hop=found.hop, source=found.source)


def _ip_filter(view: Template, entry: Resource) -> Verdict:
    found = filters(view, entry)
    kinds = " + ".join(dict.fromkeys(one.kind for one in found))
    hop = "; ".join(one.hop for one in found)
    return Verdict(value=kinds, text=kinds, hop=hop, source=found[0].source)


def _standby(view: Template, ways: list[Way]) -> Verdict:
    found = standby(view, (way.end for way in ways))
    text = counted(found.stops) or "nothing"
    groups = (("stops", found.stops), ("keeps running", found.runs), ("unknown", found.unknown))
    hop = "; ".join(f"{word}: {named(things)}" for word, things in groups if things)
    return Verdict(value=text, text=text, hop=hop or "nothing runs", source=fact("aurora.pause").source)
