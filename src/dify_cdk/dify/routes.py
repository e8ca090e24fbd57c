"""The one route table: which component of Dify 1.17.1 answers which URL prefix.

The prefixes are those of Dify's own proxy; everything else belongs to ``web``. Each frontend renders the
table in its own way, so that a prefix cannot be known to one and missing in another.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from dify_cdk._arguments import checked
from dify_cdk.dify.components import Component


class RouteClass(StrEnum):
    """How a path behaves when a login stands before the application."""

    OPEN = "open"
    """Never behind a login: called by programs or with signed links, guarded by Dify's own keys."""
    API = "api"
    """Called by scripts in the browser: answers 401 instead of a redirect to a login page."""
    PAGE = "page"
    """Opened by people: may be redirected to a login page."""


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One row of the table.

    Attributes:
        prefix: URL prefix. With a trailing slash only what lies below it, else also the prefix itself.
        component: Who answers.
        route_class: How a login treats it.
        priority: Fixed, sparse rank for listeners that need one; never renumbered and never used twice.
        long_requests: Whether answers may take minutes (streams, blocking calls).
        uploads: Path patterns below the prefix for files; ``*`` matches across slashes.
    """

    prefix: str
    component: Component
    route_class: RouteClass
    priority: int
    long_requests: bool = False
    uploads: tuple[str, ...] = ()

    @property
    def construct_id(self) -> str:
        """The construct id of what is defined for the route, for example ``ConsoleApi``."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.prefix).split()
        return "".join(word.capitalize() for word in words) or "Default"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The path patterns of the route in the syntax that ALB and CloudFront share."""
        if self.prefix == "/":
            return ("/*",)
        if self.prefix.endswith("/"):
            return (f"{self.prefix}*",)
        return (self.prefix, f"{self.prefix}/*")

    @property
    def http_api_paths(self) -> tuple[str, ...]:
        """The route paths of the route in API Gateway's HTTP API syntax (greedy path variables)."""
        if self.prefix == "/":
            return ("/", "/{proxy+}")
        if self.prefix.endswith("/"):
            return (f"{self.prefix}{{proxy+}}",)
        return (self.prefix, f"{self.prefix}/{{proxy+}}")

    def matches(self, path: str) -> bool:
        """Whether the route answers this path."""
        if self.prefix.endswith("/"):
            return path.startswith(self.prefix)
        return path == self.prefix or path.startswith(f"{self.prefix}/")


ROUTES: tuple[Route, ...] = (
    Route(
        prefix="/console/api",
        component=Component.API,
        route_class=RouteClass.API,
        priority=1000,
        long_requests=True,
        uploads=(
            "/console/api/files/upload",
            "/console/api/workspaces/current/plugin/upload/pkg",
            "/console/api/workspaces/current/plugin/upload/bundle",
            "/console/api/workspaces/custom-config/webapp-logo/upload",
            "/console/api/*/audio-to-text",
            "/console/api/apps/*/annotations/batch-import",
            "/console/api/apps/imports",
            "/console/api/rag/pipelines/imports",
        ),
    ),
    Route(
        prefix="/api",
        component=Component.API,
        route_class=RouteClass.API,
        priority=2000,
        long_requests=True,
        uploads=("/api/files/upload", "/api/*/audio-to-text", "/api/audio-to-text"),
    ),
    Route(
        prefix="/v1",
        component=Component.API,
        route_class=RouteClass.OPEN,
        priority=3000,
        long_requests=True,
        uploads=(
            "/v1/files/upload",
            "/v1/*/audio-to-text",
            "/v1/audio-to-text",
            "/v1/datasets/pipeline/file-upload",
            "/v1/datasets/*/document/create*by*file",
            "/v1/datasets/*/documents/*/update*by*file",
        ),
    ),
    Route(
        prefix="/openapi",
        component=Component.API,
        route_class=RouteClass.OPEN,
        priority=4000,
        long_requests=True,
    ),
    Route(
        prefix="/files",
        component=Component.API,
        route_class=RouteClass.OPEN,
        priority=5000,
        uploads=("/files/upload/for-plugin",),
    ),
    Route(
        prefix="/mcp", component=Component.API, route_class=RouteClass.OPEN, priority=6000, long_requests=True
    ),
    Route(
        prefix="/triggers",
        component=Component.API,
        route_class=RouteClass.OPEN,
        priority=7000,
        uploads=("/triggers/*",),
    ),
    Route(prefix="/socket.io/", component=Component.API_WEBSOCKET, route_class=RouteClass.API, priority=8000),
    Route(
        prefix="/e/",
        component=Component.PLUGIN_DAEMON,
        route_class=RouteClass.OPEN,
        priority=9000,
        long_requests=True,
        uploads=("/e/*",),
    ),
    Route(prefix="/explore", component=Component.WEB, route_class=RouteClass.PAGE, priority=10000),
    Route(prefix="/", component=Component.WEB, route_class=RouteClass.PAGE, priority=50000),
)
"""Every route, in the order in which they are tried. The last one is the default."""

STATIC_PATTERN = "/_next/static/*"
"""Files of ``web`` whose names change with their contents: public, and the only ones that may be cached."""

PLUGIN_HOST_PRIORITY = 600
"""Rank of the rules for a host name of plugins' own: before all others, which do not ask for a host name."""

STATIC_PRIORITY = 20000
"""Rank of a rule for them, where they need one of their own: a login must not answer for a cached file."""

DOT_SEGMENT = "^(.*/)?([.]|%2[eE]){1,2}(/.*)?$"
"""A path in which a segment is ``.`` or ``..``, percent-encoded or not, as a regular expression.

Programs disagree about such a path: Next.js resolves it, api and the plugin daemon take it as it is, and hops
may match one of the two and pass on the other. Nobody needs it, as browsers resolve it before they ask, so it
is refused where a hop can. Encoded slashes and double slashes are not: ids of models and URLs have them.
"""

DOT_SEGMENT_PRIORITY = 500
"""Rank of a rule that refuses them: before every route."""

_ROUTES_PER_RULE = 5  # condition values of one ALB rule, a limit AWS does not raise


@dataclass(frozen=True, kw_only=True, slots=True)
class AlbRule:
    """One listener rule: at most five path patterns, which is ALB's limit of condition values.

    See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
    """

    priority: int
    patterns: tuple[str, ...]
    route: Route


def routes_to(components: Collection[Component]) -> tuple[Route, ...]:
    """The routes that lead to one of these components; what they leave out falls to the default."""
    return tuple(route for route in ROUTES if route.component in components)


def alb_rules(components: Collection[Component]) -> tuple[AlbRule, ...]:
    """The listener rules for these components. Routes of ``web`` are the listener's default action.

    Raises:
        ValueError: If a route has more patterns than one rule can hold.
    """
    rules = []
    for route in routes_to(components):
        if route.component is Component.WEB:
            continue
        if len(route.patterns) > _ROUTES_PER_RULE:
            raise ValueError(f"route {route.prefix} has more than {_ROUTES_PER_RULE} patterns")
        rules.append(AlbRule(priority=route.priority, patterns=route.patterns, route=route))
    return tuple(rules)


def http_api_routes(components: Collection[Component]) -> tuple[tuple[str, Route], ...]:
    """``(path, route)`` for an HTTP API, which prefers the most specific path whatever the order."""
    return tuple((path, route) for route in routes_to(components) for path in route.http_api_paths)


def cloudfront_behaviors(components: Collection[Component]) -> tuple[tuple[str, Route], ...]:
    """``(path pattern, route)`` for a distribution in order of precedence, without the default behavior."""
    return tuple(
        (pattern, route)
        for route in routes_to(components)
        if route.prefix != "/"
        for pattern in route.patterns
    )


def require_served(frontend: str, components: Collection[Component]) -> None:
    """Check that a frontend leads somewhere with every route whose component always runs.

    A path that no route takes would fall to ``web``, which answers 404 for it.

    Args:
        frontend: Class of the frontend.
        components: What it leads to.

    Raises:
        ValueError: If a route's component is not among them.
    """
    for route in ROUTES:
        if route.component not in components and route.component.spec.option is None:
            raise ValueError(
                f"{frontend} does not serve {route.component}, to which route {route.prefix} leads: run the "
                "component there, or give the construct that runs it a way to register with the frontend"
            )
