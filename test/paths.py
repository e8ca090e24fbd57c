"""Where each path of Dify leads, and where a template with a load balancer sends it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection
from typing import Any

from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import Route, routes_to
from dify_facts import ROUTES
from support import Template

# By hand from the routes of Dify's own proxy, not from the table the library is built on.
LEADS_TO = {
    "/": "web",
    "/install": "web",
    "/signin": "web",
    "/apps": "web",
    "/explore": "web",
    "/explore/apps": "web",
    "/plugins": "web",
    "/apix": "web",
    "/v10": "web",
    "/e": "web",
    "/console": "web",
    "/console/api": "api",
    "/console/api/setup": "api",
    "/console/api/files/upload": "api",
    "/console/api/workspaces/current/plugin/upload/pkg": "api",
    "/api": "api",
    "/api/chat-messages": "api",
    "/v1": "api",
    "/v1/chat-messages": "api",
    "/v1/datasets/1/document/create-by-file": "api",
    "/openapi": "api",
    "/openapi/v1/apps": "api",
    "/files/1/file-preview": "api",
    "/files/upload/for-plugin": "api",
    "/mcp": "api",
    "/mcp/server/1/mcp": "api",
    "/triggers/webhook/1": "api",
    "/e/hook": "plugin_daemon",
    "/e/hook/any/path": "plugin_daemon",
}
LEADS_TO |= {
    f"{prefix.removesuffix('/')}/anything": row["component"]
    for prefix, row in ROUTES.items()
    if row["component"] != Component.API_WEBSOCKET
}
NEVER_AT_API_OR_DAEMON = [
    "/inner/api",
    "/inner/api/invoke/llm",
    "/health",
    "/health/check",
    "/threads",
    "/db-pool-stat",
    "/plugin/1/dispatch/llm/invoke",
    "/v2/invoke/1",
    "/backwards-invocation/1",
    "/admin/plugins",
    "/metrics/",
    "/debug/pprof/heap",
]
NEVER_PUBLIC = (
    "/inner/api",
    "/health",
    "/threads",
    "/db-pool-stat",
    "/plugin",
    "/v2/invoke",
    "/backwards-invocation",
    "/admin",
    "/metrics",
    "/debug/pprof",
)
"""Paths of api and of the plugin daemon that no frontend may lead to the container that serves them."""
CARRIES_FILES = [
    "/console/api/files/upload",
    "/console/api/workspaces/current/plugin/upload/pkg",
    "/console/api/apps/imports",
    "/api/files/upload",
    "/api/audio-to-text",
    "/v1/files/upload",
    "/v1/datasets/1/document/create-by-file",
    "/v1/datasets/1/document/create_by_file",
    "/v1/datasets/1/documents/2/update-by-file",
    "/files/upload/for-plugin",
    "/triggers/webhook/1",
    "/triggers/anything",
    "/e/hook",
]


def route_of(path: str, components: Collection[Component]) -> Route:
    """The route that answers a path when these components are deployed."""
    return next(route for route in routes_to({*components, Component.WEB}) if route.matches(path))


class Routing:
    """The listener of a template that forwards, as a function from path to container."""

    def __init__(self, template: Template) -> None:
        self._containers = {
            balancer["TargetGroupArn"]["Ref"]: balancer["ContainerName"]
            for service in template.services().values()
            for balancer in service.get("LoadBalancers", ())
        }
        listeners = template.properties("AWS::ElasticLoadBalancingV2::Listener").values()
        (self._default,) = [
            x["DefaultActions"] for x in listeners if x["DefaultActions"][-1]["Type"] == "forward"
        ]
        rules = template.properties("AWS::ElasticLoadBalancingV2::ListenerRule").values()
        self.rules = sorted(rules, key=lambda rule: int(rule["Priority"]))

    def container(self, path: str) -> str:
        """The container that answers a path, or ``400`` where the load balancer does so itself."""
        return self._end(self.actions(path))

    def actions(self, path: str) -> list[dict[str, Any]]:
        """What the load balancer does with a path."""
        for rule in self.rules:
            (condition,) = rule["Conditions"]
            about = condition["PathPatternConfig"]
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in about.get("Values", ())) or any(
                re.search(expression, path) for expression in about.get("RegexValues", ())
            ):
                return list(rule["Actions"])
        return list(self._default)

    def _end(self, actions: list[dict[str, Any]]) -> str:
        last = actions[-1]
        if last["Type"] == "fixed-response":
            return str(last["FixedResponseConfig"]["StatusCode"])
        return str(self._containers[last["TargetGroupArn"]["Ref"]])
