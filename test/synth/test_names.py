"""Two stacks of the same app in one account and region ask for no name twice, however they are called."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk.cdk_helpers.names import has_chosen_name

ROOT = Path(__file__).parents[2]
APPS = {
    path.stem: path
    for path in (
        *(ROOT / "examples" / f"{name}.py" for name in ("v2", "v3")),
        *(Path(__file__).parent / "apps").glob("*.py"),
    )
}
LONG = "-".join(["tenant"] * 17)  # 118 of the 128 characters that CloudFormation takes

# By type, what an account has once, and how many characters it may have; every stack's has to be its own.
UNIQUE: Mapping[str, tuple[str, int]] = {
    "AWS::CloudFront::Function": ("Name", 64),
    "AWS::CloudFront::OriginAccessControl": ("OriginAccessControlConfig.Name", 64),
    "AWS::CloudFront::VpcOrigin": ("VpcOriginEndpointConfig.Name", 64),
    "AWS::SSM::Parameter": ("Name", 1011),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::Dashboard": ("DashboardName", 255),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::Logs::ResourcePolicy": ("PolicyName", 255),
    "AWS::Backup::BackupVault": ("BackupVaultName", 50),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": ("Name", 253),
}
# What a name need not be unique in, or is unique in already.
WITHIN: Mapping[str, str] = {
    "AWS::ApiGatewayV2::Api": "not a key",
    "AWS::ApiGatewayV2::Authorizer": "its API",
    "AWS::ApiGatewayV2::Stage": "its API",
    "AWS::ApiGatewayV2::VpcLink": "not a key",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "its target",
    "AWS::Backup::BackupPlan": "not a key",
    "AWS::Backup::BackupSelection": "its plan",
    "AWS::CertificateManager::Certificate": "the caller's domain",
    "AWS::CloudWatch::Alarm": "its metric",
    "AWS::EC2::VPCEndpoint": "an AWS service",
    "AWS::ElastiCache::User": "its group; its id is what an account has once",
    "AWS::ECS::CapacityProvider": "not a key",
    "AWS::IAM::Policy": "its role",
    "AWS::Lambda::Alias": "its function",
    "AWS::Route53::RecordSet": "the caller's zone",
    "AWS::SNS::Topic": "not a key",
    "AWS::ServiceDiscovery::Service": "its namespace",
    "AWS::Cognito::UserPoolClient": "its pool",
    "AWS::Cognito::ManagedLoginBranding": "its pool",
}

Build = Callable[[str, str | None], cdk.cx_api.CloudAssembly]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Synthesizes an app whose stack somebody gave a name."""
    original = cdk.Stack

    def run(name: str, stack_name: str | None) -> cdk.cx_api.CloudAssembly:
        class Named(original):  # type: ignore[misc, valid-type]
            def __init__(self, scope: Any, id: str, **options: Any) -> None:
                own = {"stack_name": stack_name} if id == "Dify" and stack_name else {}
                super().__init__(scope, id, **options, **own)

        specification = importlib.util.spec_from_file_location(name, APPS[name])
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        app = cdk.App(outdir=str(tmp_path_factory.mktemp(name)), analytics_reporting=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cdk, "Stack", Named)
            module.build(app)
            return app.synth()

    return run


def resources(assembly: cdk.cx_api.CloudAssembly) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for stack in assembly.stacks:
        for id, resource in stack.template["Resources"].items():
            yield resource["Type"], f"{stack.stack_name}/{id}", resource.get("Properties", {})


def value_at(properties: Mapping[str, Any], path: str) -> Any:
    value: Any = properties
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def written(value: Mapping[str, Any]) -> str:
    """A joined text, with eight characters for what is known at deployment: a piece of the stack's id."""
    return "".join(part if isinstance(part, str) else "." * 8 for part in value["Fn::Join"][1])


def unique_names(assembly: cdk.cx_api.CloudAssembly) -> dict[tuple[str, str], str]:
    """By type and resource, every name that an account has once."""
    found = {}
    for type, id, properties in resources(assembly):
        path, _ = UNIQUE.get(type, ("", 0))
        value = value_at(properties, path)
        if value is not None:
            found[type, id] = value if isinstance(value, str) else written(value)
    return found


@pytest.mark.parametrize("app", APPS)
def test_names_have_the_stack_s_name_in_them_and_are_no_longer_than_allowed(build: Build, app: str) -> None:
    """Somebody's own name, then one that leaves room for nothing else: what is cut is told apart."""
    for stack_name, mark in (("Tenant7", "tenant7"), (LONG, "tenant")):
        assembly = build(app, stack_name)
        names = unique_names(assembly)
        assert names
        for (type, id), name in names.items():
            assert mark in name.lower(), (type, id, name)
            assert len(name) <= UNIQUE[type][1], (type, id, name)
        assert all(mark in stack.stack_name.lower() for stack in assembly.stacks)
        assert all(len(stack.stack_name) <= 128 for stack in assembly.stacks)


@pytest.mark.parametrize("app", ["v3", "v4_options"])
def test_names_that_were_cut_are_told_apart(build: Build, app: str) -> None:
    first, second = (build(app, f"{LONG}-{end}") for end in "ab")
    assert not set(unique_names(first).values()) & set(unique_names(second).values())
    assert not {one.stack_name for one in first.stacks} & {one.stack_name for one in second.stacks}


@pytest.mark.parametrize("app", APPS)
def test_every_other_name_need_not_be_unique(build: Build, app: str) -> None:
    """A new kind of resource with a name is in one of the two tables."""
    for type, id, properties in resources(build(app, "Tenant7")):
        if type in UNIQUE or type.startswith("Custom::"):
            continue
        names = [key for key in properties if key == "Name" or key == f"{type.split('::')[-1]}Name"]
        literal = [key for key in names if isinstance(properties[key], str) or "Fn::Join" in properties[key]]
        assert not literal or type in WITHIN, (type, id, literal)


@pytest.mark.parametrize("app", ["v3_options"])
def test_the_reader_of_a_parameter_knows_its_name(build: Build, app: str) -> None:
    found = list(resources(build(app, "Tenant7")))
    written = {p["Name"] for type, _, p in found if type == "AWS::SSM::Parameter"}
    read = {p["ParameterName"] for type, _, p in found if type == "Custom::CrossRegionStringParameterReader"}
    assert read
    assert read <= written


def test_a_name_that_follows_from_the_ids_is_none_of_somebody_s_own() -> None:
    app = cdk.App()
    stage = cdk.Stage(app, "Prod")
    assert not has_chosen_name(cdk.Stack(app, "Dify"))
    assert not has_chosen_name(cdk.Stack(stage, "Dify"))
    assert not has_chosen_name(cdk.NestedStack(cdk.Stack(app, "Other"), "Nested"))
    assert has_chosen_name(cdk.Stack(app, "Second", stack_name="tenant7"))
    assert has_chosen_name(cdk.NestedStack(cdk.Stack(app, "Third", stack_name="tenant8"), "Nested"))
