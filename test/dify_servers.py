"""The servers of Dify's images as templates start them, on 127.0.0.1, with a stand-in for Dify's own code.

gunicorn, gevent, Celery, kombu and redis-py are the versions that Dify locks; ``stand_in`` is what they load.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dify_start import command_line
from servers import Server

STAND_IN = Path(__file__).parent / "stand_in"

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


def api(environment: Mapping[str, str], *, port: int, folder: Path) -> Server:
    """Gunicorn as the entry point starts it; only where it listens is replaced.

    Args:
        environment: Plain variables of the container.
        port: Where it listens.
        folder: Where it runs.
    """
    where = {"DIFY_BIND_ADDRESS": "127.0.0.1", "DIFY_PORT": str(port)}
    return _server({**environment, **where}, ready="Booting worker with pid", folder=folder)


def celery(
    environment: Mapping[str, str], *, broker_port: int, folder: Path, tick_seconds: float = 60
) -> Server:
    """Celery as the entry point starts it: worker or beat, by ``MODE``.

    Args:
        environment: Plain variables of the container.
        broker_port: Where Redis listens.
        folder: Where it runs.
        tick_seconds: How often beat starts a job. Default: what Dify's own most frequent ones have.
    """
    ready = {"worker": " ready.", "beat": "beat: Starting"}[environment["MODE"]]
    own = {**_broker(broker_port), "TICK_SECONDS": str(tick_seconds)}
    return _server({**environment, **own}, ready=ready, folder=folder)


def results_of_jobs(job: str, count: int, *arguments: float, broker_port: int, seconds: float) -> list[Any]:
    """Results of jobs that are started at once; None is one that did not come in time.

    Args:
        job: Name of a task in ``stand_in/app.py``.
        count: How many jobs.
        arguments: What each is given.
        broker_port: Where Redis listens.
        seconds: How long to wait for all of them.
    """
    # In a process of its own: Celery's connections outlive what a test can close.
    words = [job, str(count), str(seconds), *map(str, arguments)]
    command = [sys.executable, "-B", str(STAND_IN / "call.py"), *words]
    done = subprocess.run(command, env=_broker(broker_port), stdout=subprocess.PIPE, check=True)
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


def _broker(port: int) -> dict[str, str]:
    """As the secret has it, without TLS and password."""
    return {"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/1"}


def _server(environment: Mapping[str, str], *, ready: str, folder: Path) -> Server:
    variables = {**environment, "PYTHONPATH": str(STAND_IN), "PYTHONDONTWRITEBYTECODE": "1"}
    return Server(command_line(variables), ready=ready, folder=folder, environment=variables)


def redis(*, port: int, folder: Path) -> Server:
    """The broker, which keeps nothing on disk."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Server(command, ready="Ready to accept connections", folder=folder)


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
