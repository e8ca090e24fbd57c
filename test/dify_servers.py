"""The servers of Dify's images as templates start them, on 127.0.0.1, with a stand-in for Dify's own code.

gunicorn, gevent, Celery, kombu and redis-py are the versions that Dify locks; ``stand_in`` is what they load.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dify_cdk.dify.cache_users import CacheUser
from dify_cdk.dify.environment import BROKER_DATABASE
from dify_start import command_line
from npm import installed
from servers import Server

STAND_IN = Path(__file__).parent / "stand_in"
NEXT = Path(__file__).parent / "next"

YESTERDAY = frozenset(
    {
        *("SERVER_WORKER_CLASS", "SERVER_WORKER_CONNECTIONS", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS"),
        *("CELERY_WORKER_AMOUNT", "KEEP_ALIVE_TIMEOUT"),
    }
)
"""Variables without which Dify's images fall back to values that do not carry load."""


def without(environment: Mapping[str, str], names: Collection[str] = YESTERDAY) -> dict[str, str]:
    """An environment without some variables."""
    return {name: value for name, value in environment.items() if name not in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """A Redis, which keeps nothing on disk.

    Attributes:
        port: Where it listens.
        folder: Where it runs, and holds its certificate.
        users: Who may log in and with which passwords, over TLS only, as in ElastiCache; Dify is the first.
            Default: anybody, without either.
    """

    port: int
    folder: Path
    users: Mapping[CacheUser, Sequence[str]] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        """Which authorities to trust: the server signs itself."""
        return self.folder / "crt"

    @property
    def _key(self) -> Path:
        return self.folder / "key"

    @property
    def url(self) -> str:
        """The broker as Celery takes it and the secret has it."""
        if not self.users:
            return f"redis://127.0.0.1:{self.port}/{BROKER_DATABASE}"
        options = f"ssl_cert_reqs=required&ssl_ca_certs={self.certificate}"
        user, password = self._dify()
        return f"rediss://{user}:{password}@localhost:{self.port}/{BROKER_DATABASE}?{options}"

    def server(self) -> Server:
        """What listens there."""
        port = ["--port", str(self.port)]
        if self.users:
            self._sign()
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += ["--tls-cert-file", str(self.certificate), "--tls-key-file", str(self._key)]
            port += ["--aclfile", str(self._write_users())]
        command = ["redis-server", *port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return Server(command, ready="Ready to accept connections", folder=self.folder)

    def command(self, *words: str) -> str:
        """What the command line tool says."""
        command = ["redis-cli", "-h", "localhost", "-p", str(self.port)]
        if self.users:
            user, password = self._dify()
            command += ["--tls", "--cacert", str(self.certificate), "--no-auth-warning"]
            command += ["--user", user, "--pass", password]
        command += ["-n", str(BROKER_DATABASE), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _dify(self) -> tuple[str, str]:
        user, passwords = next(iter(self.users.items()))
        return user.name, passwords[0]

    def _write_users(self) -> Path:
        lines = []
        for user, passwords in self.users.items():
            lines.append(f"user {user.name} {user.access} {' '.join(f'>{one}' for one in passwords)}\n")
        path = self.folder / "users.acl"
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def _sign(self) -> None:
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
        files = ("-keyout", str(self._key), "-out", str(self.certificate))
        command = ["openssl", *options.split(), "-addext", "subjectAltName=DNS:localhost", *files]
        subprocess.run(command, check=True, capture_output=True)


def api(environment: Mapping[str, str], *, port: int, folder: Path, broker: Broker | None = None) -> Server:
    """Gunicorn as the entry point starts it; only where it listens is replaced.

    Args:
        environment: Plain variables of the container.
        port: Where it listens.
        folder: Where it runs.
        broker: Where it queues jobs. Default: nowhere.
    """
    where = {"DIFY_BIND_ADDRESS": "127.0.0.1", "DIFY_PORT": str(port)}
    own = {**environment, **where, **(_queue(broker) if broker else {})}
    return _server(command_line(own), own, "Booting worker with pid", folder)


def celery(
    environment: Mapping[str, str],
    *,
    broker: Broker,
    folder: Path,
    tick_seconds: float = 60,
    host: str | None = None,
) -> Server:
    """Celery as the entry point starts it: worker or beat, by ``MODE``.

    Args:
        environment: Plain variables of the container.
        broker: Where the jobs are.
        folder: Where it runs.
        tick_seconds: How often beat starts a job. Default: what Dify's own most frequent ones have.
        host: Name of the machine, of which several workers have one each. Default: this machine's.
    """
    ready = {"worker": " ready.", "beat": "beat: Starting"}[environment["MODE"]]
    own = {**environment, **_queue(broker), "TICK_SECONDS": str(tick_seconds)}
    command = [*command_line(own), *(["-n", f"celery@{host}"] if host else [])]
    return _server(command, own, ready, folder)


def results_of_jobs(job: str, count: int, *arguments: float, broker: Broker, seconds: float) -> list[Any]:
    """Results of jobs that are started at once; None is one that did not come in time.

    Args:
        job: Name of a task in ``stand_in/app.py``.
        count: How many jobs.
        arguments: What each is given.
        broker: Where they are queued.
        seconds: How long to wait for all of them.
    """
    # In a process of its own: Celery's connections outlive what a test can close.
    words = [job, str(count), str(seconds), *map(str, arguments)]
    command = [sys.executable, "-B", str(STAND_IN / "call.py"), *words]
    done = subprocess.run(command, env=_queue(broker), stdout=subprocess.PIPE, check=True)
    results: list[Any] = json.loads(done.stdout)
    return results


def most_at_once(spans: Collection[tuple[float, float]]) -> int:
    """How many of the spans overlap where most do."""
    steps = sorted([*((begin, 1) for begin, _ in spans), *((end, -1) for _, end in spans)])
    level, most = 0, 0
    for _, step in steps:
        level += step
        most = max(most, level)
    return most


def _queue(broker: Broker) -> dict[str, str]:
    return {"CELERY_BROKER_URL": broker.url}


def _server(command: list[str], environment: Mapping[str, str], ready: str, folder: Path) -> Server:
    variables = {**environment, "PYTHONPATH": str(STAND_IN), "PYTHONDONTWRITEBYTECODE": "1"}
    return Server(command, ready=ready, folder=folder, environment=variables)


def web(environment: Mapping[str, str], *, port: int, folder: Path) -> Server:
    """Node.js as the standalone server of Next.js sets it up; only where it listens is replaced.

    Args:
        environment: Plain variables of the container.
        port: Where it listens.
        folder: Where it runs.
    """
    where = {"HOSTNAME": "127.0.0.1", "PORT": str(port)}
    command = ["node", str(STAND_IN / "web.mjs")]
    return Server(command, ready="Ready", folder=folder, environment={**environment, **where})


class NextWeb:
    """The standalone server of the Next.js that Dify's web is built with, and a few pages."""

    def __init__(self) -> None:
        self._folder = installed(NEXT, result=".next/standalone", script="build")

    @property
    def file(self) -> str:
        """Path of a static file that it has."""
        files = sorted((self._folder / ".next" / "static" / "chunks").glob("*.js"))
        return f"/_next/static/chunks/{files[0].name}"

    def server(self, environment: Mapping[str, str], *, port: int) -> Server:
        """What the image starts; only where it listens is replaced.

        Args:
            environment: Plain variables of the container.
            port: Where it listens.
        """
        where = {"HOSTNAME": "127.0.0.1", "PORT": str(port)}
        command = ["node", "server.js"]
        return Server(command, ready="Ready in", folder=self._folder, environment={**environment, **where})
