"""Limits, routes table, diagram and cost say the same about where a request ends.

Each of the four answers is read from what its part of the report shows, and is followed by hand to the
container, function or bucket at the end.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.report.cost.load import Kind, find_paths
from dify_cdk.report.diagram.model import VIEWER, Flow
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.inventory import read
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Template
from dify_cdk.report.traffic.entry_points import entry_points, through
from dify_cdk.report.traffic.hops import Request
from dify_cdk.report.traffic.routes import Listener, Route
from support import TEMPLATES
from template_parts import (
    ARN,
    BEHIND_ALB,
    REF,
    URL_ORIGIN,
    Resources,
    att,
    balancer,
    distribution,
    function,
    http_api,
    ref,
    resource,
    rest_api,
    service,
    url,
)

SNAPSHOTS = Path(__file__).parents[1] / "synth" / "__snapshots__" / "test_snapshot"
ENDS = ("AWS::Lambda::Function", "AWS::ECS::Service", "AWS::S3::Bucket", "AWS::AutoScaling::AutoScalingGroup")
ALIASES = {"AWS::Lambda::Alias": "FunctionName", "AWS::Lambda::Url": "TargetFunctionArn"}


def end_ids(view: Template, id: str | None) -> set[str]:
    """The end that a logical id stands for: itself, or the function of an alias."""
    found = view.find({"Ref": id})
    while found is not None and found.type in ALIASES:
        found = view.find(found.properties[ALIASES[found.type]])
    return {found.id} if found is not None and found.type in ENDS else set()


@dataclass
class Answers:
    """One template, read in the four ways."""

    template: Mapping[str, Any]

    def __post_init__(self) -> None:
        subject = Subject(name="s", parts=(Part(name="s", template=self.template),))
        self.view = Template(self.template)
        self.inventory = read(self.template, "s")
        self.graph = read_graph(subject)
        self.steps = find_paths(subject).steps
        self.entries = [entry.id for entry in entry_points(self.view)]
        self.services = {row.name: row.service for row in self.inventory.containers if row.service}

    def limits(self, request: Request) -> set[str | None]:
        """The ends; None for an entry point that answers itself, or leads out of the template."""
        entries = entry_points(self.view)
        ends = [way.end.resource for entry in entries for way in through(self.view, entry, request)]
        return {None if end is None else end.id for end in ends}

    def cost(self, kind: Kind) -> set[str]:
        found = {step.id for step in self.steps if step.kind is kind and not step.inspects and step.share}
        return {id for id in found if end_ids(self.view, id) == {id}}

    # --- the routes table ---

    def table(self, request: Request) -> set[str]:
        return {id for entry in self.entries for id in self.by_table(entry, request, 0)}

    def by_table(self, entry: str, request: Request, depth: int) -> Iterator[str]:
        own = [one for one in self.inventory.listeners if entry in (one.id, one.load_balancer)]
        secure = [one for one in own if one.protocol in ("HTTPS", "TLS")]
        if not own:  # a function URL is named only, and has no routes
            yield from end_ids(self.view, entry)
        for listener in (secure or own)[:1]:
            route = row_for(listener, request)
            for one in route.destinations if route and depth < 9 else ():
                target = next((id for id in (one.target_group, one.container) if self.has_routes(id)), None)
                if target is not None:
                    yield from self.by_table(target, request, depth + 1)
                elif one.container in self.services:
                    yield self.services[one.container]
                else:
                    yield from end_ids(self.view, one.container)

    def has_routes(self, id: str | None) -> bool:
        return bool(id) and any(id in (one.id, one.load_balancer) for one in self.inventory.listeners)

    # --- the diagram ---

    def diagram(self, request: Request) -> tuple[set[str], bool]:
        """The ends, and whether no two edges from one entry point match."""
        starts = {edge.target for edge in self.graph.edges if edge.source == VIEWER}
        nodes = {node.id for node in self.graph.nodes}
        # What only callers with credentials or inside the network reach begins there too.
        starts |= {id for entry in self.entries for id in (entry, *end_ids(self.view, entry))} & nodes
        reached, sure, todo = set[str](), True, [*starts]
        while todo:
            id = todo.pop()
            if id not in reached:
                reached.add(id)
                edges = [e for e in self.graph.edges if e.source == id and e.flow is Flow.REQUEST]
                fitting = [[p for p in e.paths if is_labelled(p, request)] for e in edges]
                named = [e for e, paths in zip(edges, fitting, strict=True) if paths]
                always = [e for e in edges if not e.paths and not e.default]
                chosen = named or [e for e in edges if e.default]
                sure = sure and sum(map(len, fitting)) <= 1 and len(chosen) <= 1 and not always
                todo += [e.target for e in chosen + always]
        return {id for one in reached for id in end_ids(self.view, one)}, sure


def is_labelled(label: str, request: Request) -> bool:
    methods, _, pattern = label.rpartition(" ")
    return (not methods or request.method in methods.split(" or ")) and fits(pattern, request.path)


def fits(pattern: str, path: str) -> bool:
    if "{" in pattern:
        return specificity(pattern, path) is not None
    return fnmatch.fnmatchcase(path, pattern if pattern[:1] in "/*" else f"/{pattern}")


def specificity(pattern: str, path: str) -> tuple[bool, int] | None:
    expression = re.sub(r"\{[^}]*\+\}", ".+", pattern)
    greedy = expression != pattern
    if not re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", expression), path):
        return None
    return not greedy, sum("{" not in part for part in pattern.strip("/").split("/") if part)


def row_for(listener: Listener, request: Request) -> Route | None:
    """The row that a reader of the table finds for a request."""

    def met(row: Route) -> bool:
        words = {
            word: value.split(" or ") for word, _, value in (one.partition(" ") for one in row.conditions)
        }
        if "host" in words and not row.destinations:  # it is for another name than users type
            return False
        in_path = any(fits(pattern, request.path) for pattern in words.get("path", ["*"]))
        return in_path and request.method in words.get("method", [request.method]) and "query" not in words

    def at_path(row: Route) -> bool:
        found = [fits(pattern, request.path) for pattern in row.paths]
        found += [re.search(one, request.path) is not None for one in row.expressions]
        return any(found) or not found

    rows = [row for row in listener.routes if met(row)]
    if "API" not in listener.kind:
        return next(filter(at_path, rows), None)
    best: list[tuple[tuple[bool, int, bool], Route]] = []
    for row in rows:
        for path in row.paths or ("/{proxy+}",):
            # What takes everything else comes after a greedy path.
            rank = (False, -1) if row.default else specificity(path, request.path)
            if rank is not None:
                best.append(((*rank, bool(row.conditions)), row))
    return max(best, key=lambda pair: pair[0])[1] if best else None


def assert_agreement(template: Mapping[str, Any]) -> None:
    answers = Answers(template)
    for kind in Kind:
        request = kind.value
        ends = answers.limits(request)
        limits = ends - {None}
        diagram, sure = answers.diagram(request)
        found = {"table": answers.table(request), "cost": answers.cost(kind)}
        assert found == {"table": limits, "cost": limits}
        # What an entry point answers by itself is no edge of the diagram.
        assert limits == diagram if sure and limits == ends else limits <= diagram


# --- templates ------------------------------------------------------------------------------------------

FORWARD: Any = {"Type": "forward"}


def function_behind_alb() -> Resources:
    targets = resource(
        "ElasticLoadBalancingV2::TargetGroup", TargetType="lambda", Targets=[{"Id": ARN["Function"]}]
    )
    return {**function(), **balancer(), "Targets": targets}


def group_of_origins() -> Resources:
    group = {"Id": "group", "Members": {"Items": [{"OriginId": "end"}, {"OriginId": "elsewhere"}]}}
    groups = {"Items": [group]}
    return {
        **function(),
        **url(),
        **distribution(URL_ORIGIN, default={"TargetOriginId": "group"}, OriginGroups=groups),
    }


def greedy_and_exact_routes() -> Resources:
    second = resource("ApiGatewayV2::Integration", IntegrationType="AWS_PROXY", IntegrationUri=att("Other"))
    return {
        **function(),
        "Other": resource("Lambda::Function"),
        **http_api("ANY /api/{proxy+}"),
        "Exact": resource(
            "ApiGatewayV2::Route",
            ApiId=REF["Api"],
            RouteKey="ANY /{v}/chat-messages",
            Target={"Fn::Join": ["", ["integrations/", ref("Second")]]},
        ),
        "Second": second,
    }


def weighted() -> Resources:
    groups = [{"TargetGroupArn": ref("Targets"), "Weight": 3}, {"TargetGroupArn": ref("Canary"), "Weight": 1}]
    rule = {
        "Conditions": [{"Field": "path-pattern", "Values": ["/api/*"]}],
        "Actions": [{**FORWARD, "ForwardConfig": {"TargetGroups": groups}}],
    }
    canary = resource("ElasticLoadBalancingV2::TargetGroup", Targets=[{"Id": ARN["Function"]}])
    return {**service(**BEHIND_ALB), **function(), **balancer(rule), "Canary": canary}


def web_socket_beside_http() -> Resources:
    socket = resource("ApiGatewayV2::Api", ProtocolType="WEBSOCKET")
    route = resource(
        "ApiGatewayV2::Route", ApiId=ref("Socket"), RouteKey="$default", Target=ref("Integration")
    )
    return {**function(), **http_api("$default"), "Socket": socket, "SocketRoute": route}


def url_of_an_alias() -> Resources:
    alias = resource(
        "Lambda::Alias", Name="live", FunctionName=REF_FUNCTION, FunctionVersion=att("V", "Version")
    )
    return {
        **function(),
        "V": resource("Lambda::Version", FunctionName=REF_FUNCTION),
        "Live": alias,
        "Url": resource("Lambda::Url", TargetFunctionArn=ref("Live")),
        **distribution(URL_ORIGIN),
    }


REF_FUNCTION = ref("Function")


def api_of_an_alias() -> Resources:
    return {**url_of_an_alias(), **http_api("$default", uri=ref("Live"))}


def alb_behind_vpc_link() -> Resources:
    link = resource("ApiGatewayV2::VpcLink", Name="link")
    private = {"IntegrationType": "HTTP_PROXY", "ConnectionType": "VPC_LINK", "ConnectionId": ref("Link")}
    api = http_api("$default", uri=REF["Listener"], **private)
    return {**service(**BEHIND_ALB), **balancer(Scheme="internal"), **api, "Link": link}


def shielded() -> Resources:
    origin = {**URL_ORIGIN, "OriginShield": {"Enabled": True, "OriginShieldRegion": "us-east-1"}}
    return {**function(), **url(), **distribution(origin)}


def redirect_only() -> Resources:
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}
    parts = {**service(**BEHIND_ALB), **balancer()}
    parts["Listener"]["Properties"]["DefaultActions"] = [redirect]
    return parts


def other_host() -> Resources:
    """Requests for another host name are sent on, before all rules."""
    redirect = {"Type": "redirect", "RedirectConfig": {"Host": "dify.example.com", "StatusCode": "HTTP_301"}}
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["www.example.com"]}}
    parts = {**service(**BEHIND_ALB), **balancer({"Conditions": [host], "Actions": [redirect]})}
    parts["Listener"]["Properties"]["DefaultActions"] = [{**FORWARD, "TargetGroupArn": REF["Targets"]}]
    return parts


def behind_two_balancers() -> Resources:
    outer = resource("ElasticLoadBalancingV2::LoadBalancer", Type="network")
    listener = resource(
        "ElasticLoadBalancingV2::Listener",
        LoadBalancerArn=ref("Outer"),
        Port=80,
        Protocol="TCP",
        DefaultActions=[{**FORWARD, "TargetGroupArn": ref("Inner")}],
    )
    group = resource(
        "ElasticLoadBalancingV2::TargetGroup", TargetType="alb", Targets=[{"Id": REF["Alb"], "Port": 80}]
    )
    return {
        **service(**BEHIND_ALB),
        **balancer(Scheme="internal"),
        "Outer": outer,
        "Front": listener,
        "Inner": group,
    }


def bucket_beside_a_function() -> Resources:
    bucket = {"Id": "pages", "DomainName": att("Bucket", "RegionalDomainName"), "S3OriginConfig": {"x": "y"}}
    parts = {**function(), **url(), "Bucket": resource("S3::Bucket")}
    found = distribution(URL_ORIGIN, {"PathPattern": "apps*", "TargetOriginId": "pages"})
    found["Cdn"]["Properties"]["DistributionConfig"]["Origins"].append(bucket)
    return {**parts, **found}


def merged_routes_that_differ() -> Resources:
    """The path itself and what is below it lead to different functions."""
    parts = greedy_and_exact_routes()
    parts["Exact"]["Properties"]["RouteKey"] = "ANY /apps"
    parts["Route0"]["Properties"]["RouteKey"] = "ANY /apps/{proxy+}"
    return parts


def default_beside_a_greedy_route() -> Resources:
    parts = greedy_and_exact_routes()
    parts["Exact"]["Properties"]["RouteKey"] = "$default"
    parts["Route0"]["Properties"]["RouteKey"] = "POST /{proxy+}"
    return parts


CASES: dict[str, Resources] = {
    "streaming REST API": {**function(), **rest_api("/api/{proxy+}", ResponseTransferMode="STREAM")},
    "origin group": group_of_origins(),
    "function behind a load balancer": function_behind_alb(),
    "greedy and exact routes": greedy_and_exact_routes(),
    "weighted forward": weighted(),
    "WebSocket API": web_socket_beside_http(),
    "URL of an alias": url_of_an_alias(),
    "API of an alias": api_of_an_alias(),
    "load balancer behind a VPC link": alb_behind_vpc_link(),
    "origin shield": shielded(),
    "redirect only": redirect_only(),
    "redirect of another host": other_host(),
    "two load balancers": behind_two_balancers(),
    "bucket beside a function": bucket_beside_a_function(),
    "routes that share a path": merged_routes_that_differ(),
    "default beside a greedy route": default_beside_a_greedy_route(),
    "Serverless API": {**function(), "Api": resource("Serverless::Api", StageName="prod")},
    "Serverless HTTP API": {**function(), "Api": resource("Serverless::HttpApi")},
}


@pytest.mark.parametrize("name", CASES)
def test_one_kind_of_entry_point(name: str) -> None:
    assert_agreement({"Resources": CASES[name]})


@pytest.mark.parametrize(
    "path", [*sorted(TEMPLATES.glob("*.json")), *sorted(SNAPSHOTS.glob("*.json"))], ids=lambda path: path.stem
)
def test_whole_templates(path: Path) -> None:
    assert_agreement(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("streaming REST API", "Function"),
        ("origin group", "Function"),
        ("function behind a load balancer", "Function"),
        ("greedy and exact routes", "Other"),
        ("load balancer behind a VPC link", "Service"),
        ("URL of an alias", "Function"),
    ],
)
def test_the_answer_is_the_right_one(name: str, end: str) -> None:
    """Agreeing on nothing would be agreement as well."""
    answers = Answers({"Resources": CASES[name]})
    assert answers.limits(Kind.APP.value) == {end}


@pytest.mark.parametrize("name", ["Serverless API", "Serverless HTTP API", "WebSocket API"])
def test_what_is_not_followed_is_named(name: str) -> None:
    answers = Answers({"Resources": CASES[name]})
    assert answers.inventory.other_entry_points
    assert [node for node in answers.graph.nodes if "routes not followed" in node.details]


PATTERNS = ["/api/*", "api/*", "/a?i/*", "/api/files/*", "/apps", "/ap*", "*", "/e/*"]
KEYS = [
    *("$default", "ANY /{proxy+}", "POST /{proxy+}", "ANY /api/{proxy+}", "POST /api/chat-messages"),
    *(
        "GET /api/chat-messages",
        "ANY /{v}/chat-messages",
        "ANY /api/files/{rest+}",
        "ANY /{page}",
        "GET /apps",
    ),
    *("ANY /apps", "ANY /apps/{proxy+}", "ANY /api", "ANY /api/{a}/{b}"),
]
GROUPS = ["Targets", "Pages", "Lambdas", "Aliases", "Nobody"]
ORIGINS = ["url", "alb", "http", "rest", "bucket", "elsewhere", "group"]


def parts() -> Resources:
    """What entry points may lead to."""
    pages = service(LoadBalancers=[{"ContainerName": "web", "TargetGroupArn": ref("Pages")}])
    pages["Task"]["Properties"]["ContainerDefinitions"][0]["Name"] = "web"
    pages["Service"]["Properties"]["TaskDefinition"] = ref("WebTask")
    group = "ElasticLoadBalancingV2::TargetGroup"
    return {
        **service(**BEHIND_ALB),
        "WebTask": pages["Task"],
        "WebService": pages["Service"],
        **function(),
        **url(),
        "Other": resource("Lambda::Function"),
        "Live": resource("Lambda::Alias", FunctionName=ref("Other"), Name="live"),
        "Bucket": resource("S3::Bucket"),
        "Pages": resource(group),
        "Lambdas": resource(group, TargetType="lambda", Targets=[{"Id": ARN["Function"]}]),
        "Aliases": resource(group, TargetType="lambda", Targets=[{"Id": ref("Live")}]),
        "Nobody": resource(group),
    }


actions = st.one_of(
    st.sampled_from(GROUPS).map(lambda name: [{**FORWARD, "TargetGroupArn": ref(name)}]),
    st.lists(st.sampled_from(GROUPS), min_size=2, max_size=3, unique=True).map(
        lambda names: [
            {
                **FORWARD,
                "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": ref(n), "Weight": 1} for n in names]},
            }
        ]
    ),
    st.just([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]),
)
rules = st.fixed_dictionaries(
    {
        "Conditions": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(
            lambda found: [{"Field": "path-pattern", "Values": found}]
        ),
        "Actions": actions,
    }
)
uris = st.sampled_from([ARN["Function"], att("Other"), ref("Live"), REF["Listener"]])


def routes_of(kind: str, keys: list[tuple[str, Any]]) -> Resources:
    found: Resources = {}
    for number, (key, uri) in enumerate(keys):
        private = uri == REF["Listener"]
        name = f"{kind}{number}"
        found[f"{name}I"] = resource(
            "ApiGatewayV2::Integration",
            ApiId=ref(kind),
            IntegrationType="HTTP_PROXY" if private else "AWS_PROXY",
            IntegrationUri=uri,
        )
        found[name] = resource(
            "ApiGatewayV2::Route",
            ApiId=ref(kind),
            RouteKey=key,
            Target={"Fn::Join": ["", ["integrations/", ref(f"{name}I")]]},
        )
    return found


@st.composite
def odd_templates(draw: st.DrawFn) -> Resources:
    """Entry points of all kinds, which lead to one another and to shared ends."""
    found = {**parts(), **balancer(*draw(st.lists(rules, max_size=3)))}
    found["Listener"]["Properties"]["DefaultActions"] = draw(actions)
    keys = draw(st.lists(st.tuples(st.sampled_from(KEYS), uris), max_size=4, unique_by=lambda pair: pair[0]))
    found |= {
        "Http": resource("ApiGatewayV2::Api", ProtocolType=draw(st.sampled_from(["HTTP", "WEBSOCKET"])))
    }
    found |= routes_of("Http", keys)
    if draw(st.booleans()):
        found |= rest_api(
            draw(st.sampled_from(["/{proxy+}", "/api/{proxy+}", "/apps", "/{a}/chat-messages"]))
        )
    if draw(st.booleans()):
        names = st.sampled_from(ORIGINS)
        behaviors = draw(st.lists(st.tuples(st.sampled_from(PATTERNS), names), max_size=3))
        members = [{"OriginId": draw(names.filter(lambda name: name != "group"))}, {"OriginId": "elsewhere"}]
        found |= distribution(
            {**URL_ORIGIN, "Id": "url"},
            *({"PathPattern": pattern, "TargetOriginId": name} for pattern, name in behaviors),
            default={"TargetOriginId": draw(names)},
            OriginGroups={"Items": [{"Id": "group", "Members": {"Items": members}}]},
        )
        found["Cdn"]["Properties"]["DistributionConfig"]["Origins"] += [
            {"Id": "alb", "DomainName": att("Alb", "DNSName"), "CustomOriginConfig": {"HTTPPort": 80}}
            | {"CustomOriginConfig": {"OriginProtocolPolicy": "http-only"}},
            {"Id": "http", "DomainName": {"Fn::Sub": "${Http}.execute-api.amazonaws.com"}},
            {"Id": "rest", "DomainName": {"Fn::Sub": "${Api}.execute-api.amazonaws.com"}},
            {"Id": "bucket", "DomainName": att("Bucket", "DomainName"), "S3OriginConfig": {}},
        ]
    return found


@settings(max_examples=200)
@given(odd_templates())
def test_odd_templates(resources: Resources) -> None:
    assert_agreement({"Resources": resources})


# --- what disagreed once, and what all say now ----------------------------------------------------------


def shares(resources: Resources) -> dict[str, float]:
    """The share of long requests that passes each resource."""
    steps = Answers({"Resources": resources}).steps
    return {step.id: step.share for step in steps if step.kind is Kind.APP and not step.inspects}


def test_a_weighted_forward_splits_the_requests() -> None:
    assert shares(weighted()) == pytest.approx({"Alb": 1, "Service": 0.75, "Function": 0.25})


def test_what_takes_no_requests_of_browsers_gets_no_share_of_them() -> None:
    idle = resource("ElasticLoadBalancingV2::LoadBalancer")
    assert shares({**web_socket_beside_http(), "Idle": idle}) == {"Api": 1, "Function": 1}


def test_a_load_balancer_whose_listeners_are_elsewhere_is_paid_for() -> None:
    assert shares({"Alb": resource("ElasticLoadBalancingV2::LoadBalancer")}) == {"Alb": 1}


def test_a_path_and_what_is_below_it_are_one_row_only_if_they_lead_to_the_same() -> None:
    (apart,) = Answers({"Resources": merged_routes_that_differ()}).inventory.listeners
    assert [row.paths for row in apart.routes] == [("/apps/{proxy+}",), ("/apps",)]
    (same,) = read({"Resources": http_api("ANY /apps", "ANY /apps/{proxy+}")}, "s").listeners
    assert [row.paths for row in same.routes] == [("/apps", "/apps/{proxy+}")]


def test_the_routes_of_a_rest_api_are_rows_and_edges() -> None:
    answers = Answers({"Resources": {**function(), **rest_api("/api/{proxy+}")}})
    (api,) = answers.inventory.listeners
    assert (api.kind, [row.paths for row in api.routes]) == ("REST API", [("/api/{proxy+}",)])
    assert answers.inventory.other_entry_points == ()
    assert ("Api", "Function") in {(edge.source, edge.target) for edge in answers.graph.edges}


def test_an_origin_that_no_behavior_uses_is_no_entry_point_in_the_diagram_either() -> None:
    found = {**function(), **url(), **service(**BEHIND_ALB), **balancer(), **distribution(URL_ORIGIN)}
    spare = {"Id": "spare", "DomainName": att("Alb", "DNSName")}
    found["Cdn"]["Properties"]["DistributionConfig"]["Origins"].append(spare)
    answers = Answers({"Resources": found})
    assert answers.entries == ["Cdn"]
    assert {edge.target for edge in answers.graph.edges if edge.source == VIEWER} == {"Cdn"}
