"""The route table against Dify's own proxy, and its three renderings against each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dify_facts
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import (
    ROUTES,
    alb_rules,
    cloudfront_behaviors,
    http_api_routes,
    routes_to,
)
from paths import NEVER_PUBLIC, route_of

ROLE_OF_PREFIX = {prefix: Component(row["component"]) for prefix, row in dify_facts.ROUTES.items()}
LONG_REQUESTS = {prefix for prefix, row in dify_facts.ROUTES.items() if row["long"]}

UPLOADS = [
    "/console/api/files/upload",
    "/api/files/upload",
    "/v1/files/upload",
    "/files/upload/for-plugin",
    "/console/api/workspaces/current/plugin/upload/pkg",
    "/console/api/workspaces/current/plugin/upload/bundle",
    "/console/api/workspaces/custom-config/webapp-logo/upload",
    "/console/api/apps/4b2/audio-to-text",
    "/console/api/installed-apps/4b2/audio-to-text",
    "/api/audio-to-text",
    "/v1/audio-to-text",
    "/console/api/apps/4b2/annotations/batch-import",
    "/v1/datasets/pipeline/file-upload",
    "/v1/datasets/4b2/document/create-by-file",
    "/v1/datasets/4b2/document/create_by_file",
    "/v1/datasets/4b2/documents/77/update-by-file",
    "/v1/datasets/4b2/documents/77/update_by_file",
    "/console/api/apps/imports",
    "/console/api/rag/pipelines/imports",
    "/triggers/webhook/4b2",
    "/e/4b2/anything",
]

SAMPLES = {
    "/console/api": Component.API,
    "/console/api/": Component.API,
    "/console/api/setup": Component.API,
    "/console/apis": Component.WEB,
    "/console": Component.WEB,
    "/api": Component.API,
    "/api/chat-messages": Component.API,
    "/api2": Component.WEB,
    "/v1": Component.API,
    "/v1/workflows/run": Component.API,
    "/v10/workflows": Component.WEB,
    "/v2/invoke/dispatch": Component.WEB,
    "/openapi/v1/me": Component.API,
    "/files/4b2/file-preview": Component.API,
    "/filesystem": Component.WEB,
    "/mcp/server/4b2/mcp": Component.API,
    "/triggers/plugin/4b2": Component.API,
    "/socket.io/": Component.API_WEBSOCKET,
    "/socket.io/4/polling": Component.API_WEBSOCKET,
    "/socket.io": Component.WEB,
    "/e/4b2": Component.PLUGIN_DAEMON,
    "/e/4b2/deep/path": Component.PLUGIN_DAEMON,
    "/e": Component.WEB,
    "/events": Component.WEB,
    "/explore/apps": Component.WEB,
    "/": Component.WEB,
    "/install": Component.WEB,
    "/signin": Component.WEB,
    "/apps": Component.WEB,
    "/plugins": Component.WEB,
    "/_next/static/chunks/1f.js": Component.WEB,
    "/API/chat-messages": Component.WEB,
}

FRONTEND = frozenset({Component.API, Component.WEB, Component.PLUGIN_DAEMON})
WITH_WEBSOCKET = FRONTEND | {Component.API_WEBSOCKET}


def by_wildcard(pattern: str, path: str) -> bool:
    """ALB and CloudFront: ``*`` stands for any characters or none, ``?`` for one; case matters."""
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), path) is not None


def by_alb(path: str, components: Collection[Component]) -> Component:
    """The rule with the lowest priority number whose patterns match, else the default action."""
    for rule in sorted(alb_rules(components), key=lambda rule: rule.priority):
        if any(by_wildcard(pattern, path) for pattern in rule.patterns):
            return rule.route.component
    return Component.WEB


def by_cloudfront(path: str, components: Collection[Component]) -> Component:
    """The first behavior in order, else the default one."""
    behaviors = cloudfront_behaviors(components)
    return next(
        (route.component for pattern, route in behaviors if by_wildcard(pattern, path)), Component.WEB
    )


def by_http_api(path: str, components: Collection[Component]) -> Component | None:
    """A full match, else the greedy path with the longest literal part; without one the request fails.

    A greedy variable takes an empty rest too: https://github.com/storacha/w3infra/pull/166.
    """
    routes = dict(http_api_routes(components))
    greedy = [known for known in routes if known.endswith("{proxy+}")]
    if path in routes and path not in greedy:
        return routes[path].component
    found = [known for known in greedy if path.startswith(known.removesuffix("{proxy+}"))]
    return routes[max(found, key=len)].component if found else None


RENDERINGS: dict[str, Callable[[str, Collection[Component]], Component | None]] = {
    "alb": by_alb,
    "http_api": by_http_api,
    "cloudfront": by_cloudfront,
}
every_rendering = pytest.mark.parametrize("lead", RENDERINGS.values(), ids=RENDERINGS)

_WORDS = st.sampled_from(
    [
        *(word for prefix in (*ROLE_OF_PREFIX, *NEVER_PUBLIC) for word in prefix.split("/") if word),
        *("upload", "proxy", "..", "%2e%2e", "*", "?", "{proxy+}"),
    ]
)
_TEXTS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/?#"), min_size=1)
SEGMENTS = st.lists(_WORDS | _TEXTS, max_size=5)
PATHS = st.builds(
    lambda parts, end: "/" + "/".join(parts) + (end if parts else ""), SEGMENTS, st.sampled_from(["", "/"])
)


class TestTable:
    def test_every_prefix_leads_to_the_component_of_dify_s_own_proxy(self) -> None:
        assert {route.prefix: route.component for route in ROUTES} == ROLE_OF_PREFIX

    def test_priorities_never_change(self) -> None:
        assert {route.prefix: route.priority for route in ROUTES} == {
            prefix: row["priority"] for prefix, row in dify_facts.ROUTES.items()
        }

    def test_priorities_rise_with_room_between_them_and_fit_a_listener(self) -> None:
        priorities = [route.priority for route in ROUTES]
        gaps = [after - before for before, after in pairwise(priorities)]
        assert min(gaps) >= 100
        assert 1 <= priorities[0] <= priorities[-1] <= 50000

    def test_construct_ids_never_change(self) -> None:
        assert {route.prefix: route.construct_id for route in ROUTES} == {
            prefix: row["id"] for prefix, row in dify_facts.ROUTES.items()
        }

    def test_login_classes(self) -> None:
        found = {route.prefix: route.route_class for route in ROUTES}
        assert found == {prefix: row["login"] for prefix, row in dify_facts.ROUTES.items()}

    def test_long_requests_are_marked(self) -> None:
        assert {route.prefix for route in ROUTES if route.long_requests} == LONG_REQUESTS

    def test_the_last_route_takes_everything_else(self) -> None:
        assert ROUTES[-1].matches("/anything/else")
        assert ROUTES[-1].component is Component.WEB


class TestUploads:
    @pytest.mark.parametrize("path", UPLOADS)
    def test_every_path_that_carries_files_is_known(self, path: str) -> None:
        patterns = route_of(path, WITH_WEBSOCKET).uploads
        assert any(by_wildcard(pattern, path) for pattern in patterns)

    def test_patterns_lie_below_the_prefix_of_their_route(self) -> None:
        for route in ROUTES:
            below = route.prefix if route.prefix.endswith("/") else f"{route.prefix}/"
            assert "*" not in below
            assert all(pattern.startswith(below) for pattern in route.uploads), route.prefix

    def test_no_pattern_is_written_twice(self) -> None:
        patterns = [pattern for route in ROUTES for pattern in route.uploads]
        assert len(patterns) == len(set(patterns))


class TestRenderings:
    @every_rendering
    @pytest.mark.parametrize(("path", "component"), SAMPLES.items(), ids=SAMPLES)
    def test_sample_paths_lead_to_the_right_component(
        self, lead: Callable[[str, Collection[Component]], Component], path: str, component: Component
    ) -> None:
        assert lead(path, WITH_WEBSOCKET) is component
        assert route_of(path, WITH_WEBSOCKET).component is component

    @every_rendering
    def test_without_the_websocket_component_its_path_falls_to_web(
        self, lead: Callable[[str, Collection[Component]], Component]
    ) -> None:
        assert lead("/socket.io/", FRONTEND) is Component.WEB
        assert route_of("/socket.io/", FRONTEND).component is Component.WEB

    @pytest.mark.parametrize("components", [FRONTEND, WITH_WEBSOCKET], ids=["frontend", "with_websocket"])
    @settings(deadline=None, max_examples=300)
    @given(path=PATHS)
    def test_all_agree_on_any_path(self, components: Collection[Component], path: str) -> None:
        expected = route_of(path, components).component
        assert {name: lead(path, components) for name, lead in RENDERINGS.items()} == dict.fromkeys(
            RENDERINGS, expected
        )

    @every_rendering
    @settings(deadline=None)
    @given(start=st.sampled_from(NEVER_PUBLIC), rest=PATHS)
    def test_what_must_never_be_public_reaches_neither_api_nor_plugin_daemon(
        self, lead: Callable[[str, Collection[Component]], Component], start: str, rest: str
    ) -> None:
        assert lead(start, WITH_WEBSOCKET) is Component.WEB
        assert lead(start + rest, WITH_WEBSOCKET) is Component.WEB

    def test_a_listener_rule_holds_at_most_five_patterns(self) -> None:
        rules = alb_rules(WITH_WEBSOCKET)
        assert {len(rule.patterns) for rule in rules} <= {1, 2, 3, 4, 5}
        assert [rule.priority for rule in rules] == [
            r.priority for r in ROUTES if r.component is not Component.WEB
        ]

    def test_a_greedy_variable_stands_only_at_the_end_of_a_path(self) -> None:
        paths = [path for path, _ in http_api_routes(WITH_WEBSOCKET)]
        assert len(paths) == len(set(paths))
        assert all("{" not in path.removesuffix("{proxy+}") for path in paths)
        # API Gateway refuses a path that ends with a slash, the root excepted.
        assert all(path == "/" or not path.endswith("/") for path in paths)

    def test_a_distribution_needs_no_behavior_for_the_default(self) -> None:
        assert "/*" not in [pattern for pattern, _ in cloudfront_behaviors(WITH_WEBSOCKET)]

    def test_only_the_routes_of_deployed_components_are_served(self) -> None:
        assert {route.prefix for route in routes_to({Component.PLUGIN_DAEMON})} == {"/e/"}
        assert {route.component for route in routes_to(FRONTEND)} == FRONTEND
        assert alb_rules({Component.WEB}) == ()
