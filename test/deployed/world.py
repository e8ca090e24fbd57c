"""What a deployment test works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployed.cdk import Cdk
from deployed.emulator import REGION, Emulator
from handlers.postgres import Postgres


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What stands for AWS, and the command line before it."""

    cdk: Cdk
    emulator: Emulator
    postgres: Postgres

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of the root user."""
        return self.emulator.client(service, region)
