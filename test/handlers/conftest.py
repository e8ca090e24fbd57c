"""The handler packages on the path, as in the Lambda function, and PostgreSQL for the tests that need one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.postgres import Postgres, start_postgres

HANDLERS = Path(__file__).parents[2] / "src" / "dify_cdk" / "handlers"
# At the end: some modules have everyday names, which must not hide anything.
sys.path += [str(HANDLERS / "deploy"), str(HANDLERS / "queue_metrics")]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL 16, as old as our cluster may be, for the whole run."""
    with start_postgres("pginstall") as server:
        yield server


@pytest.fixture(scope="session")
def newer_postgres() -> Iterator[Postgres]:
    """PostgreSQL 18, for the tests that are worth a second version."""
    with start_postgres("pginstall18") as server:
        yield server
