"""What AWS changes by itself: who decides about every version that a template names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk import DatabaseCapacity, DifyData, DifyNetwork, MaintenanceWindows
from support import VARIANTS, Template
from synth.installation import synthesized

CLUSTER, INSTANCE = "AWS::RDS::DBCluster", "AWS::RDS::DBInstance"
CACHE = "AWS::ElastiCache::ReplicationGroup"


def data(stack: cdk.Stack, **arguments: Any) -> Template:
    DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc, **arguments)
    return synthesized(stack)


USERS = ("AWS::ElastiCache::User", "AWS::ElastiCache::UserGroup")
"""Say for which engine they are, and run none."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_whatever_has_an_engine_is_upgraded_by_a_deployment_only(
    templates: Callable[[str], Template], variant: str
) -> None:
    template = templates(variant)
    engines = [
        resource
        for resource in template.resources.values()
        if {"Engine", "EngineVersion"} & resource.get("Properties", {}).keys()
        and resource["Type"] not in USERS
    ]
    assert {resource["Type"] for resource in engines} == {CLUSTER, INSTANCE, CACHE}
    assert [one for one in engines if one["Properties"]["AutoMinorVersionUpgrade"] is not False] == []


# Versions that AWS moves on its side, each with somebody who decides when ours moves; no other may appear.
DECIDED = {
    (CLUSTER, "EngineVersion"),  # DifyData(engine_version=)
    (INSTANCE, "EngineVersion"),
    (CACHE, "EngineVersion"),  # a release of the library
    ("AWS::Lambda::Function", "Runtime"),  # a release of the library
}
VERSIONS = ("EngineVersion", "Runtime", "PlatformVersion", "CACertificateIdentifier", "AmiType")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_version_in_a_template_is_one_that_somebody_decides_about(
    templates: Callable[[str], Template], variant: str
) -> None:
    found = {
        (resource["Type"], name)
        for resource in templates(variant).resources.values()
        for name in VERSIONS
        if name in resource.get("Properties", {})
    }
    assert found <= DECIDED


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_runtime_is_one_that_lambda_has_given_up(
    templates: Callable[[str], Template], variant: str
) -> None:
    functions = templates(variant).properties("AWS::Lambda::Function").values()
    runtimes = {function["Runtime"] for function in functions if "Runtime" in function}
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
    assert runtimes <= {"python3.13", "python3.14", "nodejs22.x", "nodejs24.x", "provided.al2023"}


def test_an_engine_that_is_ahead_of_the_library_is_named(stack: cdk.Stack) -> None:
    template = data(stack, engine_version="17.11", snapshot_identifier="before-upgrade")
    (cluster,) = template.properties(CLUSTER).values()
    assert cluster["EngineVersion"] == "17.11"
    assert all(
        one["EngineVersion"] == "17.11"
        for one in template.properties(INSTANCE).values()
        if "EngineVersion" in one
    )


def test_an_older_major_version_has_its_own_parameters(stack: cdk.Stack) -> None:
    (group,) = data(stack, engine_version="15.12").properties("AWS::RDS::DBClusterParameterGroup").values()
    assert group["Family"] == "aurora-postgresql15"


@pytest.mark.parametrize("version", ["18.1", "14.9", "17", "17.9.1", "aurora", ""])
def test_fails_when_dify_does_not_run_on_the_engine(stack: cdk.Stack, version: str) -> None:
    with pytest.raises(ValueError, match=r"^DifyData\.engine_version must be a version of Aurora PostgreSQL"):
        data(stack, engine_version=version)


def test_windows_reach_database_and_cache(stack: cdk.Stack) -> None:
    windows = MaintenanceWindows(maintenance="sun:04:00-sun:05:00", backup="02:00-02:30")
    template = data(stack, windows=windows, capacity=DatabaseCapacity(readers=1))
    found = [
        resource["Properties"]["PreferredMaintenanceWindow"]
        for type in (CLUSTER, INSTANCE, CACHE)
        for resource in template.of_type(type).values()
    ]
    assert found == ["sun:04:00-sun:05:00"] * 4
    (cluster,) = template.properties(CLUSTER).values()
    assert cluster["PreferredBackupWindow"] == "02:00-02:30"


def test_aws_picks_the_windows_by_default(stack: cdk.Stack) -> None:
    template = data(stack)
    for type in (CLUSTER, INSTANCE, CACHE):
        for properties in template.properties(type).values():
            assert {"PreferredMaintenanceWindow", "PreferredBackupWindow"} & properties.keys() == set()
