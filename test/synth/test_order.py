"""In which order a deployment replaces what runs Dify's images: dependencies are followed to their end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dify_cdk.dify.components import Component
from support import Template

OF_DIFY = {one for one in Component if one.spec.repository.startswith("langgenius/")}
BEFORE_THE_MIGRATION = {
    Component.PLUGIN_DAEMON: "the migration's one-off commands ask it for the installed plugins",
}
DESCRIPTION = re.compile(r"Dify: (\w+)")


def runs(template: Template) -> dict[str, Component]:
    """Services and functions that run a component."""
    names: dict[str, Any] = {
        id: task["ContainerDefinitions"][0]["Name"]
        for id, task in template.properties("AWS::ECS::TaskDefinition").items()
    }
    found = {
        id: Component(names[service["TaskDefinition"]["Ref"]])
        for id, service in template.properties("AWS::ECS::Service").items()
    }
    for id, function in template.properties("AWS::Lambda::Function").items():
        match = DESCRIPTION.fullmatch(function.get("Description", ""))
        if match and match[1] in list(Component):
            found[id] = Component(match[1])
    return found


def early(template: Template) -> set[Component]:
    """Components of Dify of which a new revision may be there before the schema is."""
    (migration,) = template.of_type("Custom::DifyMigration")
    return {
        component
        for id, component in runs(template).items()
        if component in OF_DIFY and migration not in template.before(id)
    }


def test_what_runs_an_image_of_dify_comes_after_the_migration(template: Template) -> None:
    assert {Component.API, Component.WEB, Component.WORKER} <= set(runs(template).values())
    assert early(template) == set(BEFORE_THE_MIGRATION)


def test_what_the_migration_calls_does_not_wait_for_it(template: Template) -> None:
    called = {one for one in Component if Component.MIGRATION in one.spec.called_by}
    assert called == set(BEFORE_THE_MIGRATION)


def test_pages_come_after_the_api_that_they_call(template: Template) -> None:
    found = runs(template)
    for id in (id for id, component in found.items() if component is Component.WEB):
        assert Component.API in {found.get(one) for one in template.before(id)}, id


def test_one_that_does_not_wait_would_be_found(templates: Callable[[str], Template]) -> None:
    template = templates("v1")
    (web,) = (id for id, component in runs(template).items() if component is Component.WEB)
    impatient = {**template.resources[web], "DependsOn": []}
    assert early(Template({"Resources": {**template.resources, web: impatient}})) == {
        *BEFORE_THE_MIGRATION,
        Component.WEB,
    }
