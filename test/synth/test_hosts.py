"""What the parts of an installation leave out together is an error at synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from dify_cdk import (
    Access,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyHttpApiFrontend,
    Limits,
)
from dify_cdk.dify import routes
from dify_cdk.dify.environment import PublicEndpoint
from dify_cdk.dify.routes import ROUTES, Route, RouteClass
from dify_cdk.workers.component_service import ComponentService
from support import REGION
from synth.installation import synthesized, workers_in

LIMITS = Limits(request_timeout_seconds=30, streaming=False, websocket=False, max_body_mb=10)
ENDPOINT = PublicEndpoint(scheme="https", host="dify.example.com", limits=LIMITS, idle_timeout_seconds=30)
FRONTENDS = (DifyAlbFrontend, DifyHttpApiFrontend, DifyCloudFrontLambdaFrontend)


@pytest.fixture
def stack(tmp_path: Path) -> cdk.Stack:
    app = cdk.App(outdir=str(tmp_path), analytics_reporting=False)
    return cdk.Stack(app, "S", env=cdk.Environment(region=REGION))


def announce_with(stack: cdk.Stack, *components: Component) -> None:
    """A frontend of somebody's own that runs only some of the components."""
    workers = workers_in(stack)
    for component in components:
        ComponentService(
            stack, component.construct_id, component=component, platform=workers.platform, endpoint=ENDPOINT
        )
    workers.announce(ENDPOINT)


def test_a_component_that_nothing_runs_is_an_error(stack: cdk.Stack) -> None:
    announce_with(stack, Component.API)
    with pytest.raises(RuntimeError, match="nothing runs web, which the frontend has to"):
        synthesized(stack)


def test_a_frontend_that_runs_its_components_is_accepted(stack: cdk.Stack) -> None:
    announce_with(stack, Component.API, Component.WEB)
    assert {"api", "web", "worker"} <= synthesized(stack).services().keys()


@pytest.mark.parametrize("kind", FRONTENDS)
def test_a_route_whose_component_a_frontend_does_not_serve_is_an_error(
    kind: Any, stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Route(prefix="/run", component=Component.SANDBOX, route_class=RouteClass.OPEN, priority=9500)
    monkeypatch.setattr(routes, "ROUTES", (added, *ROUTES))
    workers = workers_in(stack)
    with pytest.raises(ValueError, match=f"{kind.__name__} does not serve sandbox, .* route /run leads"):
        kind(stack, "Frontend", workers=workers, access=Access.anyone())
