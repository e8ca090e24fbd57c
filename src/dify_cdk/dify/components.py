"""The components of a Dify installation: what runs, where it listens, and who calls whom."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType


class Component(StrEnum):
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
        """The construct id of this component's parts, for example ``PluginDaemon``."""
        return "".join(part.capitalize() for part in self.value.split("_"))

    @property
    def dns_label(self) -> str:
        """The component's name in the private DNS namespace: no underscore, which host names may not have."""
        return self.value.replace("_", "-")


def require_components(name: str, keys: Iterable[object]) -> None:
    """Check the keys of a mapping by component: a misspelled one would have no effect.

    Raises:
        ValueError: If one of them is no component.
    """
    for key in keys:
        if key not in set(Component):
            raise ValueError(f"{name} must be by component, {key!r} is none of {', '.join(Component)}")


BACKEND_COMPONENTS = (
    Component.API,
    Component.API_WEBSOCKET,
    Component.WORKER,
    Component.BEAT,
    Component.MIGRATION,
)
"""The components that run Dify's api image and read one settings class: they share one environment base."""

PORTS = MappingProxyType(
    {
        Component.API: 5001,
        Component.API_WEBSOCKET: 5001,
        Component.WEB: 3000,
        Component.PLUGIN_DAEMON: 5002,
        Component.SANDBOX: 8194,
        Component.SSRF_PROXY: 3128,
    }
)
"""TCP port of each component that listens; ``worker``, ``beat`` and ``migration`` only call others."""

HEALTH_PATHS = MappingProxyType(
    {
        Component.API: "/health",
        Component.API_WEBSOCKET: "/health",
        Component.WEB: "/favicon.ico",
        Component.PLUGIN_DAEMON: "/health/check",
        Component.SANDBOX: "/health",
    }
)
"""What each component that speaks HTTP answers with 200 by itself, asking nobody else.

Pages of ``web`` do not do: their layout is rendered with an answer of api. ``/health`` of ``api`` reads
neither database nor cache (``extensions/ext_app_metrics.py`` of dify 1.14.2, commit ad96501e0), that of the
sandbox stands outside its limits of concurrent runs (``internal/middleware`` of dify-sandbox 0.2.15).
"""

NAMED_COMPONENTS = (
    Component.API,
    Component.WEB,
    Component.PLUGIN_DAEMON,
    Component.SANDBOX,
    Component.SSRF_PROXY,
)
"""Components with a name in private DNS. ``api_websocket`` is reached through a frontend only."""

CALLERS = MappingProxyType(
    {
        # web renders pages on the server, the plugin daemon uses /inner/api, and file links inside the
        # network (INTERNAL_FILES_URL) are read by the worker and by api itself.
        Component.API: (Component.WEB, Component.PLUGIN_DAEMON, Component.WORKER, Component.API),
        # One of Dify's one-off commands after an upgrade asks for the installed plugins.
        Component.PLUGIN_DAEMON: (Component.API, Component.WORKER, Component.MIGRATION),
        Component.SANDBOX: (Component.API, Component.WORKER),
        Component.SSRF_PROXY: (Component.API, Component.WORKER, Component.SANDBOX),
    }
)
"""Callee to callers inside the network; whoever is not named here cannot open a connection."""

DATA_CALLERS = (*BACKEND_COMPONENTS, Component.PLUGIN_DAEMON)
"""Components that talk to the database and the cache; never the sandbox, the proxy or web."""


def private_host(component: Component, namespace: str) -> str:
    """The full private name of a component: bare names do not resolve on Fargate.

    Args:
        component: A component of ``NAMED_COMPONENTS``.
        namespace: Name of the private DNS namespace, may be a token.

    Raises:
        ValueError: If the component has no private name.
    """
    if component not in NAMED_COMPONENTS:
        raise ValueError(
            f"component {component} has no private name, only {', '.join(NAMED_COMPONENTS)} have one"
        )
    return f"{component.dns_label}.{namespace}"


def private_url(component: Component, namespace: str) -> str:
    """``http://`` URL of a component inside the network, without a trailing slash."""
    return f"http://{private_host(component, namespace)}:{PORTS[component]}"
