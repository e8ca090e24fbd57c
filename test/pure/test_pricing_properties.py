"""What holds for the cost of any template: ours, a stranger's, and a broken one."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bills import break_even
from dify_cdk.report.cost.free import FREE_TYPES
from dify_cdk.report.cost.prices import UNITS, load_prices
from dify_cdk.report.cost.pricing import RULES, SHARED_RULES, MonthlyCost, floor, monthly_cost
from dify_cdk.report.cost.usage import USAGES, ZERO, Usage
from dify_cdk.report.quotas import demand
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Template

ROOT = Path(__file__).parents[1]
PRICES = load_prices()
SNAPSHOTS = sorted((ROOT / "synth" / "__snapshots__" / "test_snapshot").glob("*.json"))
TEMPLATES = [
    json.loads(path.read_text())
    for path in (*sorted((ROOT / "data" / "templates").glob("*.json")), *SNAPSHOTS)
]
WITHOUT_SLEEPERS = [one for one in TEMPLATES if '"MinCapacity": 0,' not in json.dumps(one)]
NAMES = [field.name for field in fields(Usage)]
LARGEST = {**dict.fromkeys(NAMES, 1e9), "busy_share": 1.0}

types = st.sampled_from(sorted(RULES.keys() | SHARED_RULES.keys()))
ids = st.sampled_from(["A", "B", "C", "D"])
words = st.sampled_from(
    ["Fargate", "FARGATE", "FARGATE_SPOT", "internal", "Interface", "valkey", "db.serverless"]
)
references = ids.map(lambda id: {"Ref": id}) | ids.map(lambda id: {"Fn::GetAtt": [id, "Arn"]})
scalars = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5) | words
)
values = st.recursive(
    scalars | references,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Ref", "Fn::If", "Fn::Sub", "Name", "Value"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def properties_of_rules() -> list[str]:
    """Every property name that a rule reads, and so may stumble over."""
    sources = (ROOT.parent / "src" / "dify_cdk" / "report").rglob("*.py")
    quoted = {word for path in sources for word in path.read_text().split('"')}
    return sorted(word for word in quoted if word.isalnum() and word[:1].isupper())


properties = st.dictionaries(st.sampled_from(properties_of_rules()), values, max_size=4)
nested = st.dictionaries(st.sampled_from(properties_of_rules()), values | properties, max_size=5)
resources = st.dictionaries(
    ids,
    st.fixed_dictionaries(
        {"Type": types | st.text(max_size=5)}, optional={"Properties": nested | values, "Condition": values}
    )
    | values,
    max_size=4,
)
usages = st.fixed_dictionaries({name: st.floats(0, LARGEST[name]) for name in NAMES}).map(
    lambda one: Usage(**one)
)
regions = st.sampled_from(["us-east-1", "us-west-2", "ap-northeast-1", "mars-1", None])
found = st.sampled_from(TEMPLATES)


def cost(template: Any, usage: Usage, region: str | None = "us-east-1") -> MonthlyCost:
    whole = Subject(name="any", parts=(Part(name="any", template=template, region=region),))
    return monthly_cost(whole, region=None, usage=usage, prices=PRICES)


def assert_sound(bill: MonthlyCost) -> None:
    """What every answer has to keep, whatever was asked."""
    amounts = [line.amount for line in bill.lines if line.amount is not None]
    assert bill.total == pytest.approx(math.fsum(amounts), abs=1e-9)
    assert math.isfinite(bill.total)
    assert bill.total >= -1e-6
    unknown = any(line.amount is None for line in bill.lines)
    assert bill.is_lower_bound == (unknown or bool(bill.unpriced))
    for line in bill.lines:
        assert line.unit in UNITS
        assert line.what
        assert line.formula
        assert line.service
        assert (line.unit_price is None) or line.source
        if line.quantity is not None and line.unit_price is not None:
            assert line.amount == pytest.approx(line.quantity * line.unit_price)
        elif line.quantity != 0:
            assert line.amount is None
        assert line.type or (line.quantity or 0) <= 0, "only an allowance is nobody's"


def assert_asked(template: Any) -> None:
    """What quotas are asked for is nothing or more, and a rollout asks for no less."""
    found = demand(Template(template))
    for less, more in ((found.steady, found.rollout), (found.scaled_out, found.scaled_out_rollout)):
        for before, after in ((less.on_demand, more.on_demand), (less.spot, more.spot)):
            assert before is None or before >= 0
            assert before is None or after is None or after >= before


class TestMoreUsage:
    @settings(max_examples=60, deadline=None)
    @given(found, usages, st.sampled_from(NAMES), st.floats(0, 1), regions)
    def test_it_never_costs_less(
        self, template: Any, usage: Usage, name: str, share: float, region: str | None
    ) -> None:
        less = replace(usage, **{name: getattr(usage, name) * share})
        before, after = cost(template, less, region), cost(template, usage, region)
        assert after.total >= before.total - 1e-6 - after.total * 1e-12

    @pytest.mark.parametrize("name", NAMES)
    def test_every_field_matters_somewhere(self, name: str) -> None:
        """A number that changes no bill should not be asked for."""
        company = USAGES["company"]
        cognito = {
            "Resources": {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolTier": "PLUS"}}}
        }
        scaling = {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": {"Ref": "WebService"}},
        }
        cheapest = next(template for template in TEMPLATES if "WebService" in template["Resources"])
        scaled = {**cheapest, "Resources": {**cheapest["Resources"], "Scaling": scaling}}
        without = replace(company, **{name: 0})
        changed = [
            template
            for template in (*TEMPLATES, cognito, scaled)
            if cost(template, company).total > cost(template, without).total
        ]
        assert changed

    @settings(max_examples=30, deadline=None)
    @given(found, usages)
    def test_the_floor_is_the_least(self, template: Any, usage: Usage) -> None:
        whole = Subject(name="any", parts=(Part(name="any", template=template, region="us-east-1"),))
        assert floor(whole, region=None, prices=PRICES).total <= cost(template, usage).total + 1e-6


class TestParts:
    @settings(max_examples=40, deadline=None)
    @given(found, usages, regions)
    def test_they_sum_to_the_total(self, template: Any, usage: Usage, region: str | None) -> None:
        assert_sound(cost(template, usage, region))

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.sampled_from(WITHOUT_SLEEPERS), max_size=3), regions)
    def test_several_templates_at_rest_cost_what_each_costs(
        self, templates: list[Any], region: str | None
    ) -> None:
        """But for a database that sleeps alone, which a task in another template may keep awake."""
        parts = tuple(Part(name=str(n), template=one, region=region) for n, one in enumerate(templates))
        whole = monthly_cost(Subject(name="all", parts=parts), region=None, usage=ZERO, prices=PRICES)
        assert_sound(whole)
        assert whole.total == pytest.approx(sum(cost(one, ZERO, region).total for one in templates))

    @settings(max_examples=30, deadline=None)
    @given(found, st.randoms())
    def test_the_order_of_resources_changes_nothing(self, template: Any, random: Any) -> None:
        shuffled = list(template["Resources"].items())
        random.shuffle(shuffled)
        again = cost({**template, "Resources": dict(shuffled)}, USAGES["company"])
        assert again.total == pytest.approx(cost(template, USAGES["company"]).total)


class TestUnknownTypes:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.text(max_size=20), max_size=4))
    def test_they_are_listed_and_not_dropped(self, names: list[str]) -> None:
        template = {"Resources": {str(n): {"Type": name} for n, name in enumerate(names)}}
        known = RULES.keys() | SHARED_RULES.keys() | FREE_TYPES.keys()
        bill = cost(template, ZERO)
        assert set(bill.unpriced) == {name or "(no type)" for name in names if name not in known}
        assert bill.is_lower_bound or not bill.unpriced

    @settings(max_examples=40, deadline=None)
    @given(found)
    def test_every_resource_of_a_template_is_priced_free_or_listed(self, template: Any) -> None:
        bill = cost(template, ZERO)
        bodies = (body for body in template["Resources"].values() if isinstance(body, dict))
        seen = {str(body.get("Type", "(no type)")) for body in bodies}
        covered = RULES.keys() | SHARED_RULES.keys() | FREE_TYPES.keys() | set(bill.unpriced)
        assert seen <= covered


class TestOddTemplates:
    @settings(max_examples=400, deadline=None)
    @given(resources, usages)
    @example(
        {"A": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": {"Ref": "A"}}}}, USAGES["small"]
    )
    @example(
        {"A": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionVersion": {"Ref": "A"}}}},
        USAGES["small"],
    )
    def test_any_resource_is_accepted(self, resources: Any, usage: Usage) -> None:
        assert_sound(cost({"Resources": resources}, usage))
        assert_asked({"Resources": resources})

    @settings(max_examples=100, deadline=None)
    @given(values | st.dictionaries(st.sampled_from(["Resources", "Parameters", "Outputs"]), values))
    def test_any_document_is_accepted(self, template: Any) -> None:
        assert_sound(
            cost(template if isinstance(template, dict) else {"Resources": template}, USAGES["team"])
        )

    @settings(max_examples=150, deadline=None)
    @given(found, st.data())
    def test_a_real_template_with_one_odd_property_is_accepted(
        self, template: Any, data: st.DataObject
    ) -> None:
        odd = copy.deepcopy(template)
        id = data.draw(
            st.sampled_from(sorted(id for id, body in odd["Resources"].items() if isinstance(body, dict)))
        )
        body = odd["Resources"][id]
        place = body.get("Properties")
        if isinstance(place, dict) and place:
            place[data.draw(st.sampled_from(sorted(place)))] = data.draw(values)
        else:
            body["Properties"] = data.draw(nested | values)
        assert_sound(cost(odd, USAGES["company"]))
        assert_asked(odd)

    def test_a_template_as_deep_as_any_is_accepted(self) -> None:
        deep: Any = {"Ref": "A"}
        for _ in range(500):
            deep = {"Fn::If": ["C", [deep], deep]} if _ < 8 else {"Fn::Join": ["", [deep]]}
        resources = {str(n): {"Type": type, "Properties": {"Subnets": deep}} for n, type in enumerate(RULES)}
        assert_sound(cost({"Resources": resources}, USAGES["company"]))


class TestBreakEven:
    @settings(max_examples=15, deadline=None)
    @given(found, found, st.sampled_from(sorted(USAGES)))
    def test_both_cost_the_same_there_and_it_lies_within_the_largest(self, a: Any, b: Any, size: str) -> None:
        one, other = (
            Subject(name="x", parts=(Part(name="x", template=t, region="us-east-1"),)) for t in (a, b)
        )
        largest = USAGES[size]
        at = break_even(one, other, usage=largest)
        if at is None:
            return
        assert all(0 <= part <= all for (_, part), (_, all) in zip(at.items(), largest.items(), strict=True))
        costs = [cost(template, at).total for template in (a, b)]
        assert costs[0] == pytest.approx(costs[1], abs=1e-3)

    def test_functions_are_cheaper_than_containers_for_few_people_only(self) -> None:
        """v3 pays for its api by the second of every request, v1 by the hour."""
        snapshots = {path.stem[-3:-1]: json.loads(path.read_text()) for path in SNAPSHOTS}
        one, three = (
            Subject(name=name, parts=(Part(name=name, template=snapshots[name], region="us-east-1"),))
            for name in ("v1", "v3")
        )
        at = break_even(one, three)
        assert at is not None
        fewer, more = at.scaled(0.5), replace(at, app_requests=at.app_requests * 2)
        assert cost(snapshots["v3"], fewer).total < cost(snapshots["v1"], fewer).total
        assert cost(snapshots["v3"], more).total > cost(snapshots["v1"], more).total
