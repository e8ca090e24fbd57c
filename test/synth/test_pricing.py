"""What our examples cost, and that nothing in them is without a price or a reason for having none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.pricing import MonthlyCost, floor, monthly_cost
from dify_cdk.report.cost.usage import USAGES, Usage
from dify_cdk.report.templates.subject import Part, Subject
from support import REGION, VARIANTS, Example, Template

PRICES = load_prices()


def subject(body: Mapping[str, Any]) -> Subject:
    return Subject(name="any", parts=(Part(name="Dify", template=body, region=REGION),))


def of_service(bill: MonthlyCost) -> dict[str, float]:
    """USD by service, with what is free taken off."""
    totals: dict[str, float] = {}
    for line in bill.lines:
        totals[line.service] = totals.get(line.service, 0) + (line.amount or 0)
    return {service: amount for service, amount in totals.items() if amount}


def test_v1_at_rest_by_hand(templates: Callable[[str], Template]) -> None:
    bill = floor(subject(templates("v1").body), region=None, prices=PRICES)
    assert of_service(bill) == {
        # api 0.5, web 0.25, worker 1, beat 0.25, plugin daemon 1, sandbox 0.25, proxy 0.25: 3.5 vCPU;
        # 2, 1, 2, 1, 2, 0.5, 0.5: 9 GB; all on demand and on x86
        "AWS Fargate": pytest.approx(3.5 * 730 * 0.04048 + 9 * 730 * 0.004445),
        # never less than half a unit, because the scheduler keeps the database awake
        "Amazon Aurora": pytest.approx(0.5 * 730 * 0.12),
        # a primary and a replica
        "Amazon ElastiCache": pytest.approx(2 * 730 * 0.0128),
        "Elastic Load Balancing": pytest.approx(730 * 0.0225),
        # two zones of the load balancer, and the NAT instance
        "Amazon VPC": pytest.approx(3 * 730 * 0.005),
        "Amazon EC2": pytest.approx(730 * 0.0042),
        "Amazon EBS": pytest.approx(8 * 0.08),
        "AWS Secrets Manager": pytest.approx(11 * 0.4),
        "Amazon Route 53": pytest.approx(0.5),
    }
    assert bill.total == pytest.approx(231.10, abs=0.01)


def test_v1_in_use_by_hand(templates: Callable[[str], Template]) -> None:
    body = subject(templates("v1").body)
    usage = Usage(
        app_requests=1_000_000,
        app_seconds=3,
        uploads=2_000,
        upload_gb=10,
        download_gb=150,
        outbound_gb=20,
        database_acu=1.5,
        database_io=10_000_000,
        database_gb=30,
        files_gb=100,
        log_gb=5,
    )
    more = monthly_cost(body, region=None, usage=usage, prices=PRICES).total
    less = floor(body, region=None, prices=PRICES).total
    assert more - less == pytest.approx(
        # one unit more of the database all month; its storage; its reads and writes
        1 * 730 * 0.12 + 30 * 0.1 + 10 * 0.2
        # 160 GB are 160 unit-hours of the load balancer, more than 11 for a million connections
        + 160 * 0.008
        # 150 GB to browsers and 20 GB from containers leave the region, and 100 GB are free
        + (150 + 20 - 100) * 0.09
        # files, written once and read once
        + 100 * 0.023 + 2 * (0.005 + 0.0004)
        # logs, kept for 30 of 30.4 days
        + 5 * 0.5 + 5 * 30 / (730 / 24) * 0.03
    )  # fmt: skip


def test_nothing_of_an_example_is_without_a_price_or_a_reason(template: Template) -> None:
    """A new type fails here until somebody says what it costs, or why nothing."""
    bill = monthly_cost(subject(template.body), region=None, usage=USAGES["company"], prices=PRICES)
    assert bill.unpriced == ()


def test_the_floor_of_an_example_is_known(template: Template) -> None:
    bill = floor(subject(template.body), region=None, prices=PRICES)
    assert [(line.logical_id, line.what) for line in bill.lines if line.amount is None] == []
    assert bill.total > 50


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_stacks_of_an_example_are_priced_in_their_regions(example: Example, variant: str) -> None:
    """Where something has to be in us-east-1, an example in another region has a second stack."""
    stacks = example(variant, "ap-northeast-1")
    parts = tuple(Part(name=one.name, template=one.template, region=one.region) for one in stacks)
    whole = Subject(name=variant, parts=parts)
    bill = monthly_cost(whole, region=None, usage=USAGES["company"], prices=PRICES)
    assert (bill.region, bill.unpriced) == ("ap-northeast-1", ())
    # What nobody knows of any installation: how often a VPC link looks containers up.
    assert {line.what for line in bill.lines if line.amount is None} <= {"look-ups of containers"}
    assert len({line.part for line in bill.lines if line.part}) == len(stacks)


def test_code_at_the_edge_is_paid_from_wherever_it_is(
    example: Example,
) -> None:
    calls = []
    for region in ("us-east-1", "ap-northeast-1"):
        stacks = example("v3", region)
        parts = tuple(Part(name=one.name, template=one.template, region=one.region) for one in stacks)
        bill = monthly_cost(
            Subject(name="v3", parts=parts), region=None, usage=USAGES["company"], prices=PRICES
        )
        lines = [line for line in bill.lines if line.service == "AWS Lambda@Edge" and line.what == "calls"]
        calls.append([line.quantity for line in lines])
    assert calls[0] == calls[1]
    (count,) = calls[0]
    # Every page and every request of the api, in millions; uploads take a way without it.
    company = USAGES["company"]
    assert count == pytest.approx((company.app_requests + company.page_requests) / 1e6)
