from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CDK_JSON = ROOT / "examples" / "cdk.json"


@pytest.fixture(scope="module")
def recommended() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("feature_flags", ROOT / "tools" / "feature_flags.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    flags: dict[str, Any] = tool.recommended_flags()
    return flags


def test_the_examples_carry_exactly_the_flags_that_the_locked_library_recommends(
    recommended: dict[str, Any],
) -> None:
    context = json.loads(CDK_JSON.read_text())["context"]
    ours = {key: value for key, value in context.items() if key.startswith("@aws-cdk")}
    assert ours == recommended


def test_the_list_is_the_real_one(recommended: dict[str, Any]) -> None:
    assert len(recommended) >= 89
    assert recommended["@aws-cdk/core:validateAgainstDefaultRules"] is True
    assert recommended["@aws-cdk/core:target-partitions"] == ["aws", "aws-cn"]


def test_the_app_command_is_the_one_that_an_activated_environment_answers() -> None:
    assert json.loads(CDK_JSON.read_text())["app"] == "python3 app.py"
