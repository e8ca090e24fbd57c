"""What stands between CloudFront and its origins, and for Docker: what they refuse, as the originals do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployed.docker import IMAGE_FILE, folder_of, main
from deployed.edge_repairs import SHOWN_BODY_BYTES, Request, admits, shown

DISTRIBUTION = "arn:aws:cloudfront::111122223333:distribution/E1"
REQUEST = Request(
    origin={},
    method="POST",
    uri="/",
    query="",
    headers={"accept": "*/*"},
    body=b"",
    client_ip="127.0.0.1",
    distribution=DISTRIBUTION,
)
TAG = "cdkasset-1:latest"
REPOSITORY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/assets"


def permission(action: str, source: str = DISTRIBUTION, service: str = "cloudfront") -> dict[str, Any]:
    return {
        "Action": f"lambda:{action}",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Condition": {"ArnLike": {"AWS:SourceArn": source}},
    }


def test_a_distribution_with_both_permissions_is_admitted() -> None:
    rows = [permission("InvokeFunctionUrl"), permission("InvokeFunction")]
    assert admits({"Statement": rows}, DISTRIBUTION)


@pytest.mark.parametrize(
    "second",
    [
        permission("InvokeFunctionUrl"),
        permission("InvokeFunction", source=DISTRIBUTION[:-1]),
        permission("InvokeFunction", service="apigateway"),
    ],
    ids=["missing", "other distribution", "other service"],
)
def test_a_distribution_without_both_permissions_is_not(second: dict[str, Any]) -> None:
    assert not admits({"Statement": [permission("InvokeFunctionUrl"), second]}, DISTRIBUTION)


@pytest.mark.parametrize(("more", "is_truncated"), [(0, False), (1, True)])
def test_functions_at_the_edge_see_a_part_of_large_bodies(more: int, is_truncated: bool) -> None:
    body = shown(replace(REQUEST, body=bytes(SHOWN_BODY_BYTES + more)), with_body=True)["body"]
    assert (body["inputTruncated"], len(body["data"])) == (is_truncated, (SHOWN_BODY_BYTES + 2) // 3 * 4)


def test_functions_at_the_edge_see_no_body_that_they_do_not_ask_for() -> None:
    assert "body" not in shown(REQUEST, with_body=False)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with images, one of them built."""
    monkeypatch.setenv("DIFY_TEST_IMAGES", str(tmp_path / "images"))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    options = ["--build-arg", "IMAGE=dify", "--tag", TAG, "--platform", "linux/arm64"]
    assert main(["build", *options, str(context)]) == 0
    return tmp_path / "images"


def test_an_image_keeps_what_it_is_to_be_built_from(images: Path) -> None:
    assert main(["tag", TAG, f"{REPOSITORY}:1"]) == 0
    built = folder_of(images, f"{REPOSITORY}:1")
    assert (built / "Dockerfile").read_text(encoding="utf-8") == "FROM scratch\n"
    told = json.loads((built / IMAGE_FILE).read_text(encoding="utf-8"))
    assert told == {"platform": "linux/arm64", "arguments": {"IMAGE": "dify"}}


def test_fails_when_an_image_that_was_never_built_is_tagged_or_pushed(images: Path) -> None:
    for command in (["tag", "other:1", f"{REPOSITORY}:1"], ["push", f"{REPOSITORY}:2"]):
        with pytest.raises(FileNotFoundError):
            main(command)


def test_fails_when_something_else_is_asked_for(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", TAG]) == 2
    assert "not what Docker is asked for here" in capsys.readouterr().err
