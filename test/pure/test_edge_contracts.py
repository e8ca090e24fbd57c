"""Names that two programs of different languages have to agree on."""

from __future__ import annotations

import re

from dify_cdk.cdk_helpers.assets import docker_dir, handler_dir


def test_edge_function_and_adapter_mean_the_same_header() -> None:
    """The signature takes ``Authorization``: the edge moves the caller's, and the adapter moves it back."""
    signer = (handler_dir("body_signer") / "index.js").read_text(encoding="utf-8")
    image = (docker_dir("api_lambda") / "Dockerfile").read_text(encoding="utf-8")
    (header,) = re.findall(r"AWS_LWA_AUTHORIZATION_SOURCE=(\S+)", image)
    assert f"'{header}'" in signer or f'"{header}"' in signer


def test_distribution_and_authorizer_mean_the_same_header() -> None:
    authorizer = (handler_dir("origin_authorizer") / "authorizer.py").read_text(encoding="utf-8")
    uploads = (handler_dir("origin_authorizer").parents[1] / "frontends" / "parts" / "uploads.py").read_text(
        encoding="utf-8"
    )
    (header,) = re.findall(r'^ORIGIN_HEADER = "([\w-]+)"', uploads, re.MULTILINE)
    assert f'"{header}"' in authorizer
