"""Validates examples and apps with many options by the CDK's rules and cdk-nag; prints findings as JSON.

A program of its own: the validator is switched on by the environment before the CDK starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dify_cdk.cdk_helpers.assets import examples_dir, use_wheel_node


def main(region: str, outdir: str, *variants: str) -> int:
    """Print for every variant whether synthesis failed, and ``[rule, construct path]`` of every finding."""
    use_wheel_node()
    sys.path[:0] = [str(examples_dir()), str(Path(__file__).parent / "apps")]
    results = {variant: _validate(variant, region, Path(outdir) / variant) for variant in variants}
    print(json.dumps(results))
    return 0


def _validate(variant: str, region: str, outdir: Path) -> dict[str, Any]:
    import aws_cdk as cdk
    from cdk_nag import AwsSolutionsChecks

    context = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context={**context, "region": region}, outdir=str(outdir), analytics_reporting=False)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    __import__(variant).build(app)
    failed = False
    try:
        app.synth()
    except RuntimeError:
        failed = True
    report = json.loads((outdir / "validation-report.json").read_text(encoding="utf-8"))
    findings = [
        [violation["ruleName"], construct["constructPath"]]
        for plugin in report["pluginReports"]
        for violation in plugin.get("violations", ())
        for construct in violation["violatingConstructs"]
    ]
    return {"failed": failed, "findings": findings}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
