"""What resources cost, each computed by hand from unit prices of us-east-1.

Unit prices stand in ``prices.json``; the arithmetic here uses the figures themselves, so that a wrong key, a
wrong unit or a wrong quantity shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dify_cdk.report.cost.free import FREE_TYPES
from dify_cdk.report.prices import Price, Prices, load_prices
from dify_cdk.report.pricing import (
    NOT_COUNTED,
    RULES,
    SHARED_RULES,
    CostLine,
    MonthlyCost,
    break_even,
    floor,
    monthly_cost,
)
from dify_cdk.report.subject import Part, Subject
from dify_cdk.report.usage import USAGES, ZERO, Usage

TEMPLATES = Path(__file__).parents[1] / "data" / "templates"
PRICES = load_prices()
LATER = {"Ref": "SomeParameter"}
EITHER = {"Fn::If": ["Large", 2, 1]}


def part(resources: Mapping[str, object], region: str | None = "us-east-1", **top: object) -> Part:
    return Part(name="main", template={"Resources": resources, **top}, region=region)


def subject(resources: Mapping[str, object], region: str | None = "us-east-1", **top: object) -> Subject:
    return Subject(name="test", parts=(part(resources, region, **top),))


def cost(
    resources: Mapping[str, object], usage: Usage = ZERO, region: str | None = "us-east-1"
) -> MonthlyCost:
    return monthly_cost(subject(resources, region), region=None, usage=usage, prices=PRICES)


def priced(resources: Mapping[str, object], usage: Usage = ZERO) -> dict[str, float | None]:
    """USD by what is paid for, allowances left out, zeros too."""
    lines = cost(resources, usage).lines
    return {line.what: line.amount for line in lines if line.type and line.amount != 0}


def one(type: str, usage: Usage = ZERO, /, **properties: object) -> dict[str, float | None]:
    return priced({"It": {"Type": type, "Properties": properties}}, usage)


def service(task: Mapping[str, object] | None = None, /, **properties: object) -> dict[str, object]:
    """An ECS service with one task of 0.5 vCPU and 2 GB on Fargate."""
    size = {"Cpu": "512", "Memory": "2048", "RequiresCompatibilities": ["FARGATE"]}
    containers = [{"Name": "app", "Image": "app:1"}]
    return {
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {**size, "ContainerDefinitions": containers, **(task or {})},
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {"TaskDefinition": {"Ref": "Task"}, "DesiredCount": 1, **properties},
        },
    }


def strategy(*entries: tuple[str, int, int]) -> list[dict[str, object]]:
    return [{"CapacityProvider": name, "Base": base, "Weight": weight} for name, base, weight in entries]


class TestTheCheapestInstallation:
    """The public table of a predecessor for its cheapest configuration: 47.9 USD a month in us-east-1.

    See https://github.com/aws-samples/dify-self-hosted-on-aws (README, Cost). It counts Fargate Spot for web
    and api, an ALB, a Valkey node, a t4g.nano with a public address, three secrets and a sleeping database.
    """

    @pytest.fixture
    def bill(self) -> MonthlyCost:
        template = json.loads((TEMPLATES / "cheapest.template.json").read_text())
        whole = Subject(
            name="cheapest", parts=(Part(name="cheapest", template=template, region="us-east-1"),)
        )
        return floor(whole, region=None, prices=PRICES)

    def test_the_total_is_within_five_percent(self, bill: MonthlyCost) -> None:
        assert bill.total == pytest.approx(47.9, rel=0.05)
        assert not bill.is_lower_bound

    def test_every_line_by_hand(self, bill: MonthlyCost) -> None:
        assert {(line.logical_id, line.what): line.amount for line in bill.lines if line.amount} == {
            # 0.25 vCPU and 0.5 GB, 1 vCPU and 2 GB, at Spot prices, 730 hours
            ("WebService", "vCPU, Spot"): pytest.approx(0.25 * 0.01288871 * 730),
            ("WebService", "memory, Spot"): pytest.approx(0.5 * 0.00141527 * 730),
            ("ApiService", "vCPU, Spot"): pytest.approx(1 * 0.01288871 * 730),
            ("ApiService", "memory, Spot"): pytest.approx(2 * 0.00141527 * 730),
            # one node; one internal balancer, which has no public address
            ("Cache", "valkey cache.t4g.micro"): pytest.approx(0.0128 * 730),
            ("Alb", "application load balancer"): pytest.approx(0.0225 * 730),
            # the NAT instance: itself, the 8 GB of Amazon Linux, the address that its subnet gives it
            ("NatInstance", "instance t4g.nano"): pytest.approx(0.0042 * 730),
            ("NatInstance", "root volume of Amazon Linux gp3"): pytest.approx(8 * 0.08),
            ("NatInstance", "public IPv4"): pytest.approx(0.005 * 730),
            ("MasterSecret", "secret"): 0.4,
            ("CacheToken", "secret"): 0.4,
            ("Encryption", "secret"): 0.4,
        }

    def test_the_database_sleeps(self, bill: MonthlyCost) -> None:
        (capacity,) = [line for line in bill.lines if line.what == "capacity"]
        assert (capacity.quantity, capacity.amount) == (0, 0)


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


class TestTheNetwork:
    USE = Usage(outbound_gb=50)

    def test_an_elastic_ip(self) -> None:
        assert one("AWS::EC2::EIP") == {"public IPv4": pytest.approx(730 * 0.005)}

    def test_nat_gateways_share_the_traffic(self) -> None:
        gateways = {"A": {"Type": "AWS::EC2::NatGateway"}, "B": {"Type": "AWS::EC2::NatGateway"}}
        lines = cost(gateways, self.USE).lines
        assert [line.amount for line in lines if line.what == "NAT gateway"] == [
            pytest.approx(730 * 0.045)
        ] * 2
        # 50 GB out and as much in
        assert [line.amount for line in lines if "traffic" in line.what] == [pytest.approx(100 * 0.045)]

    def test_what_leaves_for_the_internet_is_paid_by_the_gb(self) -> None:
        gateway = {"It": {"Type": "AWS::EC2::InternetGateway"}}
        assert priced(gateway, Usage(outbound_gb=250)) == {"to the internet": pytest.approx(250 * 0.09)}
        # the first 100 GB a month are free
        assert cost(gateway, Usage(outbound_gb=250)).total == pytest.approx(150 * 0.09)
        assert cost(gateway, Usage(outbound_gb=99)).total == pytest.approx(0)

    def test_an_interface_endpoint_is_paid_by_the_zone(self) -> None:
        endpoint = {"VpcEndpointType": "Interface", "SubnetIds": [{"Ref": "A"}, {"Ref": "B"}]}
        assert one("AWS::EC2::VPCEndpoint", **endpoint) == {
            "interface endpoint": pytest.approx(2 * 730 * 0.01)
        }

    def test_traffic_takes_the_endpoints_where_there_is_no_other_way(self) -> None:
        endpoint = {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {"VpcEndpointType": "Interface", "SubnetIds": []},
        }
        closed = {"A": endpoint, "B": endpoint}
        assert priced(closed, self.USE) == {"traffic through interface endpoints": pytest.approx(100 * 0.01)}
        with_internet = {**closed, "Internet": {"Type": "AWS::EC2::InternetGateway"}}
        assert "traffic through interface endpoints" not in priced(with_internet, self.USE)

    @pytest.mark.parametrize("properties", [{}, {"VpcEndpointType": "Gateway"}])
    def test_a_gateway_endpoint_is_free(self, properties: dict[str, object]) -> None:
        assert one("AWS::EC2::VPCEndpoint", self.USE, **properties) == {}

    @pytest.mark.parametrize(
        "properties",
        [
            {"VpcEndpointType": "Interface", "SubnetIds": LATER},
            {
                "VpcEndpointType": "Interface",
                "SubnetIds": [{"Fn::If": ["Large", {"Ref": "A"}, {"Ref": "B"}]}],
            },
            {"VpcEndpointType": LATER},
        ],
    )
    def test_an_endpoint_of_unknown_zones_is_unknown(self, properties: dict[str, object]) -> None:
        assert one("AWS::EC2::VPCEndpoint", **properties) == {"interface endpoint": None}


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


class TestLoadBalancers:
    ZONES = ({"Ref": "A"}, {"Ref": "B"})

    def test_a_public_one_has_an_address_in_every_zone(self) -> None:
        assert one("AWS::ElasticLoadBalancingV2::LoadBalancer", Subnets=list(self.ZONES)) == {
            "application load balancer": pytest.approx(730 * 0.0225),
            "public IPv4": pytest.approx(2 * 730 * 0.005),
        }

    @pytest.mark.parametrize(
        "setting", [{"Scheme": "internal"}, {"IpAddressType": "dualstack-without-public-ipv4"}]
    )
    def test_an_internal_one_has_none(self, setting: dict[str, object]) -> None:
        found = one("AWS::ElasticLoadBalancingV2::LoadBalancer", Subnets=list(self.ZONES), **setting)
        assert set(found) == {"application load balancer"}

    @pytest.mark.parametrize(
        ("usage", "units"),
        [
            # 90,000 connections are one unit-hour (25 a second)
            (Usage(app_requests=900_000), 10),
            # 10,800,000 seconds are one (3,000 at a time)
            (Usage(app_requests=1000, app_seconds=54_000), 5),
            # a GB is one, whichever way it goes
            (Usage(download_gb=30, upload_gb=10), 40),
        ],
        ids=["connections", "their duration", "GB"],
    )
    def test_capacity_units_follow_the_largest_dimension(self, usage: Usage, units: float) -> None:
        found = one("AWS::ElasticLoadBalancingV2::LoadBalancer", usage, Scheme="internal")
        assert found["capacity units"] == pytest.approx(units * 0.008)

    def test_a_public_one_sends_to_the_internet(self) -> None:
        usage = Usage(download_gb=200)
        found = one("AWS::ElasticLoadBalancingV2::LoadBalancer", usage, Subnets=list(self.ZONES))
        assert found["to the internet"] == pytest.approx(200 * 0.09)
        assert "to the internet" not in one(
            "AWS::ElasticLoadBalancingV2::LoadBalancer", usage, Scheme="internal"
        )

    @pytest.mark.parametrize("subnets", [{"Subnets": LATER}, {}, {"Subnets": [EITHER]}])
    def test_unknown_zones_are_unknown_addresses(self, subnets: dict[str, object]) -> None:
        assert one("AWS::ElasticLoadBalancingV2::LoadBalancer", **subnets)["public IPv4"] is None

    def test_own_addresses_are_counted_where_they_are_defined(self) -> None:
        mapped = [{"SubnetId": {"Ref": "A"}, "AllocationId": {"Ref": "Address"}}]
        found = one("AWS::ElasticLoadBalancingV2::LoadBalancer", Type="network", SubnetMappings=mapped)
        assert found == {"network load balancer": None}


def http_api(route_key: str = "$default", **integration: object) -> dict[str, object]:
    return {
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP"}},
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {"ApiId": {"Ref": "Api"}, **integration},
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": route_key,
                "Target": {"Fn::Join": ["/", ["integrations", {"Ref": "Integration"}]]},
                "AuthorizerId": {"Ref": "Authorizer"},
            },
        },
        "Authorizer": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {"AuthorizerUri": {"Fn::GetAtt": ["Guard", "Arn"]}},
        },
        "Guard": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"MemorySize": 256, "Architectures": ["arm64"]},
        },
    }


class TestHttpApis:
    def test_uploads_count_in_pieces_of_512_kb(self) -> None:
        usage = Usage(app_requests=1_000_000, page_requests=500_000, uploads=500_000, upload_gb=100)
        found = priced({"It": http_api()["Api"]}, usage)
        # 2 million requests, and 100 GB are 204,800 pieces
        assert found["requests"] == pytest.approx(2.2048 * 1.0)

    def test_it_sends_to_the_internet(self) -> None:
        assert priced({"It": http_api()["Api"]}, Usage(download_gb=10))["to the internet"] == pytest.approx(
            0.9
        )

    def test_an_authorizer_is_asked_for_every_request(self) -> None:
        bill = cost(http_api(), Usage(app_requests=3_000_000))
        guard = {line.what: line.amount for line in bill.lines if line.logical_id == "Guard"}
        # 10 ms each: 30,000 s x 0.25 GB on arm64
        assert guard == {"calls": pytest.approx(3 * 0.2), "duration": pytest.approx(7500 * 1.33334e-05)}

    def test_look_ups_of_containers_are_unknown_as_soon_as_there_are_requests(self) -> None:
        api = http_api(ConnectionType="VPC_LINK", IntegrationUri="arn:aws:servicediscovery:...")
        assert priced(api, Usage(app_requests=1))["look-ups of containers"] is None
        assert not cost(api).is_lower_bound

    def test_a_load_balancer_is_not_looked_up(self) -> None:
        api = {
            **http_api(ConnectionType="VPC_LINK", IntegrationUri={"Ref": "Listener"}),
            "Listener": {
                "Type": "AWS::ElasticLoadBalancingV2::Listener",
                "Properties": {"LoadBalancerArn": {"Ref": "Balancer"}},
            },
            "Balancer": {
                "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                "Properties": {"Scheme": "internal"},
            },
        }
        found = priced(api, Usage(app_requests=900_000))
        assert "look-ups of containers" not in found
        assert found["capacity units"] == pytest.approx(10 * 0.008), "the balancer gets what the API got"

    def test_an_api_of_another_protocol_is_unknown(self) -> None:
        assert one("AWS::ApiGatewayV2::Api", ProtocolType="WEBSOCKET") == {"requests": None}

    def test_a_rest_api(self) -> None:
        assert one("AWS::ApiGateway::RestApi", Usage(app_requests=1_000_000)) == {
            "requests": pytest.approx(3.5)
        }


def edge(**behavior: object) -> dict[str, Any]:
    """A distribution before two functions, by path, as in v3."""
    trust = {"Statement": [{"Principal": {"Service": ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]}}]}
    associated = [{"EventType": "origin-request", "LambdaFunctionARN": {"Ref": "SignerVersion"}}]
    viewer = [{"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Viewer", "FunctionARN"]}}]

    def address(url: str) -> dict[str, object]:
        parts = {"Fn::Split": ["/", {"Fn::GetAtt": [url, "FunctionUrl"]}]}
        return {"Fn::Select": [2, parts]}

    return {
        "Distribution": {
            "Type": "AWS::CloudFront::Distribution",
            "Properties": {
                "DistributionConfig": {
                    "Origins": [
                        {"Id": "web", "DomainName": address("WebUrl")},
                        {"Id": "api", "DomainName": address("ApiUrl")},
                        {"Id": "files", "DomainName": {"Fn::Sub": "${Api}.execute-api.example"}},
                    ],
                    "CacheBehaviors": [
                        {"PathPattern": "/api/files/upload", "TargetOriginId": "files"},
                        {
                            "PathPattern": "/api/*",
                            "TargetOriginId": "api",
                            "LambdaFunctionAssociations": associated,
                            **behavior,
                        },
                    ],
                    "DefaultCacheBehavior": {"TargetOriginId": "web", "FunctionAssociations": viewer},
                }
            },
        },
        "Viewer": {"Type": "AWS::CloudFront::Function"},
        "WebUrl": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Web"}}},
        "ApiUrl": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Backend"}}},
        "Web": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1024}},
        "Backend": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 2048}},
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP"}},
        "Signer": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
        "SignerVersion": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Signer"}}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
    }


class TestTheEdge:
    USE = Usage(
        app_requests=2_000_000,
        app_seconds=1.5,
        page_requests=3_000_000,
        page_seconds=0.1,
        uploads=1_000_000,
        upload_gb=10,
        download_gb=2000,
    )

    def lines(
        self, resources: Mapping[str, object], usage: Usage = USE
    ) -> dict[tuple[str, str], float | None]:
        return {(line.logical_id, line.what): line.amount for line in cost(resources, usage).lines}

    def test_everything_passes_the_distribution(self) -> None:
        lines = self.lines(edge())
        # 6 million requests at 0.01 for 10,000
        assert lines["Distribution", "requests"] == pytest.approx(6)
        assert lines["Distribution", "data to browsers and clients"] == pytest.approx(2000 * 0.085)
        assert lines["Distribution", "data to the origin"] == pytest.approx(10 * 0.02)

    def test_the_first_terabyte_and_ten_million_requests_are_free(self) -> None:
        lines = self.lines(edge())
        assert lines["", "free every month: requests"] == pytest.approx(-6)
        assert lines["", "free every month: data to browsers and clients"] == pytest.approx(-1024 * 0.085)

    def test_each_behavior_leads_its_requests_to_its_function(self) -> None:
        lines = self.lines(edge())
        # pages: 3 million of 0.1 s at 1 GB; the api: 2 million of 1.5 s at 2 GB
        assert lines["Web", "calls"] == pytest.approx(3 * 0.2)
        assert lines["Web", "duration"] == pytest.approx(300_000 * 1 * 1.66667e-05)
        assert lines["Backend", "calls"] == pytest.approx(2 * 0.2)
        assert lines["Backend", "duration"] == pytest.approx(3_000_000 * 2 * 1.66667e-05)

    def test_uploads_go_to_the_api_behind_it_which_is_no_door_of_its_own(self) -> None:
        lines = self.lines(edge())
        # a million requests, and 10 GB in pieces of 512 KB
        assert lines["Api", "requests"] == pytest.approx(1.02048)
        assert ("Api", "to the internet") not in lines

    def test_functions_of_cloudfront_run_where_a_behavior_names_them(self) -> None:
        lines = self.lines(edge())
        assert lines["Viewer", "CloudFront Function"] == pytest.approx(3 * 0.1), "pages only"
        assert lines["", "free every month: CloudFront Function"] == pytest.approx(-2 * 0.1)

    def test_lambda_at_the_edge_is_paid_at_its_own_price(self) -> None:
        bill = cost(edge(), self.USE)
        signer = {line.what: line for line in bill.lines if line.logical_id == "Signer"}
        assert signer["calls"].amount == pytest.approx(2 * 0.6)
        # 10 ms each at 128 MB
        assert signer["duration"].amount == pytest.approx(20_000 * 0.125 * 5.001e-05)
        assert signer["calls"].service == "AWS Lambda@Edge"

    def test_lambda_at_the_edge_in_another_stack_is_paid_too(self) -> None:
        resources = edge()
        away = {id: resources.pop(id) for id in ("Signer", "SignerVersion", "Role")}
        far = Part(name="edge", template={"Resources": away}, region="us-east-1")
        whole = Subject(name="test", parts=(part(resources, "ap-northeast-1"), far))
        bill = monthly_cost(whole, region=None, usage=self.USE, prices=PRICES)
        calls = [line for line in bill.lines if line.service == "AWS Lambda@Edge" and line.what == "calls"]
        assert [(line.part, line.logical_id) for line in calls] == [("edge", "Signer")]
        assert [line.amount for line in calls] == [pytest.approx(1.2)]

    def test_a_distribution_before_a_load_balancer_hides_it(self) -> None:
        config = {
            "Origins": [{"Id": "alb", "VpcOriginConfig": {"VpcOriginId": {"Ref": "Way"}}}],
            "DefaultCacheBehavior": {"TargetOriginId": "alb"},
        }
        resources = {
            "Door": {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}},
            "Way": {
                "Type": "AWS::CloudFront::VpcOrigin",
                "Properties": {"VpcOriginEndpointConfig": {"Arn": {"Ref": "Balancer"}}},
            },
            "Balancer": {
                "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                "Properties": {"Scheme": "internet-facing", "Subnets": ["subnet-1", "subnet-2"]},
            },
        }
        lines = self.lines(resources, Usage(app_requests=900_000, download_gb=5))
        assert lines["Balancer", "capacity units"] == pytest.approx(10 * 0.008)
        assert ("Balancer", "to the internet") not in lines, "from AWS to CloudFront nothing is paid"

    def test_doors_that_stand_side_by_side_share_the_users(self) -> None:
        balancer = {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Scheme": "internal"}}
        found = cost({"A": balancer, "B": balancer}, Usage(app_requests=1_800_000)).lines
        assert [line.amount for line in found if line.what == "capacity units"] == [
            pytest.approx(10 * 0.008)
        ] * 2

    def test_a_firewall(self) -> None:
        usage = Usage(app_requests=500_000, page_requests=400_000, uploads=100_000)
        assert one("AWS::WAFv2::WebACL", usage, Rules=[{"Name": "a"}, {"Name": "b"}]) == {
            "web ACL": 5,
            "rules": 2,
            "requests": pytest.approx(0.6),
        }
        assert one("AWS::WAFv2::RuleGroup", Rules=[{}, {}, {}]) == {"rules of a group": 3}
        assert one("AWS::WAFv2::WebACL", Rules=LATER)["rules"] is None


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


class TestData:
    def database(self, *extra: str, **cluster: object) -> dict[str, object]:
        scaling = {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4}}
        instance = {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {"DBClusterIdentifier": {"Ref": "Cluster"}, "DBInstanceClass": "db.serverless"},
        }
        return {
            "Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": {**scaling, **cluster}},
            "Writer": instance,
            **dict.fromkeys(extra, instance),
        }

    @pytest.mark.parametrize(("wanted", "units"), [(0, 0.5), (0.3, 0.5), (2, 2), (9, 4)])
    def test_capacity_stays_between_its_limits(self, wanted: float, units: float) -> None:
        found = priced(self.database(), Usage(database_acu=wanted))
        assert found == {"capacity": pytest.approx(units * 730 * 0.12)}

    def test_readers_stay_at_the_smallest_size(self) -> None:
        lines = cost(self.database("Reader"), Usage(database_acu=3)).lines
        amounts = {line.logical_id: line.amount for line in lines if line.what == "capacity"}
        assert amounts == {"Writer": pytest.approx(3 * 730 * 0.12), "Reader": pytest.approx(0.5 * 730 * 0.12)}

    def test_storage_and_its_requests(self) -> None:
        found = priced(self.database(), Usage(database_gb=20, database_io=5_000_000))
        assert found["storage"] == pytest.approx(20 * 0.1)
        assert found["reads and writes"] == pytest.approx(5 * 0.2)

    def test_io_optimized_pays_more_for_capacity_and_no_requests(self) -> None:
        usage = Usage(database_io=5_000_000, database_acu=1)
        found = priced(self.database(StorageType="aurora-iopt1"), usage)
        assert found == {"capacity": pytest.approx(1 * 730 * 0.16)}

    def test_io_optimized_storage_has_a_price_of_its_own(self) -> None:
        found = priced(self.database(StorageType="aurora-iopt1"), Usage(database_gb=1))
        assert found["storage"] is None

    @pytest.mark.parametrize(
        "scaling", [None, LATER, {"MinCapacity": LATER, "MaxCapacity": 4}, {"MinCapacity": 0.5}]
    )
    def test_limits_that_are_not_there_are_unknown(self, scaling: object) -> None:
        assert priced(self.database(ServerlessV2ScalingConfiguration=scaling))["capacity"] is None

    def test_an_instance_of_a_fixed_size_has_no_price_here(self) -> None:
        found = one(
            "AWS::RDS::DBInstance", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage="20"
        )
        assert found == {"instance db.t4g.micro": None, "storage": None}

    @pytest.mark.parametrize(
        ("properties", "nodes"),
        [
            ({"NumCacheClusters": 1}, 1),
            ({"NumCacheClusters": "3"}, 3),
            ({"NumNodeGroups": 1, "ReplicasPerNodeGroup": 1}, 2),
            ({"NumNodeGroups": 2, "ReplicasPerNodeGroup": 2}, 6),
            ({}, 1),
        ],
    )
    def test_every_cache_node_is_paid(self, properties: dict[str, object], nodes: int) -> None:
        node = {"Engine": "valkey", "CacheNodeType": "cache.t4g.micro"}
        assert one("AWS::ElastiCache::ReplicationGroup", **node, **properties) == {
            "valkey cache.t4g.micro": pytest.approx(nodes * 730 * 0.0128)
        }

    def test_redis_is_dearer_than_valkey_and_other_nodes_are_unknown(self) -> None:
        group = "AWS::ElastiCache::ReplicationGroup"
        assert one(group, CacheNodeType="cache.t4g.micro") == {
            "redis cache.t4g.micro": pytest.approx(730 * 0.016)
        }
        assert one(group, CacheNodeType="cache.r7g.large") == {"redis cache.r7g.large": None}
        assert one(group, CacheNodeType="cache.t4g.micro", NumNodeGroups=LATER) == {
            "redis cache.t4g.micro": None
        }
        assert one("AWS::ElastiCache::CacheCluster", CacheNodeType="cache.t4g.micro", NumCacheNodes=2) == {
            "redis cache.t4g.micro": pytest.approx(2 * 730 * 0.016)
        }

    def test_a_serverless_cache_is_paid_for_its_smallest_size(self) -> None:
        cache = "AWS::ElastiCache::ServerlessCache"
        assert one(cache, Engine="valkey") == {"serverless cache": pytest.approx(0.1 * 730 * 0.084)}
        larger = {"DataStorage": {"Minimum": 2, "Unit": "GB"}}
        assert one(cache, Engine="valkey", CacheUsageLimits=larger) == {
            "serverless cache": pytest.approx(2 * 730 * 0.084)
        }
        assert one(cache, Engine="memcached") == {"serverless cache": None}

    def test_buckets_share_what_is_stored(self) -> None:
        usage = Usage(files_gb=100, uploads=10_000)
        bill = cost({"A": {"Type": "AWS::S3::Bucket"}, "B": {"Type": "AWS::S3::Bucket"}}, usage)
        assert {line.what: line.amount for line in bill.lines} == {
            "storage": pytest.approx(2.3),
            "writes": pytest.approx(0.05),
            "reads": pytest.approx(0.004),
        }
        assert {line.logical_id for line in bill.lines} == {""}

    def test_secrets_keys_and_parameters(self) -> None:
        assert one("AWS::SecretsManager::Secret") == {"secret": 0.4}
        assert one("AWS::KMS::Key") == {"key": 1.0}
        assert one("AWS::SSM::Parameter", Type="String") == {}
        assert one("AWS::SSM::Parameter", Tier="Advanced") == {"advanced parameter": None}


class TestOperations:
    @pytest.mark.parametrize(
        "type",
        [
            "AWS::Route53::HostedZone",
            "AWS::ServiceDiscovery::PrivateDnsNamespace",
            "AWS::ServiceDiscovery::PublicDnsNamespace",
        ],
    )
    def test_a_dns_namespace_is_a_zone(self, type: str) -> None:
        assert one(type) == {"hosted zone": 0.5}

    def test_logs_are_paid_when_they_come_and_while_they_stay(self) -> None:
        groups = {
            "A": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
            "B": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        }
        assert priced(groups, Usage(log_gb=10)) == {
            "log ingestion": pytest.approx(10 * 0.5),
            # the longest retention: 30 of 30.417 days a month
            "log storage": pytest.approx(10 * 30 / (730 / 24) * 0.03),
        }

    @pytest.mark.parametrize("days", [{}, {"RetentionInDays": LATER}])
    def test_logs_that_nothing_ends_grow_without_limit(self, days: dict[str, object]) -> None:
        assert one("AWS::Logs::LogGroup", Usage(log_gb=1), **days)["log storage"] is None
        assert one("AWS::Logs::LogGroup", **days) == {}

    def test_alarms_are_paid_by_metric(self) -> None:
        assert one("AWS::CloudWatch::Alarm", MetricName="Errors") == {"alarm": pytest.approx(0.1)}
        queries = [{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "m1/m2"}]
        assert one("AWS::CloudWatch::Alarm", Metrics=queries) == {"alarm": pytest.approx(0.2)}

    def test_a_dashboard(self) -> None:
        assert one("AWS::CloudWatch::Dashboard") == {"dashboard": 3}

    def test_the_first_ten_thousand_people_sign_in_for_free(self) -> None:
        pool = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {}}}
        assert cost(pool, Usage(users=10_000)).total == pytest.approx(0)
        assert cost(pool, Usage(users=12_000)).total == pytest.approx(2000 * 0.015)
        plus = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolTier": "PLUS"}}}
        assert cost(plus, Usage(users=100)).total == pytest.approx(2)

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            ("AWS::CodeBuild::Project", {}),
            ("AWS::ECR::Repository", {}),
            ("AWS::StepFunctions::StateMachine", {}),
            ("AWS::Events::Rule", {"Targets": [{"EcsParameters": {"TaskCount": 1}}]}),
            ("AWS::Scheduler::Schedule", {"Target": {"EcsParameters": {}}}),
            ("Custom::AWS", {"Create": '{"service":"EC2","action":"runInstances"}'}),
        ],
    )
    def test_what_a_template_does_not_say_is_unknown(self, type: str, properties: dict[str, object]) -> None:
        assert list(one(type, **properties).values()) == [None]

    @pytest.mark.parametrize(
        ("type", "usage"),
        [
            ("AWS::Backup::BackupVault", Usage(database_gb=1)),
            ("AWS::Backup::BackupVault", Usage(files_gb=1)),
            ("AWS::SES::EmailIdentity", Usage(users=1)),
        ],
    )
    def test_what_grows_with_the_use_is_nothing_at_first_and_then_unknown(
        self, type: str, usage: Usage
    ) -> None:
        assert one(type) == {}
        assert list(one(type, usage).values()) == [None]

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            ("AWS::Events::Rule", {"Targets": [{"Arn": "arn"}]}),
            ("Custom::AWS", {"Create": '{"action": "describeManagedPrefixLists","service":"EC2"}'}),
            ("Custom::AWS", {"Create": {"Fn::Join": ["", ['{"action":"getParameter","x":"', LATER, '"}']]}}),
        ],
    )
    def test_what_starts_nothing_is_free(self, type: str, properties: dict[str, object]) -> None:
        assert one(type, **properties) == {}

    def test_a_build_that_a_deployment_starts_costs_nothing_in_a_month(self) -> None:
        resources = {
            "It": {"Type": "AWS::CodeBuild::Project"},
            "Image": {"Type": "Custom::CDKContainerImageBuild", "Properties": {"Project": {"Ref": "It"}}},
        }
        assert cost(resources).lines == ()


class TestTheBill:
    def test_a_type_without_a_rule_is_listed_and_makes_a_lower_bound(self) -> None:
        bill = cost(
            {"Z": {"Type": "AWS::Quantum::Teleporter"}, "B": {"Type": "MongoDB::Atlas::Cluster"}, "A": {}}
        )
        assert bill.unpriced == ("(no type)", "AWS::Quantum::Teleporter", "MongoDB::Atlas::Cluster")
        assert (bill.total, bill.is_lower_bound, bill.lines) == (0, True, ())

    def test_a_custom_resource_of_others_may_make_anything(self) -> None:
        assert cost({"It": {"Type": "Custom::Anything"}}).unpriced == ("Custom::Anything",)

    def test_a_type_is_either_priced_or_free(self) -> None:
        assert (RULES.keys() | SHARED_RULES.keys()).isdisjoint(FREE_TYPES)

    def test_a_resource_under_a_condition_is_unknown(self) -> None:
        bill = cost({"It": {"Type": "AWS::EC2::EIP", "Condition": "Large"}})
        assert [(line.amount, line.formula) for line in bill.lines] == [
            (None, "only under a condition: 1 address x 730 h")
        ]
        assert bill.is_lower_bound

    def test_nothing_of_something_costs_nothing_whatever_its_price(self) -> None:
        bill = cost(
            {
                "It": {
                    "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                    "Properties": {"Scheme": "internal"},
                }
            },
            region="us-west-2",
        )
        assert [(line.what, line.unit_price, line.amount) for line in bill.lines] == [
            ("application load balancer", 0.0225, pytest.approx(16.425)),
            ("capacity units", None, 0),
        ]
        assert not bill.is_lower_bound

    def test_the_empty_subject_costs_nothing(self) -> None:
        bill = monthly_cost(Subject(name="none", parts=()), region="us-east-1", usage=ZERO, prices=PRICES)
        assert (bill.region, bill.lines, bill.total, bill.is_lower_bound) == ("us-east-1", (), 0, False)

    def test_it_says_what_is_not_counted(self) -> None:
        assert any("availability zones" in text for text in NOT_COUNTED)


class TestRegions:
    GATEWAY: ClassVar[dict[str, object]] = {"It": {"Type": "AWS::EC2::NatGateway"}}

    def gateway(self, own: str | None, wanted: str | None) -> MonthlyCost:
        return monthly_cost(subject(self.GATEWAY, own), region=wanted, usage=ZERO, prices=PRICES)

    @pytest.mark.parametrize(
        ("own", "wanted", "region", "price"),
        [
            ("us-east-1", None, "us-east-1", 0.045),
            ("ap-northeast-1", None, "ap-northeast-1", 0.062),
            (None, "ap-northeast-1", "ap-northeast-1", 0.062),
            ("us-east-1", "ap-northeast-1", "ap-northeast-1", 0.062),
            ("mars-1", None, "mars-1", None),
            (None, None, None, None),
        ],
    )
    def test_prices_are_those_of_the_region(
        self, own: str | None, wanted: str | None, region: str | None, price: float | None
    ) -> None:
        bill = self.gateway(own, wanted)
        (line, _) = bill.lines
        assert (bill.region, line.unit_price) == (region, price)
        assert bill.is_lower_bound == (price is None)

    def test_a_part_in_another_region_stays_there(self) -> None:
        parts = (
            part(self.GATEWAY, "us-west-2"),
            part(self.GATEWAY, "us-west-2"),
            part(self.GATEWAY, "us-east-1"),
        )
        whole = Subject(name="three", parts=parts)
        bill = monthly_cost(whole, region="ap-northeast-1", usage=ZERO, prices=PRICES)
        hours = [line.unit_price for line in bill.lines if line.what == "NAT gateway"]
        assert hours == [0.062, 0.062, 0.045]

    def test_what_is_the_same_everywhere_is_known_anywhere(self) -> None:
        bill = monthly_cost(
            subject({"It": {"Type": "AWS::Route53::HostedZone"}}, None),
            region=None,
            usage=ZERO,
            prices=PRICES,
        )
        assert bill.total == 0.5


class TestBreakEven:
    """A balancer costs 16.425 USD and little for its use, an API nothing and 1 USD a million requests."""

    BALANCER = subject(
        {"It": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Scheme": "internal"}}}
    )
    API = subject({"It": {"Type": "AWS::ApiGateway::RestApi"}})
    MANY = Usage(users=100, app_requests=10_000_000)

    def test_it_is_where_both_cost_the_same(self) -> None:
        # 3.5 x millions = 16.425 + 0.008 x 1,000,000 / 90,000 x millions
        millions = 16.425 / (3.5 - 0.008 / 0.09)
        for a, b in ((self.BALANCER, self.API), (self.API, self.BALANCER)):
            found = break_even(a, b, region=None, prices=PRICES, usage=self.MANY)
            assert found is not None
            assert found.app_requests == pytest.approx(millions * 1e6, rel=1e-6)
            assert found.users == pytest.approx(millions * 10, rel=1e-6)
            costs = [monthly_cost(one, region=None, usage=found, prices=PRICES).total for one in (a, b)]
            assert costs[0] == pytest.approx(costs[1])

    def test_there_is_none_below_the_largest_usage(self) -> None:
        few = replace(self.MANY, app_requests=4_000_000)
        assert break_even(self.BALANCER, self.API, region=None, prices=PRICES, usage=few) is None

    def test_there_is_none_between_equals(self) -> None:
        assert break_even(self.API, self.API, region=None, prices=PRICES) is None

    def test_there_is_none_where_one_is_always_dearer(self) -> None:
        more = subject(
            {"It": {"Type": "AWS::ApiGateway::RestApi"}, "Zone": {"Type": "AWS::Route53::HostedZone"}}
        )
        assert break_even(self.API, more, region=None, prices=PRICES, usage=self.MANY) is None

    def test_the_company_is_the_largest_usage_if_none_is_named(self) -> None:
        found = break_even(self.BALANCER, self.API, region=None, prices=PRICES)
        assert found is not None
        assert found == break_even(
            self.BALANCER, self.API, region=None, prices=PRICES, usage=USAGES["company"]
        )


class Recording(dict[tuple[str, str], Price]):
    """Price rows that remember which were asked for."""

    def __init__(self, rows: Mapping[tuple[str, str], Price]) -> None:
        super().__init__(rows)
        self.asked: set[str] = set()

    def get(self, key: Any, default: Any = None) -> Any:
        self.asked.add(key[0])
        return super().get(key, default)


def test_every_price_of_the_list_is_asked_for_by_a_rule() -> None:
    """A price that no rule asks for is out of date one day, and nobody sees it."""
    rows = Recording(PRICES.rows)
    prices = Prices(as_of=PRICES.as_of, hours=PRICES.hours, rows=rows, allowances=PRICES.allowances)
    arm = {"RuntimePlatform": {"CpuArchitecture": "ARM64"}, "EphemeralStorage": {"SizeInGiB": 30}}
    spot = strategy(("FARGATE_SPOT", 1, 0), ("FARGATE", 1, 1))
    database = TestData()
    ready = {
        "Url": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "It"}}},
        "Now": {
            "Type": "AWS::Lambda::Version",
            "Properties": {
                "FunctionName": {"Ref": "It"},
                "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
            },
        },
    }

    def function(*processors: str) -> dict[str, object]:
        properties = {"Architectures": list(processors), "EphemeralStorage": {"Size": 1024}}
        return {"Type": "AWS::Lambda::Function", "Properties": properties}

    node = {"CacheNodeType": "cache.t4g.micro"}
    insights = {"Name": "containerInsights", "Value": "enabled"}
    plain = {
        str(number): {"Type": type, "Properties": properties}
        for number, (type, properties) in enumerate(
            [
                *((type, {}) for type in (*RULES, *SHARED_RULES)),
                ("AWS::EC2::Instance", {"InstanceType": "t4g.nano", "BlockDeviceMappings": LATER}),
                ("AWS::EC2::Volume", {"VolumeType": "gp2"}),
                ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface"}),
                *(
                    ("AWS::ElastiCache::ReplicationGroup", {"Engine": engine, **node})
                    for engine in ("redis", "valkey")
                ),
                ("AWS::ElastiCache::ServerlessCache", {"Engine": "valkey"}),
                *(("AWS::Cognito::UserPool", {"UserPoolTier": tier}) for tier in ("LITE", "PLUS")),
                ("AWS::ECS::Cluster", {"ClusterSettings": [insights]}),
            ]
        )
    }
    closed = {"It": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface"}}}
    for resources in (
        plain,
        closed,
        service(arm, DesiredCount=2, CapacityProviderStrategy=spot),
        service(DesiredCount=2, CapacityProviderStrategy=spot),
        database.database(),
        database.database(StorageType="aurora-iopt1"),
        edge(),
        http_api(ConnectionType="VPC_LINK"),
        {**ready, "It": function("arm64")},
        {**ready, "It": function("x86_64")},
        {"Url": ready["Url"], "It": function("arm64")},
    ):
        monthly_cost(subject(resources), region=None, usage=USAGES["team"], prices=prices)
    assert {key for key, _ in PRICES.rows} - rows.asked == set()


def lines_by_type(bill: MonthlyCost) -> dict[str, list[CostLine]]:
    found: dict[str, list[CostLine]] = {}
    for line in bill.lines:
        found.setdefault(line.type, []).append(line)
    return found


def test_every_rule_has_something_to_say_of_a_bare_resource() -> None:
    """A rule that is never reached, or a type that is misspelled, would show here."""
    quiet = {
        "AWS::ECS::Cluster",  # only with Container Insights
        "AWS::EC2::VPCEndpoint",  # a gateway endpoint unless it says otherwise
        "AWS::Events::Rule",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Version",
        "AWS::SSM::Parameter",
        "AWS::Scheduler::Schedule",
        "AWS::ECS::Service",  # without a task definition nobody knows where it runs
        "Custom::AWS",
    }
    for type in RULES.keys() | SHARED_RULES.keys():
        found = lines_by_type(cost({"It": {"Type": type}}))
        assert bool(found.get(type)) == (type not in quiet), type
