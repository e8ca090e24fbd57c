"""A frontend of a user's own takes the place of one of the package, with public names only."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import aws_cdk as cdk
import pytest

import dify_cdk
from dify_cdk import Component, DifyFrontend, DifyMonitoring, cli
from support import Template
from synth import own_frontend
from synth.installation import HOST, certificate_in, synthesized, workers_in
from synth.own_frontend import NlbFrontend

ROUTED = {Component.API, Component.WEB, Component.PLUGIN_DAEMON}


@pytest.fixture(scope="module")
def template(new_stack: Callable[..., cdk.Stack]) -> Template:
    stack = new_stack()
    workers = workers_in(stack)
    frontend: DifyFrontend = NlbFrontend(  # the type checker reads here that it has the shape
        stack,
        "Frontend",
        workers=workers,
        host_name=HOST,
        certificate=certificate_in(stack),
        networks=["203.0.113.0/24"],
    )
    assert frontend.url == f"https://{HOST}"
    DifyMonitoring(stack, "Monitoring", workers=workers, frontend=frontend)
    return synthesized(stack)


def alarms(template: Template) -> dict[str, str]:
    """What each alarm looks at, as JSON, by the part of its name that says what it is."""
    found = template.properties("AWS::CloudWatch::Alarm").values()
    return {one["AlarmName"].split("-")[-2]: json.dumps(one) for one in found}


def test_it_uses_public_names_only() -> None:
    tree = ast.parse(Path(own_frontend.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {one for one in modules if one and one.startswith("dify_cdk")} == {"dify_cdk"}


def test_alarms_look_at_the_metrics_that_it_names(template: Template) -> None:
    filters = template.properties("AWS::Logs::MetricFilter").values()
    names = {
        row["MetricName"]: row["MetricNamespace"] for one in filters for row in one["MetricTransformations"]
    }
    assert names.keys() == {"Errors", "Latency"}
    for alarm, metric, statistic in (("ServerErrors", "Errors", "Sum"), ("Latency", "Latency", "p90")):
        found = json.loads(alarms(template)[alarm])
        assert (found["MetricName"], found["Namespace"]) == (metric, names[metric])
        assert statistic in (found.get("Statistic"), found.get("ExtendedStatistic"))


def test_its_services_are_watched_like_those_of_the_workers(template: Template) -> None:
    services = template.services()
    for component in (Component.API, Component.WEB, Component.WORKER):
        assert component in services
        assert {f"{component.construct_id}Cpu", f"{component.construct_id}Memory"} <= alarms(template).keys()


def test_the_background_is_told_its_url(template: Template) -> None:
    assert template.environment(Component.WORKER)["CONSOLE_API_URL"] == f"https://{HOST}"


def test_its_proxy_leads_every_route_to_the_private_name_of_its_component(template: Template) -> None:
    (task,) = [
        properties
        for properties in template.properties("AWS::ECS::TaskDefinition").values()
        if properties["ContainerDefinitions"][0]["Name"] == "nginx"
    ]
    ((server,),) = [
        [row["Value"] for row in container["Environment"]] for container in task["ContainerDefinitions"]
    ]
    routes = dify_cdk.routes_to(ROUTED)
    assert [line.split()[2].removesuffix("(/|$)") for line in server.splitlines() if "location" in line] == [
        f"^{route.prefix}" for route in routes
    ]
    for route in routes:
        assert f"http://{route.component.dns_label}." in server


def test_compare_shows_it(template: Template, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.template.json"
    file.write_text(json.dumps(template.body), encoding="utf-8")
    arguments = ["compare", "--template", str(file), "--region", "us-east-1", "--format", "markdown"]
    assert cli.main(arguments) == 0
    found = capsys.readouterr().out.replace("\\_", "_")
    assert "Network Load Balancer leads everything to nginx" in found
    assert "nginx calls plugin_daemon, api and web" in found
    assert "| request timeout | 350 s idle" in found
