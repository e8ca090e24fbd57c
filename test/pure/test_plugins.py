"""Plugins: from where they come, and what is switched off without internet egress."""

from __future__ import annotations

import pytest

from dify_cdk.dify.components import Component
from dify_cdk.options.plugins import Plugins
from dify_defaults import known_names

URL = "http://pypi.example.internal:8080/simple"
OFFLINE = {"HOSTED_FETCH_APP_TEMPLATES_MODE": "builtin", "HOSTED_FETCH_PIPELINE_TEMPLATES_MODE": "builtin"}
NO_MARKETPLACE = {
    "MARKETPLACE_ENABLED": "false",
    "ENABLE_CHECK_UPGRADABLE_PLUGIN_TASK": "false",
    "CREATORS_PLATFORM_FEATURES_ENABLED": "false",
}


def test_with_a_way_out_nothing_differs_from_difys_defaults() -> None:
    assert Plugins().environment(closed=False) == {}
    assert Plugins(marketplace=True).environment(closed=False) == {}


def test_without_a_way_out_nothing_of_the_internet_is_asked() -> None:
    found = Plugins().environment(closed=True)
    assert found == {**NO_MARKETPLACE, **OFFLINE, "PIP_MIRROR_AUTO_DETECT": "false"}


def test_the_marketplace_is_a_choice_of_its_own() -> None:
    assert Plugins(marketplace=False).environment(closed=False) == NO_MARKETPLACE
    assert "MARKETPLACE_ENABLED" not in Plugins(marketplace=True).environment(closed=True)


@pytest.mark.parametrize("closed", [False, True])
def test_a_mirror_is_used_even_where_lock_files_name_another_index(closed: bool) -> None:
    found = Plugins(pip_mirror_url=URL).environment(closed=closed)
    assert found["PLUGIN_PIP_MIRROR_URL"] == URL
    assert found["PLUGIN_IGNORE_UV_LOCK"] == "true"
    assert found["PIP_MIRROR_AUTO_DETECT"] == "false"


def test_the_components_read_these_names() -> None:
    names = set(Plugins(pip_mirror_url=URL).environment(closed=True))
    daemon = {"PIP_MIRROR_AUTO_DETECT", "PLUGIN_IGNORE_UV_LOCK"}
    assert {*daemon, "PIP_MIRROR_URL"} <= known_names(Component.PLUGIN_DAEMON)
    assert names - daemon - {"PLUGIN_PIP_MIRROR_URL"} <= known_names(Component.API)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "pypi.example.internal",
            r"^Plugins\.pip_mirror_url must be a URL such as https://pip\.example\.com",
        ),
        ("ftp://pypi.example.internal", r"^Plugins\.pip_mirror_url must be a URL"),
        ("http://user:secret@pypi.example.internal/", r"^Plugins\.pip_mirror_url must not hold credentials"),
        ("http://pypi.example.internal/ simple", r"^Plugins\.pip_mirror_url must not hold spaces"),
    ],
)
def test_fails_when_the_index_cannot_be_meant(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Plugins(pip_mirror_url=url)
    assert "secret" not in str(caught.value)
