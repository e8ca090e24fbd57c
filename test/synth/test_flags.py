"""Feature flags of the user's app change nothing that matters: the library passes every value itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import Component, Limits
from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.workers.component_service import ComponentService
from support import REGION, Template, normalise
from synth.installation import synthesized, workers_in

# What flags decide inside the CDK's own constructs, where a caller cannot pass it: how statements are
# merged, whether the partition is written as text, and deployment defaults of ECS that mean the same.
BY_FLAG = {
    "AWS::ECS::Service",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::S3::BucketPolicy",
    "Custom::DifyDatabaseInit",
}
SAME_MEANING = {"DeploymentConfiguration", "DeploymentController", "LoadBalancers"}


def _without_flags(variant: str, outdir: str) -> Template:
    namespace: dict[str, Any] = {"__name__": variant}
    exec(compile((examples_dir() / f"{variant}.py").read_text(encoding="utf-8"), variant, "exec"), namespace)
    app = cdk.App(context={"region": REGION}, outdir=outdir, analytics_reporting=False)
    return Template(Synthesized.from_stack(namespace["build"](app)).to_json())


def test_app_without_flags_has_the_same_resources(
    templates: Callable[[str], Template], tmp_path_factory: Any
) -> None:
    with_flags = normalise(templates("v1").body)["Resources"]
    without = normalise(_without_flags("v1", str(tmp_path_factory.mktemp("flags"))).body)["Resources"]
    assert set(with_flags) == set(without)
    different = {id for id in with_flags if with_flags[id] != without[id]}
    assert {with_flags[id]["Type"] for id in different} <= BY_FLAG
    for id in different:
        if with_flags[id]["Type"] == "AWS::ECS::Service":
            left, right = with_flags[id]["Properties"], without[id]["Properties"]
            changed = {key for key in {*left, *right} if left.get(key) != right.get(key)}
            assert changed <= SAME_MEANING, id
            assert left.get("LoadBalancers", []) == right.get("LoadBalancers", []), id


def test_plugin_daemon_writes_who_reaches_it_out_whatever_the_flags(tmp_path_factory: Any) -> None:
    """An absent property would detach nothing when a frontend is removed."""
    stack = cdk.Stack(
        cdk.App(outdir=str(tmp_path_factory.mktemp("daemon"))), "S", env=cdk.Environment(region=REGION)
    )
    workers = workers_in(stack)
    limits = Limits(request_timeout_seconds=30, streaming=False, websocket=False, max_body_mb=10)
    endpoint = PublicEndpoint(scheme="https", host="dify.example.com", limits=limits, idle_timeout_seconds=30)
    workers.announce(endpoint)
    for component in (Component.API, Component.WEB):
        ComponentService(stack, component, component=component, platform=workers.platform, endpoint=endpoint)
    daemon = synthesized(stack).services()["plugin_daemon"]
    assert daemon["LoadBalancers"] == []
    assert daemon["ServiceConnectConfiguration"] == {"Enabled": False}
