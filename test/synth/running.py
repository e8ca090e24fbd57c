"""What real servers are given from synthesized templates: environments, health checks and idle timeouts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from dify_cdk import Component
from dify_servers import YESTERDAY, api
from dify_start import command_line
from dockerfiles import read
from servers import free_port, search_path
from support import Template
from synth.installation import function_of


@dataclass(frozen=True)
class Running:
    """An api that runs.

    Attributes:
        port: Where it listens.
        container: The container definition whose health check is its own.
    """

    port: int
    container: Mapping[str, object]

    @property
    def is_healthy(self) -> bool:
        """Whether the container's health check passes."""
        return passes(self.container, ":5001", f":{self.port}")


class ApiServers:
    """The real gunicorn by the environments of templates; what is started in the same way runs once.

    Args:
        folders: Where they run.
    """

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._running: dict[str, Running] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ApiServers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, variables: Mapping[str, str], container: Mapping[str, object]) -> Running:
        """The server that an environment asks for."""
        of_gunicorn = {name: variables.get(name) for name in YESTERDAY}
        key = json.dumps([command_line(variables), of_gunicorn], sort_keys=True)
        if key not in self._running:
            port = free_port()
            self._stack.enter_context(api(variables, port=port, folder=self._folders.mktemp("api")))
            self._running[key] = Running(port, container)
        return self._running[key]


def environment_of(template: Template, component: Component) -> dict[str, str]:
    """The plain variables of a component's container; what refers to other resources is left out."""
    return _plain(template.environment(component))


def environment_of_function(template: Template, component: Component) -> dict[str, str]:
    """The same of a component's Lambda function, with what its image sets."""
    image = read(f"{component}_lambda").image.environment
    _, properties = function_of(template, component)
    return {**image, **_plain(properties["Environment"]["Variables"])}


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in values.items() if isinstance(value, str)}


def passes(container: Mapping[str, Any], old: str, new: str) -> bool:
    """Whether a container's own health check passes, run as ECS runs it: in time and with exit code 0.

    Args:
        container: The container definition.
        old: A text of the check that is right in the container only, its port.
        new: What takes its place here.
    """
    check = container["HealthCheck"]
    kind, *words = check["Command"]
    assert old in words[-1]
    command = [*words[:-1], words[-1].replace(old, new)]
    if kind == "CMD-SHELL":
        command = ["/bin/sh", "-c", *command]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PATH": search_path()},
            capture_output=True,
            timeout=check["Timeout"],
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def idle_seconds_before(template: Template, component: Component) -> set[int]:
    """How long each hop that calls a component's tasks keeps a connection that is not in use."""
    service = template.services()[component]
    connect = service.get("ServiceConnectConfiguration", {}).get("Services", ())
    found = {int(entry["Timeout"]["IdleTimeoutSeconds"]) for entry in connect}
    if service.get("LoadBalancers"):
        for balancer in template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values():
            attributes = {row["Key"]: row["Value"] for row in balancer["LoadBalancerAttributes"]}
            found.add(int(attributes["idle_timeout.timeout_seconds"]))
    return found
