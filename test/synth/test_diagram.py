"""The diagrams of the examples show what their templates connect."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from dify_cdk.report.diagram.layout import Shape, runs_inward
from dify_cdk.report.diagram.model import Flow, Graph, Tier
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.diagram.svg import diagram
from dify_cdk.report.templates.subject import Part, Subject
from support import VARIANTS, Example, Template

Edges = dict[str, set[str]]

# What runs in every variant calls the same: CALLERS and DATA_CALLERS of dify_cdk.dify.components, drawn from
# templates.
CALLS: Edges = {
    "api": {"plugin_daemon", "sandbox", "ssrf_proxy"},
    "web": {"api"},
    "worker": {"api", "plugin_daemon", "sandbox", "ssrf_proxy"},
    "plugin_daemon": {"api"},
    "sandbox": {"ssrf_proxy"},
    "migration": {"plugin_daemon"},
}
DATA = {"Aurora PostgreSQL", "Valkey", "DataStorageBucket"}
DATA_CALLERS = {"api", "worker", "plugin_daemon"}
WITHOUT_FILES = {"beat", "migration"}
OUTSIDE = "Browsers, API clients"


@pytest.fixture(scope="module")
def graphs(templates: Callable[[str], Template]) -> dict[str, Graph]:
    return {variant: read_graph(subject(variant, templates)) for variant in VARIANTS}


def subject(variant: str, templates: Callable[[str], Template]) -> Subject:
    return Subject(name=variant, parts=(Part(name="Dify", template=templates(variant).body),))


def edges(graph: Graph, flow: Flow) -> Edges:
    titles = {node.id: node.title for node in graph.nodes}
    found: Edges = {}
    for edge in graph.edges:
        if edge.flow is flow:
            found.setdefault(titles[edge.source], set()).add(titles[edge.target])
    return found


def paths(graph: Graph, source: str, target: str) -> tuple[tuple[str, ...], bool]:
    titles = {node.id: node.title for node in graph.nodes}
    (edge,) = [one for one in graph.edges if (titles[one.source], titles[one.target]) == (source, target)]
    return edge.paths, edge.default


class TestV1:
    def test_requests(self, graphs: dict[str, Graph]) -> None:
        assert edges(graphs["v1"], Flow.REQUEST) == {
            OUTSIDE: {"Application Load Balancer"},
            "Application Load Balancer": {"api", "plugin_daemon", "web"},
        }

    def test_paths(self, graphs: dict[str, Graph]) -> None:
        balancer = "Application Load Balancer"
        assert paths(graphs["v1"], balancer, "plugin_daemon") == (("/e/*",), False)
        assert paths(graphs["v1"], balancer, "web") == ((), True)
        assert {"/console/api/*", "/v1/*", "/files/*"} <= set(paths(graphs["v1"], balancer, "api")[0])


class TestV2:
    def test_requests(self, graphs: dict[str, Graph]) -> None:
        assert edges(graphs["v2"], Flow.REQUEST) == {
            OUTSIDE: {"HTTP API"},
            "HTTP API": {"VPC link"},
            "VPC link": {"api", "plugin_daemon", "web"},
        }

    def test_guards(self, graphs: dict[str, Graph]) -> None:
        (api,) = [node for node in graphs["v2"].nodes if node.title == "HTTP API"]
        assert [(one.title, one.service) for one in graphs["v2"].guards(api.id)] == [("Authorizer", "Lambda")]


class TestV3:
    def test_requests(self, graphs: dict[str, Graph]) -> None:
        assert edges(graphs["v3"], Flow.REQUEST) == {
            OUTSIDE: {"CloudFront"},
            "CloudFront": {"Dify: web", "Dify: api", "HTTP API"},
            "HTTP API": {"VPC link"},
            "VPC link": {"api", "plugin_daemon"},
        }

    def test_paths(self, graphs: dict[str, Graph]) -> None:
        uploads, _ = paths(graphs["v3"], "CloudFront", "HTTP API")
        assert {"/console/api/files/upload", "/e/*"} <= set(uploads)
        assert "/console/api/*" in paths(graphs["v3"], "CloudFront", "Dify: api")[0]
        assert paths(graphs["v3"], "CloudFront", "Dify: web")[1]
        assert paths(graphs["v3"], "VPC link", "plugin_daemon") == (("/e/{proxy+}",), False)

    def test_guards(self, graphs: dict[str, Graph]) -> None:
        guards = {node.title for node in graphs["v3"].nodes if node.host is not None}
        assert guards == {"CloudFront Function", "Lambda@Edge", "Authorizer"}

    def test_the_functions_call_and_use_what_their_containers_do(self, graphs: dict[str, Graph]) -> None:
        calls = edges(graphs["v3"], Flow.CALL)
        assert calls["Dify: api"] == {*CALLS["api"], "api"}
        assert calls["Dify: web"] == CALLS["web"]
        assert edges(graphs["v3"], Flow.DATA)["Dify: api"] == DATA

    def test_the_stack_of_another_region_belongs_to_it(self, example: Example) -> None:
        stacks = example("v3", "ap-northeast-1")
        assert len(stacks) == 2
        parts = tuple(Part(name=one.name, template=one.template, region=one.region) for one in stacks)
        graph = read_graph(Subject(name="v3", parts=parts))
        (signer,) = [node for node in graph.nodes if node.title == "Lambda@Edge"]
        assert "/BodySigner" in signer.id
        assert [node.title for node in graph.of(Tier.COMPUTE) if "Signer" in node.id] == []


class TestV4:
    def test_requests(self, graphs: dict[str, Graph]) -> None:
        assert edges(graphs["v4"], Flow.REQUEST) == {
            OUTSIDE: {"CloudFront"},
            "CloudFront": {"Application Load Balancer"},
            "Application Load Balancer": {"api", "api_websocket", "plugin_daemon", "web"},
        }


class TestAll:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_calls(self, graphs: dict[str, Graph], variant: str) -> None:
        ours = {title: ends for title, ends in CALLS.items() if title != "web" or variant != "v3"}
        calls = {
            title: ends
            for title, ends in edges(graphs[variant], Flow.CALL).items()
            if not title.startswith("Dify: ")
        }
        assert calls == ours

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_data(self, graphs: dict[str, Graph], variant: str) -> None:
        uses = edges(graphs[variant], Flow.DATA)
        assert {title for title, ends in uses.items() if ends == DATA} >= DATA_CALLERS
        assert {
            title for title, ends in uses.items() if ends == DATA - {"DataStorageBucket"}
        } >= WITHOUT_FILES
        assert uses.keys() & {"web", "sandbox", "ssrf_proxy", "Dify: web"} == set()

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_what_only_deployment_needs_is_not_drawn(self, graphs: dict[str, Graph], variant: str) -> None:
        titles = [node.title for node in graphs[variant].of(Tier.COMPUTE)]
        assert [title for title in titles if "rovider" in title or "andler" in title] == []
        assert "Lambda functions for deployment only" in graphs[variant].notes[0]

    @pytest.mark.parametrize("shape", Shape)
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_the_drawing_has_its_shape(
        self, templates: Callable[[str], Template], graphs: dict[str, Graph], variant: str, shape: Shape
    ) -> None:
        assert runs_inward(graphs[variant])
        root = ElementTree.fromstring(diagram(subject(variant, templates), shape=shape))
        width = float(root.attrib["width"])
        assert width <= (1400 if shape is Shape.WIDE else 360)
