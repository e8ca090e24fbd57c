"""One stack that goes from variant to variant, and what is kept of each step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from deployed.cdk import STACK, Outcome
from deployed.emulator import REGION
from deployed.stages import State, observe
from deployed.world import World
from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.report.plan.plan import Action, plan
from dify_cdk.report.templates.subject import Part, Subject
from support import recommended_flags

Build = Callable[[cdk.App], object]

_NOISY_FLAG = "@aws-cdk/core:annotationsInValidationReport"  # prints every warning once more

_LIVE: Mapping[str, tuple[str, str, str]] = {
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", "get_apis", "Items"),
    "AWS::CloudFront::Distribution": ("cloudfront", "list_distributions", "DistributionList.Items"),
    "AWS::EC2::SecurityGroup": ("ec2", "describe_security_groups", "SecurityGroups"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("elbv2", "describe_load_balancers", "LoadBalancers"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("elbv2", "describe_target_groups", "TargetGroups"),
    "AWS::Lambda::Function": ("lambda", "list_functions", "Functions"),
    "AWS::SecretsManager::Secret": ("secretsmanager", "list_secrets", "SecretList"),
}
"""How to ask for everything of a type: service, operation and where in the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """A variant, synthesized.

    Attributes:
        folder: The cloud assembly.
        subject: Its templates, the main one first.
    """

    folder: Path
    subject: Subject

    @property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        """Logical id to resource of the main stack."""
        resources: Any = self.subject.parts[0].template["Resources"]
        found: Mapping[str, Mapping[str, Any]] = resources
        return found

    def count(self, type_name: str) -> int:
        """How many resources of a type the main stack has."""
        return sum(row["Type"] == type_name for row in self.resources.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """One step: what was there, what the command line said, and what became of it.

    Attributes:
        source: What was deployed before.
        target: What was deployed.
        outcome: What the command line said.
        before: What must outlive the step, before it.
        after: The same after it.
        ids_before: Logical id to physical id of the whole stack, before it.
        ids_after: The same after it.
        changed: Logical id to names of the properties that CloudFormation gave another value.
        events: CloudFormation's events of the step, oldest first.
        migrations: The RunTask requests of the step.
        answers: The custom resources that were invoked.
    """

    source: Assembly
    target: Assembly
    outcome: Outcome
    before: State
    after: State
    ids_before: Mapping[str, str]
    ids_after: Mapping[str, str]
    changed: Mapping[str, Sequence[str]]
    events: Sequence[Mapping[str, Any]]
    migrations: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]


def example(name: str) -> Build:
    """What defines a variant, loaded when it is asked to."""

    def build(app: cdk.App) -> object:
        spec = spec_from_file_location(f"deployed_example_{name}", examples_dir() / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.build(app)

    return build


def assemble(name: str, build: Build, folder: Path) -> Assembly:
    """Synthesize in this process.

    Args:
        name: What it is called.
        build: Defines the stacks.
        folder: Where the cloud assembly goes.
    """
    context = {**recommended_flags(), _NOISY_FLAG: False, "region": REGION}
    app = cdk.App(context=context, outdir=str(folder), analytics_reporting=False)
    build(app)
    stacks = sorted(app.synth().stacks_recursively, key=lambda stack: stack.stack_name != STACK)
    parts = [
        Part(
            name=stack.stack_name,
            # As on disk: what jsii hands over is no plain JSON.
            template=json.loads((folder / stack.template_file).read_text(encoding="utf-8")),
            region=stack.environment.region,
        )
        for stack in stacks
    ]
    return Assembly(folder=folder, subject=Subject(name=name, parts=tuple(parts)))


def switch(world: World, source: Assembly, target: Assembly) -> Switch:
    """Deploy one variant over another and keep what happened."""
    before, ids_before = observe(world), world.cdk.physical_ids()
    kinds = ("run_task", "custom_resource", "update")
    seen = {kind: len(world.emulator.journal(kind)) for kind in kinds}
    outcome = world.cdk.must(world.cdk.deploy_assembly(target.folder))
    news = {kind: world.emulator.journal(kind)[seen[kind] :] for kind in kinds}
    return Switch(
        source=source,
        target=target,
        outcome=outcome,
        before=before,
        after=observe(world),
        ids_before=ids_before,
        ids_after=world.cdk.physical_ids(),
        changed={row["logical_id"]: row["changed"] for row in news["update"] if row["stack"] == STACK},
        events=world.cdk.events(outcome.since),
        migrations=news["run_task"],
        answers=news["custom_resource"],
    )


def predicted(step: Switch) -> dict[str, Action]:
    """Logical id to what the plan says that CloudFormation does with it, from the templates alone."""
    return plan(step.source.subject, step.target.subject).actions()


def happened(step: Switch) -> dict[str, Action]:
    """Logical id to what CloudFormation did with it."""
    skipped = {row["LogicalResourceId"] for row in step.events if row["ResourceStatus"] == "DELETE_SKIPPED"}
    found = {}
    for id in step.ids_before.keys() | step.ids_after.keys():
        old, new = step.ids_before.get(id), step.ids_after.get(id)
        if old is None:
            found[id] = Action.ADDED
        elif new is None:
            found[id] = Action.LEFT_BEHIND if id in skipped else Action.REMOVED
        elif old != new:
            found[id] = Action.REPLACED
        else:
            found[id] = Action.UPDATED if id in step.changed else Action.KEPT
    return found


def live(world: World) -> dict[str, int]:
    """How many there are of some types that a frontend is made of, whoever made them."""
    found = {}
    for type_name, (service, operation, place) in _LIVE.items():
        client = world.client(service)
        if client.can_paginate(operation):
            answer = client.get_paginator(operation).paginate().build_full_result()
        else:
            answer = getattr(client, operation)()
        for key in place.split("."):
            answer = answer.get(key, {})
        found[type_name] = len(answer)
    return found
