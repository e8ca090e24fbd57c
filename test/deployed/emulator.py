"""MiniStack as a process of its own, on a free port of loopback, with IAM enforcement."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from deployed.repairs import Settings
from deployed.tools import aws_sdk, search_path
from handlers.postgres import Postgres
from servers import free_port

ACCOUNT = "111122223333"
REGION = "ap-northeast-1"
"""Not the emulator's own default, so that nothing works by accident."""
EDGE_REGION = "us-east-1"
"""Where CloudFront's functions live."""

_TESTS = Path(__file__).parents[1]
_START = (
    f"import sys; sys.path.insert(0, {str(_TESTS)!r}); from deployed import server; server.main(sys.argv[1])"
)
_START_SECONDS = 60
_STOP_SECONDS = 10
_LOG_LINES = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulator:
    """The running emulator.

    Attributes:
        port: Where it listens.
        folder: Its files, removed with it.
    """

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The endpoint of every service. An IP address, so that SDKs do not put bucket names into it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of the emulator needs, and nothing of the caller's."""
        return {
            "AWS_ACCESS_KEY_ID": ACCOUNT,  # this is how the emulator knows the account
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_SECRET_ACCESS_KEY": "test",
            "HOME": str(self.folder),
            "PATH": search_path(),
            "TMPDIR": str(self.folder),
        }

    @property
    def images(self) -> Path:
        """Where container images are."""
        return self.folder / "images"

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of the account's root user."""
        create: Any = boto3.client
        return create(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
        )

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """What the repairs wrote down, oldest first."""
        path = self.folder / "journal"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def log_tail(self) -> str:
        """The end of the server's log."""
        lines = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


@contextlib.contextmanager
def start_emulator(folder: Path, postgres: Postgres) -> Iterator[Emulator]:
    """The emulator, ended with everything it started.

    Args:
        folder: For its files.
        postgres: Server that stands for the database cluster.
    """
    emulator = Emulator(port=free_port(), folder=folder)
    settings = Settings(
        account=ACCOUNT,
        region=REGION,
        postgres_port=postgres.port,
        journal=str(folder / "journal"),
        images=str(emulator.images),
    )
    settings_file = folder / "settings.json"
    settings_file.write_text(json.dumps(asdict(settings)), encoding="utf-8")
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(settings_file)],
            cwd=folder,
            env=_server_environment(emulator),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # its Lambda functions are processes in the same group
        )
    try:
        _wait(emulator, process)
        yield emulator
    finally:
        _stop(process)


def _server_environment(emulator: Emulator) -> Mapping[str, str]:
    """The whole environment: Lambda code inherits it."""
    return {
        "AUTH": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(emulator.port),
        "HOME": str(emulator.folder),
        "IOT_MTLS_ENABLED": "0",  # listens on every interface otherwise
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "NODE_PATH": str(aws_sdk()),
        "PATH": search_path(),
        "SFTP_ENABLED": "0",
        "TMPDIR": str(emulator.folder),
    }


def _wait(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{emulator.url}/_ministack/health", timeout=5).close()
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the emulator did not start: {error}\n{emulator.log_tail()}")
            time.sleep(0.1)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        # Only for the server: what it leaves behind ends as well, but is somebody else's to collect.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
