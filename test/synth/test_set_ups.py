"""What the set-ups of v4 promise: production survives the loss of a zone, low cost saves where it says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dify_cdk.roles import Role
from support import Template


@pytest.fixture(scope="module")
def production(templates: Callable[[str], Template]) -> Template:
    return templates("v4")


@pytest.fixture(scope="module")
def low_cost(templates: Callable[[str], Template]) -> Template:
    return templates("v4_low_cost")


class TestProduction:
    @pytest.mark.parametrize("role", [Role.API, Role.WEB])
    def test_users_are_served_from_two_zones(self, production: Template, role: Role) -> None:
        targets = production.properties("AWS::ApplicationAutoScaling::ScalableTarget")
        (target,) = [row for id, row in targets.items() if f"Alb{role.construct_id}Service" in id]
        assert target["MinCapacity"] == 2
        assert "DesiredCount" not in production.services()[role]
        assert production.services()[role]["AvailabilityZoneRebalancing"] == "ENABLED"

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

    def test_database_can_pause(self, low_cost: Template) -> None:
        (cluster,) = low_cost.properties("AWS::RDS::DBCluster").values()
        assert cluster["ServerlessV2ScalingConfiguration"]["MinCapacity"] == 0
        assert Role.BEAT not in low_cost.services()
        (group,) = low_cost.properties("AWS::RDS::DBClusterParameterGroup").values()
        assert (
            int(group["Parameters"]["idle_session_timeout"]) <= 60_000
        )  # a pool's connections keep it awake

    def test_cache_is_one_node(self, low_cost: Template) -> None:
        (cache,) = low_cost.properties("AWS::ElastiCache::ReplicationGroup").values()
        assert (cache["NumNodeGroups"], cache["ReplicasPerNodeGroup"]) == (1, 0)

    def test_processors_are_arm64_but_for_the_sandbox(self, low_cost: Template) -> None:
        for role in low_cost.containers():
            expected = "X86_64" if role == Role.SANDBOX else "ARM64"
            assert low_cost.task_of(role)["RuntimePlatform"]["CpuArchitecture"] == expected, role

    def test_what_can_wait_runs_on_spot(self, low_cost: Template) -> None:
        on_spot = {
            role
            for role, service in low_cost.services().items()
            if [row["CapacityProvider"] for row in service["CapacityProviderStrategy"]] == ["FARGATE_SPOT"]
        }
        assert on_spot == {Role.WORKER, Role.SANDBOX, Role.SSRF_PROXY}
