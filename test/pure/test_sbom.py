"""The list of parts that the wheel ships."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import sbom
from dify_cdk.dify.digests import RELEASES_FILE

DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture(scope="module")
def written() -> str:
    return sbom.SBOM_FILE.read_text(encoding="utf-8")


def test_the_file_is_what_the_tool_writes(written: str) -> None:
    assert written == sbom.document(), "run python3 dev.py docs"


def test_it_is_valid(written: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    broken = written.replace('"type": "container"', '"type": "ship"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_it_has_every_locked_package_and_every_image(written: str) -> None:
    parts = {(part["type"], part["name"], part["version"]) for part in json.loads(written)["components"]}
    locked = re.findall(r"^([a-z0-9-]+)==(\S+)", sbom.LOCKED.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(locked) > 10
    rows = json.loads(RELEASES_FILE.read_text(encoding="utf-8"))
    images = [*(image for row in rows["releases"] for image in row["digests"]), *rows["lambda_adapter"]]
    assert parts == {
        *(("library", name, version) for name, version in locked),
        *(("container", *image.rsplit(":", 1)) for image in images),
    }


def test_packages_are_locked_at_the_versions_of_the_tests() -> None:
    tested = (sbom.ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^\S+==\S+", sbom.LOCKED.read_text(encoding="utf-8"), re.MULTILINE)
    assert [line for line in locked if f"\n{line} " not in f"\n{tested}"] == []


def test_an_image_is_named_by_its_digest_where_that_is_known(tmp_path: Path) -> None:
    file = tmp_path / "releases.json"
    row = {"a/b:1": DIGEST, "a/c:1": None}
    adapter = {"public.example.com/d/e:2": DIGEST}
    file.write_text(json.dumps({"releases": [{"digests": row}], "lambda_adapter": adapter}))
    found = {part["name"]: part for part in sbom.images(file)}
    encoded = DIGEST.replace(":", "%3A")
    assert {name: part["purl"] for name, part in found.items()} == {
        "a/b": f"pkg:docker/a/b@{encoded}",
        "a/c": "pkg:docker/a/c@1",
        "public.example.com/d/e": f"pkg:docker/d/e@{encoded}?repository_url=public.example.com",
    }
    assert found["a/b"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert "hashes" not in found["a/c"]
