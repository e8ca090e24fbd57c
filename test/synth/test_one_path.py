"""One path and three parsers: what entry points compare, what they pass on, and who really answers.

Entry points are read from the templates. Behind them are the real gunicorn with the environment that the
template gives it, and werkzeug; the real Next.js; and the rules of the plugin daemon's router.
"""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import aws_cdk as cdk
import pytest

import plugin_routes
from callers import answers
from corpus import PAGES, as_sent, corpus, decoded, is_dotted, resolved, segmented
from dify_cdk import CloudFrontEdge, Component
from dify_cdk.dify.routes import STATIC_PATTERN, Route, RouteClass
from dify_cdk.report.templates.template import Template as Read
from dify_cdk.report.traffic.entry_points import entry_points, through
from dify_cdk.report.traffic.hops import Ends, Request
from dify_servers import NextWeb
from paths import Routing, route_of
from servers import free_port
from support import VARIANTS, Template
from synth.installation import function_of, with_login
from synth.running import ApiServers, environment_of, environment_of_function
from viewer import event_of, run, source_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers run on Linux, as in the images")

SECONDS = 20
"""For an answer that comes in milliseconds on a machine that is not busy."""

FILE = "/_next/static/chunks/x.js"
BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
DISTRIBUTION = "AWS::CloudFront::Distribution"
HTTP_API = "AWS::ApiGatewayV2::Api"
FUNCTION = "AWS::CloudFront::Function"

Serves = Callable[[Collection[str]], Mapping[str, str]]
"""From paths to who serves them: a prefix of Dify's, or what else is answered."""


class Reading(NamedTuple):
    """What an entry point may make of a path.

    Attributes:
        compared: What it compares with its patterns.
        passed: What it passes on.
    """

    compared: Callable[[str], str]
    passed: Callable[[str], str]


AS_SENT = Reading(as_sent, as_sent)
RESOLVED = Reading(resolved, resolved)
COMPARED_RESOLVED = Reading(resolved, as_sent)

READINGS = {
    BALANCER: (AS_SENT, RESOLVED),
    # It compares resolved paths, and code at the edge gets what was sent:
    # https://repost.aws/questions/QUYxerjgCwQlSRsrxUx-hoAg
    DISTRIBUTION: (AS_SENT, COMPARED_RESOLVED),
    HTTP_API: (
        *(AS_SENT, RESOLVED),
        *(Reading(decoded, decoded), Reading(as_sent, decoded), Reading(decoded, as_sent)),
    ),
}
"""No page of AWS says which of them is true of a load balancer, and of an HTTP API."""

Readings = tuple[Reading, ...]
"""One for each hop with routes that a request may pass: the entry point, and what is behind a distribution."""


class Step(NamedTuple):
    """A path that has come through an entry point.

    Attributes:
        component: Where it leads.
        route: Who has it by the route table.
        passed: As what it arrives.
    """

    component: Component
    route: Route
    passed: str


class Entry:
    """The entry point of a template.

    Args:
        template: The template.
        file: Path of a static file that web has.
    """

    def __init__(self, template: Template, file: str = FILE) -> None:
        self.template = template
        self.paths = corpus(file)
        self._view = Read(template.body)
        self._entry = entry_points(self._view)[0]
        types = [self._entry.type]
        if self._entry.type == DISTRIBUTION:
            types += [type for type in (BALANCER, HTTP_API) if template.of_type(type)]
        self.readings = tuple(product(*(READINGS[type] for type in types)))
        ends = [Component.API, Component.WEB] if template.of_type("AWS::Lambda::Url") else []
        self._functions = {function_of(template, component)[0]: component for component in ends}
        self.components = {*map(Component, template.containers()), *ends}

    @cached_property
    def let_in(self) -> Collection[str]:
        """The paths that the function at the edge lets in; all where there is none."""
        sources = [source_of(one) for one in self.template.properties(FUNCTION).values()]
        if not sources:
            return self.paths
        said = run(sources, [(0, event_of(uri=as_sent(path))) for path in self.paths])
        return [path for path, one in zip(self.paths, said, strict=True) if "statusCode" not in one]

    @cache  # noqa: B019
    def steps(self, readings: Readings) -> Mapping[str, Step]:
        """The paths that are not refused."""
        steps = ((path, self._step(path, readings)) for path in self.let_in)
        return {path: step for path, step in steps if step is not None}

    def _step(self, path: str, readings: Readings) -> Step | None:
        hop = self._entry
        for reading in readings:
            compared, path = reading.compared(path), reading.passed(path)
            (way,) = through(self._view, hop, Request(path=compared))
            if hop.type == HTTP_API:
                compared = segmented(compared)  # as the report does; else more paths would lead to web
            behind = [one for one in way.passed if one.type in READINGS and one != hop]
            if not behind:
                break
            hop = behind[0]
        if way.end.kind is Ends.ANSWER:
            return None
        component = self._functions.get(way.end.name) or Component(way.end.name)
        return Step(component, route_of(compared, self.components), path)


def without(template: Template, *types: str) -> Template:
    """A template without the resources of some types."""
    kept = {id: one for id, one in template.resources.items() if one["Type"] not in types}
    return Template({**template.body, "Resources": kept})


def before(routing: Routing, path: str) -> RouteClass:
    """Which login a load balancer has before a path, in the words of the route table."""
    logins = [one["AuthenticateCognitoConfig"] for one in routing.actions(path) if one["Type"] != "forward"]
    classes = {"deny": RouteClass.API, "authenticate": RouteClass.PAGE}
    return classes[logins[0]["OnUnauthenticatedRequest"]] if logins else RouteClass.OPEN


# ---- the servers


class Asked:
    """The real gunicorn; what has been asked once is remembered.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[str, str] = {}

    def __call__(self, paths: Collection[str]) -> Mapping[str, str]:
        """From paths to who serves them, or the status of an error."""
        new = {*paths} - {*self._known}
        for path, one in answers(self._port, sorted(new), seconds=SECONDS).items():
            self._known[path] = json.loads(one.body)["serves"] if one.status == 200 else str(one.status)
        return self._known


def serves_daemon(paths: Collection[str]) -> dict[str, str]:
    """The plugin daemon, by its rules."""
    return {path: plugin_routes.serves(path) for path in paths}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Template, Component], Serves]]:
    """Starts api or the WebSocket server as a template does."""
    asked = cache(Asked)
    with ApiServers(tmp_path_factory) as servers:

        def start(template: Template, component: Component) -> Serves:
            is_function = component is Component.API and template.of_type("AWS::Lambda::Url")
            environment = environment_of_function if is_function else environment_of
            variables = environment(template, component)
            return asked(servers.start(variables, template.containers()[component]).port)

        yield start


@pytest.fixture(scope="module")
def entry(templates: Callable[[str], Template], new_stack: Callable[[], cdk.Stack]) -> Callable[[str], Entry]:
    """The entry point of a variant, or of a load balancer with a login, public or behind CloudFront."""

    @cache
    def get(name: str) -> Entry:
        if name in VARIANTS:
            return Entry(templates(name))
        edge = CloudFrontEdge() if name == "login behind CloudFront" else None
        return Entry(with_login(new_stack(), edge=edge))

    return get


WITH_LOGIN = ("login", "login behind CloudFront")
every_entry = pytest.mark.parametrize("name", [*VARIANTS, *WITH_LOGIN])
Entries = Callable[[str], Entry]
Api = Callable[[Template, Component], Serves]


class Served(NamedTuple):
    """A path that a component was asked for.

    Attributes:
        path: As the client sent it.
        wanted: The prefix that has it by the route table.
        by: The prefix that serves it, or what else is answered.
    """

    path: str
    wanted: str
    by: str


def served(steps: Mapping[str, Step], component: Component, serves: Serves) -> list[Served]:
    """What a component is asked for, and by what it serves it."""
    own = {path: step for path, step in steps.items() if step.component is component}
    found = serves({step.passed for step in own.values()})
    return [Served(path, step.route.prefix.rstrip("/"), found[step.passed]) for path, step in own.items()]


def moved(found: Collection[Served]) -> list[Served]:
    """What somebody else serves than the route table says."""
    return [one for one in found if one.by.startswith("/") and one.by != one.wanted]


def assert_as_wanted(found: Collection[Served]) -> None:
    """Nothing is moved, and every prefix serves something."""
    assert moved(found) == []
    assert {one.wanted for one in found} == {one.by for one in found if one.by.startswith("/")} != set()


class TestWhoServes:
    """Every path of the corpus, by every reading that the entry point may have."""

    @every_entry
    def test_the_route_table_says_where_a_path_leads(self, entry: Entries, name: str) -> None:
        one = entry(name)
        for readings in one.readings:
            steps = one.steps(readings).items()
            assert {path: step for path, step in steps if step.component != step.route.component} == {}

    @every_entry
    def test_what_is_refused_has_dot_segments(self, entry: Entries, name: str) -> None:
        one = entry(name)
        for readings in one.readings:
            refused = {*one.paths} - {*one.steps(readings)}
            dotted = {path for path in one.paths if is_dotted(path)}
            # A load balancer that resolves paths has nothing to refuse, and an HTTP API cannot.
            nothing = name == "v2" or readings == (RESOLVED,)
            # What CloudFront and the HTTP API behind it do not read alike has no route there.
            misread = {"/%65/x", "/%74riggers/x"} if name == "v3" else set()
            assert refused - misread == (set() if nothing else dotted)

    @every_entry
    def test_api_serves_what_the_route_table_says(self, entry: Entries, api: Api, name: str) -> None:
        one = entry(name)
        for component in {Component.API, Component.API_WEBSOCKET} & {*one.components}:
            serves = api(one.template, component)
            for readings in one.readings:
                assert_as_wanted(served(one.steps(readings), component, serves))

    @every_entry
    def test_the_plugin_daemon_serves_what_the_route_table_says(self, entry: Entries, name: str) -> None:
        one = entry(name)
        for readings in one.readings:
            assert_as_wanted(served(one.steps(readings), Component.PLUGIN_DAEMON, serves_daemon))

    def test_a_distribution_without_its_function_would_publish_what_is_private(
        self, entry: Entries, api: Api
    ) -> None:
        """By what CloudFront compares and what it passes on; and this test would see it."""
        v3 = entry("v3").template
        unguarded = Entry(without(v3, FUNCTION)).steps((COMPARED_RESOLVED, AS_SENT))
        found = served(unguarded, Component.API, api(v3, Component.API))
        assert {"/inner/api", "/threads", "/health", "/db-pool-stat"} <= {one.by for one in moved(found)}
        assert Served("/threads/../v1/x", "/v1", "/threads") in found

    def test_the_http_api_behind_it_would_refuse_them(self, entry: Entries) -> None:
        unguarded = Entry(without(entry("v3").template, FUNCTION)).steps((COMPARED_RESOLVED, AS_SENT))
        assert "/threads/../v1/x" in unguarded
        assert "/threads/../triggers/x" not in unguarded


class TestLogin:
    """Whether a login stands before a path, and before what is served for it."""

    @pytest.mark.parametrize("name", WITH_LOGIN)
    def test_the_route_table_says_which_login_stands_before_a_path(self, entry: Entries, name: str) -> None:
        one = entry(name)
        routing = Routing(one.template)
        for path, step in one.steps(one.readings[0]).items():
            is_file = fnmatch.fnmatchcase(step.passed, STATIC_PATTERN)
            assert before(routing, step.passed) is (RouteClass.OPEN if is_file else step.route.route_class), (
                path
            )
