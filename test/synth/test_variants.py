"""What lets the variants replace each other in place: only the frontend differs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import combinations
from typing import Any

import aws_cdk as cdk
import pytest

import dify_cdk
from dify_cdk import Access, DifyFrontend
from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import TABLE, Context, DataEndpoints, PublicEndpoint, plain_variables
from dify_cdk.dify.limits import FRONTEND_LIMITS, Limits
from support import VARIANTS, Template, normalise
from synth.installation import synthesized, workers_in

OTHERS = [variant for variant in VARIANTS if variant != "v1"]
# Tasks share the database's connections: more tasks of api, as v4 may have, leave each of them fewer.
OF_THE_SIZES = {"SQLALCHEMY_POOL_SIZE", "SQLALCHEMY_MAX_OVERFLOW", "CELERY_WORKER_AMOUNT"}
FRONTEND_PROPERTIES = ("LoadBalancers", "HealthCheckGracePeriodSeconds", "ServiceConnectConfiguration")


def _announced() -> set[str]:
    """The variables whose values need a frontend."""
    data = DataEndpoints(database_host="d", cache_host="c", bucket_name="b", region="r")
    limits = Limits(request_timeout_seconds=1, streaming=False, websocket=False, max_body_mb=1)
    endpoint = PublicEndpoint(scheme="https", host="h", limits=limits, idle_timeout_seconds=1)
    with_endpoint = Context(data=data, namespace="n", endpoint=endpoint)
    without = Context(data=data, namespace="n", endpoint=None)
    return {
        name
        for component in Component
        for name in set(plain_variables(component, with_endpoint)) - set(plain_variables(component, without))
    } | {row.name for row in TABLE if row.free_when_unset}


def _backstage(template: Template) -> dict[str, dict[str, Any]]:
    """Data and workers without what a frontend announces, registers or lets in, egress and size of api."""
    announced = _announced() | OF_THE_SIZES
    resources = copy.deepcopy(normalise(template.body)["Resources"])
    kept = {}
    for id, resource in resources.items():
        if not id.startswith(("Data", "Workers")):
            continue
        properties = resource.get("Properties", {})
        if "DependsOn" in resource:  # how the network reaches the world is a choice apart
            waits_for = resource["DependsOn"]
            resource["DependsOn"] = [name for name in waits_for if not name.startswith("Network")]
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            (container,) = properties["ContainerDefinitions"]
            rows = container.get("Environment", [])
            container["Environment"] = [row for row in rows if row["Name"] not in announced]
        if resource["Type"] == "AWS::ECS::Service" and "PluginDaemon" in id:
            resource["DependsOn"] = [
                name for name in resource["DependsOn"] if not name.startswith("Frontend")
            ]
            for name in FRONTEND_PROPERTIES:
                properties.pop(name, None)
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress" and "Frontend" in str(properties):
            continue  # the frontend's own way to api, web and the plugin daemon
        kept[id] = resource
    return kept


@pytest.mark.parametrize("variant", OTHERS)
def test_everything_behind_the_frontend_is_the_same(
    templates: Callable[[str], Template], variant: str
) -> None:
    assert _backstage(templates(variant)) == _backstage(templates("v1"))


# Services behind either load balancer, and the distribution with its own parts, are updated in place.
STAYS = {("v1", "v4"): ("FrontendAlbApi", "FrontendAlbWeb"), ("v3", "v4"): ("FrontendEdge",)}


@pytest.mark.parametrize("pair", list(combinations(VARIANTS, 2)), ids="-".join)
def test_frontends_share_no_id_but_of_what_can_be_updated_in_place(
    templates: Callable[[str], Template], pair: tuple[str, str]
) -> None:
    """Stateless things are added and removed, never morphed."""
    first, second = ({id for id in templates(name).resources if id.startswith("Frontend")} for name in pair)
    shared = first & second
    assert all(id.startswith(STAYS.get(pair, ())) for id in shared), shared
    assert bool(shared) == (pair in STAYS)
    balancers = templates(pair[0]).of_type(
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
    )
    assert not shared & set(balancers)


def test_frontends_of_every_kind_stand_side_by_side(stack: cdk.Stack) -> None:
    """One announces itself; each has its limits."""
    workers = workers_in(stack)
    access = Access(ipv4=["203.0.113.0/24"])
    frontends: list[DifyFrontend] = [
        getattr(dify_cdk, name)(stack, name, workers=workers, access=access, announce=number == 0)
        for number, name in enumerate(FRONTEND_LIMITS)
    ]
    assert len({frontend.url for frontend in frontends}) == len(frontends)
    assert [frontend.limits.streaming for frontend in frontends] == [
        one.streaming for one in FRONTEND_LIMITS.values()
    ]
    template = synthesized(stack)
    daemon = template.services()["plugin_daemon"]
    assert len(daemon["LoadBalancers"]) == 1
    assert daemon["ServiceConnectConfiguration"]["Enabled"] is True
