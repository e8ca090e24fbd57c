"""Every block of Python on the pages runs, and what it defines can be synthesized.

A block is a whole app, or it goes on where the app of the README stands: then names that it uses and does not
define (``stack``, ``network``, ``workers`` ...) are those of that app, and a frontend is added if the block
leaves it out, for workers without one cannot be deployed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dify_cdk
from documentation.pages import JAPANESE, Block, blocks

ACCOUNT = "111122223333"

BLOCKS = [block for block in blocks("python") if block.page != JAPANESE]  # whose code is the same: see there

# The app of the README, one statement for each name, in the order of their use.
SETTING = {
    "app": "app = cdk.App()",
    "stack": 'stack = cdk.Stack(app, "Dify", env=cdk.Environment(account=ACCOUNT, region="us-east-1"))',
    "network": 'network = DifyNetwork(stack, "Network", zones=["us-east-1a", "us-east-1b"])',
    "data": 'data = DifyData(stack, "Data", vpc=network.vpc)',
    "workers": 'workers = DifyWorkers(stack, "Workers", data=data)',
    "access": 'access = Access(ipv4=["203.0.113.0/24"], also=network.public_addresses)',
    "frontend": 'frontend = DifyAlbFrontend(stack, "Frontend", workers=workers, access=access)',
}


def _names(code: str, kind: type[ast.expr_context]) -> set[str]:
    found = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name))
    return {node.id for node in found if isinstance(node.ctx, kind)}


def _first_use(code: str, name: str) -> str:
    """Whether a block reads a name before it defines it, or the other way round, or neither."""
    for statement in ast.parse(code).body:
        text = ast.unparse(statement)
        if name in _names(text, ast.Load):
            return "read"
        if name in _names(text, ast.Store):
            return "defined"
    return ""


def setting_for(code: str) -> list[str]:
    """The statements that a block goes on from."""
    needed: list[str] = []
    for name, statement in reversed(SETTING.items()):
        if _first_use("\n".join([*needed, code]), name) == "read":
            needed.insert(0, statement)
    return needed


def _public_names() -> Iterator[tuple[str, Any]]:
    import aws_cdk as cdk

    yield "cdk", cdk
    yield "ACCOUNT", ACCOUNT
    yield from ((name, getattr(dify_cdk, name)) for name in dify_cdk.__all__)


def run(block: Block) -> dict[str, Any]:
    """Execute a block in its setting."""
    namespace = dict(_public_names()) if "import dify_cdk" not in block.code else {}
    if "cdk.App(" in block.code:
        namespace = {}  # a whole app: it says itself what it needs
    else:
        exec("\n".join(setting_for(block.code)), namespace)
    padded = "\n" * (block.line - 1) + block.code  # so that a failure names the line of the page
    exec(compile(padded, str(block.page), "exec"), namespace)
    return namespace


def complete(namespace: dict[str, Any]) -> None:
    workers = namespace.get("workers")
    if workers is not None and not workers.is_announced:
        access = dify_cdk.Access(ipv4=["203.0.113.0/24"])
        dify_cdk.DifyAlbFrontend(namespace["stack"], "AddedByTheTest", workers=workers, access=access)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_runs_and_synthesizes(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = run(block)
    if "stack" not in namespace:
        return  # a value object, which has checked itself
    complete(namespace)
    stacks = namespace["app"].synth().stacks_recursively
    messages = [message for stack in stacks for message in stack.messages]
    assert not [message for message in messages if message.level.name == "ERROR"]
    resources = [resource for stack in stacks for resource in stack.template.get("Resources", {}).values()]
    assert len(resources) > 1


def test_there_are_blocks_on_the_readme_and_in_the_guides() -> None:
    pages = {block.page.name for block in BLOCKS}
    assert {"README.md", "operations.md", "switching.md", "moving-in.md"} <= pages


class TestTheSetting:
    """The reader finds what a block needs, and nothing else."""

    def test_a_name_that_the_block_defines_itself_is_not_set(self) -> None:
        code = 'data = DifyData(stack, "Data", vpc=network.vpc)'
        assert setting_for(code) == [SETTING["app"], SETTING["stack"], SETTING["network"]]

    def test_what_the_setting_needs_is_set_as_well(self) -> None:
        assert setting_for("print(frontend.url)") == list(SETTING.values())

    def test_a_name_that_is_read_to_define_itself_anew_is_set(self) -> None:
        assert setting_for("app = wrap(app)") == [SETTING["app"]]

    def test_a_block_about_nothing_of_it_needs_nothing(self) -> None:
        assert setting_for('access = Access(ipv4=["203.0.113.0/24"])') == []
