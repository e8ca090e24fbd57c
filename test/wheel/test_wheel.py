"""What a stranger gets: the built package, installed away from the checkout, with its Node and CDK.

Nothing here uses a program of the machine except Python and the shell: PATH is the new environment alone.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from os import environ
from pathlib import Path
from typing import Any

import pytest

import dify_cdk
from dify_cdk.dify.limits import FRONTEND_LIMITS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dify_cdk"
CACHES = {"__pycache__", ".DS_Store", ".ruff_cache", ".mypy_cache"}
END_OF_LIFE = re.compile(r"end-of-life|has not been tested with node|not supported anymore", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """The two files that a release consists of."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """An environment that knows only the package, and a folder to work in."""

    programs: Path
    folder: Path
    wheel: Path

    def pip_install(self, *arguments: str, cwd: Path | None = None) -> str:
        """Install as the caller's settings say, at the locked versions; return what the installer printed."""
        inherited = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
        own = {"PIP_CONSTRAINT": str(self.folder / "constraints.txt")}
        options = ("-m", "pip", "install", "--find-links", str(self.wheel.parent))
        return self._run({**inherited, **own}, cwd, "python", *options, *arguments).stdout

    def run(self, name: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment that finds no other program, no credentials and no settings."""
        environment = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "HOME": str(self.folder),
            "PATH": str(self.programs),
        }
        return self._run(environment, cwd, name, *arguments)

    def _run(
        self, environment: dict[str, str], cwd: Path | None, name: str, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [str(self.programs / name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=cwd or self.folder,
            env=environment,
        )
        assert result.returncode == 0, f"{name} {arguments}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
        return result


def _locked_versions() -> str:
    locks = (ROOT / "requirements" / name for name in ("build.txt", "dev.txt"))
    lines = [line for lock in locks for line in lock.read_text().splitlines() if re.match(r"[a-z]", line)]
    return "\n".join(sorted({line.rstrip(" \\") for line in lines})) + "\n"


def _files(folder: Path, prefix: str) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {f"{prefix}/{path.as_posix()}" for path in found if not CACHES & set(path.parts)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return Built(wheel=wheel, sdist=sdist)


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(wheel.read(name).decode())


@pytest.fixture(scope="module")
def installed(built: Built) -> Iterator[Installed]:
    # Not pytest's folder: that keeps half a gigabyte for each of the last three runs.
    with tempfile.TemporaryDirectory(prefix="dify-cdk-wheel-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        (folder / "constraints.txt").write_text(_locked_versions())
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        environment = Installed(programs=folder / "venv" / scripts, folder=folder, wheel=built.wheel)
        environment.pip_install("--quiet", f"{built.wheel}[cli]")
        yield environment


@pytest.fixture(scope="module")
def apps(installed: Installed) -> dict[str, Path]:
    """An app of every example, as ``init`` writes it."""
    names = sorted(path.stem for path in (ROOT / "examples").glob("v*.py"))
    for name in names:
        installed.run("dify-cdk", "init", name, f"app-{name}")
    return {name: installed.folder / f"app-{name}" for name in names}


@pytest.fixture(scope="module")
def app(apps: dict[str, Path]) -> Path:
    return apps["v1"]


def _cdk_synth(installed: Installed, app: Path, *options: str) -> dict[str, Any]:
    """Synthesize with the real CDK; return the manifest."""
    quiet = ("--no-notices", "--no-version-reporting", "--quiet")
    result = installed.run("cdk", "synth", *quiet, *options, cwd=app)
    assert not END_OF_LIFE.search(result.stdout + result.stderr)
    manifest: dict[str, Any] = json.loads((app / "cdk.out" / "manifest.json").read_text())
    return manifest


def _regions(manifest: dict[str, Any]) -> set[str]:
    stacks = [row for row in manifest["artifacts"].values() if row["type"] == "aws:cloudformation:stack"]
    return {row["environment"] for row in stacks}


def test_the_wheel_holds_the_package_and_the_examples_and_nothing_else(built: Built) -> None:
    expected = _files(PACKAGE, "dify_cdk") | _files(ROOT / "examples", "dify_cdk/_examples")
    with zipfile.ZipFile(built.wheel) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {"dify_cdk/py.typed", "dify_cdk/_examples/v1.py", "dify_cdk/_examples/cdk.json"} <= found
    assert "dify_cdk/report/data/prices.json" in found
    assert any(name.startswith("dify_cdk/handlers/deploy/") for name in found)


def test_the_wheel_lists_what_it_is_tested_with(built: Built, metadata: Message) -> None:
    """Where scanners of installed packages look for it: https://peps.python.org/pep-0770/."""
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        content = json.loads(wheel.read(name))
    assert name.endswith(".dist-info/sboms/dify-cdk.cdx.json")
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    root = content["metadata"]["component"]
    assert (root["name"], root["version"]) == (metadata["Name"], metadata["Version"])
    assert any(part["name"] == "aws-cdk-lib" for part in content["components"])
    assert any(part["type"] == "container" for part in content["components"])


def test_the_source_distribution_holds_what_the_wheel_is_built_from(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        found = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert _files(PACKAGE, "src/dify_cdk") | _files(ROOT / "examples", "examples") <= found
    assert {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "pyproject.toml",
        "requirements/dify-cdk.cdx.json",
    } <= found
    assert not [name for name in found if name.startswith((".venv", ".git/", "test/"))]


def test_the_metadata_says_what_is_needed(metadata: Message) -> None:
    assert metadata["Name"] == "dify-cdk"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    required = metadata.get_all("Requires-Dist") or []
    plain = {re.split(r"[<>=;\[ ]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"aws-cdk-lib", "constructs", "jsii"}


def test_the_installed_package_is_not_the_checkout(installed: Installed) -> None:
    program = (
        "import dify_cdk.cdk_helpers.assets as a; "
        "print(a.__file__, a.examples_dir(), a.node_binary(), sep='\\n')"
    )
    for line in installed.run("python", "-c", program).stdout.splitlines():
        assert Path(line).is_relative_to(installed.folder / "venv")


def test_the_installed_package_knows_its_prices(installed: Installed) -> None:
    program = "from dify_cdk.report.cost.prices import load_prices; print(*load_prices().regions)"
    assert "us-east-1" in installed.run("python", "-c", program).stdout.split()


def test_the_installed_package_compares_without_the_checkout(installed: Installed) -> None:
    result = installed.run("dify-cdk", "compare", "v1")
    for role in ("api", "web", "worker", "beat", "plugin_daemon", "sandbox", "ssrf_proxy"):
        assert re.search(rf"\b{role}\b", result.stdout), role
    assert not END_OF_LIFE.search(result.stdout + result.stderr)


def test_the_requirements_of_the_app_are_this_wheel(installed: Installed, app: Path) -> None:
    output = installed.pip_install("-r", "requirements.txt", cwd=app)
    assert "Requirement already satisfied: dify-cdk[cli]~=" in output
    assert "Installing collected packages" not in output


def test_the_app_synthesizes_with_the_real_cdk_without_credentials(installed: Installed, app: Path) -> None:
    manifest = _cdk_synth(installed, app)
    templates = [json.loads(path.read_text()) for path in (app / "cdk.out").glob("*.template.json")]
    types = {resource["Type"] for template in templates for resource in template["Resources"].values()}
    assert {"AWS::ECS::Service", "AWS::RDS::DBCluster", "AWS::ElasticLoadBalancingV2::LoadBalancer"} <= types
    assert not manifest.get("missing"), "a look-up needs an account"


@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1"])
def test_every_example_synthesizes_for_any_account(
    installed: Installed, apps: dict[str, Path], region: str
) -> None:
    for name, app in apps.items():
        manifest = _cdk_synth(installed, app, "--no-validation", "--context", f"region={region}")
        assert f"aws://unknown-account/{region}" in _regions(manifest), name
        assert not manifest.get("missing"), name


def test_an_account_and_a_committed_context_need_no_credentials(
    installed: Installed, apps: dict[str, Path]
) -> None:
    app = installed.folder / "with-account"
    shutil.copytree(apps["v4"], app, ignore=shutil.ignore_patterns("cdk.out"))
    code = (app / "app.py").read_text()
    assert code.count("cdk.Environment(region=region)") == 1
    account = "111122223333"
    (app / "app.py").write_text(code.replace("(region=region)", f'(account="{account}", region=region)'))
    zones = [f"eu-west-1{letter}" for letter in "abc"]
    context = {f"availability-zones:account={account}:region=eu-west-1": zones}
    (app / "cdk.context.json").write_text(json.dumps(context))
    manifest = _cdk_synth(installed, app, "--no-validation", "--context", "region=eu-west-1")
    assert _regions(manifest) == {f"aws://{account}/eu-west-1"}
    assert not manifest.get("missing")
    (template,) = (app / "cdk.out").glob("*.template.json")
    subnets = [
        row["Properties"]["AvailabilityZone"]
        for row in json.loads(template.read_text())["Resources"].values()
        if row["Type"] == "AWS::EC2::Subnet"
    ]
    assert set(subnets) == set(zones[:2])


TYPED_APP = """
import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
import dify_cdk
from dify_cdk import Access, DifyFrontend, DifyMonitoring, DifyWorkers
from own_frontend import NlbFrontend


def build(stack: cdk.Stack, workers: DifyWorkers, certificate: acm.ICertificate) -> list[DifyFrontend]:
    access = Access.anyone()
    own = NlbFrontend(
        stack, "Own", workers=workers, host_name="x.org", certificate=certificate, networks=[]
    )
    DifyMonitoring(stack, "Monitoring", workers=workers, frontend=own)
    DifyMonitoring(stack, "Wrong", workers=workers, frontend=stack)  # REFUSED
    return [
        own,
        OTHERS
    ]
"""
TYPED_NAMES = """
from aws_cdk import aws_ecs as ecs
import dify_cdk
from dify_cdk import DifyWorker as DifyWorker  # REFUSED
from dify_cdk import Component, Environment


def variables(secret: ecs.Secret) -> Environment:
    found: Environment = {Component.API: {"LOG_TZ": "UTC", "KEY": secret}}
    return found


VERSION: str = dify_cdk.__version__
EVERYTHING: list[object] = [
    NAMES
]
"""
TYPE_CHECKERS = {
    "mypy": (("--strict", "."), "type: ignore[arg-type]", "type: ignore[attr-defined]"),
    "basedpyright": (
        (),
        "pyright: ignore[reportArgumentType]",
        "pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]",
    ),
}


@pytest.mark.parametrize("checker", TYPE_CHECKERS)
def test_type_checkers_take_a_frontend_of_a_users_own_and_nothing_that_is_none(
    installed: Installed, checker: str
) -> None:
    installed.pip_install("--quiet", checker)
    arguments, ignored, unknown = TYPE_CHECKERS[checker]
    folder = installed.folder / f"typed-{checker}"
    folder.mkdir()
    shutil.copy(ROOT / "test" / "synth" / "own_frontend.py", folder)
    # A comment that hides nothing is an error too: so what is to be refused is.
    others = "\n".join(
        f"dify_cdk.{name}(stack, '{name}', workers=workers, access=access)," for name in FRONTEND_LIMITS
    )
    (folder / "app.py").write_text(TYPED_APP.replace("REFUSED", ignored).replace("OTHERS", others))
    names = "\n".join(f"dify_cdk.{name}," for name in dify_cdk.__all__)
    (folder / "names.py").write_text(TYPED_NAMES.replace("REFUSED", unknown).replace("NAMES", names))
    settings = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    installed.run(checker, *arguments, cwd=folder)
