"""Every variant can replace every other one in the same stack: nothing that holds data is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import permutations

import pytest

from dify_cdk.report.plan.plan import Action, Plan, plan
from dify_cdk.report.templates.subject import Part, Subject
from support import DATA, EXAMPLES, REGION, VARIANTS, Example, Template

AWAY = "ap-northeast-1"  # not where edge functions are: v3 has a second stack there
CONTRACT: dict[str, str] = json.loads((DATA / "stateful-ids.json").read_text(encoding="utf-8"))

Planned = Callable[[str, str], Plan]


@pytest.fixture(scope="session")
def planned(templates: Callable[[str], Template]) -> Planned:
    """The plan from one variant to another, each of them computed once."""

    def subject(variant: str) -> Subject:
        part = Part(name="Dify", template=templates(variant).body, region=REGION)
        return Subject(name=variant, parts=(part,))

    return cache(lambda before, after: plan(subject(before), subject(after)))


def pairs(names: list[str]) -> pytest.MarkDecorator:
    found = list(permutations(names, 2))
    return pytest.mark.parametrize(("before", "after"), found, ids=map("-".join, found))


@pairs(EXAMPLES)
class TestEveryPair:
    def test_no_data_is_lost(self, planned: Planned, before: str, after: str) -> None:
        result = planned(before, after)
        assert [found.logical_id for found in result.lost] == []
        assert {result.actions()[id] for id in CONTRACT} <= {Action.KEPT, Action.UPDATED}

    def test_nothing_is_in_the_way(self, planned: Planned, before: str, after: str) -> None:
        assert [found.text for found in planned(before, after).conflicts] == []


@pairs(VARIANTS)
class TestArchitectures:
    def test_nothing_of_the_contract_is_touched(self, planned: Planned, before: str, after: str) -> None:
        actions = planned(before, after).actions()
        assert {id: actions[id] for id in CONTRACT} == dict.fromkeys(CONTRACT, Action.KEPT)

    def test_only_what_a_frontend_announces_and_lets_in_changes_behind_it(
        self, planned: Planned, before: str, after: str
    ) -> None:
        changed = {
            found.type
            for found in planned(before, after).resources
            if found.logical_id.startswith(("Data", "Workers")) and found.action is not Action.KEPT
        }
        allowed = {"AWS::ECS::TaskDefinition", "AWS::ECS::Service", "AWS::EC2::SecurityGroupIngress"}
        if "v4" in (before, after):  # more tasks of api leave smaller pools, also to the migration
            allowed.add("Custom::DifyMigration")
        assert changed <= allowed

    def test_both_ways_to_change_are_told(self, planned: Planned, before: str, after: str) -> None:
        result = planned(before, after)
        assert result.in_place[-1].text.startswith("removes ")
        assert len(result.side_by_side) == 5


@pytest.mark.parametrize("variant", EXAMPLES)
def test_a_variant_replaces_itself_without_a_change(planned: Planned, variant: str) -> None:
    result = planned(variant, variant)
    assert {found.action for found in result.resources} == {Action.KEPT}
    assert not result.is_finding


def test_a_secret_of_a_frontend_is_no_data(planned: Planned) -> None:
    """The header that CloudFront sends to the HTTP API goes with both: its policy says so."""
    result = planned("v3", "v1")
    (secret,) = (
        found
        for found in result.resources
        if found.type == "AWS::SecretsManager::Secret" and found.action is Action.REMOVED
    )
    assert (bool(secret.holds), secret.is_stateful) == (True, False)


@pytest.fixture(scope="session")
def from_the_edge(example: Example) -> Plan:
    """From v3 to v1 in a region where the functions at the edge have a stack of their own."""
    subjects = []
    for variant in ("v3", "v1"):
        stacks = example(variant, AWAY)
        parts = (Part(name=one.name, template=one.template, region=one.region) for one in stacks)
        subjects.append(Subject(name=variant, parts=tuple(parts)))
    return plan(*subjects)


class TestTheStackAtTheEdge:
    def test_it_is_left_behind_whole(self, from_the_edge: Plan) -> None:
        main, edge = from_the_edge.stacks
        assert (main.name, main.region, main.action) == ("Dify", AWAY, Action.KEPT)
        assert (edge.region, edge.action) == ("us-east-1", Action.LEFT_BEHIND)
        assert set(from_the_edge.actions(edge.name).values()) == {Action.LEFT_BEHIND}
        assert not from_the_edge.is_finding

    def test_what_is_left_says_how_to_get_rid_of_it(self, from_the_edge: Plan) -> None:
        stack, function, bucket = from_the_edge.left_behind
        assert (stack.type, function.type, bucket.type) == (
            "Stack",
            "AWS::Lambda::Function",
            "AWS::S3::Bucket",
        )
        assert stack.how.endswith(f"--stack-name {stack.stack} --region us-east-1")
        assert "replicas" in function.why
