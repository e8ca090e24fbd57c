"""Pinned images: names, registries and what cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.dify.components import BACKEND_COMPONENTS, Component
from dify_cdk.dify.release import DifyRelease
from support import around_stand_ins

if TYPE_CHECKING:
    from aws_cdk import aws_ecs as ecs
    from aws_cdk import aws_secretsmanager as secretsmanager

IMAGES = {
    **dict.fromkeys(BACKEND_COMPONENTS, "langgenius/dify-api:1.17.1"),
    Component.WEB: "langgenius/dify-web:1.17.1",
    Component.PLUGIN_DAEMON: "langgenius/dify-plugin-daemon:0.6.10-local",
    Component.SANDBOX: "langgenius/dify-sandbox:0.2.15",
    Component.SSRF_PROXY: "ubuntu/squid:6.6-24.04_beta",
}
SECRET = cast("secretsmanager.ISecret", SimpleNamespace())
IMAGE = cast("ecs.ContainerImage", SimpleNamespace())
TOKEN = "${Token[TOKEN.12]}"


def test_every_component_has_a_pinned_image_by_default() -> None:
    assert {component: DifyRelease().image_name(component) for component in Component} == IMAGES


def test_the_default_combination_is_tested() -> None:
    assert DifyRelease().is_tested


@pytest.mark.parametrize("field", ["version", "sandbox", "plugin_daemon", "ssrf_proxy"])
def test_another_tag_is_used_and_counts_as_untested(field: str) -> None:
    release = DifyRelease(**{field: "9.9.9"})  # type: ignore[arg-type]
    changed = {component for component in Component if release.image_name(component) != IMAGES[component]}
    readers = {
        "version": {*BACKEND_COMPONENTS, Component.WEB},
        "sandbox": {Component.SANDBOX},
        "plugin_daemon": {Component.PLUGIN_DAEMON},
        "ssrf_proxy": {Component.SSRF_PROXY},
    }
    assert changed == readers[field]
    assert all(release.image_name(component).endswith(":9.9.9") for component in changed)
    assert not release.is_tested


@pytest.mark.parametrize(
    "registry",
    [
        "mirror.example",
        "registry.example.com:5000/mirror",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub",
        "public.ecr.aws/example",
        f"{TOKEN}.dkr.ecr.us-east-1.amazonaws.com/docker-hub",
        TOKEN,
    ],
)
def test_a_registry_goes_before_every_repository(registry: str) -> None:
    release = DifyRelease(registry=registry)
    assert {component: release.image_name(component) for component in Component} == {
        r: f"{registry}/{i}" for r, i in IMAGES.items()
    }
    assert release.is_tested


def test_the_pinned_name_stays_readable_beside_an_own_image() -> None:
    release = around_stand_ins(DifyRelease, images={Component.API: IMAGE})
    assert release.image_name(Component.API) == IMAGES[Component.API]


def test_credentials_go_with_docker_hub_and_private_registries() -> None:
    assert around_stand_ins(DifyRelease, credentials=SECRET).credentials is SECRET
    assert (
        around_stand_ins(DifyRelease, credentials=SECRET, registry="mirror.example/example").credentials
        is SECRET
    )


def test_tags_known_at_deployment_pass() -> None:
    release = DifyRelease(version=TOKEN)
    assert release.image_name(Component.WEB) == f"langgenius/dify-web:{TOKEN}"
    assert not release.is_tested


@pytest.mark.parametrize("field", ["version", "sandbox", "plugin_daemon", "ssrf_proxy"])
@pytest.mark.parametrize(
    "tag", ["", "1.17 1", ".1", "-1", "langgenius/dify-api", "dify:1", "1.17.1\n", "a" * 129]
)
def test_fails_when_a_tag_is_malformed(field: str, tag: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^DifyRelease\.{field} must be an image tag such as 1\.17\.1, got "
    ):
        DifyRelease(**{field: tag})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "registry",
    [
        "",
        "https://mirror.example",
        "mirror.example/",
        "/mirror",
        "mirror.example/Mirror",
        "mirror example",
        "mirror.example/mirror\n",
    ],
)
def test_fails_when_a_registry_is_malformed(registry: str) -> None:
    meaning = "a registry and optional path without scheme or trailing slash"
    with pytest.raises(ValueError, match=rf"^DifyRelease\.registry must be {meaning}, got "):
        DifyRelease(registry=registry)


@pytest.mark.parametrize(
    "registry",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/docker-hub",
        f"{TOKEN}.dkr.ecr.{TOKEN}.amazonaws.com/docker-hub",
    ],
)
def test_fails_when_an_ecr_registry_has_credentials(registry: str) -> None:
    with pytest.raises(
        ValueError, match=r"credentials cannot be used with an Amazon ECR registry, remove it$"
    ):
        around_stand_ins(DifyRelease, registry=registry, credentials=SECRET)


def test_fails_when_an_own_image_is_for_no_component() -> None:
    """A misspelled component would silently keep the pinned image."""
    images = cast("dict[Component, ecs.ContainerImage]", {"workr": IMAGE})
    with pytest.raises(ValueError, match=r"DifyRelease\.images.*workr"):
        DifyRelease(images=images)


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True))
def test_every_tag_that_registries_allow_passes(tag: str) -> None:
    assert DifyRelease(version=tag).tag(Component.WORKER) == tag
