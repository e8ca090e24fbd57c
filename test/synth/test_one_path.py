"""One path and three parsers: what entry points compare, what they pass on, and who really answers.

Entry points are read from the templates. Behind them are the real gunicorn with the environment that the
template gives it, and werkzeug; the real Next.js; and the rules of the plugin daemon's router.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

import aws_cdk as cdk
import pytest

import plugin_routes
from callers import answers
from corpus import PAGES, as_sent, corpus, decoded, is_dotted, resolved, segmented
from dify_cdk import CloudFrontEdge, Component
from dify_cdk.dify.routes import ROUTES, Route, RouteClass
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
    "AWS::CloudFront::Distribution": (AS_SENT, COMPARED_RESOLVED),
    HTTP_API: (
        *(AS_SENT, RESOLVED),
        *(Reading(decoded, decoded), Reading(as_sent, decoded), Reading(decoded, as_sent)),
    ),
}
"""No page of AWS says which of them is true of a load balancer, and of an HTTP API."""


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
        self.readings = READINGS[self._entry.type]
        ends = [Component.API, Component.WEB] if template.of_type("AWS::Lambda::Url") else []
        self._functions = {function_of(template, component)[0]: component for component in ends}
        self.components = {*map(Component, template.containers()), *ends}
        # What the report takes an HTTP API for; another one would send more paths to web.
        self._as_compared = segmented if self._entry.type == HTTP_API else str

    @cached_property
    def let_in(self) -> Collection[str]:
        """The paths that the function at the edge lets in; all where there is none."""
        sources = [source_of(one) for one in self.template.properties(FUNCTION).values()]
        if not sources:
            return self.paths
        said = run(sources, [(0, event_of(uri=as_sent(path))) for path in self.paths])
        return [path for path, one in zip(self.paths, said, strict=True) if "statusCode" not in one]

    @cache  # noqa: B019
    def steps(self, reading: Reading) -> Mapping[str, Step]:
        """The paths that are not refused.

        Args:
            reading: What the entry point makes of a path.
        """
        return dict(self._steps(self.let_in, reading))

    def _steps(self, paths: Collection[str], reading: Reading) -> Iterator[tuple[str, Step]]:
        for path in paths:
            compared, passed = reading.compared(path), reading.passed(path)
            (way,) = through(self._view, self._entry, Request(path=compared))
            balancers = [hop for hop in way.passed[1:] if hop.type == BALANCER]
            for balancer in balancers:
                # Behind a distribution, whose behaviors lead to it with every path.
                (way,) = through(self._view, balancer, Request(path=passed))
            if way.end.kind is not Ends.ANSWER:
                component = self._functions.get(way.end.name) or Component(way.end.name)
                route = route_of(passed if balancers else self._as_compared(compared), self.components)
                yield path, Step(component, route, passed)


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


def moved(steps: Mapping[str, Step], component: Component, serves: Serves) -> dict[str, str]:
    """Paths that somebody else serves than the route table says, and who."""
    own = {path: step for path, step in steps.items() if step.component is component}
    found = serves({step.passed for step in own.values()})
    assert {step.route.prefix.rstrip("/") for step in own.values()} <= {*found.values()}  # each is served
    return {
        path: found[step.passed]
        for path, step in own.items()
        if found[step.passed].startswith("/") and found[step.passed] != step.route.prefix.rstrip("/")
    }


class TestWhoServes:
    """Every path of the corpus, by every reading that the entry point may have."""

    @every_entry
    def test_the_route_table_says_where_a_path_leads(self, entry: Entries, name: str) -> None:
        one = entry(name)
        for reading in one.readings:
            steps = one.steps(reading)
            assert {
                path: step for path, step in steps.items() if step.component != step.route.component
            } == {}

    @every_entry
    def test_what_is_refused_has_dot_segments(self, entry: Entries, name: str) -> None:
        one = entry(name)
        refused = {*one.paths} - {*one.steps(AS_SENT)}
        assert refused == ({path for path in one.paths if is_dotted(path)} if name != "v2" else set())

    @every_entry
    def test_api_serves_what_the_route_table_says(self, entry: Entries, api: Api, name: str) -> None:
        one = entry(name)
        for component in {Component.API, Component.API_WEBSOCKET} & {*one.components}:
            for reading in one.readings:
                steps = one.steps(reading)
                assert moved(steps, component, api(one.template, component)) == {}

    @every_entry
    def test_the_plugin_daemon_serves_what_the_route_table_says(self, entry: Entries, name: str) -> None:
        one = entry(name)
        for reading in one.readings:
            assert moved(one.steps(reading), Component.PLUGIN_DAEMON, serves_daemon) == {}
