"""One account for each module: database server, emulator, bootstrapped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployed.cdk import Cdk
from deployed.emulator import REGION, start_emulator
from deployed.tools import require_tools
from deployed.world import World
from handlers.postgres import start_postgres

pytest.register_assert_rewrite("deployed.stages", "deployed.rotating")


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A bootstrapped account with a database server behind it, ended and removed afterwards.

    The module's ``VARIANT`` is the example that its command line deploys, ``REGIONS`` are the regions that it
    needs where that is more than the stack's own.
    """
    require_tools()
    # Not pytest's folder: that keeps what the last three runs left.
    folder = Path(tempfile.mkdtemp(prefix="dify-cdk-deployed-"))
    try:
        # PostgreSQL 16, as old as our cluster may be.
        with start_postgres("pginstall") as postgres, start_emulator(folder, postgres) as emulator:
            cdk = Cdk(emulator=emulator, variant=request.module.VARIANT)
            cdk.must(cdk.bootstrap(getattr(request.module, "REGIONS", (REGION,))))
            yield World(cdk=cdk, emulator=emulator, postgres=postgres)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
