"""One path and three parsers: what entry points compare, what they pass on, and who really answers.

Entry points are read from the templates. Behind them are the real gunicorn with the environment that the
template gives it, and werkzeug; the real Next.js; and the rules of the plugin daemon's router.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import aws_cdk as cdk
import pytest

import plugin_routes
from callers import answers
from corpus import corpus, decoded, is_dotted, resolved
from dify_cdk import CloudFrontEdge, Component
from dify_cdk.dify.routes import ROUTES, Route, RouteClass
from dify_cdk.report.templates.template import Template as Read
from dify_cdk.report.traffic.entry_points import entry_points, through
from dify_cdk.report.traffic.hops import Ends, Request
from dify_servers import NextWeb
from paths import NEVER_PUBLIC, Routing, route_of
from servers import free_port
from support import Template
from synth.installation import function_of, with_login
from synth.running import ApiServers, environment_of, environment_of_function
from viewer import event_of, run, source_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers run on Linux, as in the images")

SECONDS = 20
"""For an answer that comes in milliseconds on a machine that is not busy."""

FILE = "/_next/static/chunks/x.js"
BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"


def as_sent(path: str) -> str:
    """What a client sent, without its query."""
    return path.partition("?")[0]


class Reading(NamedTuple):
    """What an entry point makes of a path.

    Attributes:
        compared: What it compares with its patterns.
        passed: What it passes on.
    """

    compared: Callable[[str], str]
    passed: Callable[[str], str]


AS_SENT = Reading(as_sent, as_sent)
RESOLVED = Reading(resolved, resolved)
RESOLVED_TO_COMPARE = Reading(resolved, as_sent)
"""CloudFront: https://repost.aws/questions/QUYxerjgCwQlSRsrxUx-hoAg says so of its patterns, and that functions get
the path as it was sent."""

READINGS = {
    "load balancer": (AS_SENT, RESOLVED),
    "distribution": (AS_SENT, RESOLVED_TO_COMPARE),
    "HTTP API": (
        *(AS_SENT, RESOLVED),
        *(Reading(decoded, decoded), Reading(as_sent, decoded), Reading(decoded, as_sent)),
    ),
}
"""No page of AWS says which of them is true of a load balancer and of an HTTP API."""


class Entry:
    """The entry point of a template."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._view = Read(template.body)
        self._entry = entry_points(self._view)[0]
        self._functions = [source_of(one) for one in template.properties("AWS::CloudFront::Function").values()]
        self._components = {
            function_of(template, component)[0]: component
            for component in (Component.API, Component.WEB)
            if template.of_type("AWS::CloudFront::Distribution") and not template.of_type(BALANCER)
        }

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What it may make of a path."""
        kinds = {"Distribution": "distribution", "LoadBalancer": "load balancer", "Api": "HTTP API"}
        return READINGS[kinds[self._entry.type.split("::")[-1]]]
