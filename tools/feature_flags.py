"""Write the feature flags that the locked aws-cdk-lib recommends into ``examples/cdk.json``.

Run it after a new aws-cdk-lib was locked: ``.venv/bin/python tools/feature_flags.py``. A test compares.
"""

from __future__ import annotations

import json
import tarfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

CDK_JSON = Path(__file__).parents[1] / "examples" / "cdk.json"
FLAGS = "package/recommended-feature-flags.json"


def recommended_flags() -> dict[str, Any]:
    """The flags in aws-cdk-lib's own list, read from its archive so that no Node starts."""
    library = distribution("aws-cdk-lib")
    archive = library.locate_file(f"aws_cdk/_jsii/aws-cdk-lib@{library.version}.jsii.tgz")
    with tarfile.open(str(archive)) as files:
        member = files.extractfile(FLAGS)
        if member is None:
            raise FileNotFoundError(f"{FLAGS} is not a file in {archive}")
        flags: dict[str, Any] = json.load(member)
    return dict(sorted(flags.items()))


def main() -> None:
    """Replace the flags, keep every other setting."""
    settings = json.loads(CDK_JSON.read_text())
    own = {key: value for key, value in settings["context"].items() if not key.startswith("@aws-cdk")}
    settings["context"] = own | recommended_flags()
    CDK_JSON.write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main()
