"""What Dify's own sources say of its components and routes, written down by hand in ``data``."""

from __future__ import annotations

import json
from typing import Any

from dify_cdk.dify.components import Component
from support import DATA

_FACTS = json.loads((DATA / "dify-components.json").read_text(encoding="utf-8"))

COMPONENTS: dict[Component, dict[str, Any]] = {
    Component(name): row for name, row in _FACTS["components"].items()
}
"""Of each component: image, floor, whether it scales, and where users reach it."""

ROUTES: dict[str, dict[str, Any]] = _FACTS["routes"]
"""Of each prefix: component, priority and id of what is defined for it, what a login does, long requests."""
