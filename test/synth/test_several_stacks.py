"""Network, data and workers in stacks of their own: what is meant to change can be deployed in order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk import (
    Access,
    AlbScheme,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Egress,
)

Templates = Mapping[str, Mapping[str, Any]]
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
INTERNAL = AlbScheme.INTERNAL
STATES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "rotated": {"rotation": 1},
    "rotated_again": {"rotation": 2},
    "nat_instance": {"egress": Egress.NAT_INSTANCE},
    "internal": {"scheme": INTERNAL},
    "isolated": {"egress": Egress.ISOLATED, "scheme": INTERNAL},
}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Templates]:
    return {name: build(tmp_path_factory.mktemp(name), **options) for name, options in STATES.items()}


def build(
    folder: Path,
    *,
    egress: Egress = Egress.NAT_GATEWAYS,
    rotation: int = 0,
    scheme: AlbScheme | None = None,
) -> Templates:
    """Three stacks, without a feature flag."""
    app = cdk.App(outdir=str(folder), analytics_reporting=False)
    net, own, dify = (
        cdk.Stack(app, name, env=cdk.Environment(region="eu-west-1")) for name in ("Net", "Data", "Dify")
    )
    network = DifyNetwork(net, "Network", egress=egress)
    data = DifyData(own, "Data", vpc=network.vpc, rotation=rotation)
    workers = DifyWorkers(dify, "Workers", data=data, release=DifyRelease(registry=REGISTRY))
    access = Access(ipv4=["10.0.0.0/8"], also=network.public_addresses)
    DifyAlbFrontend(dify, "Frontend", workers=workers, access=access, scheme=scheme)
    return {stack.stack_name: stack.template for stack in app.synth().stacks}


def exported(templates: Templates) -> set[str]:
    outputs = [one for template in templates.values() for one in template.get("Outputs", {}).values()]
    return {one["Export"]["Name"] for one in outputs if "Export" in one}


def found(templates: Templates, pattern: str) -> set[str]:
    return set(re.findall(pattern, json.dumps(templates)))


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_no_export_goes_that_a_deployed_stack_imports(
    states: Mapping[str, Templates], before: str, after: str
) -> None:
    """The stack that exports is deployed first, and CloudFormation would refuse it."""
    gone = exported(states[before]) - exported(states[after])
    assert not gone & found(states[before], r'"Fn::ImportValue": "([^"]+)"')


@pytest.mark.parametrize("state", STATES)
def test_every_output_that_is_read_is_there(states: Mapping[str, Templates], state: str) -> None:
    outputs = {name for template in states[state].values() for name in template.get("Outputs", {})}
    read = found(states[state], r'"OutputName": "([^"]+)"')
    assert read
    assert read <= outputs


def test_what_stays_is_still_imported(states: Mapping[str, Templates]) -> None:
    """Strong where nothing is meant to change: the VPC and the cluster cannot go from under the tasks."""
    imports = found(states["default"], r'"Fn::ImportValue": "([^"]+)"')
    for part in ("RefNetworkVpc", "DataDatabase", "AppSubnet1"):
        assert any(part in name for name in imports), part


def test_an_export_that_older_templates_import_stays_beside_the_output(
    states: Mapping[str, Templates],
) -> None:
    """Else the first deployment with this version could not go through either."""
    names = exported(states["default"])
    for part in ("DataDatabaseUser", "InnerApiKey", "GatewayAddress1", "PublicSubnet1"):
        assert any(part in name for name in names), part
