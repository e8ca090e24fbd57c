"""Stacks in us-east-1 beside the user's have what an account asks of every stack: all five, both stacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import cx_api

from dify_cdk import DifyCloudFrontLambdaFrontend, WebAcl
from synth.installation import OFFICE, workers_in

ACCOUNT = "123456789012"
ROLE = "arn:aws:iam::123456789012:role/{}-${{AWS::Region}}"
SYNTHESIZERS: Mapping[str, Callable[[], cdk.IReusableStackSynthesizer | None]] = {
    "none": lambda: None,
    "qualifier": lambda: cdk.DefaultStackSynthesizer(qualifier="company"),
    "roles": lambda: cdk.DefaultStackSynthesizer(
        qualifier="company",
        deploy_role_arn=ROLE.format("deploy"),
        cloud_formation_execution_role=ROLE.format("cfn"),
    ),
    "cli_credentials": lambda: cdk.CliCredentialsStackSynthesizer(qualifier="company"),
}


@dataclass(frozen=True)
class Built:
    """The user's stack and those beside it, which v3 with a web ACL has."""

    own: cx_api.CloudFormationStackArtifact
    beside: tuple[cx_api.CloudFormationStackArtifact, ...]


def build(folder: Path, *, app: Mapping[str, Any] | None = None, **options: Any) -> Built:
    """Synthesize v3, with options of the app and of the stack."""
    root = cdk.App(outdir=str(folder), analytics_reporting=False, **(app or {}))
    stack = cdk.Stack(root, "Dify", env=cdk.Environment(account=ACCOUNT, region="eu-west-1"), **options)
    DifyCloudFrontLambdaFrontend(
        stack, "F", workers=workers_in(stack), access=OFFICE, web_acl=WebAcl.addresses()
    )
    stacks = {one.stack_name: one for one in root.synth().stacks}
    own = stacks.pop("Dify")
    assert {name.rsplit("-", 1)[-1] for name in stacks} == {"edge", "AddressAcl"}
    return Built(own, tuple(stacks.values()))


def roles_of(stack: cx_api.CloudFormationStackArtifact) -> list[Mapping[str, Any]]:
    resources = stack.template["Resources"].values()
    return [one["Properties"] for one in resources if one["Type"] == "AWS::IAM::Role"]


def assets_of(stack: cx_api.CloudFormationStackArtifact) -> set[str]:
    """The buckets that the assets of a stack are published to, without their region."""
    folder = Path(stack.assembly.directory)
    manifest = json.loads((folder / f"{stack.id}.assets.json").read_text())
    places = [one for file in manifest["files"].values() for one in file["destinations"].values()]
    return {place["bucketName"].replace(place.get("region", ""), "") for place in places}


@pytest.mark.parametrize("name", SYNTHESIZERS)
@pytest.mark.parametrize("where", ["stack", "app"])
def test_they_are_deployed_as_the_user_s_stack_is(tmp_path: Path, name: str, where: str) -> None:
    synthesizer = SYNTHESIZERS[name]()
    given: dict[str, Any] = {"synthesizer": synthesizer} if synthesizer is not None else {}
    default = {"default_stack_synthesizer": synthesizer} if synthesizer is not None else {}
    built = build(tmp_path, **given) if where == "stack" else build(tmp_path, app=default)
    for one in built.beside:
        for role in ("assume_role_arn", "cloud_formation_execution_role_arn"):
            wanted = getattr(built.own, role)
            assert getattr(one, role) == (wanted and wanted.replace("eu-west-1", "us-east-1"))
        if assets := assets_of(one):
            assert {place.replace("us-east-1", "") for place in assets} <= {
                place.replace("eu-west-1", "") for place in assets_of(built.own)
            }


@pytest.mark.parametrize(
    ("boundary", "written"),
    [
        (lambda: cdk.PermissionsBoundary.from_name("company"), "policy/company"),
        (
            lambda: cdk.PermissionsBoundary.from_arn("arn:aws:iam::aws:policy/AdministratorAccess"),
            "aws:policy/Adm",
        ),
    ],
)
@pytest.mark.parametrize("where", ["stack", "app"])
def test_every_role_has_the_permissions_boundary(
    tmp_path: Path, boundary: Callable[[], cdk.PermissionsBoundary], written: str, where: str
) -> None:
    options: dict[str, Any] = {"permissions_boundary": boundary()}
    if where == "stack":
        built = build(tmp_path, **options)
    else:
        name = (
            {"name": "company"}
            if "company" in written
            else {"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}
        )
        built = build(tmp_path, app={"context": {"@aws-cdk/core:permissionsBoundary": name}})
    assert [len(roles_of(one)) for one in (built.own, *built.beside)] > [0, 0, 0]
    for stack in (built.own, *built.beside):
        for role in roles_of(stack):
            assert written in json.dumps(role["PermissionsBoundary"])


def test_they_have_its_tags_and_its_protection_and_its_account(tmp_path: Path) -> None:
    built = build(tmp_path, tags={"cost-center": "42"}, termination_protection=True)
    for one in (built.own, *built.beside):
        assert one.tags == {"cost-center": "42"}
        assert one.termination_protection
        assert one.environment.account == ACCOUNT
    assert {one.environment.region for one in built.beside} == {"us-east-1"}


def test_nothing_is_added_where_nothing_is_asked(tmp_path: Path) -> None:
    for one in build(tmp_path).beside:
        assert one.tags == {}
        assert not one.termination_protection
        assert not any("PermissionsBoundary" in role for role in roles_of(one))
