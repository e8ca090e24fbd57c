"""Who answers a path in Dify's api, found by werkzeug as there, with one answer for each prefix.

Dify has rules for single paths below a prefix; here all of them exist. So a path that is moved from one
prefix to another is always answered by the other one, and no 404 hides it.
"""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule

PUBLIC = ("/console/api", "/api", "/v1", "/openapi", "/files", "/mcp", "/triggers", "/socket.io")
PRIVATE = ("/inner/api", "/health", "/threads", "/db-pool-stat")

_RULES = Map(
    [Rule(path, endpoint=prefix) for prefix in PUBLIC + PRIVATE for path in (prefix, f"{prefix}/<path:rest>")]
)


def serves(environ: dict[str, Any]) -> str:
    """The prefix whose rule takes a request; what werkzeug answers instead if none does."""
    try:
        prefix, _ = _RULES.bind_to_environ(environ).match()
    except RequestRedirect as redirect:
        return f"to {redirect.new_url}"
    except HTTPException as error:
        return str(error.code)
    return str(prefix)
