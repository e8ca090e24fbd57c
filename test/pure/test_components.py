"""A component that is added and half forgotten is an error that names what is missing."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest

import dify_facts
from dify_cdk.dify import routes
from dify_cdk.dify.components import (
    SPECS,
    BrokerHealth,
    Component,
    ComponentSpec,
    Host,
    HttpHealth,
    hosted_by,
    private_host,
    require_rows,
)
from dify_cdk.dify.routes import ROUTES, Route, RouteClass, require_served

ALWAYS_BEHIND_A_FRONTEND = {
    component
    for row in dify_facts.ROUTES.values()
    if not (component := Component(row["component"])).spec.option
}


def values_of(component: Component) -> dict[str, Any]:
    return {field.name: getattr(component.spec, field.name) for field in fields(ComponentSpec)}


@pytest.mark.parametrize("name", [field.name for field in fields(ComponentSpec)])
def test_a_row_without_a_field_is_refused_by_its_name(name: str) -> None:
    values = values_of(Component.WORKER)
    del values[name]
    with pytest.raises(TypeError, match=f"'{name}'"):
        ComponentSpec(**values)


@pytest.mark.parametrize("component", Component)
def test_a_component_without_a_row_is_refused_by_its_name(component: Component) -> None:
    others = {one: spec for one, spec in SPECS.items() if one is not component}
    with pytest.raises(TypeError, match=rf"Component\.{component.name} .* ComponentSpec"):
        require_rows(Component, others)


def test_every_component_that_is_called_listens_where_its_callers_can_find_it() -> None:
    for component in Component:
        if component.spec.called_by:
            assert component.port
            assert private_host(component, "dify.internal") == f"{component.dns_label}.dify.internal"


def test_a_component_that_only_calls_has_no_port() -> None:
    with pytest.raises(ValueError, match="component worker listens on no port"):
        _ = Component.WORKER.port


def test_every_route_leads_to_a_component_whose_health_a_load_balancer_can_ask_for() -> None:
    for route in ROUTES:
        assert isinstance(route.component.spec.health, HttpHealth), route.prefix


def test_components_that_run_only_on_demand_name_the_argument_that_asks_for_them() -> None:
    assert {Component.API, Component.WEB} <= {*hosted_by(Host.FRONTEND)}
    assert Component.API_WEBSOCKET not in hosted_by(Host.FRONTEND)
    assert Component.API_WEBSOCKET in hosted_by(Host.FRONTEND, {"collaboration"})
    assert Component.BEAT not in hosted_by(Host.WORKERS)
    assert Component.BEAT in hosted_by(Host.WORKERS, {"scheduler"})


def test_habits_of_beat_are_variables_of_dify() -> None:
    health = Component.BEAT.spec.health
    assert isinstance(health, BrokerHealth)
    assert all(name.isupper() for name in health.unless)
    assert asdict(health)["unless"]


class TestRoutesThatNobodyServes:
    def test_a_frontend_that_serves_all_passes(self) -> None:
        require_served("DifyAlbFrontend", ALWAYS_BEHIND_A_FRONTEND)

    @pytest.mark.parametrize("missing", sorted(ALWAYS_BEHIND_A_FRONTEND))
    def test_a_frontend_that_leaves_one_out_is_refused(self, missing: Component) -> None:
        with pytest.raises(ValueError, match=f"OurFrontend does not serve {missing}, .* route /"):
            require_served("OurFrontend", ALWAYS_BEHIND_A_FRONTEND - {missing})

    def test_a_route_to_another_component_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        added = Route(
            prefix="/sandbox", component=Component.SANDBOX, route_class=RouteClass.OPEN, priority=9500
        )
        monkeypatch.setattr(routes, "ROUTES", (added, *ROUTES))
        with pytest.raises(ValueError, match="does not serve sandbox, to which route /sandbox leads"):
            require_served("DifyAlbFrontend", ALWAYS_BEHIND_A_FRONTEND)
