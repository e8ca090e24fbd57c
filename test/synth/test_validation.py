"""No finding of the CDK's validator, of cfn-lint, or of cdk-nag's AwsSolutions rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from support import EXAMPLES, REGION, Template

APPS = sorted(path.stem for path in (Path(__file__).parent / "apps").glob("*.py"))

# What the examples say on purpose: they have no domain, and an office that is nobody's.
OWN_WARNINGS = {"Annotation::DifyAlbWithoutTls", "Annotation::DifyAccessExample"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Findings of every variant, from one process with the validator switched on."""
    program = Path(__file__).with_name("validate_examples.py")
    environment = {**os.environ, "CDK_VALIDATION": "true"}
    command = [
        sys.executable,
        str(program),
        REGION,
        str(tmp_path_factory.mktemp("validated")),
        *EXAMPLES,
        *APPS,
    ]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("variant", [*EXAMPLES, *APPS])
def test_validator_and_nag_find_nothing(results: dict[str, Any], variant: str) -> None:
    unexpected = [finding for finding in results[variant]["findings"] if finding[0] not in OWN_WARNINGS]
    assert unexpected == []
    assert not results[variant]["failed"]


@pytest.mark.slow
def test_validator_reports_a_mistake(tmp_path: Path) -> None:
    """The check above can fail: an unknown property is found."""
    program = (
        "import sys; from dify_cdk.cdk_helpers.assets import use_wheel_node; use_wheel_node()\n"
        "import aws_cdk as cdk\n"
        "flags = {'@aws-cdk/core:validateAgainstDefaultRules': True}\n"
        "app = cdk.App(context=flags, outdir=sys.argv[1], analytics_reporting=False)\n"
        "stack = cdk.Stack(app, 'S')\n"
        "cdk.CfnResource(stack, 'B', type='AWS::S3::Bucket', properties={'NoSuchProperty': 1})\n"
        "app.synth()\n"
    )
    environment = {**os.environ, "CDK_VALIDATION": "true"}
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "NoSuchProperty" in (tmp_path / "validation-report.json").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cfn_lint_finds_nothing(template: Template) -> None:
    # W3005: dependencies the CDK writes although a reference implies them; W3010: zone names.
    arguments = ManualArgs(regions=[REGION], ignore_checks=["W3005", "W3010"])
    matches = lint(json.dumps(template.body), config=arguments)
    assert [str(match) for match in matches] == []
