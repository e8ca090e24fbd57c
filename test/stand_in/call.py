"""Starts jobs at once, as api does, and prints their results as JSON; null is one that did not come in time.

python call.py JOB COUNT SECONDS [ARGUMENT]
"""

from __future__ import annotations

import json
import sys
import time

from app import celery
from celery.exceptions import TimeoutError as NoResultError
from celery.result import AsyncResult


def _result(started: AsyncResult, deadline: float) -> object:
    try:
        return started.get(timeout=max(0.01, deadline - time.monotonic()))
    except NoResultError:
        return None


def main(name: str, count: str, seconds: str, *arguments: str) -> None:
    """Wait so many seconds for all of them."""
    deadline = time.monotonic() + float(seconds)
    started = [celery.send_task(name, [float(one) for one in arguments]) for _ in range(int(count))]
    print(json.dumps([_result(one, deadline) for one in started]))


if __name__ == "__main__":
    main(*sys.argv[1:])
