"""Synthesizes random apps with the CDK's validator as errors and cfn-lint, and prints what it found as JSON.

    python run.py FIRST_SEED HOW_MANY SECONDS OUTDIR

Stops after HOW_MANY apps or SECONDS, whatever comes first. A program of its own: the validator is switched on
by the environment before the CDK starts.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from dify_cdk.cdk_helpers.assets import examples_dir, use_wheel_node

# W3005: dependencies the CDK writes although a reference implies them; W3010: zone names.
IGNORED_CHECKS = ["W3005", "W3010"]
# A restored cluster takes its user's name from the snapshot: CloudFormation refuses one in the template.
FROM_SNAPSHOT = "'MasterUsername' is a dependency of 'MasterUserPassword'"


def main(first: str, count: str, seconds: str, outdir: str) -> int:
    """Print the seeds that were tried and, for those that failed, why."""
    use_wheel_node()
    deadline = time.monotonic() + float(seconds)
    tried, failed = [], {}
    for seed in range(int(first), int(first) + int(count)):
        if time.monotonic() > deadline:
            break
        folder = Path(outdir) / str(seed)
        found = _try(seed, folder)
        tried.append(seed)
        if found:
            failed[seed] = found
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"tried": tried, "failed": failed}))
    return 0


def _try(seed: int, folder: Path) -> list[str]:
    import aws_cdk as cdk

    from load.combinations import Builder

    context = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context=context, outdir=str(folder), analytics_reporting=False)
    try:
        Builder(app, seed).build()
        app.synth()
    except Exception as error:  # whatever it is, the seed tells how to see it again
        return [str(error).split("\n    at ")[0]]
    return [
        finding
        for path in sorted(folder.glob("*.template.json"))
        for finding in _lint(path.read_text(encoding="utf-8"), path.name)
    ]


def _lint(text: str, name: str) -> list[str]:
    from cfnlint.api import lint  # type: ignore[import-untyped]
    from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        arguments: Any = ManualArgs(regions=["us-east-1"], ignore_checks=IGNORED_CHECKS)
        found = [f"{name}: {match}" for match in lint(text, config=arguments)]
    return [text for text in found if FROM_SNAPSHOT not in text]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
