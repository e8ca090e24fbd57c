"""The frontend with an HTTP API: where each path leads, who is let in, what it supports and costs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk import (
    Access,
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyData,
    DifyFrontend,
    DifyHttpApiFrontend,
    DifyNetwork,
    DifyWorkers,
    Domain,
    Limits,
    Throttle,
)
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON
from support import Template, strings
from synth.installation import OFFICE, synthesized, workers_in, zone_in

SHAPE: type[DifyFrontend] = DifyHttpApiFrontend  # for the type checker


class Routing:
    """The routes of an HTTP API as a function from path to container."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._names = {
            properties["DiscoveryName"]: id
            for id, properties in template.properties("Custom::DifyServiceDiscovery").items()
        }
        self._components = {
            service["ServiceConnectConfiguration"]["Services"][0]["DiscoveryName"]: component
            for component, service in template.services().items()
            if service.get("ServiceConnectConfiguration", {}).get("Enabled")
        }
        self.routes = {
            properties["RouteKey"].removeprefix("ANY "): self._component(properties["Target"])
            for properties in template.properties("AWS::ApiGatewayV2::Route").values()
        }

    def container(self, path: str) -> str:
        """The container of the most specific route: full matches come first, then the longest greedy one."""
        if path in self.routes:
            return self.routes[path]
        greedy = [key for key in self.routes if key.endswith("/{proxy+}")]
        matches = [key for key in greedy if path.startswith(key.removesuffix("{proxy+}"))]
        return self.routes[max(matches, key=len)]

    def _component(self, target: Mapping[str, Any]) -> str:
        integration = target["Fn::Join"][1][1]["Ref"]
        properties = self._template.resources[integration]["Properties"]
        discovery = properties["IntegrationUri"]["Fn::GetAtt"][0]
        (name,) = [name for name, id in self._names.items() if id == discovery]
        return self._components[name]


@pytest.fixture(scope="module")
def v2(templates: Callable[[str], Template]) -> Template:
    return templates("v2")


@pytest.mark.parametrize(("path", "component"), LEADS_TO.items())
def test_path_leads_to_its_component(v2: Template, path: str, component: str) -> None:
    assert Routing(v2).container(path) == component


@pytest.mark.parametrize("path", NEVER_AT_API_OR_DAEMON)
def test_private_paths_reach_neither_api_nor_plugin_daemon(v2: Template, path: str) -> None:
    assert Routing(v2).container(path) == "web"


def test_routes_are_far_below_the_quota(v2: Template) -> None:
    assert len(Routing(v2).routes) <= 300


def test_every_route_asks_the_authorizer(v2: Template) -> None:
    (authorizer,) = v2.of_type("AWS::ApiGatewayV2::Authorizer")
    for properties in v2.properties("AWS::ApiGatewayV2::Route").values():
        assert properties["AuthorizationType"] == "CUSTOM"
        assert properties["AuthorizerId"] == {"Ref": authorizer}


def test_authorizer_is_cached_by_source_address(v2: Template) -> None:
    (authorizer,) = v2.properties("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["AuthorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["EnableSimpleResponses"] is True
    assert authorizer["IdentitySource"] == ["$context.identity.sourceIp"]
    assert authorizer["AuthorizerResultTtlInSeconds"] == 300


def test_authorizer_knows_the_list_and_the_networks_own_address(v2: Template) -> None:
    (function,) = [p for id, p in v2.properties("AWS::Lambda::Function").items() if "Authorizer" in id]
    texts = [text for _, text in strings(function["Environment"]["Variables"]["ALLOWED_IPV4"])]
    assert any(text.startswith("203.0.113.0/24,") for text in texts)
    assert "PublicIp" in texts


def test_integrations_end_privately_after_30_seconds_with_the_clients_address(v2: Template) -> None:
    (link,) = v2.of_type("AWS::ApiGatewayV2::VpcLink")
    integrations = v2.properties("AWS::ApiGatewayV2::Integration").values()
    assert len(integrations) == 3
    for properties in integrations:
        assert properties["ConnectionType"] == "VPC_LINK"
        assert properties["ConnectionId"] == {"Ref": link}
        assert properties["TimeoutInMillis"] == 30_000
        client = properties["RequestParameters"]["overwrite:header.CF-Connecting-IP"]
        assert client == "$context.identity.sourceIp"
        reserved = re.compile(r"header\.(x-forwarded|forwarded|via|authorization)", re.IGNORECASE)
        assert not any(reserved.search(key) for key in properties["RequestParameters"])


def test_shorter_timeout_holds_at_the_gateway_too(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyHttpApiFrontend(
        stack, "Frontend", workers=workers, access=OFFICE, request_timeout=cdk.Duration.seconds(12)
    )
    integrations = synthesized(stack).properties("AWS::ApiGatewayV2::Integration").values()
    assert {properties["TimeoutInMillis"] for properties in integrations} == {12_000}


def test_only_the_plugin_daemon_is_told_its_hook_url(v2: Template) -> None:
    mappings = [p["RequestParameters"] for p in v2.properties("AWS::ApiGatewayV2::Integration").values()]
    urls = [m["overwrite:header.Dify-Hook-Url"] for m in mappings if "overwrite:header.Dify-Hook-Url" in m]
    assert urls == ["https://${context.domainName}${request.path}"]


def test_services_register_server_side_only_under_names_of_their_own(v2: Template) -> None:
    dns = {p["Name"] for p in v2.properties("AWS::ServiceDiscovery::Service").values()}
    registered = {}
    for component, service in v2.services().items():
        connect = service.get("ServiceConnectConfiguration", {"Enabled": False})
        if not connect["Enabled"]:
            continue
        (entry,) = connect["Services"]
        registered[component] = entry["DiscoveryName"]
        assert "ClientAliases" not in entry
        assert entry["Timeout"] == {"PerRequestTimeoutSeconds": 0, "IdleTimeoutSeconds": 300}
        assert connect["Namespace"]["Fn::GetAtt"][1] == "Arn"
        (port,) = v2.containers()[component]["PortMappings"]
        assert entry["PortName"] == port["Name"]
        assert port["AppProtocol"] == "http"
    assert registered == {"api": "api-httpapi", "web": "web-httpapi", "plugin_daemon": "daemon-http"}
    assert not dns & set(registered.values())


def test_resolver_asks_again_when_the_service_is_replaced(v2: Template) -> None:
    for properties in v2.properties("Custom::DifyServiceDiscovery").values():
        assert properties["Service"]["Ref"] in v2.of_type("AWS::ECS::Service")


def test_tasks_leave_room_for_the_proxy(v2: Template) -> None:
    for component in ("api", "web", "plugin_daemon"):
        assert int(v2.task_of(component)["Cpu"]) >= 512, component
        assert int(v2.task_of(component)["Memory"]) >= 1024, component


def test_dify_is_told_what_the_frontend_supports(v2: Template) -> None:
    api, worker, daemon = (v2.environment(component) for component in ("api", "worker", "plugin_daemon"))
    assert api["PLUGIN_DAEMON_TIMEOUT"] == api["APP_MAX_EXECUTION_TIME"] == "30"
    assert worker["PLUGIN_DAEMON_TIMEOUT"] == daemon["PLUGIN_MAX_EXECUTION_TIMEOUT"] == "600"
    assert int(api["UPLOAD_FILE_SIZE_LIMIT"]) * 1024 * 1024 < 10_000_000
    assert int(api["UPLOAD_VIDEO_FILE_SIZE_LIMIT"]) * 1024 * 1024 < 10_000_000
    assert worker["APP_MAX_EXECUTION_TIME"] == "30"
    # The proxy keeps unused connections for 300 seconds.
    assert api["GUNICORN_CMD_ARGS"].startswith("--keep-alive=305 ")
    assert v2.environment("web")["KEEP_ALIVE_TIMEOUT"] == "305000"


def test_stage_logs_every_request(v2: Template) -> None:
    (stage,) = v2.properties("AWS::ApiGatewayV2::Stage").values()
    assert stage["StageName"] == "$default"
    assert stage["AutoDeploy"] is True
    assert "$context.requestId" in stage["AccessLogSettings"]["Format"]


def test_there_is_no_load_balancer_and_no_hourly_ingress_charge(v2: Template) -> None:
    hourly = re.compile(r"ElasticLoadBalancing|CloudFront|GlobalAccelerator|WAF")
    assert [r["Type"] for r in v2.resources.values() if hourly.search(r["Type"])] == []


def test_url_has_tls_without_a_domain(v2: Template) -> None:
    url = v2.body["Outputs"]["Url"]["Value"]["Fn::Join"][1]
    assert url[0] == "https://"
    assert url[2].startswith(".execute-api.us-east-1.")
    assert v2.environment("web")["CONSOLE_API_URL"] == v2.environment("worker")["CONSOLE_WEB_URL"]


def test_anyone_needs_no_authorizer(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    template = synthesized(stack)
    assert template.of_type("AWS::ApiGatewayV2::Authorizer") == {}
    routes = template.properties("AWS::ApiGatewayV2::Route").values()
    assert {route["AuthorizationType"] for route in routes} == {"NONE"}


def test_no_cache_asks_for_every_request(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE, authorizer_cache_seconds=0)
    (authorizer,) = synthesized(stack).properties("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["AuthorizerResultTtlInSeconds"] == 0
    assert not authorizer.get("IdentitySource")


def test_domain_is_regional_with_records_and_closes_the_other_endpoint(
    stack: cdk.Stack, workers: DifyWorkers
) -> None:
    zone = zone_in(stack)
    domain = Domain(host_name="dify.example.com", zone=zone)
    frontend = DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE, domain=domain)
    template = synthesized(stack)
    (own,) = template.properties("AWS::ApiGatewayV2::DomainName").values()
    (configuration,) = own["DomainNameConfigurations"]
    assert configuration["EndpointType"] == "REGIONAL"
    assert configuration["SecurityPolicy"] == "TLS_1_2"
    (api,) = template.properties("AWS::ApiGatewayV2::Api").values()
    assert api["DisableExecuteApiEndpoint"] is True
    assert len(template.of_type("AWS::ApiGatewayV2::ApiMapping")) == 1
    records = template.properties("AWS::Route53::RecordSet").values()
    assert {(r["Type"], r["Name"]) for r in records} == {
        ("A", "dify.example.com."),
        ("AAAA", "dify.example.com."),
    }
    assert frontend.url == "https://dify.example.com"


def test_throttle_reaches_the_stage(stack: cdk.Stack, workers: DifyWorkers) -> None:
    throttle = Throttle(requests_per_second=50, burst=100)
    DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE, throttle=throttle)
    (stage,) = synthesized(stack).properties("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 50
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == 100


def test_own_llrt_binary_runs_the_authorizer(
    app: cdk.App, stack: cdk.Stack, workers: DifyWorkers, tmp_path: Path
) -> None:
    binary = tmp_path / "llrt"
    binary.write_bytes(struct.pack("<4sBBB9xHHIQ36x", b"\x7fELF", 2, 1, 1, 2, 183, 1, 0x400000))  # AArch64
    DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE, llrt_bootstrap=binary)
    template = synthesized(stack)
    (function,) = [p for id, p in template.properties("AWS::Lambda::Function").items() if "Authorizer" in id]
    assert function["Runtime"] == "provided.al2023"
    assert function["Architectures"] == ["arm64"]
    assets = list(Path(app.synth().directory).glob("asset.*"))
    with_binary = [asset for asset in assets if (asset / "bootstrap").is_file()]
    assert [sorted(file.name for file in asset.iterdir()) for asset in with_binary] == [
        ["bootstrap", "index.mjs"]
    ]


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "longer_than_30_seconds": (
        {"request_timeout": lambda: cdk.Duration.seconds(31)},
        r"does not support requests of 31 seconds, only of 30: use DifyAlbFrontend",
    ),
    "no_time_at_all": (
        {"request_timeout": lambda: cdk.Duration.seconds(0)},
        "request_timeout in seconds must be",
    ),
    "streaming": (
        {"must_support": Limits(request_timeout_seconds=30, streaming=True, websocket=False, max_body_mb=1)},
        r"does not support streamed answers: use DifyAlbFrontend",
    ),
    "websocket": (
        {"must_support": Limits(request_timeout_seconds=30, streaming=False, websocket=True, max_body_mb=1)},
        r"does not support WebSocket connections: use DifyAlbFrontend",
    ),
    "large_bodies": (
        {
            "must_support": Limits(
                request_timeout_seconds=30, streaming=False, websocket=False, max_body_mb=50
            )
        },
        r"does not support bodies of 50 MB, only of 10 MB: use DifyAlbFrontend",
    ),
    "bodies_of_any_size": (
        {
            "must_support": Limits(
                request_timeout_seconds=30, streaming=False, websocket=False, max_body_mb=None
            )
        },
        r"does not support bodies of any size, only of 10 MB",
    ),
    "more_than_the_timeout_it_was_given": (
        {
            "request_timeout": lambda: cdk.Duration.seconds(10),
            "must_support": Limits(
                request_timeout_seconds=20, streaming=False, websocket=False, max_body_mb=1
            ),
        },
        r"only of 10: use DifyAlbFrontend or other options of DifyHttpApiFrontend",
    ),
    "what_no_frontend_supports": (
        {
            "must_support": Limits(
                request_timeout_seconds=9999, streaming=False, websocket=False, max_body_mb=1
            )
        },
        r"only of 30: no frontend does",
    ),
    "countries": ({"access": Access(countries=["JP"])}, "cannot be enforced by an HTTP API"),
    "too_many_networks": (
        {"access": Access(ipv4=[f"203.0.{i}.{j}/32" for i in range(3) for j in range(100)])},
        r"Access lists 300 networks .* merge some of them",
    ),
    "a_cache_of_days": (
        {"authorizer_cache_seconds": 86_400},
        r"authorizer_cache_seconds must be between 0 and 3600",
    ),
    "a_negative_cache": (
        {"authorizer_cache_seconds": -1},
        r"authorizer_cache_seconds must be between 0 and 3600",
    ),
    "no_binary": ({"llrt_bootstrap": Path("no-such-file")}, "no-such-file"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[cdk.Stack, DifyWorkers]]:
    app = cdk.App(outdir=str(tmp_path_factory.mktemp("site")), analytics_reporting=False)
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="us-east-1"))
    network = DifyNetwork(stack, "Network")
    yield stack, DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))


@pytest.mark.parametrize("case", BAD)
def test_fails_when_an_http_api_is_asked_for(site: tuple[cdk.Stack, DifyWorkers], case: str) -> None:
    stack, workers = site
    arguments, message = BAD[case]
    built = {name: value() if callable(value) else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match=message):
        DifyHttpApiFrontend(stack, case, **{"workers": workers, "access": OFFICE, **built})


def test_fails_when_an_own_size_leaves_no_room_for_the_proxy(stack: cdk.Stack) -> None:
    sizes = {Component.WEB: ComponentSize(cpu_units=256, memory_mib=512)}
    workers = workers_in(stack, sizes=sizes)
    with pytest.raises(ValueError, match=r"sizes of web: cpu_units must be 512 or more"):
        DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE)


def test_fails_when_a_limit_of_the_frontend_is_set_by_hand(stack: cdk.Stack) -> None:
    workers = workers_in(stack, environment={Component.WORKER: {"UPLOAD_FILE_SIZE_LIMIT": "50"}})
    with pytest.raises(
        ValueError,
        match=r"UPLOAD_FILE_SIZE_LIMIT is set by .*, or a DifyAlbFrontend, which takes bodies of any size$",
    ):
        DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE)


def test_ipv6_networks_can_arrive_by_ipv6(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=Access(ipv6=["2001:db8::/32"]))
    (api,) = synthesized(stack).properties("AWS::ApiGatewayV2::Api").values()
    assert api["IpAddressType"] == "dualstack"


def test_fails_when_two_http_apis_want_the_same_discovery_names(
    stack: cdk.Stack, workers: DifyWorkers
) -> None:
    DifyHttpApiFrontend(stack, "First", workers=workers, access=Access.anyone())
    with pytest.raises(ValueError, match="discovery names of DifyHttpApiFrontend already"):
        DifyHttpApiFrontend(stack, "Second", workers=workers, access=Access.anyone(), announce=False)


def test_fails_when_the_plugin_daemon_leaves_no_room_for_the_proxy(stack: cdk.Stack) -> None:
    sizes = {Component.PLUGIN_DAEMON: ComponentSize(cpu_units=256, memory_mib=1024)}
    workers = workers_in(stack, sizes=sizes)
    with pytest.raises(ValueError, match="sizes of plugin_daemon: cpu_units must be 512 or more"):
        DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE)


def test_fails_when_two_frontends_want_one_host_name(stack: cdk.Stack, workers: DifyWorkers) -> None:
    zone = zone_in(stack)
    domain = Domain(host_name="dify.example.com", zone=zone)
    DifyAlbFrontend(stack, "First", workers=workers, access=OFFICE, domain=domain)
    with pytest.raises(ValueError, match=r"has the host name dify\.example\.com already"):
        DifyHttpApiFrontend(stack, "Second", workers=workers, access=OFFICE, domain=domain, announce=False)
