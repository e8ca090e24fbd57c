"""``python -m dify_cdk``, where the console script is not on the path."""

from __future__ import annotations

import sys

from dify_cdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
