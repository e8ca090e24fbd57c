"""Packages for Node.js that tests need, installed into ``build`` once for each state of a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PROGRAMS = Path(sys.executable).parent  # not resolved: a virtual environment's Python is a link out of it
_SECONDS = 300


def installed(folder: Path, *, result: str, script: str = "") -> Path:
    """What a folder with a ``package-lock.json`` becomes.

    Args:
        folder: What to copy before ``npm ci``.
        result: What to keep, below the copy.
        script: Name of a script of its ``package.json`` that is run afterwards. Default: none.

    Returns:
        What is kept.
    """
    target = _ROOT / "build" / f"{folder.name}-{_digest(folder)}"
    kept = target / Path(result).name
    if kept.is_dir():
        return kept
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{folder.name}-") as name:
        copy = Path(name) / folder.name
        shutil.copytree(folder, copy)
        _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=copy)
        if script:
            _npm("run", script, folder=copy)
        # Another run may have been faster; whichever comes first is complete.
        with contextlib.suppress(OSError):
            (copy / result).rename(kept)
    return kept


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _npm(*words: str, folder: Path) -> None:
    # The caller's settings stay in force: which registry to ask, through which proxy.
    path = os.pathsep.join([str(_PROGRAMS), os.defpath])
    own = {"PATH": path, "npm_config_cache": str(folder.parent / "cache"), "NEXT_TELEMETRY_DISABLED": "1"}
    done = subprocess.run(
        [str(_PROGRAMS / "npm"), *words],
        cwd=folder,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        about = f"npm {words[0]} ended with {done.returncode}"
        pytest.fail(f"{about}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
