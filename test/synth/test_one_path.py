"""One path and three parsers: what entry points compare, what they pass on, and who really answers.

Entry points are read from the templates. Behind them are the real gunicorn with the environment that the
template gives it, and werkzeug; the real Next.js; and the rules of the plugin daemon's router.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property
from http import HTTPStatus
from itertools import product
from typing import NamedTuple

import aws_cdk as cdk
import pytest

import plugin_routes
from callers import Answer, answers
from corpus import as_sent, corpus, decoded, is_dotted, resolved, segmented
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
"""One for each hop with routes that a request may pass: the entry point, and one behind a distribution."""


class Step(NamedTuple):
    """A path that has come through an entry point.

    Attributes:
        compared: As what the entry point compares it.
        component: Where it leads.
        route: Who has it by the route table.
        passed: As what it arrives.
    """

    compared: str
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
        hop, first = self._entry, readings[0].compared(path)
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
        return Step(first, component, route_of(compared, self.components), path)


def without(template: Template, *types: str) -> Template:
    """A template without the resources of some types."""
    kept = {id: one for id, one in template.resources.items() if one["Type"] not in types}
    return Template({**template.body, "Resources": kept})


def before(routing: Routing, path: str) -> RouteClass:
    """Which login a load balancer has before a path, in the words of the route table."""
    logins = [one["AuthenticateCognitoConfig"] for one in routing.actions(path) if one["Type"] != "forward"]
    classes = {"deny": RouteClass.API, "authenticate": RouteClass.PAGE}
    return classes[logins[0]["OnUnauthenticatedRequest"]] if logins else RouteClass.OPEN


def is_file(path: str) -> bool:
    """Whether a path is one of those that nobody logs in for, and that may be cached."""
    return fnmatch.fnmatchcase(path, STATIC_PATTERN)


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
def entry(templates: Callable[[str], Template], new_stack: Callable[[], cdk.Stack]) -> Callable[..., Entry]:
    """The entry point of a variant, or of a load balancer with a login, public or behind CloudFront."""

    @cache
    def template(name: str) -> Template:
        if name in VARIANTS:
            return templates(name)
        edge = CloudFrontEdge() if name == "login behind CloudFront" else None
        return with_login(new_stack(), edge=edge)

    return cache(lambda name, file=FILE: Entry(template(name), file))


WITH_LOGIN = ("login", "login behind CloudFront")
every_entry = pytest.mark.parametrize("name", [*VARIANTS, *WITH_LOGIN])
Entries = Callable[..., Entry]
"""From a name, and the path of a static file, to an entry point."""
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

    @pytest.mark.parametrize("name", ["v1", "v2", "v3"])
    def test_one_that_compares_resolved_paths_and_passes_on_others_would_publish_what_is_private(
        self, entry: Entries, api: Api, name: str
    ) -> None:
        """As CloudFront does, but for its function; and this test would see it.

        That a load balancer and an HTTP API do so is said nowhere. Dify's own private rules are whole paths,
        so that none of them would match.
        """
        template = entry(name).template
        unguarded = Entry(without(template, FUNCTION))
        hops = [COMPARED_RESOLVED, *unguarded.readings[0][1:]]
        found = served(unguarded.steps(tuple(hops)), Component.API, api(template, Component.API))
        assert {"/inner/api", "/threads", "/health", "/db-pool-stat"} <= {one.by for one in moved(found)}
        assert Served("/threads/../v1/x", "/v1", "/threads") in found

    def test_the_http_api_behind_a_distribution_without_its_function_would_refuse_them(
        self, entry: Entries
    ) -> None:
        unguarded = Entry(without(entry("v3").template, FUNCTION)).steps((COMPARED_RESOLVED, AS_SENT))
        assert "/threads/../v1/x" in unguarded
        assert "/threads/../triggers/x" not in unguarded

    @pytest.mark.parametrize("name", ["v3", "v4", "login behind CloudFront"])
    def test_what_may_be_cached_comes_from_web(self, entry: Entries, name: str) -> None:
        """Else one who answers below ``/e/`` could answer for a script of all users."""
        one = entry(name)
        for readings in one.readings:
            cached = [step for step in one.steps(readings).values() if is_file(step.compared)]
            assert {step.component for step in cached} == {Component.WEB}


class TestLogin:
    """Whether a login stands before a path, and before what is served for it."""

    @pytest.mark.parametrize("name", WITH_LOGIN)
    def test_the_route_table_says_which_login_stands_before_a_path(self, entry: Entries, name: str) -> None:
        one = entry(name)
        routing = Routing(one.template)
        for path, step in one.steps(one.readings[0]).items():
            expected = RouteClass.OPEN if is_file(step.passed) else step.route.route_class
            assert before(routing, step.passed) is expected, path


MOVING = (
    *("x-matched-path", "x-invoke-path", "x-middleware-rewrite", "x-nextjs-rewritten-path", "x-nextjs-data"),
    *("x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-now-route-matches", "x-dify-pathname"),
)
"""Headers by which Next.js, its hosts and others say among themselves which path is meant."""


class Web:
    """The real Next.js, by the environment of a template.

    Args:
        file: Path of a static file that it has.
        port: Where it listens.
    """

    def __init__(self, file: str, port: int) -> None:
        self.file = file
        self.port = port
        self._known: dict[str, str] = {}

    def __call__(self, paths: Collection[str]) -> Mapping[str, str]:
        """From paths to ``page`` or ``file``, where it leads instead, or the status of an error."""
        new = {*paths} - {*self._known}
        for path, one in answers(self.port, sorted(new), seconds=SECONDS).items():
            self._known[path] = self.kind(one)
        return self._known

    def kind(self, answer: Answer) -> str:
        """What an answer is."""
        if answer.status != HTTPStatus.OK:
            return answer.headers.get("location", str(answer.status))
        return "page" if "<main>page" in answer.body else "file"


class Row(NamedTuple):
    """What web was asked for.

    Attributes:
        path: As the client sent it.
        step: As it came through the entry point.
        answer: What web serves.
    """

    path: str
    step: Step
    answer: str


@pytest.fixture(scope="module")
def web(entry: Entries) -> Iterator[Web]:
    """Dify's web as v1 starts it."""
    next_web, port = NextWeb(), free_port()
    with next_web.server(environment_of(entry("v1").template, Component.WEB), port=port):
        yield Web(next_web.file, port)


def rows(one: Entry, web: Web, readings: Readings) -> list[Row]:
    """What web is asked for, and serves."""
    own = {path: step for path, step in one.steps(readings).items() if step.component is Component.WEB}
    found = web({step.passed for step in own.values()})
    return [Row(path, step, found[step.passed]) for path, step in own.items()]


@pytest.mark.slow
class TestWeb:
    """Next.js resolves what the others take as it is."""

    @pytest.mark.parametrize("name", ["v3", "v4", *WITH_LOGIN])
    def test_pages_are_served_neither_without_a_login_nor_from_a_cache(
        self, entry: Entries, web: Web, name: str
    ) -> None:
        one = entry(name, web.file)
        for readings in one.readings:
            found = rows(one, web, readings)
            assert [row for row in found if row.answer == "page" and is_file(row.step.compared)] == []
            assert {"page", "file"} <= {row.answer for row in found}

    def test_an_http_api_cannot_refuse_dot_segments_and_web_resolves_them(
        self, entry: Entries, web: Web
    ) -> None:
        """There it changes nothing: every page is served to whoever may enter, and nothing is cached."""
        one = entry("v2", web.file)
        found = {row.path: row.answer for row in rows(one, web, (AS_SENT,))}
        assert found["/_next/static/x/../../../apps"] == found["/apps"] == "page"
        assert not one.template.of_type(DISTRIBUTION, BALANCER)

    @every_entry
    def test_it_never_leads_to_another_host(self, entry: Entries, web: Web, name: str) -> None:
        one = entry(name, web.file)
        led = {row.answer for row in rows(one, web, one.readings[0])} - {"page", "file"}
        assert [answer for answer in led if not re.fullmatch(r"\d+|/([^/\\].*)?", answer)] == []

    @pytest.mark.parametrize("name", MOVING)
    def test_no_header_of_a_client_makes_a_page_of_a_file(self, web: Web, name: str) -> None:
        found = answers(web.port, [web.file, "/_next/static/x"], seconds=SECONDS, headers={name: "/apps"})
        assert [web.kind(one) for one in found.values()] == ["file", "404"]

    @pytest.mark.parametrize("name", WITH_LOGIN)
    def test_a_page_has_a_login_before_it(self, entry: Entries, web: Web, name: str) -> None:
        one = entry(name, web.file)
        routing = Routing(one.template)
        pages = [row.step for row in rows(one, web, one.readings[0]) if row.answer == "page"]
        assert {before(routing, step.passed) for step in pages} == {RouteClass.PAGE}

    def test_without_the_rule_of_the_load_balancer_pages_would_be_open(
        self, entry: Entries, web: Web
    ) -> None:
        guarded = entry("login").template
        kept = {id: one for id, one in guarded.resources.items() if "DotSegments" not in id}
        template = Template({**guarded.body, "Resources": kept})
        routing = Routing(template)
        pages = [row.step for row in rows(Entry(template, web.file), web, (AS_SENT,)) if row.answer == "page"]
        found = {step.passed for step in pages if before(routing, step.passed) is RouteClass.OPEN}
        assert {"/_next/static/x/../../../apps", "/_next/static/x/%2e%2e/%2e%2e/%2e%2e/apps"} <= found
