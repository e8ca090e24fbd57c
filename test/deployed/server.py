"""The emulator's process: MiniStack with the missing types and the repairs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deployed import edge_repairs, http_api_repairs, repairs, stubs, vpc_origin_repairs


def main(settings_file: str) -> None:
    """Serve until SIGTERM.

    Args:
        settings_file: File with :class:`repairs.Settings` as JSON.
    """
    settings = repairs.Settings(**json.loads(Path(settings_file).read_text(encoding="utf-8")))
    stubs.register(settings.region)
    journal = repairs.Journal(settings.journal)
    repairs.apply(settings, journal)
    http_api_repairs.apply(settings, journal)
    edge_repairs.apply(settings, journal)
    vpc_origin_repairs.apply(settings, journal)
    sys.argv[1:] = []  # MiniStack parses them
    repairs.module("app").main()
