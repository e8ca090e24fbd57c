"""What every frontend of the package has: its limits, and a test that reads its shape."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dify_cdk
from dify_cdk.dify.limits import FRONTEND_LIMITS

FOLDER = Path(dify_cdk.__file__).parent / "frontends"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "protocol"))
SYNTH = Path(__file__).parents[1] / "synth"


def test_each_has_its_limits_and_none_is_left() -> None:
    """The name of a row is that of the class: errors say it to users."""
    homes = {name: dify_cdk._MODULES.get(name) for name in FRONTEND_LIMITS}
    assert sorted(homes.values(), key=str) == [f"frontends.{module}" for module in MODULES]


@pytest.mark.parametrize("module", MODULES)
def test_each_has_a_test_in_which_the_type_checker_reads_its_shape(module: str) -> None:
    tree = ast.parse((SYNTH / f"test_frontend_{module}.py").read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    shapes = {
        ast.unparse(node.value)
        for node in found
        if node.value and "DifyFrontend" in ast.unparse(node.annotation)
    }
    assert len(shapes & FRONTEND_LIMITS.keys()) == 1
