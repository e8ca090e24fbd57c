"""The bill of a whole: its total, its gaps, its regions, and that every price and rule is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from bills import LATER, PRICES, break_even, cost, database, edge, http_api, part, service, strategy, subject
from dify_cdk.report.cost.free import FREE_TYPES
from dify_cdk.report.cost.prices import UNITS, Price, Prices
from dify_cdk.report.cost.pricing import (
    NOT_COUNTED,
    RULES,
    SHARED_RULES,
    CostLine,
    MonthlyCost,
    floor,
    monthly_cost,
)
from dify_cdk.report.cost.products import PRODUCTS
from dify_cdk.report.cost.usage import USAGES, ZERO, Usage
from dify_cdk.report.templates.subject import Part, Subject
from support import TEMPLATES


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
            found = break_even(a, b, usage=self.MANY)
            assert found is not None
            assert found.app_requests == pytest.approx(millions * 1e6, rel=1e-6)
            assert found.users == pytest.approx(millions * 10, rel=1e-6)
            costs = [monthly_cost(one, region=None, usage=found, prices=PRICES).total for one in (a, b)]
            assert costs[0] == pytest.approx(costs[1])

    def test_there_is_none_below_the_largest_usage(self) -> None:
        few = replace(self.MANY, app_requests=4_000_000)
        assert break_even(self.BALANCER, self.API, usage=few) is None

    def test_there_is_none_between_equals(self) -> None:
        assert break_even(self.API, self.API) is None

    def test_there_is_none_where_one_is_always_dearer(self) -> None:
        more = subject(
            {"It": {"Type": "AWS::ApiGateway::RestApi"}, "Zone": {"Type": "AWS::Route53::HostedZone"}}
        )
        assert break_even(self.API, more, usage=self.MANY) is None

    def test_the_company_is_the_largest_usage_if_none_is_named(self) -> None:
        found = break_even(self.BALANCER, self.API)
        assert found is not None
        assert found == break_even(self.BALANCER, self.API, usage=USAGES["company"])


class Recording(dict[tuple[str, str], Price]):
    """Price rows that remember which were asked for."""

    def __init__(self, rows: Mapping[tuple[str, str], Price]) -> None:
        super().__init__(rows)
        self.asked: set[str] = set()

    def get(self, key: Any, default: Any = None) -> Any:
        self.asked.add(key[0])
        return super().get(key, default)


def of_every_price() -> tuple[Mapping[str, object], ...]:
    """Templates that together ask for every price of the list."""
    arm = {"RuntimePlatform": {"CpuArchitecture": "ARM64"}, "EphemeralStorage": {"SizeInGiB": 30}}
    spot = strategy(("FARGATE_SPOT", 1, 0), ("FARGATE", 1, 1))
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
    return (
        plain,
        closed,
        service(arm, DesiredCount=2, CapacityProviderStrategy=spot),
        service(DesiredCount=2, CapacityProviderStrategy=spot),
        database(),
        database(StorageType="aurora-iopt1"),
        edge(),
        http_api(ConnectionType="VPC_LINK"),
        {**ready, "It": function("arm64")},
        {**ready, "It": function("x86_64")},
        {"Url": ready["Url"], "It": function("arm64")},
    )


def test_every_price_of_the_list_is_asked_for_by_a_rule() -> None:
    """A price that no rule asks for is out of date one day, and nobody sees it."""
    rows = Recording(PRICES.rows)
    prices = Prices(as_of=PRICES.as_of, hours=PRICES.hours, rows=rows, allowances=PRICES.allowances)
    for resources in of_every_price():
        monthly_cost(subject(resources), region=None, usage=USAGES["team"], prices=prices)
    assert {key for key, _ in PRICES.rows} - rows.asked == set()


@pytest.mark.parametrize("key", sorted({key for key, _ in PRICES.rows}))
def test_a_price_has_the_unit_of_its_product(key: str) -> None:
    """With another unit the price would count as unknown."""
    names = [name for name in PRODUCTS if f"{key}.".startswith(f"{name}.")]
    units = {price.unit for (found, _), price in PRICES.rows.items() if found == key}
    assert units == {PRODUCTS[max(names, key=len)].unit}


def test_every_product_is_sold_in_a_known_unit() -> None:
    assert {product.unit for product in PRODUCTS.values()} <= UNITS.keys()


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
