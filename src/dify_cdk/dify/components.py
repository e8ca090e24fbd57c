"""The roles of a Dify installation: what runs, where it listens, and who calls whom."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """One kind of container of Dify 1.17; the value is Dify's own service name."""

    API = "api"
    API_WEBSOCKET = "api_websocket"
    WEB = "web"
    WORKER = "worker"
    BEAT = "beat"
    PLUGIN_DAEMON = "plugin_daemon"
    SANDBOX = "sandbox"
    SSRF_PROXY = "ssrf_proxy"
    MIGRATION = "migration"

    @property
    def construct_id(self) -> str:
        """The construct id of this role's parts, for example ``PluginDaemon``."""
        return "".join(part.capitalize() for part in self.value.split("_"))

    @property
    def dns_label(self) -> str:
        """The role's name in the private DNS namespace: no underscore, which host names may not have."""
        return self.value.replace("_", "-")


def require_roles(name: str, keys: Iterable[object]) -> None:
    """Check the keys of a mapping by role: a misspelled one would have no effect.

    Raises:
        ValueError: If one of them is no role.
    """
    for key in keys:
        if key not in set(Role):
            raise ValueError(f"{name} must be by role, {key!r} is none of {', '.join(Role)}")


BACKEND_ROLES = (Role.API, Role.API_WEBSOCKET, Role.WORKER, Role.BEAT, Role.MIGRATION)
"""The roles that run Dify's api image and read one settings class: they share one environment base."""

PORTS = MappingProxyType(
    {
        Role.API: 5001,
        Role.API_WEBSOCKET: 5001,
        Role.WEB: 3000,
        Role.PLUGIN_DAEMON: 5002,
        Role.SANDBOX: 8194,
        Role.SSRF_PROXY: 3128,
    }
)
"""TCP port of each role that listens; ``worker``, ``beat`` and ``migration`` only call others."""

HEALTH_PATHS = MappingProxyType(
    {
        Role.API: "/health",
        Role.API_WEBSOCKET: "/health",
        Role.WEB: "/favicon.ico",
        Role.PLUGIN_DAEMON: "/health/check",
        Role.SANDBOX: "/health",
    }
)
"""What each role that speaks HTTP answers with 200 by itself, asking nobody else.

Pages of ``web`` do not do: their layout is rendered with an answer of api. ``/health`` of ``api`` reads
neither database nor cache (``extensions/ext_app_metrics.py`` of dify 1.14.2, commit ad96501e0), that of the
sandbox stands outside its limits of concurrent runs (``internal/middleware`` of dify-sandbox 0.2.15).
"""

NAMED_ROLES = (Role.API, Role.WEB, Role.PLUGIN_DAEMON, Role.SANDBOX, Role.SSRF_PROXY)
"""Roles with a name in private DNS. ``api_websocket`` is reached through a frontend only."""

CALLERS = MappingProxyType(
    {
        # web renders pages on the server, the plugin daemon uses /inner/api, and file links inside the
        # network (INTERNAL_FILES_URL) are read by the worker and by api itself.
        Role.API: (Role.WEB, Role.PLUGIN_DAEMON, Role.WORKER, Role.API),
        # One of Dify's one-off commands after an upgrade asks for the installed plugins.
        Role.PLUGIN_DAEMON: (Role.API, Role.WORKER, Role.MIGRATION),
        Role.SANDBOX: (Role.API, Role.WORKER),
        Role.SSRF_PROXY: (Role.API, Role.WORKER, Role.SANDBOX),
    }
)
"""Callee to callers inside the network; whoever is not named here cannot open a connection."""

DATA_CALLERS = (*BACKEND_ROLES, Role.PLUGIN_DAEMON)
"""Roles that talk to the database and the cache; never the sandbox, the proxy or web."""


def private_host(role: Role, namespace: str) -> str:
    """The full private name of a role: bare names do not resolve on Fargate.

    Args:
        role: A role of ``NAMED_ROLES``.
        namespace: Name of the private DNS namespace, may be a token.

    Raises:
        ValueError: If the role has no private name.
    """
    if role not in NAMED_ROLES:
        raise ValueError(f"role {role} has no private name, only {', '.join(NAMED_ROLES)} have one")
    return f"{role.dns_label}.{namespace}"


def private_url(role: Role, namespace: str) -> str:
    """``http://`` URL of a role inside the network, without a trailing slash."""
    return f"http://{private_host(role, namespace)}:{PORTS[role]}"
