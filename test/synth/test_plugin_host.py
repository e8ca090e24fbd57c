"""A host name of plugins' own: what answers there, and that plugins answer nowhere else."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk import (
    Access,
    CloudFrontEdge,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyHttpApiFrontend,
    DifyWorkers,
    Domain,
    LocalBuild,
)
from dify_cdk.report.traffic.routes import matches
from paths import LEADS_TO
from support import Template
from synth.installation import certificate_in, synthesized, workers_in, zone_in

MAIN, PLUGINS = "dify.example.com", "plugins.example.com"
HOOK = "/e/abc/run"


def frontend_of(stack: cdk.Stack, *, edge: bool, **arguments: Any) -> Template:
    domain = Domain(host_name=MAIN, plugin_host_name=PLUGINS, **(arguments or {"zone": zone_in(stack)}))
    DifyAlbFrontend(
        stack,
        "Frontend",
        workers=workers_in(stack),
        access=Access.anyone(),
        domain=domain,
        edge=CloudFrontEdge() if edge else None,
    )
    return synthesized(stack)


def target(template: Template, host: str, path: str) -> str:
    """The target group to which the balancer sends a request, or the status that it answers."""
    rules = template.properties("AWS::ElasticLoadBalancingV2::ListenerRule").values()
    for rule in sorted(rules, key=lambda rule: rule["Priority"]):
        if all(_meets(condition, host, path) for condition in rule["Conditions"]):
            return _end(rule["Actions"])
    (default,) = [
        listener["DefaultActions"]
        for listener in template.properties("AWS::ElasticLoadBalancingV2::Listener").values()
        if listener["DefaultActions"][-1]["Type"] == "forward"
    ]
    return _end(default)


def _meets(condition: dict[str, Any], host: str, path: str) -> bool:
    if condition["Field"] == "host-header":
        return host in condition["HostHeaderConfig"]["Values"]
    config = condition["PathPatternConfig"]
    assert condition["Field"] == "path-pattern"
    return any(matches(pattern, path) for pattern in config.get("Values", ()))


def _end(actions: list[dict[str, Any]]) -> str:
    action = actions[-1]
    if action["Type"] == "fixed-response":
        return str(action["FixedResponseConfig"]["StatusCode"])
    group: str = action["TargetGroupArn"]["Ref"]
    return group


@pytest.mark.parametrize("edge", [False, True], ids=["balancer", "CloudFront"])
def test_plugins_answer_under_their_own_name_only(stack: cdk.Stack, edge: bool) -> None:
    template = frontend_of(stack, edge=edge)
    assert "PluginDaemonTargets" in target(template, PLUGINS, HOOK)
    assert "WebTargets" in target(template, MAIN, HOOK)  # whose pages have no such path: 404
    assert {target(template, PLUGINS, path) for path in LEADS_TO if not path.startswith("/e/")} == {"404"}
    assert "ApiTargets" in target(template, MAIN, "/v1/chat-messages")


@pytest.mark.parametrize("edge", [False, True], ids=["balancer", "CloudFront"])
def test_dify_shows_the_name_to_users_of_plugins(stack: cdk.Stack, edge: bool) -> None:
    template = frontend_of(stack, edge=edge)
    for component in ("api", "worker"):
        variables = template.environment(component)
        assert variables["ENDPOINT_URL_TEMPLATE"] == f"https://{PLUGINS}/e/{{hook_id}}"
        assert variables["CONSOLE_API_URL"] == f"https://{MAIN}"


def test_both_names_have_a_certificate_and_records(stack: cdk.Stack) -> None:
    template = frontend_of(stack, edge=False)
    (certificate,) = template.properties("AWS::CertificateManager::Certificate").values()
    assert [certificate["DomainName"], *certificate["SubjectAlternativeNames"]] == [MAIN, PLUGINS]
    records = [(row["Name"], row["Type"]) for row in template.properties("AWS::Route53::RecordSet").values()]
    names = (f"{MAIN}.", f"{PLUGINS}.")
    assert sorted(records) == sorted((name, type) for name in names for type in ("A", "AAAA"))


def test_cloudfront_answers_for_both_names(stack: cdk.Stack) -> None:
    template = frontend_of(stack, edge=True)
    (distribution,) = template.properties("AWS::CloudFront::Distribution").values()
    assert distribution["DistributionConfig"]["Aliases"] == [MAIN, PLUGINS]


@pytest.mark.parametrize("other", [DifyHttpApiFrontend, DifyCloudFrontLambdaFrontend])
def test_fails_when_a_frontend_cannot_tell_the_names_apart(stack: cdk.Stack, other: Any) -> None:
    workers: DifyWorkers = workers_in(stack)
    domain = Domain(host_name=MAIN, plugin_host_name=PLUGINS, certificate=certificate_in(stack))
    images = {"images": LocalBuild()} if other is DifyCloudFrontLambdaFrontend else {}
    message = rf"^Domain\.plugin_host_name cannot be used with {other.__name__}: an? "
    with pytest.raises(ValueError, match=message):
        other(stack, "Frontend", workers=workers, access=Access.anyone(), domain=domain, **images)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (MAIN, "must be another one than host_name"),
        ("https://plugins.example.com", "must be a lower-case host name"),
        ("plugins.example.org", "'plugins.example.org' must lie in the hosted zone 'example.com'"),
    ],
)
def test_fails_when_the_name_of_plugins_is_malformed(stack: cdk.Stack, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^Domain\.plugin_host_name .*{message}"):
        Domain(host_name=MAIN, plugin_host_name=name, zone=zone_in(stack))


def test_fails_when_two_frontends_have_the_same_name_for_plugins(stack: cdk.Stack) -> None:
    workers, certificate = workers_in(stack), certificate_in(stack)

    def frontend(id: str, host: str, *, announce: bool) -> None:
        domain = Domain(host_name=host, plugin_host_name=PLUGINS, certificate=certificate)
        DifyAlbFrontend(stack, id, workers=workers, access=Access.anyone(), domain=domain, announce=announce)

    frontend("First", MAIN, announce=True)
    with pytest.raises(ValueError, match=PLUGINS):
        frontend("Second", "other.example.com", announce=False)
