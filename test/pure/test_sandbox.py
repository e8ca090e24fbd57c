from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dify_cdk.dify.components import Component
from dify_cdk.options import sandbox
from dify_cdk.options.sandbox import Sandbox
from dify_defaults import known_names


def start(tmp_path: Path, wanted: Sandbox) -> subprocess.CompletedProcess[str]:
    """Run the start command with a stand-in for the image's own start."""
    program = tmp_path / "entrypoint.sh"
    program.write_text('#! /bin/bash\necho "$$" "$#" "$KEPT"\n')
    program.chmod(0o755)
    entry_point, command = wanted.entry_point(), wanted.command()
    assert entry_point and command
    (script,) = command
    assert script.count(sandbox.REQUIREMENTS_PATH) == 1
    script = script.replace(sandbox.REQUIREMENTS_PATH, str(tmp_path / "requirements.txt"))
    script = script.replace(sandbox.ENTRYPOINT_PATH, str(program))
    return subprocess.run(
        [*entry_point, f"echo $$\n{script}"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={**os.environ, "KEPT": "from the image", "HOME": "/expanded"},
    )


def test_nothing_asked_leaves_the_image_as_it_is() -> None:
    assert Sandbox().entry_point() is None
    assert Sandbox().command() is None
    assert Sandbox().environment() == {"WORKER_TIMEOUT": "15"}
    assert Sandbox().environment_of_callers() == {"CODE_EXECUTION_READ_TIMEOUT": "60"}


@pytest.mark.parametrize(("seconds", "wait"), [(1, 60), (15, 60), (16, 64), (600, 2400)])
def test_dify_waits_until_code_that_waits_for_its_turn_is_done(seconds: int, wait: int) -> None:
    wanted = Sandbox(timeout_seconds=seconds)
    assert wanted.environment() == {"WORKER_TIMEOUT": str(seconds)}
    assert wanted.environment_of_callers() == {"CODE_EXECUTION_READ_TIMEOUT": str(wait)}


@pytest.mark.parametrize("seconds", [0, -1, 601, 1.5, "15", True])
def test_fails_when_the_timeout_is_out_of_range(seconds: object) -> None:
    with pytest.raises(ValueError, match=r"^Sandbox\.timeout_seconds must be "):
        Sandbox(timeout_seconds=seconds)  # type: ignore[arg-type]


def test_syscalls_and_mirror_need_no_other_start() -> None:
    wanted = Sandbox(allowed_syscalls=[3, 0, 435], pip_mirror_url="https://pip.example.com/simple")
    assert wanted.entry_point() is None
    assert wanted.command() is None
    assert wanted.environment() == {
        "WORKER_TIMEOUT": "15",
        "ALLOWED_SYSCALLS": "3,0,435",
        "PIP_MIRROR_URL": "https://pip.example.com/simple",
    }
    assert set(wanted.environment()) <= known_names(Component.SANDBOX)


PACKAGES = [
    "numpy==2.1.3",
    "pydantic[email, timezone] >= 2, <3",
    "zope.interface",
    "Pillow~=11.0",
    "torch==2.5.1+cpu",
    "six!=1.16.*",
    "tomli>=2; python_version < '3.11' and platform_system == \"Linux\"",
    "tomli<2; python_version >= '3.11'",
]


def test_packages_are_written_before_the_image_starts(tmp_path: Path) -> None:
    finished = start(tmp_path, Sandbox(python_packages=PACKAGES))
    assert (tmp_path / "requirements.txt").read_text() == "".join(f"{line}\n" for line in PACKAGES)
    shell, started = finished.stdout.splitlines()
    assert started == f"{shell} 0 from the image", "the image's start does not replace the shell"


def test_an_existing_list_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("supabase\n")
    start(tmp_path, Sandbox(python_packages=["numpy"]))
    assert (tmp_path / "requirements.txt").read_text() == "numpy\n"


def test_the_task_stops_when_the_list_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").mkdir()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        start(tmp_path, Sandbox(python_packages=["numpy"]))
    assert "from the image" not in caught.value.stdout


def accepted(package: str) -> bool:
    try:
        Sandbox(python_packages=[package])
    except ValueError:
        return False
    return True


@settings(max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.text("ab1-_.[]=<>~!,;*+ '\"$`|&#@{}:\\/\n", max_size=12).filter(accepted))
def test_no_accepted_requirement_leaves_its_line(package: str) -> None:
    assert len(package.splitlines()) == 1
    assert not set(package) & set("$`\\&|/@#{}:")
    assert not package.startswith("-")


@pytest.mark.parametrize(
    "package",
    [
        "",
        " ",
        " numpy",
        "numpy\n",
        "numpy\n--index-url=http://evil.example",
        "numpy\r",
        "numpy\x0b",
        "numpy\u2028",
        "numpy; rm -rf /",
        "numpy; rm -rf x",
        "numpy && id",
        "numpy $(id)",
        "numpy`id`",
        "numpy==1.0 # comment",
        "-r other.txt",
        "--index-url https://pip.example.com",
        "-e .",
        "./local",
        "git+https://example.com/x.git",
        "x @ https://example.com/x.whl",
        "numpy=1.0",
        "numpy==",
        "numpy[",
        "numpy>1,",
        "_numpy",
        "#END",
        "nümpy",
    ],
)
def test_fails_when_a_requirement_is_malformed(package: str) -> None:
    with pytest.raises(ValueError, match=r"Sandbox\.python_packages must") as caught:
        Sandbox(python_packages=[package])
    assert repr(package) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"python_packages": "numpy"},
            "Sandbox.python_packages must be a list, got the text 'numpy'; write ['numpy']",
        ),
        (
            {"python_packages": ["zope.interface", "Zope-Interface==1.0"]},
            "Sandbox.python_packages must name each package once, got 'zope-interface' several times",
        ),
        ({"allowed_syscalls": []}, "it replaces the image's list; None keeps that"),
        ({"allowed_syscalls": [-1]}, "between 0 and 999, got -1; it replaces the image's list"),
        ({"allowed_syscalls": [1000]}, "between 0 and 999, got 1000; it replaces the image's list"),
        ({"allowed_syscalls": [True]}, "between 0 and 999, got True"),
        ({"allowed_syscalls": ["1"]}, "between 0 and 999, got '1'"),
        ({"allowed_syscalls": [1, 2, 1]}, "must name each syscall once, got 1 several times"),
        ({"pip_mirror_url": ""}, "must be a URL such as https://pip.example.com/simple, got ''"),
        ({"pip_mirror_url": "pip.example.com"}, "must be a URL such as"),
        ({"pip_mirror_url": "file:///packages"}, "must be a URL such as"),
        ({"pip_mirror_url": "https://pip.example.com --trusted-host x"}, "must not hold spaces"),
        ({"pip_mirror_url": "https://${Token[A.1]}\n"}, "must not hold spaces"),
    ],
)
def test_fails_when_an_option_is_malformed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Sandbox(**options)
    assert message in str(caught.value)


def test_fails_when_the_mirror_carries_credentials_and_does_not_repeat_them() -> None:
    with pytest.raises(ValueError, match="must not hold credentials") as caught:
        Sandbox(pip_mirror_url="https://aws:secret1@pip.example.com/simple")
    assert "secret1" not in str(caught.value)


def test_a_mirror_may_be_known_only_at_deploy_time() -> None:
    url = "https://${Token[Domain.Endpoint.4]}/simple"
    assert Sandbox(pip_mirror_url=url).environment()["PIP_MIRROR_URL"] == url
