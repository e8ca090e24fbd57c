"""What entry points and the network cost, each computed by hand from unit prices of us-east-1.

Unit prices stand in ``prices.json``; the arithmetic here uses the figures themselves, so that a wrong key, a
wrong unit or a wrong quantity shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bills import EITHER, LATER, PRICES, cost, edge, http_api, one, part, priced
from dify_cdk.report.cost.pricing import (
    monthly_cost,
)
from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.templates.subject import Part, Subject


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

    def test_uploads_go_to_the_api_behind_it_which_is_no_entry_point_of_its_own(self) -> None:
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
            "Cdn": {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}},
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

    def test_entry_points_that_stand_side_by_side_share_the_users(self) -> None:
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
