"""What tasks, instances and functions cost, each computed by hand from unit prices of us-east-1.

Unit prices stand in ``prices.json``; the arithmetic here uses the figures themselves, so that a wrong key, a
wrong unit or a wrong quantity shows.
"""

from __future__ import annotations

import pytest

from bills import EITHER, LATER, PRICES, cost, one, priced, service, strategy, subject
from dify_cdk.report.cost.pricing import (
    monthly_cost,
)
from dify_cdk.report.cost.usage import ZERO, Usage


class TestTasks:
    def test_a_task_on_demand(self) -> None:
        assert priced(service()) == {
            "vCPU, on demand": pytest.approx(0.5 * 730 * 0.04048),
            "memory, on demand": pytest.approx(2 * 730 * 0.004445),
        }

    def test_the_formula_shows_the_arithmetic(self) -> None:
        lines = cost(service(DesiredCount=2)).lines
        assert [line.formula for line in lines] == ["2 tasks x 0.5 vCPU x 730 h", "2 tasks x 2 GB x 730 h"]
        assert [line.unit for line in lines] == ["vCPU-hour", "GB-hour"]
        assert [line.quantity for line in lines] == [730, 2920]
        assert lines[0].source.startswith("https://github.com/infracost/")
        assert (lines[0].part, lines[0].logical_id, lines[0].service) == ("main", "Service", "AWS Fargate")

    def test_arm64_is_cheaper(self) -> None:
        arm = {"RuntimePlatform": {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}}
        assert priced(service(arm)) == {
            "vCPU, on demand": pytest.approx(0.5 * 730 * 0.03238),
            "memory, on demand": pytest.approx(2 * 730 * 0.00356),
        }

    def test_what_has_no_known_price_is_unknown_and_not_zero(self) -> None:
        arm = {"RuntimePlatform": {"CpuArchitecture": "ARM64"}}
        spot = service(arm, CapacityProviderStrategy=strategy(("FARGATE_SPOT", 0, 1)))
        bill = cost(spot, region="us-west-2")
        assert [(line.quantity, line.unit_price, line.amount) for line in bill.lines] == [
            (365, None, None),
            (1460, None, None),
        ]
        assert (bill.total, bill.is_lower_bound) == (0, True)

    def test_windows_is_not_priced_as_linux(self) -> None:
        windows = {"RuntimePlatform": {"OperatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}
        assert priced(service(windows)) == {"vCPU, on demand": None, "memory, on demand": None}

    def test_the_base_runs_on_demand_and_the_rest_by_weight(self) -> None:
        mixed = strategy(("FARGATE", 1, 1), ("FARGATE_SPOT", 0, 3))
        # 5 tasks: 1 as the base, of the other 4 a quarter on demand: 2 on demand, 3 on Spot.
        assert priced(service(DesiredCount=5, CapacityProviderStrategy=mixed)) == {
            "vCPU, on demand": pytest.approx(2 * 0.5 * 730 * 0.04048),
            "memory, on demand": pytest.approx(2 * 2 * 730 * 0.004445),
            "vCPU, Spot": pytest.approx(3 * 0.5 * 730 * 0.01288871),
            "memory, Spot": pytest.approx(3 * 2 * 730 * 0.00141527),
        }

    def test_a_base_larger_than_the_service_takes_all_of_it(self) -> None:
        mixed = strategy(("FARGATE", 4, 0), ("FARGATE_SPOT", 0, 1))
        assert set(priced(service(CapacityProviderStrategy=mixed))) == {
            "vCPU, on demand",
            "memory, on demand",
        }

    def test_a_strategy_without_weights_counts_every_task_once(self) -> None:
        """A weight that is not written is 0: ECS takes another provider, or the only one."""
        only: list[dict[str, object]] = [{"CapacityProvider": "FARGATE_SPOT"}]
        other = [*only, {"CapacityProvider": "FARGATE", "Weight": 1}]
        vcpu = 3 * 0.5 * 730
        assert priced(service(DesiredCount=3, CapacityProviderStrategy=only))["vCPU, Spot"] == pytest.approx(
            vcpu * 0.01288871
        )
        placed = priced(service(DesiredCount=3, CapacityProviderStrategy=other))
        assert placed["vCPU, on demand"] == pytest.approx(vcpu * 0.04048)
        assert "vCPU, Spot" not in placed
        neither = strategy(("FARGATE", 0, 0), ("FARGATE_SPOT", 0, 0))  # ECS refuses it
        bill = cost(service(DesiredCount=3, CapacityProviderStrategy=neither))
        assert sum(line.quantity or 0 for line in bill.lines if "vCPU" in line.what) == pytest.approx(vcpu)

    def test_a_cluster_may_say_where_tasks_run(self) -> None:
        resources = {
            **service(Cluster={"Ref": "Cluster"}),
            "Cluster": {"Type": "AWS::ECS::Cluster"},
            "Providers": {
                "Type": "AWS::ECS::ClusterCapacityProviderAssociations",
                "Properties": {
                    "Cluster": {"Ref": "Cluster"},
                    "DefaultCapacityProviderStrategy": strategy(("FARGATE_SPOT", 0, 1)),
                },
            },
        }
        assert set(priced(resources)) == {"vCPU, Spot", "memory, Spot"}
        launched = {**resources, **service(Cluster={"Ref": "Cluster"}, LaunchType="FARGATE")}
        assert set(priced(launched)) == {"vCPU, on demand", "memory, on demand"}

    @pytest.mark.parametrize(
        "placed",
        [{"LaunchType": "EC2"}, {"CapacityProviderStrategy": strategy(("MyInstances", 0, 1))}],
        ids=["launch type", "strategy"],
    )
    def test_tasks_on_instances_cost_nothing_themselves(self, placed: dict[str, object]) -> None:
        assert cost(service({"RequiresCompatibilities": ["EC2"]}, **placed)).lines == ()

    def test_autoscaling_costs_its_minimum_and_the_rest_for_the_busy_share(self) -> None:
        scaling = {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {"MinCapacity": 1, "MaxCapacity": 5, "ResourceId": {"Ref": "Service"}},
        }
        resources = {**service(), "Scaling": scaling}
        assert priced(resources)["vCPU, on demand"] == pytest.approx(0.5 * 730 * 0.04048)
        # a quarter of the month at 5 tasks is on average 1 + 0.25 x 4 = 2 tasks
        busy = priced(resources, Usage(busy_share=0.25))
        assert busy["vCPU, on demand"] == pytest.approx(2 * 0.5 * 730 * 0.04048)

    def test_storage_above_20_gb_and_public_addresses_are_paid(self) -> None:
        network = {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED"}}
        bill = priced(
            service({"EphemeralStorage": {"SizeInGiB": 50}}, DesiredCount=2, NetworkConfiguration=network)
        )
        assert bill["task storage"] == pytest.approx(2 * 30 * 730 * 0.000111)
        assert bill["public IPv4"] == pytest.approx(2 * 730 * 0.005)

    @pytest.mark.parametrize(
        "properties",
        [
            {"DesiredCount": LATER},
            {"DesiredCount": EITHER},
            {"DesiredCount": -3},
            {"CapacityProviderStrategy": [{"CapacityProvider": LATER, "Weight": 1}]},
            {"CapacityProviderStrategy": [{"CapacityProvider": "FARGATE", "Weight": LATER}]},
            {"LaunchType": LATER},
        ],
    )
    def test_what_is_decided_later_is_unknown(self, properties: dict[str, object]) -> None:
        assert priced(service(**properties)) == {"vCPU, on demand": None, "memory, on demand": None}

    def test_a_size_that_is_decided_later_is_unknown(self) -> None:
        assert priced(service({"Cpu": LATER}))["vCPU, on demand"] is None
        assert priced(service({"EphemeralStorage": LATER}))["task storage"] is None

    def test_a_task_that_no_service_runs_costs_nothing(self) -> None:
        resources = service()
        del resources["Service"]
        bill = cost(resources)
        assert (bill.lines, bill.is_lower_bound) == ((), False)

    def test_metrics_of_containers_are_of_unknown_number(self) -> None:
        on, off = ([{"Name": "containerInsights", "Value": value}] for value in ("enhanced", "disabled"))
        assert one("AWS::ECS::Cluster", ClusterSettings=on) == {"Container Insights": None}
        assert one("AWS::ECS::Cluster", ClusterSettings=off) == {}


class TestInstances:
    def instance(self, **properties: object) -> dict[str, float | None]:
        parameters = {
            "Image": {"Default": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64"}
        }
        resources = {
            "It": {
                "Type": "AWS::EC2::Instance",
                "Properties": {"InstanceType": "t4g.nano", "ImageId": {"Ref": "Image"}, **properties},
            },
            "Open": {"Type": "AWS::EC2::Subnet", "Properties": {"MapPublicIpOnLaunch": True}},
            "Closed": {"Type": "AWS::EC2::Subnet"},
        }
        whole = subject(resources, Parameters=parameters)
        lines = monthly_cost(whole, region=None, usage=ZERO, prices=PRICES).lines
        return {line.what: line.amount for line in lines}

    def test_amazon_linux_has_8_gb(self) -> None:
        assert self.instance() == {
            "instance t4g.nano": pytest.approx(730 * 0.0042),
            "root volume of Amazon Linux gp3": pytest.approx(8 * 0.08),
        }

    def test_a_volume_that_is_named_counts_instead(self) -> None:
        devices = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "VolumeType": "gp3"}}]
        assert self.instance(BlockDeviceMappings=devices)["volume gp3"] == pytest.approx(30 * 0.08)

    @pytest.mark.parametrize("properties", [{"ImageId": "ami-0123"}, {"BlockDeviceMappings": LATER}])
    def test_a_volume_that_the_image_decides_is_unknown(self, properties: dict[str, object]) -> None:
        assert self.instance(**properties)["root volume gp3"] is None

    def test_an_instance_type_without_a_price_is_unknown(self) -> None:
        assert self.instance(InstanceType="m7i.large")["instance m7i.large"] is None
        assert self.instance(InstanceType=LATER)["instance"] is None

    @pytest.mark.parametrize(
        ("properties", "addresses"),
        [
            ({"SubnetId": {"Ref": "Open"}}, 1),
            ({"SubnetId": {"Ref": "Closed"}}, 0),
            ({"NetworkInterfaces": [{"AssociatePublicIpAddress": True}]}, 1),
            ({"NetworkInterfaces": [{"AssociatePublicIpAddress": False}]}, 0),
        ],
    )
    def test_an_address_comes_with_the_subnet_or_the_interface(
        self, properties: dict[str, object], addresses: int
    ) -> None:
        assert ("public IPv4" in self.instance(**properties)) == bool(addresses)

    def test_an_elastic_ip_takes_the_place_of_the_address(self) -> None:
        resources = {
            "It": {"Type": "AWS::EC2::Instance", "Properties": {"SubnetId": {"Ref": "Open"}}},
            "Open": {"Type": "AWS::EC2::Subnet", "Properties": {"MapPublicIpOnLaunch": True}},
            "Address": {"Type": "AWS::EC2::EIP"},
            "Join": {"Type": "AWS::EC2::EIPAssociation", "Properties": {"InstanceId": {"Ref": "It"}}},
        }
        owners = [line.logical_id for line in cost(resources).lines if line.what == "public IPv4"]
        assert owners == ["Address"]

    def test_a_volume_of_its_own(self) -> None:
        assert one("AWS::EC2::Volume", Size=100) == {"volume gp2": pytest.approx(100 * 0.1)}


class TestFunctions:
    USE = Usage(app_requests=1_000_000, app_seconds=2)

    def behind_a_url(self, **properties: object) -> dict[str, object]:
        return {
            "Url": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "It"}}},
            "It": {"Type": "AWS::Lambda::Function", "Properties": properties},
        }

    def test_the_defaults_are_128_mb_and_x86(self) -> None:
        assert priced(self.behind_a_url(), self.USE) == {
            "calls": pytest.approx(0.2),
            "duration": pytest.approx(2_000_000 * 0.125 * 1.66667e-05),
        }

    def test_a_million_calls_and_400_000_gb_seconds_are_free(self) -> None:
        bill = cost(self.behind_a_url(MemorySize=1024), self.USE)
        assert bill.total == pytest.approx(1_600_000 * 1.66667e-05)

    def test_the_allowance_is_for_all_functions_together(self) -> None:
        both = {
            **self.behind_a_url(MemorySize=1024),
            "Url2": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "It2"}}},
            "It2": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"MemorySize": 1024, "Architectures": ["arm64"]},
            },
        }
        # each gets half a million calls: 1,000,000 GB-s each, of which 400,000 of the first are free
        expected = 600_000 * 1.66667e-05 + 1_000_000 * 1.33334e-05
        assert cost(both, self.USE).total == pytest.approx(expected)

    def test_temporary_storage_above_512_mb(self) -> None:
        found = priced(self.behind_a_url(EphemeralStorage={"Size": 1536}), self.USE)
        assert found["temporary storage"] == pytest.approx(2_000_000 * 1 * 3.09e-08)

    def test_environments_that_are_kept_ready(self) -> None:
        resources = {
            **self.behind_a_url(MemorySize=2048),
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "FunctionName": {"Ref": "It"},
                    "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                    "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 3},
                },
            },
            "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "It"}}},
        }
        resources["Url"] = {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Alias"}}}
        assert priced(resources, self.USE) == {
            "calls": pytest.approx(0.2),
            "provisioned concurrency": pytest.approx(3 * 2 * 730 * 3600 * 4.1667e-06),
            # what runs in them has its own, lower price
            "duration": pytest.approx(2_000_000 * 2 * 9.7222e-06),
        }

    def test_what_events_start_runs_as_often_as_nobody_knows(self) -> None:
        bill = cost({"It": {"Type": "AWS::Lambda::Function"}})
        assert [(line.what, line.amount) for line in bill.lines] == [("calls", None), ("duration", None)]
        assert bill.is_lower_bound

    def test_what_only_deployments_start_costs_nothing(self) -> None:
        """A provider's framework starts the user's functions and the machine that waits."""
        function = "AWS::Lambda::Function"
        resources = {
            "Custom": {
                "Type": "Custom::DifyMigration",
                "Properties": {"ServiceToken": {"Fn::GetAtt": ["On", "Arn"]}},
            },
            "On": {
                "Type": function,
                "Properties": {"Environment": {"Variables": {"A": {"Ref": "User"}, "B": {"Ref": "Waiter"}}}},
            },
            "User": {"Type": function},
            "Waiter": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "DefinitionString": {"Fn::Join": ["", ["x", {"Fn::GetAtt": ["Done", "Arn"]}]]}
                },
            },
            "Done": {"Type": function},
        }
        bill = cost(resources)
        assert (bill.lines, bill.is_lower_bound) == ((), False)

    def test_a_custom_resource_may_name_a_function_that_users_reach(self) -> None:
        resources = {
            **self.behind_a_url(),
            "Custom": {
                "Type": "Custom::DifyMigration",
                "Properties": {"ServiceToken": {"Ref": "Other"}, "Function": {"Ref": "It"}},
            },
            "Other": {"Type": "AWS::Lambda::Function"},
        }
        assert {line.logical_id for line in cost(resources, self.USE).lines if line.logical_id} == {"It"}

    @pytest.mark.parametrize(
        "properties", [{"MemorySize": LATER}, {"Architectures": LATER}, {"Architectures": [LATER]}]
    )
    def test_what_is_decided_later_is_unknown(self, properties: dict[str, object]) -> None:
        assert priced(self.behind_a_url(**properties), self.USE)["duration"] is None
