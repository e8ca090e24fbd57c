"""Write the list of parts that the package ships: CycloneDX, in ``.dist-info/sboms`` of the wheel (PEP 770).

Two kinds of parts: the Python packages at the versions that ``requirements/runtime.txt`` locks, with which
the library is tested, and the container images of ``releases.json``, which an installation runs. The wheel
itself holds code of this repository only. ``python3 dev.py docs`` runs it.

See https://peps.python.org/pep-0770/ and https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dify_cdk.dify.digests import RELEASES_FILE

ROOT = Path(__file__).parents[1]
SBOM_FILE = ROOT / "requirements" / "dify-cdk.cdx.json"
LOCKED = ROOT / "requirements" / "runtime.txt"


def packages() -> dict[str, Any]:
    """The document with the packages, without a time or a random number in it."""
    command = (
        *("cyclonedx-py", "requirements", str(LOCKED), "--pyproject", str(ROOT / "pyproject.toml")),
        *("--mc-type", "library", "--spec-version", "1.6", "--output-format", "JSON"),
        *("--output-reproducible", "--output-file", "-"),
    )
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([str(program), *command[1:]], check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def images(file: Path = RELEASES_FILE) -> list[dict[str, Any]]:
    """The images of all releases, and what the Dockerfiles for AWS Lambda add to two of them."""
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = (*(release["digests"] for release in content["releases"]), content["lambda_adapter"])
    return [_image(image, digest) for row in rows for image, digest in row.items()]


def _image(image: str, digest: str | None) -> dict[str, Any]:
    name, _, tag = image.rpartition(":")
    host, _, rest = name.partition("/")
    of_docker_hub = "." not in host
    version = digest or tag
    place = f"{name if of_docker_hub else rest}@{version.replace(':', '%3A')}"
    purl = f"pkg:docker/{place}" + ("" if of_docker_hub else f"?repository_url={host}")
    part: dict[str, Any] = {"bom-ref": purl, "name": name, "purl": purl, "type": "container", "version": tag}
    if digest:
        part["hashes"] = [{"alg": "SHA-256", "content": digest.partition(":")[2]}]
    return part


def _package(part: dict[str, Any]) -> dict[str, Any]:
    """A package by its name: lines of the file it was read from say nothing to those who get the list."""
    kept = {name: value for name, value in part.items() if name not in ("description", "externalReferences")}
    return {**kept, "bom-ref": part["purl"]}


def document() -> str:
    """The whole list as the text of the file."""
    content = packages()
    parts = [*map(_package, content["components"]), *images()]
    content["components"] = sorted(parts, key=lambda part: str(part["bom-ref"]))
    # Which package needs which is not in the file that locks them.
    content["dependencies"] = [{"ref": content["metadata"]["component"]["bom-ref"]}]
    for tool in content["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SBOM_FILE.write_text(document(), encoding="utf-8")
