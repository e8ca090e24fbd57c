"""``dev.py`` is loaded from a copy in an empty folder, so that nothing touches the checkout."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "dev.py"
SETUP_STEPS = [
    "making .venv",
    "installing the packages of requirements/build.txt",
    "installing the packages of requirements/dev.txt",
    "installing dify-cdk from this folder",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout with a space"
    (folder / "requirements").mkdir(parents=True)
    for name in ("dev.py", "pyproject.toml", "requirements/build.txt", "requirements/dev.txt"):
        shutil.copyfile(ROOT / name, folder / name)  # without the mode: generated files are read-only
    return folder


@pytest.fixture
def dev(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev_copy", checkout / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the set-up steps taken; making the environment leaves what ``venv`` would leave."""
    taken: list[str] = []

    def step(doing: str, *argv: str) -> None:
        assert dev.STATE.read_text() == dev.UNFINISHED
        taken.append(doing)
        if doing == "making .venv":
            put_environment(dev.BIN)

    monkeypatch.setattr(dev, "step", step)
    monkeypatch.setattr(dev, "succeeds", lambda *argv: True)
    return taken


def put_environment(programs: Path) -> None:
    """What ``python -m venv`` leaves."""
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "pip").write_text(f"#!{programs}/python\n")
    (programs.parent / "pyvenv.cfg").write_text("version = 3.11\n")


def run_dev(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "dev.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=folder.parent,
    )


def run_with_old_python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import runpy, sys; sys.version_info = (3, 8, 10); sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(SOURCE), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(path)},
    )


def put_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


# ---- Python


def test_an_old_python_can_read_the_file() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 7))


def test_fails_when_python_is_too_old_and_no_other_is_there(tmp_path: Path) -> None:
    result = run_with_old_python("test", path=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "dev.py: Python 3.8 is too old, 3.11 or newer is needed and is not on PATH\n"


def test_a_newer_python_on_path_takes_over_with_the_same_arguments(tmp_path: Path) -> None:
    put_program(tmp_path, "python3.14", "exit 127")
    put_program(tmp_path, "python3.12", 'if [ "$1" = -c ]; then exit 0; fi; echo "$@"; exit 7')
    result = run_with_old_python("compare", "a b", path=tmp_path)
    assert result.stdout == f"{SOURCE} compare a b\n"
    assert result.returncode == 7


# ---- set-up


def test_the_first_run_takes_every_step_and_the_second_none(dev: ModuleType, steps: list[str]) -> None:
    dev.set_up()
    assert steps == SETUP_STEPS
    dev.set_up()
    assert steps == SETUP_STEPS


@pytest.mark.parametrize("name", ["requirements/dev.txt", "requirements/build.txt", "pyproject.toml"])
def test_a_changed_input_installs_again_into_the_same_environment(
    dev: ModuleType, steps: list[str], name: str
) -> None:
    dev.set_up()
    with (dev.ROOT / name).open("a") as file:
        file.write("# changed\n")
    dev.set_up()
    assert steps == SETUP_STEPS + SETUP_STEPS[1:]


def test_an_environment_made_by_hand_is_kept(dev: ModuleType, steps: list[str]) -> None:
    put_environment(dev.BIN)
    dev.set_up()
    assert steps == SETUP_STEPS[1:]


def test_an_environment_copied_from_elsewhere_is_made_again(dev: ModuleType, steps: list[str]) -> None:
    put_environment(dev.BIN)
    (dev.BIN / "pip").write_text(f"#!{dev.ROOT.parent}/original/.venv/bin/python\n")
    dev.set_up()
    assert steps == SETUP_STEPS


def test_an_interrupted_set_up_starts_from_nothing(
    dev: ModuleType, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_step = dev.step

    def killed(doing: str, *argv: str) -> None:
        if doing == SETUP_STEPS[2]:
            (dev.VENV / "half a package").touch()
            raise KeyboardInterrupt
        whole_step(doing, *argv)

    monkeypatch.setattr(dev, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        dev.set_up()
    monkeypatch.setattr(dev, "step", whole_step)
    steps.clear()
    dev.set_up()
    assert steps == SETUP_STEPS
    assert not (dev.VENV / "half a package").exists()


def test_an_environment_whose_python_is_gone_is_made_again(dev: ModuleType, steps: list[str]) -> None:
    dev.set_up()
    (dev.BIN / "python").unlink()
    (dev.BIN / "python").symlink_to("/nonexistent/python")
    steps.clear()
    dev.set_up()
    assert steps == SETUP_STEPS


def test_two_set_ups_at_once_wait_for_each_other(
    dev: ModuleType, steps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = threading.Thread(target=dev.set_up)
    with dev.only_one():
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive()
        assert steps == []
    other.join(timeout=30)
    assert steps == SETUP_STEPS
    assert "waiting for another set-up" in capsys.readouterr().err


def test_a_step_that_fails_says_why_in_one_line_and_names_its_log(dev: ModuleType) -> None:
    dev.VENV.mkdir()
    with pytest.raises(dev.ProblemError) as problem:
        dev.step("unpacking", sys.executable, "-c", "import sys; sys.exit('OSError: [Errno 28] ...')")
    assert str(problem.value) == f"unpacking: the disk is full (details: {dev.LOG})"
    assert dev.LOG.read_text() == "OSError: [Errno 28] ...\n"


def test_a_long_step_tells_how_far_it_is(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dev.VENV.mkdir()
    monkeypatch.setattr(dev, "SECONDS_BETWEEN_SIGNS", 0.2)
    program = "import time; print('Collecting jsii==1', flush=True); time.sleep(1)"
    dev.step("installing", sys.executable, "-c", program)
    assert "1 packages found, now jsii==1" in capsys.readouterr().err


def test_fails_when_python_has_no_venv(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    # What Debian prints where the package python3-venv is missing.
    (broken / "venv.py").write_text("raise SystemExit('... because ensurepip is not available.')")
    result = run_dev(checkout, "test", PYTHONPATH=str(broken))
    log = checkout / ".venv" / "setup.log"
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "dev.py: making .venv: this Python cannot make virtual environments "
        f"(on Debian and Ubuntu: apt install python3-venv) (details: {log})"
    )


def test_fails_when_the_folder_cannot_be_written(checkout: Path) -> None:
    (checkout / ".venv.lock").mkdir()
    result = run_dev(checkout, "test")
    assert result.returncode == 1
    assert result.stderr == f"dev.py: cannot use {checkout / '.venv.lock'}: Is a directory\n"


@pytest.mark.slow
def test_fails_when_the_network_is_down(checkout: Path) -> None:
    isolated = {name: "" for name in os.environ if name.startswith("PIP_")}
    result = run_dev(
        checkout,
        "test",
        **isolated,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/",
        PIP_RETRIES="1",
        PIP_NO_CACHE_DIR="1",
    )
    log = checkout / ".venv" / "setup.log"
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "dev.py: installing the packages of requirements/build.txt: the package index cannot be reached: "
        f"is the network down, or a proxy needed? (details: {log})"
    )
    assert "127.0.0.1" in log.read_text()


# ---- pure parts


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\nERROR: No matching",
            "index",
        ),
        ("requests.exceptions.ProxyError: 407", "index"),
        ("ERROR: Could not install: [Errno 13] Permission denied: '/x'", "cannot be written"),
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "not the locked one"),
        ("ERROR: No matching distribution found for jsii==1.142.0", "for this Python"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
        ("something new", "a set-up step failed"),
    ],
)
def test_the_reason_is_in_the_output(dev: ModuleType, output: str, reason: str) -> None:
    assert reason in dev.reason_for(output)


def test_progress_counts_packages_wherever_they_come_from(dev: ModuleType) -> None:
    output = "Looking in indexes: x\nCollecting attrs==26 (from y)\nProcessing /w/jsii-1-py3.whl (from y)\n"
    assert dev.progress("") == ""
    assert dev.progress(output) == "2 packages found, now jsii-1-py3.whl"
    assert dev.progress(output + "Installing collected packages: attrs, jsii") == "unpacking 2 packages"


def test_programs_of_the_environment_come_first(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JSII_RUNTIME_PACKAGE_CACHE", raising=False)
    monkeypatch.delenv("JSII_RUNTIME_PACKAGE_CACHE_ROOT", raising=False)
    environment = dev.child_environment()
    assert environment["PATH"] == f"{dev.BIN}{os.pathsep}/usr/bin"
    assert environment["JSII_RUNTIME_PACKAGE_CACHE"] == "enabled"
    assert "JSII_RUNTIME_PACKAGE_CACHE_ROOT" not in environment
    assert "PYTHONHOME" not in environment


def test_without_a_home_the_cache_of_jsii_is_in_the_environment(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("JSII_RUNTIME_PACKAGE_CACHE_ROOT", raising=False)
    assert dev.child_environment()["JSII_RUNTIME_PACKAGE_CACHE_ROOT"] == str(dev.VENV / "jsii-cache")
    monkeypatch.setenv("JSII_RUNTIME_PACKAGE_CACHE_ROOT", "/mine")
    assert dev.child_environment()["JSII_RUNTIME_PACKAGE_CACHE_ROOT"] == "/mine"


def test_paths_are_those_of_the_callers_folder(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_one.py").touch()
    monkeypatch.chdir(tmp_path)
    assert dev.in_caller_folder("test_one.py::test_a[x]") == f"{tmp_path}/test_one.py::test_a[x]"
    for other in ("-x", "--lf", "test_two.py", "not slow", "test/pure"):
        assert dev.in_caller_folder(other) == other


@pytest.fixture
def programs(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What ``dev.py`` ran, with everything set up and every program successful."""
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "set_up", lambda: None)

    def run(*argv: str, cwd: Path | None = None) -> int:
        assert cwd == (None if argv[0] == "dify-cdk" else dev.ROOT)
        ran.append(argv)
        return 0

    monkeypatch.setattr(dev, "run", run)
    return ran


def test_what_dev_does_not_know_goes_to_the_command_line(
    dev: ModuleType, programs: list[tuple[str, ...]]
) -> None:
    assert dev.main("compare", "v1", "--out", "report.json") == 0
    assert programs == [("dify-cdk", "compare", "v1", "--out", "report.json")]


FAST = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


def test_the_test_command_leaves_the_slow_ones_out(dev: ModuleType, programs: list[tuple[str, ...]]) -> None:
    assert dev.main("test", "-k", "routes") == 0
    assert programs == [("pytest", "-m", "not slow", *FAST, "-k", "routes")]


def test_a_command_stops_at_the_first_failure(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*argv: str, cwd: Path) -> int:
        ran.append(argv)
        return 3 if argv == ("ruff", "check") else 0

    monkeypatch.setattr(dev, "set_up", lambda: None)
    monkeypatch.setattr(dev, "run", run)
    assert dev.main("check") == 3
    assert ran == [("ruff", "format", "--check"), ("ruff", "check")]


def test_help_needs_no_set_up(checkout: Path) -> None:
    result = run_dev(checkout)
    assert result.returncode == 0
    assert "python3 dev.py COMMAND" in result.stdout
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("change", ["nothing", "changed", "new", "gone"])
def test_generated_files_that_differ_from_the_committed_ones_fail_the_check(
    dev: ModuleType, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = dev.ROOT / ".projen" / "files.json"
    listing.parent.mkdir()
    listing.write_text('{\n  "files": [\n    "pyproject.toml",\n    "LICENSE"\n  ]\n}\n')
    for name in ("API.md", "LICENSE"):
        (dev.ROOT / name).write_text("as committed")

    def write(name: str) -> int:
        if name == "docs" and change == "changed":
            (dev.ROOT / "API.md").write_text("newer")
        if name == "projen" and change == "new":
            listing.write_text(listing.read_text().replace('"LICENSE"', '"LICENSE",\n    "dev.py"'))
        if name == "projen" and change == "gone":
            (dev.ROOT / "LICENSE").unlink()
        return 0

    monkeypatch.setattr(dev, "run_all", write)
    named = {"changed": "API.md", "new": "dev.py", "gone": "LICENSE"}
    assert dev.fresh() == (change != "nothing")
    assert (named.get(change, "not up to date") in capsys.readouterr().err) == (change != "nothing")


# ---- locks


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["build.txt", "dev.txt"])
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) >= len(locked(name)) > 5
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert not re.search(r"^\s*--?(index|extra-index|find-links|i |f )", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["build.txt", "dev.txt"])
def test_the_locks_hold_what_the_project_asks_for(name: str) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "build.txt": pyproject["dependency-groups"]["build"],
        "dev.txt": [
            *pyproject["project"]["dependencies"],
            *pyproject["project"]["optional-dependencies"]["cli"],
            *pyproject["dependency-groups"]["dev"],
        ],
    }
    pins = locked(name)
    for requirement in map(Requirement, asked[name]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
