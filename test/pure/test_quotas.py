"""What a template takes from the quotas of an account, each figure worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bills import EITHER, LATER, service, strategy
from dify_cdk.report.quotas import QUOTAS, Demand, Processors, demand
from dify_cdk.report.templates.template import Template
from template_parts import att, ref, resource

TARGET = "ApplicationAutoScaling::ScalableTarget"


def asked(resources: Mapping[str, object]) -> Demand:
    return demand(Template({"Resources": resources}))


def vcpu(on_demand: float | None = 0, spot: float | None = 0) -> Processors:
    return Processors(on_demand=on_demand, spot=spot)


def scaled(most: object = 6, **properties: object) -> dict[str, object]:
    """Two to so many tasks of 0.5 vCPU."""
    target = resource(TARGET, ResourceId=att("Service", "Name"), MinCapacity=2, MaxCapacity=most)
    return {**service(**properties), "Target": target}


class TestProcessors:
    def test_a_rollout_runs_old_and_new_tasks(self) -> None:
        found = asked(service(DesiredCount=3))
        assert (found.steady, found.rollout) == (vcpu(1.5), vcpu(3))
        assert (found.scaled_out, found.scaled_out_rollout) == (found.steady, found.rollout)

    @pytest.mark.parametrize(
        ("percent", "tasks"),
        [(100, 3), (150, 4), (200, 6), ("133", 3), (134, 4)],  # of 3: rounded down, as ECS does
    )
    def test_the_service_says_how_many_may_run(self, percent: object, tasks: int) -> None:
        found = asked(service(DesiredCount=3, DeploymentConfiguration={"MaximumPercent": percent}))
        assert found.rollout == vcpu(tasks * 0.5)

    def test_autoscaling_has_fewest_and_most(self) -> None:
        found = asked(scaled())
        assert (found.steady, found.rollout) == (vcpu(1), vcpu(2))
        assert (found.scaled_out, found.scaled_out_rollout) == (vcpu(3), vcpu(6))

    def test_spot_has_a_quota_of_its_own(self) -> None:
        found = asked(service(DesiredCount=2, CapacityProviderStrategy=strategy(("FARGATE_SPOT", 0, 1))))
        assert (found.steady, found.rollout) == (vcpu(0, 1), vcpu(0, 2))

    def test_a_mixed_strategy_counts_whole_tasks(self) -> None:
        """5 tasks: 1 as the base, of the other 4 a third: 2.33 or 3 on demand, and 2.67 or 3 on Spot."""
        mixed = strategy(("FARGATE", 1, 1), ("FARGATE_SPOT", 0, 2))
        found = asked(service(DesiredCount=5, CapacityProviderStrategy=mixed))
        assert (found.steady, found.rollout) == (vcpu(1.5, 1.5), vcpu(3, 3))

    def test_a_task_that_no_service_runs_comes_on_top_of_a_rollout(self) -> None:
        job = {"Cpu": "1024", "Memory": "2048", "RequiresCompatibilities": ["FARGATE"]}
        containers = [{"Name": "job", "Image": "app:1"}, {"Name": "second", "Image": "app:1"}]
        resources = {
            **service(),
            "Job": resource("ECS::TaskDefinition", ContainerDefinitions=containers, **job),
        }
        found = asked(resources)
        assert (found.steady, found.rollout, found.scaled_out) == (vcpu(0.5), vcpu(2), vcpu(0.5))
        assert found.scaled_out_rollout == vcpu(2)

    def test_containers_share_the_size_of_their_task(self) -> None:
        two = [{"Name": "app", "Image": "app:1"}, {"Name": "proxy", "Image": "proxy:1"}]
        assert asked(service({"ContainerDefinitions": two})).steady == vcpu(0.5)

    def test_instances_take_nothing_from_fargate(self) -> None:
        on_instances: dict[str, Any] = {"RequiresCompatibilities": ["EC2"]}
        resources = {
            **service(on_instances, LaunchType="EC2"),
            "Job": resource("ECS::TaskDefinition", Cpu="512", ContainerDefinitions=[{"Name": "job"}]),
        }
        assert asked(resources) == Demand()

    def test_no_tasks_take_nothing(self) -> None:
        assert asked(service(DesiredCount=0)) == Demand()


class TestUnknown:
    """What the template does not tell is unknown and never zero."""

    @pytest.mark.parametrize(
        "resources",
        [
            service(DesiredCount=LATER),
            service({"Cpu": LATER}),
            service(LaunchType="FARGATE", TaskDefinition="arn:aws:ecs:us-east-1:1:task-definition/other:1"),
        ],
    )
    def test_tasks_or_their_size(self, resources: Mapping[str, object]) -> None:
        found = asked(resources)
        assert (found.steady.on_demand, found.rollout.on_demand) == (None, None)

    def test_how_many_may_run_beside(self) -> None:
        found = asked(service(DeploymentConfiguration={"MaximumPercent": EITHER}))
        assert (found.steady, found.rollout.on_demand) == (vcpu(0.5), None)

    def test_the_most_tasks(self) -> None:
        found = asked(scaled(most=LATER))
        assert (found.steady, found.scaled_out.on_demand) == (vcpu(1), None)

    def test_where_tasks_run(self) -> None:
        by_parameter = [{"CapacityProvider": LATER, "Weight": 1}]
        assert asked(service(CapacityProviderStrategy=by_parameter)).steady == vcpu(None, None)

    def test_how_much_is_reserved(self) -> None:
        function = resource("Lambda::Function", ReservedConcurrentExecutions=LATER)
        assert asked({"Function": function}).executions is None


class TestFunctions:
    def test_what_is_reserved_is_added_up(self) -> None:
        found = asked(
            {
                "Api": resource("Lambda::Function", ReservedConcurrentExecutions=20),
                "Web": resource("Lambda::Function", ReservedConcurrentExecutions="5"),
                "Other": resource("Lambda::Function"),
            }
        )
        assert (found.executions, found.functions) == (25, ("Api", "Web", "Other"))

    @pytest.mark.parametrize(("reserved", "taken"), [(None, 4), (20, 20)])
    def test_what_is_kept_ready_is_a_part_of_what_is_reserved(self, reserved: object, taken: int) -> None:
        function = {} if reserved is None else {"ReservedConcurrentExecutions": reserved}
        ready = {"ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 4}}
        found = asked(
            {
                "Api": resource("Lambda::Function", **function),
                "Version": resource("Lambda::Version", FunctionName=ref("Api")),
                "Alias": resource(
                    "Lambda::Alias",
                    FunctionName=ref("Api"),
                    FunctionVersion=att("Version", "Version"),
                    **ready,
                ),
            }
        )
        assert found.executions == taken

    def test_a_function_of_a_deployment_is_called_by_nobody_later(self) -> None:
        found = asked(
            {
                "Api": resource("Lambda::Function"),
                "Setup": resource("Lambda::Function"),
                "Custom": {"Type": "Custom::Setup", "Properties": {"ServiceToken": att("Setup")}},
            }
        )
        assert found.functions == ("Api",)


def test_networks_and_addresses_are_counted() -> None:
    found = asked({name: resource(f"EC2::{name[:3]}") for name in ("EIP1", "EIP2", "VPC")})
    assert (found.elastic_ips, found.vpcs) == (2, 1)


def test_stacks_are_added_and_unknown_stays_unknown() -> None:
    known = Demand(
        steady=vcpu(1, 2),
        rollout=vcpu(3, 4),
        scaled_out=vcpu(5, 6),
        scaled_out_rollout=vcpu(7, 8),
        executions=9,
        functions=("Api",),
        elastic_ips=10,
        vpcs=11,
    )
    assert known + known == Demand(
        steady=vcpu(2, 4),
        rollout=vcpu(6, 8),
        scaled_out=vcpu(10, 12),
        scaled_out_rollout=vcpu(14, 16),
        executions=18,
        functions=("Api", "Api"),
        elastic_ips=20,
        vpcs=22,
    )
    unknown = known + Demand(steady=vcpu(None, 1), executions=None)
    assert (unknown.steady, unknown.executions) == (vcpu(None, 3), None)


def test_what_a_new_account_has() -> None:
    new = {name: quota.new.number for name, quota in QUOTAS.items()}
    assert new == {"on_demand": 6, "spot": 6, "executions": 10, "elastic_ips": 5, "vpcs": 5}
