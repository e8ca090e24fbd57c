"""What an entry point does with the requests that match: behaviors, rules and routes, all in one form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from dify_cdk.report.templates.template import Resource
from dify_cdk.report.traffic.hops import Claim, Request

GREEDY = "/{proxy+}"

Rank = tuple[bool, int, bool]
"""Whether a route has no greedy variable, how many of its segments are fixed, and whether its method is."""

LAST: Rank = (False, -1, False)
"""The rank of a default route, and of all routes where the order decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where a route leads.

    Attributes:
        container: Container name, or the logical id of what else receives the requests; None if unknown.
        port: Port of the container; None if unknown.
        target_group: Logical id of the target group, or what the action refers to instead.
        weight: Share of the requests where one route has several destinations.
        resource: What receives the requests; None if it is not in the template.
        elsewhere: What the template calls it if it is not.
        claims: What the hop says about requests that go there only.
        prefix: What is put before the path.
        listener_port: Port of a load balancer that is called; None for its first listener with TLS.
        link: Logical id of the VPC link that they go through.
    """

    container: str | None = None
    port: int | None = None
    target_group: str = ""
    weight: int | None = None
    resource: Resource | None = field(default=None, compare=False, repr=False)
    elsewhere: str = field(default="", compare=False, repr=False)
    claims: tuple[Claim, ...] = field(default=(), compare=False, repr=False)
    prefix: str = field(default="", compare=False, repr=False)
    listener_port: int | None = field(default=None, compare=False, repr=False)
    link: str | None = field(default=None, compare=False, repr=False)


def unknown(elsewhere: str) -> Destination:
    """A destination of which the template shows nothing but what it is called."""
    return Destination(elsewhere=elsewhere)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A listener's rule, a behavior of a distribution, or a route of an API.

    Attributes:
        priority: Rank, lowest first; None for the default and for a number only known at deploy time.
        default: Whether this is what happens when no rule matches.
        paths: Path patterns, any of which matches; empty if the rule does not look at the path, or only by
            ``expressions``.
        expressions: Regular expressions about the path, which match as well as ``paths`` do.
        conditions: Every other condition as text, all of which must hold.
        actions: What happens on the way, as text, for example a login or a redirect.
        destinations: Where requests end up; empty where the entry point answers itself.
        variables: Path of an API's route, whose variables are in braces; empty where paths have wildcards.
        rank: How specific it is among the routes of an API; the order decides among equal ones.
        claims: What the hop says about requests that it passes on.
        methods: Methods of requests that it passes on; empty for all.
        authorizers: Functions that decide whether a request may pass.
        edge_functions: Edge functions that see it.
    """

    priority: int | None = None
    default: bool = False
    paths: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    destinations: tuple[Destination, ...] = ()
    variables: str = field(default="", compare=False, repr=False)
    rank: Rank = field(default=LAST, compare=False, repr=False)
    claims: tuple[Claim, ...] = field(default=(), compare=False, repr=False)
    methods: tuple[str, ...] = field(default=(), compare=False, repr=False)
    authorizers: tuple[Resource, ...] = field(default=(), compare=False, repr=False)
    edge_functions: tuple[Resource, ...] = field(default=(), compare=False, repr=False)

    def takes(self, request: Request) -> bool:
        """Whether requests like it are taken. Conditions about who calls, and by which name, count as met.

        But not the name where nobody gets any further: such a rule is for other names, or sends them here.
        """
        if self.variables and not _fills(self.variables, request.path):
            return False
        if not self.variables and not self._takes_path(request.path):
            return False
        for condition in self.conditions:
            word, _, values = condition.partition(" ")
            if word == "query" or (word == "method" and request.method not in values.split(" or ")):
                return False
            if word == "host" and not self.destinations:
                return False
            if word == "path" and not _any_matches(values.split(" or "), request.path):
                return False
        return True

    def _takes_path(self, path: str) -> bool:
        if not self.paths and not self.expressions:
            return True
        return _any_matches(self.paths, path) or any(_is_found(one, path) for one in self.expressions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One listener of a load balancer, an API or a distribution, with its routes in order of trial.

    Attributes:
        id: Logical id, or the reference of rules whose listener is not in the template.
        protocol: For example ``HTTPS``; empty if unknown.
        port: Port; None if unknown.
        load_balancer: Logical id or reference of the load balancer, API or distribution.
        kind: ``application``, ``network``, ``gateway``, ``HTTP API``, ``REST API`` or
            ``CloudFront distribution``.
        scheme: ``internet-facing`` or ``internal``; empty if the load balancer is not in the template.
        routes: Rules by priority, the default last.
    """

    id: str
    protocol: str = ""
    port: int | None = None
    load_balancer: str = ""
    kind: str = "application"
    scheme: str = ""
    routes: tuple[Route, ...]


def public_listener(id: str, kind: str, routes: tuple[Route, ...]) -> Listener:
    """What an API or a distribution is: it answers the internet by TLS."""
    scheme = "internet-facing"
    return Listener(
        id=id, protocol="HTTPS", port=443, load_balancer=id, kind=kind, scheme=scheme, routes=routes
    )


def chosen(routes: Iterable[Route], request: Request) -> Route | None:
    """The route that takes a request: the most specific one, the first of those that are equal."""
    return max((one for one in routes if one.takes(request)), key=lambda one: one.rank, default=None)


def together(routes: Iterable[Route]) -> Route:
    """Routes that are the same but for their paths, as one."""
    first, *others = routes
    paths = tuple(dict.fromkeys(path for one in (first, *others) for path in one.paths))
    default = first.default or any(one.default for one in others)
    return replace(first, default=default, paths=() if default else paths)


def shares(destinations: Sequence[Destination]) -> list[float]:
    """The share of the requests that each destination of a route gets, 0 to 1."""
    weights = {one.target_group: 1 if one.weight is None else one.weight for one in destinations}
    receivers = Counter(one.target_group for one in destinations)
    whole = sum(weights.values())
    return [
        (weights[one.target_group] / whole if whole else 1 / len(weights)) / receivers[one.target_group]
        for one in destinations
    ]


# --- paths ----------------------------------------------------------------------------------------------


def matches(pattern: str, path: str) -> bool:
    """Whether a path matches a pattern of a load balancer or a distribution: ``*`` and ``?``."""
    return _expression(pattern).fullmatch(path) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.escape(pattern if pattern.startswith(("/", "*")) else f"/{pattern}")
    # Several stars in a row are one, or a hostile pattern would take forever.
    return re.compile(re.sub(r"(?:\\\*)+", ".*", parts).replace(r"\?", "."), re.DOTALL)


def _is_found(expression: str, path: str) -> bool:
    """Whether an expression of a load balancer is found in a path; one that Python cannot read is not."""
    try:
        return re.search(expression, path) is not None
    except re.error:
        return False


def _any_matches(patterns: Iterable[str], path: str) -> bool:
    return any(matches(pattern, path) for pattern in patterns)


def rank(method: str, path: str) -> Rank:
    """How specific an API's route is."""
    fixed, greedy = _parts(path)
    return not greedy, sum(not _is_variable(part) for part in fixed), method != "ANY"


def _fills(variables: str, path: str) -> bool:
    """Whether a path is one that a route's path with variables stands for."""
    fixed, greedy = _parts(variables)
    wanted = list(_segments(path))
    # A greedy variable takes one segment or more.
    if len(wanted) <= len(fixed) if greedy else len(wanted) != len(fixed):
        return False
    pairs = zip(fixed, wanted, strict=False)
    return all(part == text or _is_variable(part) for part, text in pairs)


@cache
def _parts(variables: str) -> tuple[tuple[str, ...], bool]:
    """The segments without a greedy variable at the end, and whether there is one."""
    parts = tuple(_segments(variables))
    greedy = bool(parts) and parts[-1].endswith("+}")
    return parts[:-1] if greedy else parts, greedy


def _segments(path: str) -> Iterator[str]:
    return (part for part in path.split("/") if part)


def _is_variable(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")
