"""The frontend with a load balancer: where each path really leads, TLS, access and timeouts."""

from __future__ import annotations

import re
from collections.abc import Callable

import aws_cdk as cdk
import pytest

import dify_facts
from dify_cdk import (
    Access,
    AlbScheme,
    Component,
    DifyAlbFrontend,
    DifyData,
    DifyFrontend,
    DifyNetwork,
    DifyWorkers,
    Domain,
)
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON, Routing, route_of
from support import Template
from synth.installation import certificate_in, data_in, synthesized, workers_in, zone_in

SHAPE: type[DifyFrontend] = DifyAlbFrontend  # for the type checker


@pytest.fixture(scope="module")
def v1(templates: Callable[[str], Template]) -> Template:
    return templates("v1")


@pytest.mark.parametrize(("path", "component"), LEADS_TO.items())
def test_path_leads_to_its_component(v1: Template, path: str, component: str) -> None:
    assert Routing(v1).container(path) == component


@pytest.mark.parametrize("path", NEVER_AT_API_OR_DAEMON)
def test_private_paths_reach_neither_api_nor_plugin_daemon(v1: Template, path: str) -> None:
    assert Routing(v1).container(path) == "web"


@pytest.mark.parametrize(
    "path", ["/_next/static/../../apps", "/_next/static/%2e%2E/.%2e/apps", "/v1/./models", "/e/hook/..", "/."]
)
def test_dot_segments_reach_nobody(v1: Template, path: str) -> None:
    """A load balancer that compares the path as it was sent; one that resolves it has nothing to refuse."""
    assert Routing(v1).container(path) == "400"


@pytest.mark.parametrize("path", ["/v1//models", "/e/hook/a%2F..%2Fb", "/apps/...", "/v1/a..b"])
def test_other_paths_are_routed(v1: Template, path: str) -> None:
    assert Routing(v1).container(path) == str(route_of(path, list(Component)).component)


def test_rules_hold_at_most_five_values_and_have_their_own_priorities(v1: Template) -> None:
    rules = Routing(v1).rules
    values = [sum(map(len, rule["Conditions"][0]["PathPatternConfig"].values())) for rule in rules]
    assert 1 <= min(values) <= max(values) <= 5
    assert len({rule["Priority"] for rule in rules}) == len(rules)


def test_rules_are_as_few_and_as_simple_as_a_load_balancer_takes(v1: Template) -> None:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html."""
    rules = Routing(v1).rules
    assert len(rules) <= 100
    patterns = [rule["Conditions"][0]["PathPatternConfig"].get("Values", []) for rule in rules]
    assert max("".join(one).count("*") + "".join(one).count("?") for one in patterns) <= 5
    assert all(re.fullmatch(r"[\w.$/~\"'@:+&*?-]{1,128}", one) for values in patterns for one in values)


def test_expressions_use_what_load_balancers_know(v1: Template) -> None:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html."""
    about = [rule["Conditions"][0]["PathPatternConfig"] for rule in Routing(v1).rules]
    (expression,) = [one for config in about for one in config.get("RegexValues", ())]
    assert len(expression) <= 128
    newer = r"\(\?|\\|[*+?}]\+"  # look-around, back-references, possessive quantifiers
    assert not re.search(newer, expression)


def test_each_target_group_asks_for_health_where_the_component_answers(v1: Template) -> None:
    groups = v1.properties("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    checks = {group["Port"]: (group["HealthCheckPath"], group["Matcher"]["HttpCode"]) for group in groups}
    reached = {row["component"] for row in dify_facts.ROUTES.values()} - {Component.API_WEBSOCKET}
    expected = (dify_facts.COMPONENTS[Component(name)]["users_reach"] for name in reached)
    assert checks == {port: (path, "200") for port, path in expected}


def test_balancer_is_closed_to_others_and_logs(v1: Template) -> None:
    (alb,) = v1.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {row["Key"]: row["Value"] for row in alb["LoadBalancerAttributes"]}
    assert attributes["access_logs.s3.enabled"] == "true"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    groups = v1.properties("AWS::EC2::SecurityGroup")
    (ingress,) = [p["SecurityGroupIngress"] for id, p in groups.items() if "PublicAlb" in id]
    sources = [rule["CidrIp"] for rule in ingress]
    (address,) = v1.of_type("AWS::EC2::EIP")
    own_calls = {"Fn::Join": ["", [{"Fn::GetAtt": [address, "PublicIp"]}, "/32"]]}
    assert sources == ["203.0.113.0/24", own_calls]
    assert {(rule["FromPort"], rule["ToPort"]) for rule in ingress} == {(80, 80)}


def test_domain_brings_tls_a_redirect_and_records(stack: cdk.Stack) -> None:
    domain = Domain(host_name="dify.example.com", zone=zone_in(stack))
    frontend = DifyAlbFrontend(
        stack, "Frontend", workers=workers_in(stack), access=Access.anyone(), domain=domain
    )
    template = synthesized(stack)
    listeners = {p["Port"]: p for p in template.properties("AWS::ElasticLoadBalancingV2::Listener").values()}
    assert listeners[443]["Protocol"] == "HTTPS"
    assert listeners[443]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert listeners[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    records = template.properties("AWS::Route53::RecordSet").values()
    assert {(r["Type"], r["Name"]) for r in records} == {
        ("A", "dify.example.com."),
        ("AAAA", "dify.example.com."),
    }
    assert len(template.of_type("AWS::CertificateManager::Certificate")) == 1
    assert frontend.url == "https://dify.example.com"
    assert template.environment("api")["CONSOLE_WEB_URL"] == "https://dify.example.com"
    assert template.environment("worker")["FILES_URL"] == "https://dify.example.com"
    assert template.environment("worker")["ENDPOINT_URL_TEMPLATE"] == "https://dify.example.com/e/{hook_id}"


def test_own_certificate_without_a_zone_defines_neither(stack: cdk.Stack) -> None:
    certificate = certificate_in(stack)
    domain = Domain(host_name="dify.example.com", certificate=certificate)
    DifyAlbFrontend(stack, "Frontend", workers=workers_in(stack), access=Access.anyone(), domain=domain)
    template = synthesized(stack)
    assert template.of_type("AWS::CertificateManager::Certificate", "AWS::Route53::RecordSet") == {}
    (https,) = [
        p for p in template.properties("AWS::ElasticLoadBalancingV2::Listener").values() if p["Port"] == 443
    ]
    assert https["Certificates"] == [{"CertificateArn": certificate.certificate_arn}]


def test_request_timeout_reaches_the_balancer_and_dify(stack: cdk.Stack) -> None:
    frontend = DifyAlbFrontend(
        stack,
        "Frontend",
        workers=workers_in(stack),
        access=Access.anyone(),
        request_timeout=cdk.Duration.seconds(900),
    )
    template = synthesized(stack)
    (alb,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {row["Key"]: row["Value"] for row in alb["LoadBalancerAttributes"]}
    assert attributes["idle_timeout.timeout_seconds"] == "900"
    assert template.environment("api")["GUNICORN_TIMEOUT"] == "900"
    assert template.environment("api")["PLUGIN_DAEMON_TIMEOUT"] == "900"
    assert template.environment("worker")["PLUGIN_DAEMON_TIMEOUT"] == "900"
    assert template.environment("plugin_daemon")["PLUGIN_MAX_EXECUTION_TIMEOUT"] == "900"
    assert template.environment("web")["TEXT_GENERATION_TIMEOUT_MS"] == "900000"
    assert frontend.limits.request_timeout_seconds == 900


def test_a_short_request_timeout_does_not_make_api_hang_up_on_the_plugin_daemon(stack: cdk.Stack) -> None:
    workers, seconds = workers_in(stack), cdk.Duration.seconds(30)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access.anyone(), request_timeout=seconds)
    # The daemon keeps its connections for 120 seconds.
    assert synthesized(stack).environment("api")["GUNICORN_CMD_ARGS"].startswith("--keep-alive=125 ")


def test_internal_frontend_has_private_addresses_and_the_proxy_lets_it_through(stack: cdk.Stack) -> None:
    access = Access(ipv4=["10.0.0.0/8"])
    DifyAlbFrontend(stack, "Frontend", workers=workers_in(stack), access=access, scheme=AlbScheme.INTERNAL)
    template = synthesized(stack)
    ((id, alb),) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").items()
    assert alb["Scheme"] == "internal"
    assert "InternalAlb" in id
    command = str(template.containers()["ssrf_proxy"]["Command"])
    assert f"'Fn::GetAtt': ['{id}', 'DNSName']" in command


def test_public_frontend_is_no_exception_for_the_proxy(v1: Template) -> None:
    assert "DNSName" not in str(v1.containers()["ssrf_proxy"]["Command"])


def test_second_frontend_stands_beside_the_first(stack: cdk.Stack) -> None:
    workers, access = workers_in(stack), Access.anyone()
    first = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access)
    DifyAlbFrontend(stack, "Second", workers=workers, access=access, announce=False)
    template = synthesized(stack)
    daemon = template.services()[Component.PLUGIN_DAEMON]
    assert len(daemon["LoadBalancers"]) == 2
    (announced,) = [
        id for id in template.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer") if "Frontend" in id
    ]
    assert announced in str(template.environment("worker")["FILES_URL"])
    assert first.limits.streaming


def test_ipv6_reaches_the_balancer_only_where_the_network_has_it(stack: cdk.Stack) -> None:
    network = DifyNetwork(stack, "Network", ipv6=True)
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access(ipv6=["2001:db8::/32"]))
    template = synthesized(stack)
    (alb,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert alb["IpAddressType"] == "dualstack"
    groups = template.properties("AWS::EC2::SecurityGroup")
    (ingress,) = [p["SecurityGroupIngress"] for id, p in groups.items() if "PublicAlb" in id]
    assert [rule["CidrIpv6"] for rule in ingress] == ["2001:db8::/32"]
    subnets = template.properties("AWS::EC2::Subnet")
    assert {id for id, p in subnets.items() if "Ipv6CidrBlock" in p} == {
        id for id in subnets if "Public" in id
    }
    routes = [p for p in template.properties("AWS::EC2::Route").values() if "DestinationIpv6CidrBlock" in p]
    assert [route["DestinationIpv6CidrBlock"] for route in routes] == ["::/0", "::/0"]


def test_port_80_keeps_its_listener_when_a_domain_comes_or_goes() -> None:
    """CloudFormation adds before it removes, and a load balancer refuses a second listener on a port."""

    def listeners(with_domain: bool) -> dict[int, str]:
        stack = cdk.Stack(cdk.App(analytics_reporting=False), "S", env=cdk.Environment(region="us-west-2"))
        data = data_in(stack)
        zone = zone_in(stack)
        DifyAlbFrontend(
            stack,
            "Frontend",
            workers=DifyWorkers(stack, "Workers", data=data),
            access=Access.anyone(),
            domain=Domain(host_name="dify.example.com", zone=zone) if with_domain else None,
        )
        template = synthesized(stack)
        found = template.properties("AWS::ElasticLoadBalancingV2::Listener").items()
        return {properties["Port"]: id for id, properties in found}

    without, with_domain = listeners(False), listeners(True)
    assert set(without) == {80}
    assert set(with_domain) == {80, 443}
    assert without[80] == with_domain[80]
