"""Measure what Dify's servers can serve, for the table in docs/operations.md: ``python tools/load_table.py``.

Three environments of v1's api and worker: yesterday's, what Dify's own Compose files set, and the template's.
It needs ``redis-server`` and takes some five minutes, most of which are waits for answers that do not come.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dify_cdk.cli.synth_example import synthesize
from dify_cdk.dify.components import Component

sys.path.append(str(Path(__file__).parents[1] / "test"))  # run as a program, pytest's path is not set
from callers import Callers
from dify_defaults import read_table
from dify_servers import YESTERDAY, Broker, api, celery, most_at_once, results_of_jobs, without
from servers import free_port
from support import Template

Environment = Mapping[str, Any]
Cell = tuple[str, str]
"""What was measured, and the result."""

CHECK_SECONDS = 10  # how long the container's health check waits
INNER_SECONDS = 5
JOBS, JOB_SECONDS = 20, 3
PACKAGES = ("gunicorn", "gevent", "gevent-websocket", "celery", "kombu", "redis")


def columns(template: Template, component: Component) -> dict[str, dict[str, str]]:
    """The environments to compare, of one component."""
    ours = {name: value for name, value in template.environment(component).items() if isinstance(value, str)}
    none = without(ours)
    return {"nothing set": none, "Dify's Compose": {**none, **of_compose(component)}, "dify-cdk": ours}


def of_compose(component: Component) -> dict[str, str]:
    """What Dify's Compose files say of the variables that are not set in the first column."""
    rows = [row for row in read_table().rows if component in row.components and row.variable in YESTERDAY]
    return {row.variable: row.compose for row in rows if row.compose}


def health(port: int) -> str:
    """How long the health check takes."""
    begin = time.monotonic()
    with Callers(port) as callers:
        if not callers.ask("/health", seconds=CHECK_SECONDS):
            return "/health fails"
    return f"/health after {time.monotonic() - begin:.3f} s"


def settle(port: int) -> None:
    """Wait until the server has noticed that all others are gone."""
    while health(port) == "/health fails":
        pass


def load_of_api(environment: Environment, folder: Path) -> Iterator[Cell]:
    """What an api can serve."""
    port = free_port()
    with api(environment, port=port, folder=folder):
        for count in (9, 10, 50):
            settle(port)
            with Callers(port, count) as callers:
                served = len(callers.listen("/stream", seconds=INNER_SECONDS))
                yield f"{count} streams", f"{served} served, {health(port)}"
        settle(port)
        with Callers(port, 12) as callers:
            callers.ask("/", seconds=0.1)
            yield "12 idle connections", health(port)
        for count in (10, 50):
            settle(port)
            with Callers(port, count) as callers:
                callers.ask("/", seconds=1)
                answered = len(callers.ask(f"/agent?seconds={INNER_SECONDS}", seconds=2 * INNER_SECONDS))
                yield f"{count} requests with an inner call", f"{answered} answered"


def load_of_worker(environment: Environment, folder: Path) -> Iterator[Cell]:
    """What a worker can serve."""
    broker = Broker(port=free_port(), folder=folder)

    def results(*job: Any, seconds: float) -> list[Any]:
        return results_of_jobs(*job, broker=broker, seconds=seconds)

    with broker.server(), celery(environment, broker=broker, folder=folder):
        spans = [(begin, end) for begin, end, _ in results("work", JOBS, JOB_SECONDS, seconds=120)]
        total = max(end for _, end in spans) - min(begin for begin, _ in spans)
        yield f"{JOBS} jobs of {JOB_SECONDS} s", f"{most_at_once(spans)} at once, {total:.0f} s"
        ended = results("parent", 1, seconds=CHECK_SECONDS) != [None]
        yield "a job that waits for another", "ends" if ended else f"no result in {CHECK_SECONDS} s"


def measure(
    load: Callable[[Environment, Path], Iterator[Cell]], environments: Mapping[str, Environment], folder: Path
) -> Iterator[str]:
    """Lines of the table, one for each measurement."""
    rows = zip(*(list(load(one, folder)) for one in environments.values()), strict=True)
    for cells in rows:
        yield f"| {' | '.join([cells[0][0], *(result for _, result in cells)])} |"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template = Template(synthesize("v1", folder / "out")[0].template)
        of_api, of_worker = (columns(template, component) for component in (Component.API, Component.WORKER))
        print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
        print(f"| | {' | '.join(of_api)} |", "|---" * (len(of_api) + 1) + "|", sep="\n")
        for load, environments in ((load_of_api, of_api), (load_of_worker, of_worker)):
            for line in measure(load, environments, folder):
                print(line, flush=True)


if __name__ == "__main__":
    main()
