"""The limits that are read from templates are those that the constructs promise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudfront as cloudfront

from dify_cdk import (
    Access,
    AlbScheme,
    CloudFrontEdge,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyFrontend,
    DifyHttpApiFrontend,
    Domain,
    FunctionSize,
    Login,
    Uploads,
    WebAcl,
)
from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.dify.limits import EDGE_READ_TIMEOUT_SECONDS, Limits
from dify_cdk.report.limits.limits import Limit, effective_limits
from dify_cdk.report.limits.verdict import NOT_SERVED, UNKNOWN
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.traffic.cloudfront import FORWARD_EVERYTHING
from dify_cdk.report.traffic.facts import fact
from support import VARIANTS
from synth.installation import OFFICE, certificate_in, workers_in, zone_in

REGION = "ap-northeast-1"  # a second stack is needed here for what runs at the edge


def _domain(stack: cdk.Stack) -> Domain:
    zone = zone_in(stack)
    return Domain(host_name="dify.example.com", zone=zone)


def _alb(stack: cdk.Stack, **options: Any) -> DifyFrontend:
    return DifyAlbFrontend(stack, "Frontend", workers=workers_in(stack), **{"access": OFFICE, **options})


def _api(stack: cdk.Stack, **options: Any) -> DifyFrontend:
    return DifyHttpApiFrontend(stack, "Frontend", workers=workers_in(stack), **{"access": OFFICE, **options})


def _edge(stack: cdk.Stack, **options: Any) -> DifyFrontend:
    options = {"access": OFFICE, **options}
    return DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers_in(stack), **options)


def _edge_domain(stack: cdk.Stack) -> Domain:
    return replace(_domain(stack), edge_certificate=certificate_in(stack))


def _edge_with_own_name(stack: cdk.Stack) -> DifyFrontend:
    size = FunctionSize(memory_mib=2048, provisioned_concurrency=2)
    return _edge(stack, domain=_edge_domain(stack), api=size)


def _alb_with_login(stack: cdk.Stack) -> DifyFrontend:
    return _alb(stack, domain=_edge_domain(stack), edge=CloudFrontEdge(), login=Login())


FRONTENDS: Mapping[str, Callable[[cdk.Stack], DifyFrontend]] = {
    "alb": _alb,
    "alb, 45 s": lambda stack: _alb(stack, request_timeout=cdk.Duration.seconds(45)),
    "alb, 4000 s": lambda stack: _alb(stack, request_timeout=cdk.Duration.seconds(4000)),
    "alb, own name": lambda stack: _alb(stack, domain=_domain(stack), access=Access.anyone()),
    "alb, internal": lambda stack: _alb(stack, scheme=AlbScheme.INTERNAL),
    "api": _api,
    "api, 12 s": lambda stack: _api(stack, request_timeout=cdk.Duration.seconds(12)),
    "api, own name": lambda stack: _api(stack, domain=_domain(stack)),
    "api, anyone": lambda stack: _api(stack, access=Access.anyone()),
    "api, no cache": lambda stack: _api(stack, authorizer_cache_seconds=0),
    "edge": _edge,
    "edge, anyone": lambda stack: _edge(stack, access=Access.anyone()),
    "edge, signed": lambda stack: _edge(stack, uploads=Uploads.EDGE_SIGNED),
    "edge, vpc origin": lambda stack: _edge(stack, uploads=Uploads.VPC_ORIGIN),
    "edge, together": lambda stack: _edge(stack, uploads=Uploads.VPC_ORIGIN, collaboration=True),
    "edged alb": lambda stack: _alb(stack, edge=CloudFrontEdge()),
    "edged alb, own name and login": _alb_with_login,
    "edged alb, managed rules": lambda stack: _alb(stack, edge=CloudFrontEdge(web_acl=WebAcl.managed())),
    "edged alb, addresses": lambda stack: _alb(stack, edge=CloudFrontEdge(web_acl=WebAcl.addresses())),
    "edged alb, 60 s": lambda stack: _alb(
        stack, edge=CloudFrontEdge(), request_timeout=cdk.Duration.seconds(60)
    ),
    "edge, countries": lambda stack: _edge(stack, access=Access(countries=["JP"])),
    "edge, own name": _edge_with_own_name,
}


WITHOUT_SOCKETS = {"edge, vpc origin"}


class Case:
    """A frontend: what its construct promises, and what its templates say."""

    def __init__(self, promised: Limits, found: tuple[Limit, ...]) -> None:
        self.promised = promised
        self.found = {(limit.name, limit.scope): limit for limit in found}

    def value(self, name: str, scope: str = "") -> float | bool | str | None:
        return self.found[name, scope].value

    def text(self, name: str, scope: str = "") -> str:
        return self.found[name, scope].text


def _subject(app: cdk.App) -> Subject:
    stacks = app.synth().stacks_recursively
    assert stacks
    parts = (
        Part(name=stack.stack_name, template=stack.template, region=stack.environment.region)
        for stack in stacks
    )
    return Subject(name="frontend", parts=tuple(parts))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    cache: dict[str, Case] = {}

    def get(name: str) -> Case:
        if name not in cache:
            app = cdk.App(outdir=str(tmp_path_factory.mktemp("frontend")), analytics_reporting=False)
            stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
            frontend = FRONTENDS[name](stack)
            cache[name] = Case(frontend.limits, effective_limits(_subject(app)))
        return cache[name]

    return get


def _agree(name: str, case: Case) -> None:
    promised = case.promised
    assert case.value("request timeout", "app") == promised.request_timeout_seconds
    assert case.value("streaming", "app") is promised.streaming
    # The frontend supports them, but without collaboration it has no route for them.
    assert case.value("WebSocket") is (promised.websocket and name not in WITHOUT_SOCKETS)
    largest = case.value("largest request", "uploads")
    # The constructs do not mention what CloudFront takes at most, 64 GB.
    assert (None if largest == fact("cloudfront.body").value else largest) == promised.max_body_mb


@pytest.mark.parametrize("name", FRONTENDS)
def test_templates_say_what_the_construct_promises(cases: Callable[[str], Case], name: str) -> None:
    _agree(name, cases(name))


@pytest.mark.parametrize("name", [name for name in FRONTENDS])
def test_nothing_is_unknown_and_every_limit_names_its_hop(cases: Callable[[str], Case], name: str) -> None:
    for limit in cases(name).found.values():
        assert limit.value != UNKNOWN, limit
        assert limit.hop
        assert limit.source.startswith("https://") or limit.value in (NOT_SERVED, "none"), limit


@pytest.mark.parametrize("variant", VARIANTS)
def test_examples_carry_what_their_frontend_promises(variant: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(variant, examples_dir() / f"{variant}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = cdk.App(context={"region": REGION}, outdir=str(tmp_path), analytics_reporting=False)
    frontend = module.build(app).node.find_child("Frontend")
    _agree(variant, Case(frontend.limits, effective_limits(_subject(app))))


@pytest.mark.parametrize(
    ("name", "filter"),
    {
        "alb": "security group",
        "alb, own name": "none",
        "alb, internal": "security group",
        "api": "authorizer",
        "api, no cache": "authorizer",
        "api, anyone": "none",
        "edge": "CloudFront Function",
        "edge, anyone": "none",
        "edge, countries": "countries",
        "edged alb": "CloudFront Function",
        "edged alb, addresses": "WAF",
    }.items(),
)
def test_who_may_enter_is_seen_in_the_template(cases: Callable[[str], Case], name: str, filter: str) -> None:
    assert cases(name).value("IP filter") == filter


@pytest.mark.parametrize(
    ("name", "where", "text"),
    [
        ("alb", "none", "none: plain HTTP"),
        ("alb, own name", "load balancer", "load balancer, TLS 1.2 or newer, dify.example.com"),
        ("api", "API Gateway", "API Gateway, TLS 1.2 or newer, AWS's domain"),
        ("api, own name", "API Gateway", "API Gateway, TLS 1.2 or newer, dify.example.com"),
        ("edge", "CloudFront", "CloudFront, TLS 1.0 or newer, AWS's domain"),
        ("edge, own name", "CloudFront", "CloudFront, TLS 1.2 or newer, dify.example.com"),
    ],
)
def test_tls_is_where_the_template_ends_it(
    cases: Callable[[str], Case], name: str, where: str, text: str
) -> None:
    assert (cases(name).value("TLS"), cases(name).text("TLS")) == (where, text)


def test_signed_bodies_end_at_what_the_edge_sees_and_hooks_are_not_served(
    cases: Callable[[str], Case],
) -> None:
    case = cases("edge, signed")
    assert case.value("largest request", "uploads") == 1.048576
    assert case.text("largest request", "uploads") == "1.05 MB, files 1 MiB"
    assert case.value("request timeout", "plugin endpoints") == NOT_SERVED


def test_behind_the_edge_files_take_the_way_that_the_template_gives_them(
    cases: Callable[[str], Case],
) -> None:
    through_api, through_balancer = cases("edge"), cases("edge, vpc origin")
    assert through_api.value("request timeout", "uploads") == 30
    assert through_api.value("streaming", "uploads") is False
    assert through_balancer.value("request timeout", "uploads") == EDGE_READ_TIMEOUT_SECONDS
    assert through_balancer.value("streaming", "plugin endpoints") is True
    assert through_balancer.text("largest request", "uploads") == "64 GB"
    for case in (through_api, through_balancer):
        assert case.text("request timeout", "app") == "120 s idle, 900 s total"
        assert case.text("request timeout", "web") == "60 s total"
        assert case.value("largest request", "app") == 1.048576


def test_functions_scale_to_zero_and_start_cold_unless_they_are_provisioned(
    cases: Callable[[str], Case],
) -> None:
    on_demand, provisioned = cases("edge"), cases("edge, own name")
    assert on_demand.value("scales to zero") == "2 functions"
    assert on_demand.value("cold start", "app") == "image"
    assert provisioned.value("cold start", "app") == "none"
    assert provisioned.value("cold start", "web") == "image"
    assert provisioned.value("scales to zero") == "1 function"
    assert "stops: function FrontendLambdaWebFunction" in provisioned.found["scales to zero", ""].hop
    assert cases("alb").value("scales to zero") == "nothing"
    assert cases("alb").value("cold start", "app") == "none"


def test_two_entry_points_are_told_apart(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
    workers = workers_in(stack)
    DifyAlbFrontend(stack, "First", workers=workers, access=OFFICE)
    DifyHttpApiFrontend(stack, "Second", workers=workers, access=OFFICE, announce=False)
    found = {
        limit.scope.partition(" at ")[2]: limit.value
        for limit in effective_limits(_subject(app))
        if limit.name == "request timeout"
    }
    assert {entry[:5]: value for entry, value in found.items()} == {"First": 600, "Secon": 30}


def test_the_constructs_and_the_facts_know_the_same_numbers() -> None:
    from dify_cdk.dify.limits import FRONTEND_LIMITS as PROMISES

    assert fact("cloudfront.read_timeout_quota").value == EDGE_READ_TIMEOUT_SECONDS
    assert PROMISES["DifyAlbFrontend"].request_timeout_seconds == fact("alb.idle_timeout_most").value
    assert PROMISES["DifyAlbFrontend"].max_body_mb == fact("alb.body").value
    api = PROMISES["DifyHttpApiFrontend"]
    assert (api.request_timeout_seconds, api.max_body_mb) == (
        fact("http_api.timeout").value,
        fact("http_api.body").value,
    )


def test_policies_that_pass_everything_on_are_those_of_cloudfront() -> None:
    policies = cloudfront.OriginRequestPolicy
    assert {
        policy.origin_request_policy_id
        for policy in (
            policies.ALL_VIEWER,
            policies.ALL_VIEWER_AND_CLOUDFRONT_2022,
            policies.ALL_VIEWER_EXCEPT_HOST_HEADER,
        )
    } == FORWARD_EVERYTHING
