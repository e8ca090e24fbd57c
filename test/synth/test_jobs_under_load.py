"""The real Celery with what the templates give worker and beat, and a real Redis as the broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dify_cdk import Component
from dify_cdk.dify.environment import CACHE_PORT
from dify_servers import Broker, celery, most_at_once, results_of_jobs, without
from servers import free_port, require_program
from support import VARIANTS, Template
from synth.running import environment_of, passes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the servers run on Linux, as in the images"),
]

Templates = Callable[[str], Template]

JOBS, JOB_SECONDS = 20, 3
PATIENCE = 60
TICK_SECONDS = 3
"""How often beat starts a job, for which it needs the broker."""
SOON = 15
"""Seconds until Celery is connected: the worker tries again after 2 and 4, beat with its next job."""


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """On a port that nobody else uses."""
    require_program("redis-server", "redis-server")
    return Broker(port=free_port(), folder=tmp_path)


class TestJobs:
    @pytest.fixture(autouse=True)
    def running(self, broker: Broker) -> Iterator[None]:
        with broker.server():
            yield

    @pytest.fixture
    def results(self, broker: Broker) -> Callable[..., list[Any]]:
        """Results of jobs that are started at once."""
        return partial(results_of_jobs, broker=broker, seconds=PATIENCE)

    def test_they_overlap_up_to_the_number_of_the_template(
        self, templates: Templates, results: Callable[..., list[Any]], broker: Broker, tmp_path: Path
    ) -> None:
        workers = (environment_of(templates(variant), Component.WORKER) for variant in VARIANTS)
        # Once for each number.
        for amount, variables in {int(one["CELERY_WORKER_AMOUNT"]): one for one in workers}.items():
            with celery(variables, broker=broker, folder=tmp_path) as worker:
                done = results("work", JOBS, JOB_SECONDS)
                assert most_at_once([(begin, end) for begin, end, _ in done]) == min(JOBS, amount)
                assert {process for _, _, process in done} == {worker.pid}
                assert results("parent", 1) == ["the child has ended"]

    def test_there_was_one_at_a_time_yesterday_and_none_could_wait_for_another(
        self, templates: Templates, results: Callable[..., list[Any]], broker: Broker, tmp_path: Path
    ) -> None:
        variables = without(environment_of(templates("v1"), Component.WORKER))
        with celery(variables, broker=broker, folder=tmp_path):
            done = results("work", 3, 1)
            assert most_at_once([(begin, end) for begin, end, _ in done]) == 1
            assert results("parent", 1, seconds=5) == [None]

    def test_what_runs_at_a_stop_ends(
        self, templates: Templates, results: Callable[..., list[Any]], broker: Broker, tmp_path: Path
    ) -> None:
        variables = environment_of(templates("v1"), Component.WORKER)
        with (
            celery(variables, broker=broker, folder=tmp_path) as worker,
            ThreadPoolExecutor() as pool,
        ):
            running = pool.submit(results, "work", 1, JOB_SECONDS)
            worker.wait_for("work begins")
            worker.terminate()
            worker.wait_for("Warm shutdown")
            asked_to_end = time.monotonic()
            ((begin, end, _),) = running.result()
            assert begin < asked_to_end < end  # the clock is that of all processes
            assert end - begin >= JOB_SECONDS
            assert worker.wait() == 0


class TestBrokerCheck:
    """The check of worker and beat reads the connections of its network namespace, which is a task's own.

    Here the port is one that nobody else uses, and the test itself does not connect.
    """

    @pytest.mark.parametrize("component", [Component.WORKER, Component.BEAT])
    def test_it_follows_the_broker_and_needs_nothing_else(
        self, templates: Templates, broker: Broker, tmp_path: Path, component: Component
    ) -> None:
        container = templates("v1").containers()[component]

        def becomes(healthy: bool, seconds: float) -> bool:
            deadline = time.monotonic() + seconds
            while passes(container, f":{CACHE_PORT:04X}", f":{broker.port:04X}") is not healthy:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)  # nobody tells of a connection
            return True

        variables = environment_of(templates("v1"), component)
        with broker.server() as redis:
            assert becomes(False, 0)
            with celery(variables, broker=broker, folder=tmp_path, tick_seconds=TICK_SECONDS):
                assert becomes(True, SOON)
                redis.kill()
                assert becomes(False, 2)
                redis.start()
                assert becomes(True, SOON)
                assert not becomes(False, 5), "it is connected when idle, too"
            assert becomes(False, 2)
