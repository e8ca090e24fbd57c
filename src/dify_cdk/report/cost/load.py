"""Which resources the requests of users pass through, and how much of a month's usage each of them sees.

Three kinds of requests are followed, each by one path that stands for it. What passes through a resource is
a share of them; several entry points that stand side by side share the users evenly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dify_cdk.report.cost.charge import Load
from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.templates.joined import join, own_ids
from dify_cdk.report.templates.subject import Subject
from dify_cdk.report.templates.template import Resource, Template
from dify_cdk.report.traffic.entry_points import entry_points, through
from dify_cdk.report.traffic.hops import Request
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER

INSPECTION_SECONDS = 0.01
"""How long code that only inspects a request is taken to run: authorizers, Lambda@Edge."""


class Kind(Enum):
    """A kind of request; the value stands for it."""

    APP = Request(path="/api/chat-messages", method="POST")
    PAGES = Request(path="/apps", method="GET")
    UPLOADS = Request(path="/api/files/upload", method="POST")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A resource that requests of one kind pass.

    Attributes:
        id: Its logical id where all templates are one.
        kind: The kind of request.
        share: Share of these requests, 0 to 1.
        inspects: Whether it only inspects the request.
    """

    id: str
    kind: Kind
    share: float
    inspects: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """The ways of all requests through the templates of a subject, whatever their number.

    Attributes:
        steps: Every resource on a way.
        entries: Where the ways begin.
        own: For each template, what its resources are called in it by their id where all templates are one.
    """

    steps: tuple[Step, ...]
    entries: frozenset[str]
    own: tuple[Mapping[str, str], ...]

    def loads(self, part: int, usage: Usage) -> Mapping[str, Load]:
        """What passes through the resources of one template in a month."""
        whole, own = _whole(usage), self.own[part]
        loads: defaultdict[str, Load] = defaultdict(Load)
        for step in self.steps:
            if step.id in own:
                load = whole[step.kind]
                loads[own[step.id]] += (_inspected(load) if step.inspects else load) * step.share
        return dict(loads)

    def entries_of(self, part: int) -> frozenset[str]:
        """The entry points of one template."""
        return frozenset(id for joined, id in self.own[part].items() if joined in self.entries)


def _whole(usage: Usage) -> dict[Kind, Load]:
    app = Load(
        requests=usage.app_requests,
        seconds=usage.app_requests * usage.app_seconds,
        out_gb=usage.download_gb,
    )
    pages = Load(requests=usage.page_requests, seconds=usage.page_requests * usage.page_seconds)
    uploads = Load(requests=usage.uploads, seconds=usage.uploads * usage.app_seconds, in_gb=usage.upload_gb)
    return {Kind.APP: app, Kind.PAGES: pages, Kind.UPLOADS: uploads}


def _inspected(load: Load) -> Load:
    return Load(requests=load.requests, seconds=load.requests * INSPECTION_SECONDS)


def find_paths(subject: Subject) -> Paths:
    """Follow every kind of request from the entry points on."""
    view = join(subject)
    # Where listeners are in templates that are not given, the load balancer has to be paid for, too.
    entries = entry_points(view) or view.of_type(LOAD_BALANCER)
    shares: defaultdict[tuple[str, Kind, bool], float] = defaultdict(float)
    for kind in Kind:
        for entry in entries:
            for resource, inspects, share in _passed(view, entry, kind):
                shares[resource.id, kind, inspects] += share / len(entries)
    return Paths(
        steps=tuple(
            Step(id=id, kind=kind, share=min(share, 1.0), inspects=inspects)
            for (id, kind, inspects), share in shares.items()
        ),
        entries=frozenset(entry.id for entry in entries),
        own=own_ids(subject),
    )


def _passed(view: Template, entry: Resource, kind: Kind) -> Iterator[tuple[Resource, bool, float]]:
    """What requests of a kind pass, whether it only inspects them, and the share that passes it."""
    for way in through(view, entry, kind.value):
        for resource in dict.fromkeys(way.passed):
            yield resource, False, way.share
        for resource in dict.fromkeys((*way.edge_functions, *way.authorizers)):
            yield resource, True, way.share
