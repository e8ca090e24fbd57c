"""Jobs that last until they are told to end; as a script, a process that queues them, as api does."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from celery import Celery

APP = Celery("dify", broker=os.environ["BROKER_URL"])
APP.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    beat_schedule={"tick": {"task": "tick", "schedule": 1.0, "options": {"queue": "schedule_poller"}}},
)


@APP.task(name="tick")  # type: ignore[untyped-decorator]
def tick() -> None:
    """What beat queues."""


@APP.task(name="job")  # type: ignore[untyped-decorator]
def job(end: str) -> None:
    """Last until a file exists."""
    while not Path(end).exists():
        time.sleep(0.05)


def main() -> None:
    """Queue as many jobs as each line says: ``number queue file``."""
    for line in sys.stdin:
        number, queue, end = line.split()
        for _ in range(int(number)):
            job.apply_async((end,), queue=queue)
        print("queued", flush=True)


if __name__ == "__main__":
    main()
