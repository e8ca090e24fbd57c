"""No secret is shared between what runs other people's code and what does not, but for those that must be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from dify_cdk import Component
from support import Template

FOREIGN = (Component.PLUGIN_DAEMON, Component.SANDBOX)
"""Run plugins, and code of workflows: whoever wrote them has what these have."""

SHARED = {
    "InnerApiKey": "the daemon calls api for its plugins, for whatever tenant it names",
    "PluginDaemonKey": "api calls the daemon, which serves nobody without it",
    "SandboxKey": "api and worker call the sandbox, which runs nothing without it",
}
"""Part of a secret's id to why both have it: one is the client of the other, and the key is between them."""


def secrets_in(template: Template, value: object) -> set[str]:
    """Ids of the secrets that a part of a template refers to, and of those that are part of these."""
    named = set(re.findall(r"\w+", json.dumps(value)))
    found: set[str] = set()
    for id, secret in template.properties("AWS::SecretsManager::Secret").items():
        if id in named:
            found |= {id} | secrets_in(template, secret.get("SecretString", ""))
    return found


def readers(template: Template) -> Mapping[str, set[str]]:
    """Component or function to the secrets it has."""
    containers = {
        name: secrets_in(template, [container.get("Secrets"), container.get("Environment")])
        for name, container in template.containers().items()
    }
    functions = {
        id: secrets_in(template, properties.get("Environment"))
        for id, properties in template.properties("AWS::Lambda::Function").items()
    }
    return {**containers, **functions}


def shared(template: Template) -> dict[str, set[str]]:
    """Secret of a component that runs other people's code to the others that have it."""
    found = readers(template)
    return {
        secret: having
        for component in FOREIGN
        for secret in found[component]
        if (having := {other for other, secrets in found.items() if other != component and secret in secrets})
    }


def test_nothing_is_shared_with_other_people_s_code_but_what_must_be(template: Template) -> None:
    found = shared(template)
    named = {part: secret for part in SHARED for secret in found if part in secret}
    assert set(found) == set(named.values()), "what else is shared?"
    assert named.keys() == SHARED.keys(), "a reason for nothing"


def test_plugins_and_code_of_workflows_share_nothing(template: Template) -> None:
    found = readers(template)
    assert found[Component.PLUGIN_DAEMON] & found[Component.SANDBOX] == set()


@pytest.mark.parametrize("component", FOREIGN)
def test_they_have_secrets_at_all(template: Template, component: Component) -> None:
    assert readers(template)[component]


@pytest.mark.parametrize("word", ["DatabaseUser", "CacheToken", "SecretKey"])
def test_a_secret_of_api_in_the_daemon_would_be_found(template: Template, word: str) -> None:
    """One of its own, and the cache's, which is in the broker's URL, too."""
    body = json.loads(json.dumps(template.body))
    (secret,) = [id for id in template.of_type("AWS::SecretsManager::Secret") if id.startswith(f"Data{word}")]
    for properties in Template(body).properties("AWS::ECS::TaskDefinition").values():
        (container,) = properties["ContainerDefinitions"]
        if container["Name"] == Component.PLUGIN_DAEMON:
            container["Secrets"].append({"Name": "MORE", "ValueFrom": {"Ref": secret}})
    assert Component.WORKER in shared(Template(body))[secret]
