"""Stands in for Dify's own ``app``: the names that its start commands ask for, and paths that load a server.

It has no ``gunicorn.conf.py``; Dify's only makes two libraries cooperate that are not used here.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from celery import Celery
from rules import serves

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port")
_BROKER = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:1")
_PREFIX = os.environ.get("REDIS_KEY_PREFIX", "")

Respond = Callable[[str, list[tuple[str, str]]], object]


def socketio_app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
    """Answer a request.

    ``/stream`` never ends, ``/agent?seconds=N`` asks the same server and waits so long for the answer,
    ``/queue?jobs=N&until=FILE`` queues so many jobs that last until a file exists, and every other path says
    as what the request arrived, and which of Dify's prefixes serves it.
    """
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return _pings()
    query = parse_qs(environ["QUERY_STRING"])
    status = _inner_call(float(query["seconds"][0])) if path == "/agent" else "200 OK"
    if path == "/queue":
        for _ in range(int(query["jobs"][0])):
            held.apply_async((query["until"][0],))
    forwarded = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in _FORWARDED}
    said = {"path": path, "scheme": environ["wsgi.url_scheme"], "forwarded": forwarded}
    said["serves"] = serves(environ)
    body = json.dumps(said).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _pings() -> Iterator[bytes]:
    while True:
        yield b"event: ping\n\n"
        time.sleep(1)


def _inner_call(seconds: float) -> str:
    """As a plugin does while a request of api waits for it."""
    with closing(http.client.HTTPConnection("127.0.0.1", int(os.environ["DIFY_PORT"]), seconds)) as api:
        try:
            api.request("GET", "/inner/api")
            return f"{api.getresponse().status} of the inner call"
        except OSError:
            return "504 Gateway Timeout"


# As Dify configures it (api/extensions/ext_celery.py at ad96501e0), but with results, which tests wait for.
celery = Celery("app", broker=_BROKER, backend=_BROKER)
celery.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": f"{_PREFIX}:"} if _PREFIX else {},
    worker_hijack_root_logger=False,
    task_default_queue="workflow_based_app_execution",
    beat_schedule={"tick": {"task": "tick", "schedule": float(os.environ.get("TICK_SECONDS", "60"))}},
)


def work(seconds: float) -> tuple[float, float, int]:
    """A job that only waits: when it began and ended, and the process it ran in."""
    begin = time.monotonic()
    print("work begins", flush=True)
    time.sleep(seconds)
    return begin, time.monotonic(), os.getpid()


def hold(until: str) -> None:
    """A job that lasts until a file exists."""
    while not Path(until).exists():
        time.sleep(0.05)


def parent() -> str:
    """A job that waits for another one."""
    celery.send_task("tick").get(disable_sync_subtasks=False)
    return "the child has ended"


def tick() -> None:
    """A job that does nothing."""


for job in (work, parent, tick):
    celery.task(name=job.__name__)(job)
held = celery.task(name="hold", ignore_result=True)(hold)
