"""Imports point down only, and what is pure starts no CDK."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dify_cdk

PACKAGE = Path(dify_cdk.__file__).parent


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


# Rooms: a folder, or a module beside the folders. From top to bottom; a room may use those below it.
ROOMS = (
    *("monitoring", "frontends", "workers", "data", "network", "cdk_helpers"),
    *("options", "dify", "_arguments", "_checks"),
)
PURE_ROOMS = ("options", "dify", "_arguments", "_checks", "report")  # start no CDK
# On the side: what reads templates uses nothing of the rest, and nothing of the rest uses the tools.
REPORT, TOOLS = "report", ("cli", "__main__")
REPORT_ROOMS = (
    *("output", "comparison", "quotas", "plan", "diagram", "cost", "limits"),
    *("inventory", "traffic", "templates", "regions", "phrases"),
)
# The command line makes assets and examples by modules of its own; only these start a CDK, when called.
SYNTHESIZES = {"cli.synth_example"}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def report_room_of(module: str) -> str:
    return module.removeprefix(f"{REPORT}.").partition(".")[0]


CDK = {"aws_cdk", "constructs", "jsii"}
BUILD = {"cdklabs"}  # of the extra ``cloud-build``: drawn in only when images are built in AWS
MONITORING = {"cdk_monitoring_constructs"}  # of the extra ``monitoring``: drawn in by its construct only
RICH = {"rich"}  # of the extra ``cli``: drawn in only when a table is printed


@dataclass(frozen=True)
class Import:
    """One import statement's module.

    Attributes:
        module: The full name of what is imported.
        line: Where, for the message.
        when: ``start`` when the importing module is loaded, ``types`` never, ``call`` inside a function.
    """

    module: str
    line: int
    when: str

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]

    @property
    def own(self) -> str | None:
        """The name inside the package, if it is one of ours."""
        return self.module.removeprefix("dify_cdk.") if self.module.startswith("dify_cdk.") else None


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Full names of the modules, also of ``from dify_cdk import squid``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.level == 0, "imports are absolute"
    base = node.module or ""
    submodules = {alias.name for alias in node.names if base.startswith("dify_cdk")}
    inside = base.removeprefix("dify_cdk").removeprefix(".")
    found = {f"{base}.{name}" for name in submodules if is_module(f"{inside}.{name}".removeprefix("."))}
    yield from found or {base}


def imports(node: ast.AST, when: str = "start") -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (Import(target, child.lineno, when) for target in targets(child))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(child, "call")
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(body=child.body, type_ignores=[]), "types")
        else:
            yield from imports(child, when)


def read(path: Path) -> list[Import]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


HANDLERS = {path.relative_to(PACKAGE).as_posix(): read(path) for path in PACKAGE.glob("handlers/**/*.py")}
MODULES = {
    name_of(path): read(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"handlers", "docker", "_examples"} & set(path.relative_to(PACKAGE).parts)
}
SUBMODULES = {name: found for name, found in MODULES.items() if name}


PURE = {name for name in SUBMODULES if room_of(name) in (*PURE_ROOMS, "cli")} - SYNTHESIZES
# A public module of the folder is an entry point; the package itself and the shape they share are none.
FRONTENDS = {name for name in SUBMODULES if name.startswith("frontends.") and name.count(".") == 1} - {
    "frontends.protocol",
    "frontends.parts",
}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


class TestTheReader:
    """The reader finds what the rules below are about."""

    def test_it_tells_when_something_is_imported(self) -> None:
        source = """
import os.path
from dify_cdk.dify import ssrf_proxy
from dify_cdk.frontends import alb
from dify_cdk.dify.components import Component
if TYPE_CHECKING:
    import aws_cdk as cdk
try:
    import rich
except ImportError:
    pass
class C:
    import json
    def f(self):
        from aws_cdk import aws_ec2
"""
        found = [(one.module, one.when) for one in imports(ast.parse(source))]
        assert found == [
            ("os.path", "start"),
            ("dify_cdk.dify.ssrf_proxy", "start"),
            ("dify_cdk.frontends.alb", "start"),
            ("dify_cdk.dify.components", "start"),
            ("aws_cdk", "types"),
            ("rich", "start"),
            ("json", "start"),
            ("aws_cdk", "call"),
        ]

    def test_it_reads_the_whole_package(self) -> None:
        assert {"frontends.alb", "frontends.http_api", "frontends.cloudfront_lambda"} <= FRONTENDS
        assert {"dify.routes", "frontends.alb", "report.inventory", "cli"} <= MODULES.keys()
        assert {one.own for one in MODULES["workers.workers"]} >= {"data.data", "workers.component_service"}
        assert len(HANDLERS) >= 4


class TestLayers:
    def test_every_room_has_a_place(self) -> None:
        assert {room_of(module) for module in SUBMODULES} == {*ROOMS, REPORT, *TOOLS}
        inside = {report_room_of(module) for module in SUBMODULES if module.startswith("report.")}
        assert inside == set(REPORT_ROOMS)

    @pytest.mark.parametrize("module", SUBMODULES)
    def test_imports_point_down(self, module: str) -> None:
        room = room_of(module)
        below = {*ROOMS[ROOMS.index(room) :]} if room in ROOMS else {REPORT}
        if room in TOOLS:
            below = {*TOOLS, REPORT, *PURE_ROOMS, "cdk_helpers"}
        up = [
            f"line {one.line}: {one.module}"
            for one in MODULES[module]
            if one.own and room_of(one.own) not in below
        ]
        assert up == []

    @pytest.mark.parametrize("module", sorted(one for one in SUBMODULES if one.startswith("report.")))
    def test_imports_point_down_inside_the_report(self, module: str) -> None:
        below = REPORT_ROOMS[REPORT_ROOMS.index(report_room_of(module)) :]
        own = [one for one in MODULES[module] if one.own and one.own.startswith("report.")]
        assert [
            f"line {one.line}: {one.module}" for one in own if report_room_of(one.own or "") not in below
        ] == []

    def test_there_is_no_circle(self) -> None:
        graph = {name: {one.own for one in found if one.own} for name, found in SUBMODULES.items()}
        order = list(TopologicalSorter(graph).static_order())
        assert order.index("dify.components") < order.index("workers.workers")

    @pytest.mark.parametrize("module", SUBMODULES)
    def test_the_public_names_are_for_users_and_not_for_the_package_itself(self, module: str) -> None:
        """``from dify_cdk import DifyData`` inside would hide a dependency from the rule above."""
        assert [one.line for one in MODULES[module] if one.module == "dify_cdk"] == []

    @pytest.mark.parametrize("module", SUBMODULES)
    def test_nothing_knows_a_frontend_by_name(self, module: str) -> None:
        """Neither one of the others nor what takes any of them, which takes the protocol."""
        assert {one.own for one in MODULES[module]} & FRONTENDS == set()

    @pytest.mark.parametrize("room", [*ROOMS, REPORT])
    def test_a_folder_says_in_one_sentence_what_it_answers(self, room: str) -> None:
        folder = PACKAGE / room
        if folder.is_dir():
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
            assert len(text) > 20, f"{room}/__init__.py"

    def test_no_two_modules_differ_by_an_underscore_only(self) -> None:
        plain = [".".join(part.strip("_") for part in name.split(".")) for name in SUBMODULES]
        assert sorted(set(plain)) == sorted(plain)

    def test_the_package_itself_imports_nothing_when_loaded(self) -> None:
        started = {one.root for one in MODULES[""] if one.when == "start"}
        assert started <= {"__future__", "importlib", "typing"}


class TestPureModules:
    @pytest.mark.parametrize("module", sorted(PURE | SYNTHESIZES))
    def test_nothing_but_the_standard_library_is_imported_at_start(self, module: str) -> None:
        started = {one.root for one in MODULES[module] if one.when == "start"}
        assert started - sys.stdlib_module_names <= {"dify_cdk"}

    def test_importing_them_all_starts_no_cdk(self) -> None:
        modules = sorted(PURE)
        code = f"""
import sys, json, importlib
found = {{}}
for name in ["dify_cdk", *("dify_cdk." + name for name in {modules!r})]:
    importlib.import_module(name)
    found[name] = sorted({CDK!r} & sys.modules.keys())
print(json.dumps(found))
"""
        run = python(code)
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout)
        assert len(found) == len(modules) + 1
        assert {name: loaded for name, loaded in found.items() if loaded} == {}


class TestThirdParties:
    @pytest.mark.parametrize("module", SUBMODULES)
    def test_only_the_dependencies_of_the_project_are_used(self, module: str) -> None:
        """So that no module of a handler is imported by its bare name either."""
        allowed = CDK | {"dify_cdk"} | (RICH if module.startswith(("report", "cli")) else set())
        allowed |= BUILD if module == "frontends.parts.lambda_images" else set()
        allowed |= MONITORING if module == "monitoring" else set()
        assert {one.root for one in MODULES[module]} - sys.stdlib_module_names <= allowed

    @pytest.mark.parametrize("module", MODULES)
    def test_constructs_never_import_handlers(self, module: str) -> None:
        assert [one.module for one in MODULES[module] if (one.own or "").startswith("handlers")] == []

    @pytest.mark.parametrize("path", HANDLERS)
    def test_handlers_need_only_what_the_lambda_runtime_has(self, path: str) -> None:
        siblings = {sibling.stem for sibling in (PACKAGE / path).parent.glob("*.py")}
        at_start = {one.root for one in HANDLERS[path] if one.when == "start"}
        when_called = {one.root for one in HANDLERS[path] if one.when == "call"}
        assert at_start - sys.stdlib_module_names <= siblings
        assert when_called - sys.stdlib_module_names <= siblings | {"boto3", "botocore"}
