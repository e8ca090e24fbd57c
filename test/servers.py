"""Real servers for tests, each running for as long as a ``with`` block lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_PATIENCE_SECONDS = 60
_PROGRAMS = Path(sys.executable).parent  # not resolved: a virtual environment's Python is a link out of it


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def search_path() -> str:
    """PATH of every process that is started: the virtual environment's programs, then the caller's."""
    return os.pathsep.join([str(_PROGRAMS), os.environ.get("PATH", os.defpath)])


def require_program(name: str, package: str) -> None:
    """Skip where a program is not installed; in CI that is a failure, so that the tests cannot be lost.

    Args:
        name: The program.
        package: The Debian package that brings it.
    """
    if shutil.which(name) is not None:
        return
    reason = f"{name} is missing: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Server:
    """A program in a process group of its own; what it prints is kept.

    Args:
        command: The program, of the virtual environment or the system, and its arguments.
        ready: What it prints once it serves.
        folder: Where it runs.
        environment: Its variables beside PATH, HOME and those of the language. Default: none.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._ready = ready
        self._folder = folder
        own = {"PATH": search_path(), "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        self._environment = {**own, **(environment or {})}
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            AssertionError: If it does not; the message is what it printed.
        """
        self._lines, self._ended = [], False
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for(self._ready)
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            for line in output:
                with self._news:
                    self._lines.append(line.decode(errors="replace"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, part: str, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until a line with this part has been printed.

        Raises:
            AssertionError: If none was in time, or the program has ended without it.
        """

        def is_printed() -> bool:
            return any(part in line for line in self._lines)

        with self._news:
            self._news.wait_for(lambda: is_printed() or self._ended, seconds)
            assert is_printed(), f"no {part!r} of {self._command[0]}:\n{''.join(self._lines)}"

    def terminate(self) -> None:
        """Ask it to end, as ECS does first."""
        self._process.terminate()

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> int:
        """Exit code, once it has ended by itself."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it and all its children at once; it may have ended before."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
