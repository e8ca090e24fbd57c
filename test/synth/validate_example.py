"""Synthesizes an example with the CDK's validator as errors and cdk-nag, and prints the findings as JSON.

A program of its own: the validator is switched on by the environment before the CDK starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dify_cdk._assets import examples_dir, use_wheel_node


def main(variant: str, region: str, outdir: str) -> int:
    """Print ``[rule, construct path]`` of every finding."""
    use_wheel_node()
    import aws_cdk as cdk
    from cdk_nag import AwsSolutionsChecks

    context = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context={**context, "region": region}, outdir=outdir, analytics_reporting=False)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    sys.path.insert(0, str(examples_dir()))
    __import__(variant).build(app)
    failed = False
    try:
        app.synth()
    except RuntimeError:
        failed = True
    report = json.loads((Path(outdir) / "validation-report.json").read_text(encoding="utf-8"))
    findings = [
        [violation["ruleName"], construct["constructPath"]]
        for plugin in report["pluginReports"]
        for violation in plugin.get("violations", ())
        for construct in violation["violatingConstructs"]
    ]
    print(json.dumps({"failed": failed, "findings": findings}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
