"""What an upgrade of Dify, and moving an installation in, change in a template, and what they leave alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_secretsmanager as secretsmanager

from dify_cdk import (
    CloudFrontEdge,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyHttpApiFrontend,
    DifyRelease,
    DifyWorkers,
)
from support import Template
from synth.installation import OFFICE, data_in, synthesized
from synth.test_contract import CONTRACT, stateful_ids

NEXT = DifyRelease(version="1.99.0", sandbox="0.9.9", plugin_daemon="9.9.9-local", ssrf_proxy="9.9")
FRONTENDS: dict[str, Callable[[cdk.Stack, DifyWorkers], object]] = {
    "v1": lambda stack, workers: DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE),
    "v2": lambda stack, workers: DifyHttpApiFrontend(stack, "Frontend", workers=workers, access=OFFICE),
    "v3": lambda stack, workers: DifyCloudFrontLambdaFrontend(
        stack, "Frontend", workers=workers, access=OFFICE
    ),
    "v4": lambda stack, workers: DifyAlbFrontend(
        stack, "Frontend", workers=workers, access=OFFICE, edge=CloudFrontEdge(), collaboration=True
    ),
}
SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:old-key-AbCdEf"


def _template(frontend: str, release: DifyRelease | None = None, **data_options: Any) -> Template:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Dify", env=cdk.Environment(region="us-east-1"))
    if data_options.get("secret_key"):
        data_options["secret_key"] = secretsmanager.Secret.from_secret_complete_arn(stack, "Old", SECRET_ARN)
    data = data_in(stack, **data_options)
    workers = DifyWorkers(stack, "Workers", data=data, release=release or DifyRelease())
    FRONTENDS[frontend](stack, workers)
    return synthesized(stack)


@cache
def _with_the_old_key() -> Template:
    return _template("v4", secret_key=True)


def _without_images(template: Template) -> dict[str, Any]:
    """The resources without the images of containers and functions, and what a migration is told of them."""
    resources = copy.deepcopy(template.resources)
    for resource in resources.values():
        properties = resource.get("Properties", {})
        for container in properties.get("ContainerDefinitions", ()):
            container.pop("Image")
        if resource["Type"] == "Custom::DifyMigration":
            properties.pop("Image")
        if "ImageUri" in properties.get("Code", {}):
            properties.pop("Code")
    return resources


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_new_release_changes_images_and_nothing_else(frontend: str) -> None:
    before, after = _template(frontend), _template(frontend, NEXT)
    assert _without_images(after) == _without_images(before)
    images = {component: container["Image"] for component, container in after.containers().items()}
    assert images == {
        component: f"{Component(component).spec.repository}:{NEXT.tag(Component(component))}"
        for component in images
    }
    (migration,) = after.properties("Custom::DifyMigration").values()
    assert migration["Image"] == images["migration"]  # a new image is migrated to, before anything runs it


class TestMovingIn:
    def test_cluster_starts_from_the_snapshot(self) -> None:
        (cluster,) = (
            _template("v4", snapshot_identifier="before-moving").properties("AWS::RDS::DBCluster").values()
        )
        assert cluster["SnapshotIdentifier"] == "before-moving"
        assert "MasterUsername" not in cluster  # the snapshot brings it along, RDS refuses another
        assert "{{resolve:secretsmanager:" in str(cluster["MasterUserPassword"])

    def test_ids_stay_those_of_the_contract(self) -> None:
        template = _template("v4", snapshot_identifier="before-moving", secret_key=True)
        key = {id for id in CONTRACT if id.startswith("DataSecretKey")}
        assert stateful_ids(template) == {id: kind for id, kind in CONTRACT.items() if id not in key}

    @pytest.mark.parametrize(
        "component", [Component.API, Component.WORKER, Component.BEAT, Component.MIGRATION]
    )
    def test_every_backend_component_reads_the_old_key(self, component: Component) -> None:
        assert _with_the_old_key().secrets(component)["SECRET_KEY"] == SECRET_ARN

    def test_lambda_functions_read_the_old_key(self) -> None:
        template = _template("v3", secret_key=True)
        (variables,) = [
            properties["Environment"]["Variables"]
            for id, properties in template.properties("AWS::Lambda::Function").items()
            if "LambdaApiFunction" in id
        ]
        assert SECRET_ARN in str(variables["DIFY_CDK_SECRETS"])

    def test_master_user_of_the_snapshot_is_kept_in_its_secret(self) -> None:
        template = _template("v4", snapshot_identifier="before-moving", master_user="postgres")
        (secret,) = [
            properties
            for id, properties in template.properties("AWS::SecretsManager::Secret").items()
            if "MasterUser" in id
        ]
        assert json.loads(secret["GenerateSecretString"]["SecretStringTemplate"]) == {"username": "postgres"}
