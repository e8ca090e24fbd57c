"""The names that ``import dify_cdk`` offers."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dify_cdk

if TYPE_CHECKING:  # mypy fails where an ignored error is none: it has to find each of these
    from aws_cdk import aws_ecs as ecs

    from dify_cdk import Component, ComponentSize, Environment, RoleSize
    from dify_cdk import DifyWorker as Typo  # type: ignore[attr-defined]  # noqa: F401

    def mixed(secret: ecs.Secret) -> Environment:
        variables: Environment = {Component.API: {"LOG_TZ": "UTC", "KEY": secret}}
        return variables

    def old_name() -> ComponentSize:
        return RoleSize(cpu_units=256, memory_mib=512)


INIT = ast.parse(Path(dify_cdk.__file__).read_text(encoding="utf-8"))

# Loads every name in a process of its own: that starts the CDK, which the tests of this folder must not.
LOAD = """
import inspect, json, sys
import dify_cdk
started = "aws_cdk" in sys.modules
tables = ("Access", "Domain", "DifyRelease", "Limits", "Component", "ComponentSize", "Purpose")
pure = [name for name in tables if getattr(dify_cdk, name)]
early = "aws_cdk" in sys.modules
names = {}
for name in dify_cdk.__all__:
    value = getattr(dify_cdk, name)
    if not inspect.isclass(value):  # a name for a type, whose docstring is no object's
        home = f"dify_cdk.{dify_cdk._MODULES[name]}"
        names[name] = {"home": home, "name": name, "doc": "A name for a type of arguments."}
        continue
    own = value.__doc__ or ""
    names[name] = {"home": value.__module__, "name": value.__name__, "doc": inspect.cleandoc(own)}
star = {}
exec("from dify_cdk import *", star)
star = sorted(set(star) - {"__builtins__"})
print(json.dumps({"started": started, "early": early, "pure": pure, "names": names, "star": star}))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, object]:
    run = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def names(loaded: dict[str, object]) -> dict[str, dict[str, str]]:
    found = loaded["names"]
    assert isinstance(found, dict)
    return found


def for_type_checkers() -> dict[str, str]:
    """Name to module of the imports that only type checkers follow."""
    block = next(node for node in INIT.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_they_are_sorted_and_unique() -> None:
    assert dify_cdk.__all__ == sorted(set(dify_cdk.__all__))
    assert dir(dify_cdk) == dify_cdk.__all__


def test_type_checkers_see_the_same_names_in_the_same_modules(names: dict[str, dict[str, str]]) -> None:
    assert for_type_checkers() == {name: about["home"] for name, about in names.items()}


def test_they_are_exactly_what_can_be_loaded(
    loaded: dict[str, object], names: dict[str, dict[str, str]]
) -> None:
    assert loaded["star"] == dify_cdk.__all__
    assert {name: about["name"] for name, about in names.items()} == {name: name for name in dify_cdk.__all__}
    assert dify_cdk._MODULES.keys() == set(dify_cdk.__all__)


def test_each_has_a_docstring_of_its_own(names: dict[str, dict[str, str]]) -> None:
    """Not the signature that ``dataclass`` writes where there is none."""
    bare = [
        name for name, about in names.items() if len(about["doc"]) < 20 or about["doc"].startswith(f"{name}(")
    ]
    assert bare == []


def test_the_cdk_starts_only_with_the_first_construct(loaded: dict[str, object]) -> None:
    assert loaded["started"] is False
    assert loaded["early"] is False
    assert len(loaded["pure"]) == 7  # type: ignore[arg-type]


def test_the_words_of_the_design_are_there() -> None:
    assert {"DifyNetwork", "DifyData", "DifyWorkers", "DifyAlbFrontend", "Access", "Egress"} <= set(
        dify_cdk.__all__
    )


def test_an_old_name_still_works() -> None:
    old = "RoleSize"
    assert getattr(dify_cdk, old) is dify_cdk.ComponentSize
    assert old not in dify_cdk.__all__


@pytest.mark.parametrize("name", ["DifyNetworks", "routes_", "_Nothing", "access_"])
def test_fails_when_a_name_is_unknown(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module 'dify_cdk' has no attribute '{name}'$"):
        getattr(dify_cdk, name)


def test_the_version_is_that_of_the_package() -> None:
    assert dify_cdk.__version__ == importlib.metadata.version("dify-cdk")
