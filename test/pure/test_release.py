"""Pinned images: names, registries and what cannot be."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.cli.mirror_script import images
from dify_cdk.dify.components import BACKEND_COMPONENTS, Component, ReleaseTag
from dify_cdk.dify.digests import LAMBDA_ADAPTER, RELEASES_FILE, tags_of
from dify_cdk.dify.release import DifyRelease
from dify_facts import COMPONENTS
from support import around_stand_ins

if TYPE_CHECKING:
    from aws_cdk import aws_ecs as ecs
    from aws_cdk import aws_secretsmanager as secretsmanager

IMAGES = {component: row["image"] for component, row in COMPONENTS.items()}
SECRET = cast("secretsmanager.ISecret", SimpleNamespace())
IMAGE = cast("ecs.ContainerImage", SimpleNamespace())
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OTHER = f"sha256:{'fedcba9876543210' * 4}"
TOKEN = "${Token[TOKEN.12]}"


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library knows today."""
    for module in ("dify_cdk.dify.release",):
        monkeypatch.setattr(f"{module}.KNOWN_DIGESTS", {})


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


class TestDigests:
    @pytest.mark.parametrize("field", ["sandbox", "plugin_daemon", "ssrf_proxy"])
    def test_a_digest_behind_a_tag_pins_the_image_and_stays_tested(self, field: str) -> None:
        component = Component(field)
        tag = IMAGES[component].rpartition(":")[2]
        release = DifyRelease(**{field: f"{tag}@{DIGEST}"})  # type: ignore[arg-type]
        assert release.image_name(component) == f"{IMAGES[component]}@{DIGEST}"
        assert release.tag(component) == tag
        assert {one for one in Component if release.digest(one)} == {component}
        assert release.is_tested

    def test_digests_of_api_and_web_are_given_by_component_and_hold_for_all_of_the_image(self) -> None:
        release = DifyRelease(digests={Component.API: DIGEST, Component.WEB: OTHER}, registry="r.example/x")
        assert release.image_name(Component.WORKER) == f"r.example/x/langgenius/dify-api:1.17.1@{DIGEST}"
        assert {release.digest(one) for one in BACKEND_COMPONENTS} == {DIGEST}
        assert release.digest(Component.WEB) == OTHER

    def test_what_the_library_knows_is_the_default_of_its_tags(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known = {"langgenius/dify-api:1.17.1": DIGEST, "langgenius/dify-sandbox:0.2.15": DIGEST}
        monkeypatch.setattr("dify_cdk.dify.release.KNOWN_DIGESTS", known)
        assert DifyRelease().digest(Component.BEAT) == DifyRelease().digest(Component.SANDBOX) == DIGEST
        assert DifyRelease(version="1.17.2").digest(Component.BEAT) is None
        own = DifyRelease(digests={Component.SANDBOX: OTHER})
        assert (own.digest(Component.SANDBOX), own.digest(Component.API)) == (OTHER, DIGEST)
        assert not any(DifyRelease(digests={}).digest(one) for one in Component)

    def test_every_image_of_a_tested_release_has_a_place_for_its_digest(self) -> None:
        rows = json.loads(RELEASES_FILE.read_text())
        for row in rows["releases"]:
            release = DifyRelease(**{name: row[name] for name in ReleaseTag}, digests={})
            assert row["digests"].keys() == {release.image_name(component) for component in Component}
        digests = [
            *(d for row in rows["releases"] for d in row["digests"].values()),
            *rows["lambda_adapter"].values(),
        ]
        assert all(digest is None or re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in digests)

    @pytest.mark.parametrize("name", list(ReleaseTag)[1:])
    def test_fails_when_a_release_does_not_say_a_tag(self, name: ReleaseTag) -> None:
        (release,) = json.loads(RELEASES_FILE.read_text(encoding="utf-8"))["releases"]
        del release[name]
        with pytest.raises(ValueError, match=rf"does not say which {name} belongs to version 1\.17\.1"):
            tags_of(release)

    def test_the_adapter_is_the_one_of_the_dockerfiles(self) -> None:
        assert images(["1.17.1"])[-1].source == LAMBDA_ADAPTER

    def test_fails_when_the_tag_of_two_images_has_one_digest(self) -> None:
        message = (
            r"^DifyRelease\.version must be an image tag, which stands for two images.*: write "
            r"version='1\.17\.1' "
            r"and digests=\{Component\.API: "
        )
        with pytest.raises(ValueError, match=message):
            DifyRelease(version=f"1.17.1@{DIGEST}")

    @pytest.mark.parametrize(
        "digest", ["sha256:123", DIGEST.upper(), f"1.17.1@{DIGEST}", "sha512:" + "1" * 64]
    )
    def test_fails_when_a_digest_is_malformed(self, digest: str) -> None:
        with pytest.raises(
            ValueError, match=r"^DifyRelease\.digests\[api\] must be a digest, sha256: and 64"
        ):
            DifyRelease(digests={Component.API: digest})
        with pytest.raises(ValueError, match=r"^DifyRelease\.sandbox must be an image tag"):
            DifyRelease(sandbox=f"0.2.15@{digest}")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"digests": {Component.API: DIGEST, Component.WORKER: OTHER}},
            {"digests": {Component.SANDBOX: DIGEST}, "sandbox": f"0.2.15@{OTHER}"},
        ],
        ids=["two components", "behind the tag"],
    )
    def test_fails_when_an_image_has_two_digests(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(
            ValueError, match=r"^DifyRelease\.digests\[\w+\] is sha256:.*one image has one digest"
        ):
            DifyRelease(**arguments)

    def test_fails_when_a_digest_is_for_no_component(self) -> None:
        with pytest.raises(ValueError, match=r"DifyRelease\.digests.*workr"):
            DifyRelease(digests=cast("dict[Component, str]", {"workr": DIGEST}))


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
