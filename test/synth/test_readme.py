"""The code that the README shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_block_synthesizes(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(compile(block, README.name, "exec"), namespace)
    resources = namespace["app"].synth().get_stack_by_name("Dify").template["Resources"]
    assert "AWS::ECS::Service" in {resource["Type"] for resource in resources.values()}


def test_readme_has_a_python_block() -> None:
    assert BLOCKS


def test_commands_of_the_readme_exist() -> None:
    program = (README.parent / "dev.py").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 dev\.py (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["compare", "test"]
    assert all(re.search(rf"\b{command}\b", program) for command in commands)
