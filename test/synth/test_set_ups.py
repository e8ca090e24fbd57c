"""What the set-ups of v4 promise: production survives the loss of a zone, low cost saves where it says so."""

from __future__ import annotations

import re
from collections.abc import Callable

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import (
    Access,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
)
from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import floor
from dify_cdk.report.limits.limits import effective_limits
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.workers.workers import DEFAULT_SCHEDULER
from support import REGION, Template

EXAMPLE = examples_dir() / "v4_low_cost.py"


def of_template(template: Template) -> Subject:
    return Subject(name="any", parts=(Part(name="Dify", template=template.body, region=REGION),))


@pytest.fixture(scope="module")
def production(templates: Callable[[str], Template]) -> Template:
    return templates("v4")


@pytest.fixture(scope="module")
def low_cost(templates: Callable[[str], Template]) -> Template:
    return templates("v4_low_cost")


class TestProduction:
    @pytest.mark.parametrize("component", [Component.API, Component.WEB])
    def test_users_are_served_from_two_zones(self, production: Template, component: Component) -> None:
        targets = production.properties("AWS::ApplicationAutoScaling::ScalableTarget")
        (target,) = [row for id, row in targets.items() if f"Alb{component.construct_id}Service" in id]
        assert target["MinCapacity"] == 2
        assert "DesiredCount" not in production.services()[component]
        assert production.services()[component]["AvailabilityZoneRebalancing"] == "ENABLED"

    def test_each_zone_has_its_own_way_out(self, production: Template) -> None:
        assert len(production.of_type("AWS::EC2::NatGateway")) == 2

    def test_cache_fails_over(self, production: Template) -> None:
        (cache,) = production.properties("AWS::ElastiCache::ReplicationGroup").values()
        assert cache["AutomaticFailoverEnabled"] is True
        assert cache["MultiAZEnabled"] is True


class TestLowCost:
    def test_way_out_is_one_small_instance(self, low_cost: Template) -> None:
        (instance,) = low_cost.properties("AWS::EC2::Instance").values()
        assert instance["InstanceType"] == "t4g.nano"
        assert not low_cost.of_type("AWS::EC2::NatGateway")

    def test_database_is_the_smallest_one_that_runs(self, low_cost: Template) -> None:
        """A minimum of 0 would cost as much, and end sessions for a pause that never comes."""
        (cluster,) = low_cost.properties("AWS::RDS::DBCluster").values()
        scaling = cluster["ServerlessV2ScalingConfiguration"]
        assert (scaling["MinCapacity"], scaling["MaxCapacity"]) == (0.5, 2)
        (group,) = low_cost.properties("AWS::RDS::DBClusterParameterGroup").values()
        assert "idle_session_timeout" not in group["Parameters"]

    def test_schedules_run_for_what_the_example_says(self, low_cost: Template) -> None:
        assert Component.BEAT in low_cost.services()
        bill = floor(of_template(low_cost), region=None, prices=load_prices())
        beat = sum(line.amount or 0 for line in bill.lines if "Beat" in line.logical_id)
        (said,) = re.findall(r"would save less than (\d+) USD", EXAMPLE.read_text(encoding="utf-8"))
        assert int(said) - 1 < beat < int(said)

    def test_cache_is_one_node(self, low_cost: Template) -> None:
        (cache,) = low_cost.properties("AWS::ElastiCache::ReplicationGroup").values()
        assert (cache["NumNodeGroups"], cache["ReplicasPerNodeGroup"]) == (1, 0)

    def test_processors_are_arm64_but_for_the_sandbox(self, low_cost: Template) -> None:
        for component in low_cost.containers():
            expected = "X86_64" if component == Component.SANDBOX else "ARM64"
            assert low_cost.task_of(component)["RuntimePlatform"]["CpuArchitecture"] == expected, component

    def test_what_can_wait_runs_on_spot(self, low_cost: Template) -> None:
        on_spot = {
            component
            for component, service in low_cost.services().items()
            if [row["CapacityProvider"] for row in service["CapacityProviderStrategy"]] == ["FARGATE_SPOT"]
        }
        assert on_spot == {Component.WORKER, Component.BEAT, Component.SANDBOX, Component.SSRF_PROXY}


@pytest.mark.parametrize("scheduler", [DEFAULT_SCHEDULER, None])
def test_no_minimum_saves_nothing(stack: cdk.Stack, scheduler: ComponentSize | None) -> None:
    """Whatever runs in our installations, reports find the database awake in them."""
    network = DifyNetwork(stack, "Network")
    data = DifyData(stack, "Data", vpc=network.vpc, capacity=DatabaseCapacity(min_acu=0))
    workers = DifyWorkers(stack, "Workers", data=data, scheduler=scheduler)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    found = of_template(Template(Synthesized.from_stack(stack).to_json()))
    bill = floor(found, region=None, prices=load_prices())
    (capacity,) = [line.amount for line in bill.lines if line.what == "capacity"]
    assert capacity == pytest.approx(0.5 * 730 * 0.12)
    (standby,) = [limit for limit in effective_limits(found) if limit.name == "scales to zero"]
    assert "database" in standby.hop.partition("keeps running")[2]
