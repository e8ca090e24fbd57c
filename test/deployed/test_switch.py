"""One stack goes from variant to variant in place, on an emulator of AWS, and loses nothing on the way.

The way is data: ``WAY``. With the environment variable ``DIFY_TEST_EVERY_SWITCH`` it leads through every
ordered pair of its stops. The last stops are two frontends side by side, and then only the second one.

What ``test_v1``, ``test_v2`` and ``test_v3`` say of the emulator holds here too. Beyond that:

- MiniStack replaces a resource where the provider schema says that a property cannot change in place, see
  ``repairs.replacements_follow_the_schemas``; what AWS decides from case to case, it does in place.
- It adds before it removes, one resource at a time. What AWS does at the same time may still collide.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import aws_cdk as cdk
import pytest

from deployed.cdk import STACK
from deployed.emulator import EDGE_REGION, REGION
from deployed.stages import CONTENT, ROWS, containers, leave_traces
from deployed.switching import (
    Assembly,
    Build,
    Switch,
    assemble,
    example,
    happened,
    live,
    predicted,
    switch,
)
from deployed.world import World
from dify_cdk import Access, DifyAlbFrontend, DifyData, DifyHttpApiFrontend, DifyNetwork, DifyWorkers, Egress
from dify_cdk.dify.components import Component
from dify_cdk.report.plan.plan import Action
from support import DATA

pytestmark = pytest.mark.slow

VARIANT = "v1"
REGIONS = (REGION, EDGE_REGION)
STATEFUL: Mapping[str, str] = json.loads((DATA / "stateful-ids.json").read_text(encoding="utf-8"))
WAY_OUT = {
    "AWS::EC2::Instance",
    "AWS::EC2::NatGateway",
    "AWS::EC2::SecurityGroup",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Role",
}
"""Types of what a network has to call the world: gateways, or one instance."""

RESIZED = {
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::RDS::DBCluster",
}
LOW_COST = "v4_low_cost"
"""Has fewer nodes, less capacity and spare one, which changes what is behind the frontend in place."""

SECRET_KEY = "DataSecretKeyEF28AA18"


def _background(app: cdk.App) -> tuple[cdk.Stack, DifyWorkers, Access]:
    """What the examples have behind their frontends, and who may enter."""
    stack = cdk.Stack(app, STACK, env=cdk.Environment(region=REGION))
    network = DifyNetwork(stack, "Network", egress=Egress.NAT_INSTANCE)
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    return stack, workers, Access(ipv4=["203.0.113.0/24"], also=network.public_addresses)


def two_frontends(app: cdk.App) -> None:
    """v1, and a second frontend that nobody is told of yet."""
    stack, workers, access = _background(app)
    first = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access)
    DifyHttpApiFrontend(stack, "Second", workers=workers, access=access, announce=False)
    cdk.CfnOutput(stack, "Url", value=first.url)


def second_frontend(app: cdk.App) -> None:
    """The first frontend is gone, and the second one announced."""
    stack, workers, access = _background(app)
    second = DifyHttpApiFrontend(stack, "Second", workers=workers, access=access)
    cdk.CfnOutput(stack, "Url", value=second.url)


def every_pair(names: Sequence[str]) -> list[str]:
    """A way on which each ordered pair of names comes once, and that ends where it begins."""
    first, *others = names
    way = [first]
    for number, other in enumerate(others):
        way += [*(every_pair(others) if number == 0 else [other]), first]
    return way


# From each to the next one, low cost included; then round the other way.
WAY = ["v1", "v2", "v3", "v4", LOW_COST, "v1", "v3", "v2", "v4", "v1"]
if os.environ.get("DIFY_TEST_EVERY_SWITCH"):
    WAY = every_pair(list(dict.fromkeys(WAY)))
TWO_FRONTENDS, SECOND_FRONTEND = "two frontends", "second frontend"
STOPS: Mapping[str, Build] = {
    **{name: example(name) for name in dict.fromkeys(WAY)},
    TWO_FRONTENDS: two_frontends,
    SECOND_FRONTEND: second_frontend,
}
STEPS = [f"{old} to {new}" for old, new in pairwise([*WAY, TWO_FRONTENDS, SECOND_FRONTEND])]


@dataclass(kw_only=True, slots=True)
class Journey:
    """The stack on its way, as far as a test has asked for.

    Attributes:
        world: Where.
        assemblies: What is deployed at each stop.
        steps: The steps so far.
        others: What there is beside the stack: type to number.
    """

    world: World
    assemblies: Mapping[str, Assembly]
    steps: list[Switch] = field(default_factory=list)
    others: list[dict[str, int]] = field(default_factory=list)

    def start(self) -> None:
        """Deploy the first stop, and do what an application would do."""
        first = self.assemblies[WAY[0]]
        self.world.cdk.must(self.world.cdk.deploy_assembly(first.folder))
        leave_traces(self.world)
        self._count_others(first)

    def after(self, number: int) -> Switch:
        """A step, counted from 0."""
        while len(self.steps) <= number:
            old, new = (self.assemblies[name] for name in STEPS[len(self.steps)].split(" to "))
            self.steps.append(switch(self.world, old, new))
            self._count_others(new)
        return self.steps[number]

    def _count_others(self, deployed: Assembly) -> None:
        found = {
            type_name: count - deployed.count(type_name) for type_name, count in live(self.world).items()
        }
        self.others.append(found)


@pytest.fixture(scope="module")
def journey(world: World, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    folder = tmp_path_factory.mktemp("assemblies")
    assemblies = {
        name: assemble(name, build, folder / name.replace(" ", "-")) for name, build in STOPS.items()
    }
    journey = Journey(world=world, assemblies=assemblies)
    journey.start()
    return journey


# Of the whole module, so that all that is asked of a step is asked before the next one.
@pytest.fixture(scope="module", params=enumerate(STEPS), ids=lambda param: param[1])
def step(request: pytest.FixtureRequest, journey: Journey) -> Switch:
    return journey.after(request.param[0])


def ids(step: Switch, *actions: Action, below: str = "") -> set[str]:
    """Logical ids of the resources with which something was done.

    Args:
        step: When.
        actions: What.
        below: What the ids begin with.
    """
    return {id for id, action in happened(step).items() if action in actions and id.startswith(below)}


def types(step: Switch, *actions: Action, below: str = "") -> set[str]:
    """Types of the same."""
    resources = {**step.source.resources, **step.target.resources}
    return {resources[id]["Type"] for id in ids(step, *actions, below=below)}


def resizes(step: Switch) -> bool:
    """Whether one of both is the one with other sizes."""
    return LOW_COST in (step.source.subject.name, step.target.subject.name)


def test_rows_files_and_secrets_are_the_same(step: Switch) -> None:
    assert step.after == step.before
    assert (step.after.rows, step.after.file) == (ROWS, CONTENT)
    assert step.after.secrets[step.after.ids[SECRET_KEY]]


def test_nothing_stateful_is_touched_or_only_resized(step: Switch) -> None:
    found = happened(step)
    assert {found[id] for id in STATEFUL} == (
        {Action.KEPT, Action.UPDATED} if resizes(step) else {Action.KEPT}
    )
    assert {STATEFUL[id] for id in STATEFUL.keys() & ids(step, Action.UPDATED)} <= RESIZED
    told = [row for row in step.events if row["LogicalResourceId"] in STATEFUL]
    assert not [row for row in told if row["ResourceStatus"].startswith("DELETE")]
    assert not [row for row in told if "new physical resource" in row.get("ResourceStatusReason", "")]


def test_what_is_behind_the_frontend_stays(step: Switch) -> None:
    """Rules that let a frontend in come and go; workers learn the new URL in new revisions of their tasks."""
    moving = (Action.ADDED, Action.REMOVED, Action.LEFT_BEHIND)
    assert ids(step, *moving, Action.REPLACED, below="Data") == set()
    if not resizes(step):
        assert ids(step, Action.UPDATED, below="Data") == set()
        assert types(step, *moving, below="Workers") <= {"AWS::EC2::SecurityGroupIngress"}
    assert types(step, Action.REPLACED) <= {"AWS::ECS::TaskDefinition"}


def test_another_way_out_leaves_the_network_as_it_is(step: Switch) -> None:
    moved = types(step, Action.ADDED, Action.REMOVED, Action.REPLACED, below="NetworkVpc")
    assert moved <= WAY_OUT
    assert types(step, Action.UPDATED, below="NetworkVpc") <= {"AWS::EC2::Route"}


def test_the_plan_says_what_happens(step: Switch) -> None:
    expected, found = predicted(step), happened(step)
    wrong = {
        id: (expected.get(id), found.get(id))
        for id in expected.keys() | found.keys()
        if expected.get(id) is not found.get(id)
    }
    assert wrong == {}


def test_nothing_fails_on_the_way(step: Switch) -> None:
    assert [row for row in step.events if row["ResourceStatus"].endswith("FAILED")] == []
    assert {row["status"] for row in step.answers} <= {"SUCCESS"}


def test_nothing_is_initialised_or_migrated_again(step: Switch) -> None:
    assert step.migrations == []
    assert "Custom::DifyDatabaseInit" not in {row["type"] for row in step.answers}


def test_nothing_of_the_old_frontend_is_left_but_its_logs(journey: Journey, step: Switch) -> None:
    assert step.ids_after.keys() == step.target.resources.keys()
    assert journey.others[-1] == journey.others[0]
    assert all("AccessLogs" in id for id in ids(step, Action.LEFT_BEHIND))


def test_workers_learn_the_url_of_the_announced_frontend(journey: Journey, step: Switch) -> None:
    environment = {
        row["name"]: row["value"] for row in containers(journey.world)[Component.WORKER]["environment"]
    }
    assert environment["APP_WEB_URL"] == journey.world.cdk.outputs()["Url"]


def test_a_second_frontend_changes_nothing_of_the_first(journey: Journey) -> None:
    step = journey.after(STEPS.index(f"{WAY[-1]} to {TWO_FRONTENDS}"))
    changed = ids(step, Action.UPDATED, Action.REPLACED, Action.REMOVED, Action.LEFT_BEHIND)
    assert [step.target.resources[id]["Type"] for id in changed] == ["AWS::ECS::Service"]
    assert step.changed[changed.pop()] == ["ServiceConnectConfiguration"]  # of the plugin daemon


def test_the_first_frontend_goes_and_changes_nothing_of_the_second(journey: Journey) -> None:
    step = journey.after(STEPS.index(f"{TWO_FRONTENDS} to {SECOND_FRONTEND}"))
    of_the_second = {id for id in step.target.resources if id.startswith("Second")}
    assert len(of_the_second) > 20
    assert of_the_second <= ids(step, Action.KEPT)


def test_the_stack_at_the_edge_outlives_v3_and_can_be_deleted(journey: Journey) -> None:
    """An app that no longer has a stack does not take it away."""
    journey.after(len(STEPS) - 1)
    cloudformation = journey.world.client("cloudformation", EDGE_REGION)
    (name,) = [part.name for part in journey.assemblies["v3"].subject.parts if part.region == EDGE_REGION]
    assert name in {row["StackName"] for row in cloudformation.describe_stacks()["Stacks"]}
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert journey.world.client("lambda", EDGE_REGION).list_functions()["Functions"] == []


def test_no_role_ever_lacked_a_permission(journey: Journey) -> None:
    journey.after(len(STEPS) - 1)
    assert journey.world.emulator.journal("refusal") == []


def test_the_way_of_every_pair_has_every_pair_once() -> None:
    names = ["a", "b", "c", "d"]
    pairs = list(pairwise(every_pair(names)))
    assert sorted(pairs) == sorted((old, new) for old in names for new in names if old != new)
