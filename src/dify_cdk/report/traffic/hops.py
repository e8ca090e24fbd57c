"""What a way is made of: a request, what each hop says about its limits, and the end that answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.facts import fact

UNLIMITED = math.inf
"""The value of a claim that a hop sets no limit."""


class Kind(StrEnum):
    """What a claim is about; the values are the names that reports use."""

    TIMEOUT = "request timeout"
    STREAMING = "streaming"
    LARGEST = "largest request"
    WEBSOCKET = "WebSocket"


class Ends(StrEnum):
    """What a way ends at."""

    CONTAINER = "container"
    FUNCTION = "function"
    BUCKET = "bucket"
    INSTANCES = "instances"
    ANSWER = "answer"
    """A hop answers by itself: a redirect, an error page."""
    UNKNOWN = "unknown"
    """The template does not say who answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is sent along a way.

    Attributes:
        path: Path without a query.
        method: HTTP method; an upgrade to WebSocket is a ``GET``.
        balancers: How many load balancers it has passed: a template from outside may lead in circles.
    """

    path: str
    method: str = "GET"
    balancers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What one hop says about one limit.

    Attributes:
        kind: Which limit.
        value: Seconds, MB, or whether something passes; ``UNLIMITED`` where the hop sets no limit, None where
            the template leaves it open.
        hop: What sets it, in words and with the logical id.
        source: Page that proves it.
        total: Whether a timeout is a total one, for the whole answer, and no idle timeout.
    """

    kind: Kind
    value: float | bool | None
    hop: str
    source: str
    total: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Who answers.

    Attributes:
        kind: What it is.
        name: Container name, logical id, or what an unknown end is called in the template.
        resource: The ECS service, function or bucket; None for an answer or an unknown end.
        variables: Plain environment variables of a container or a function.
        alias: The alias of a function that the way goes through, if it does.
    """

    kind: Ends
    name: str
    resource: Resource | None = None
    variables: Mapping[str, object] = field(default_factory=dict)
    alias: Resource | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way of a request.

    Attributes:
        claims: What the hops say, the outermost first.
        end: Who answers.
        passed: What it leads through, from the entry point to the end.
        authorizers: Functions that decide on the way whether the request may pass.
        edge_functions: Edge functions that see the request.
        share: Share of such requests that take this way, 0 to 1.
    """

    claims: tuple[Claim, ...]
    end: End
    passed: tuple[Resource, ...] = ()
    authorizers: tuple[Resource, ...] = ()
    edge_functions: tuple[Resource, ...] = ()
    share: float = 1.0


def claim(kind: Kind, value: float | bool | None, hop: str, of: str, *, total: bool = False) -> Claim:
    """A claim whose page is that of a fact, named by ``of``."""
    return Claim(kind=kind, value=value, hop=hop, source=fact(of).source, total=total)


def known(kind: Kind, of: str, hop: str, *, total: bool = False) -> Claim:
    """A claim whose value is that of a fact."""
    return claim(kind, fact(of).value, hop, of, total=total)


def after(
    ways: Iterable[Way],
    *,
    claims: Iterable[Claim] = (),
    passed: tuple[Resource, ...] = (),
    authorizers: tuple[Resource, ...] = (),
    edge_functions: tuple[Resource, ...] = (),
    share: float = 1.0,
) -> Iterator[Way]:
    """The ways beyond a hop, with what the hop says before what they say."""
    outer = tuple(claims)
    for way in ways:
        yield replace(
            way,
            claims=(*outer, *way.claims),
            passed=(*passed, *way.passed),
            authorizers=(*authorizers, *way.authorizers),
            edge_functions=(*edge_functions, *way.edge_functions),
            share=share * way.share,
        )


def to_unknown(name: str) -> Way:
    """A way that leaves the template."""
    hop = f"leads to {name.strip() or 'something'}, which the template does not show"
    claims = tuple(
        Claim(kind=kind, value=None, hop=hop, source="")
        for kind in (Kind.TIMEOUT, Kind.STREAMING, Kind.LARGEST, Kind.WEBSOCKET)
    )
    return Way(claims=claims, end=End(kind=Ends.UNKNOWN, name=name))


def to_answer(text: str) -> Way:
    """A way on which a hop answers by itself."""
    return Way(claims=(), end=End(kind=Ends.ANSWER, name=text))
