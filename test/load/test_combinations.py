"""Random valid arguments of network, data, workers and frontends synthesize, and no check finds anything.

In the time that a test may take some apps are tried; ``test/load/run.py 0 200 3600 DIR`` tries two hundred.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60
FEWEST = 3  # on the slowest machine

pytestmark = pytest.mark.slow


def test_random_arguments_synthesize_without_a_finding(tmp_path: Path) -> None:
    program = Path(__file__).with_name("run.py")
    environment = {**os.environ, "CDK_VALIDATION": "true", "PYTHONPATH": str(program.parents[1])}
    command = [sys.executable, str(program), "0", "200", str(SECONDS), str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    print(f"seeds {result['tried']}")
    assert result["failed"] == {}
    assert len(result["tried"]) >= FEWEST
