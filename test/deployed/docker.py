"""Stands for Docker before the CDK's command line: an image is the folder that it would be built from.

Nothing is built. A folder keeps what was asked for beside it in ``image.json``, and what is pushed becomes
known to ECR, where the command line looks for images that are there already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

IMAGE_FILE = "image.json"


def folder_of(images: Path, name: str) -> Path:
    """Where an image is.

    Args:
        images: Folder with all of them.
        name: Name and tag; a registry before them does not matter.
    """
    return images / quote(name.rsplit("/", 1)[-1], safe="")


def build(images: Path, arguments: Sequence[str]) -> None:
    """Keep the folder, and the options that say what to make of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tag", required=True)
    parser.add_argument("--platform", required=True)
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("context", type=Path)
    asked = parser.parse_args(arguments)
    target = folder_of(images, asked.tag)
    shutil.copytree(asked.context, target, dirs_exist_ok=True)
    told = {"platform": asked.platform, "arguments": dict(one.split("=", 1) for one in asked.build_arg)}
    (target / IMAGE_FILE).write_text(json.dumps(told), encoding="utf-8")


def push(images: Path, name: str) -> None:
    """Tell ECR about an image that is here."""
    import boto3

    if not folder_of(images, name).is_dir():
        raise FileNotFoundError(name)
    registry, rest = name.split("/", 1)
    repository, tag = rest.rsplit(":", 1)
    ecr = boto3.client("ecr", region_name=registry.split(".")[3])
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps({"config": name}))


def main(arguments: Sequence[str]) -> int:
    """Do what Docker would be asked for, and nothing else."""
    images = Path(os.environ["DIFY_TEST_IMAGES"])
    match arguments:
        case ["inspect", _]:
            return 1  # there is no image yet
        case ["login", *_]:
            sys.stdin.read()
        case ["build", *options]:
            build(images, options)
        case ["tag", source, target]:
            shutil.copytree(folder_of(images, source), folder_of(images, target), dirs_exist_ok=True)
        case ["push", name]:
            push(images, name)
        case _:
            print(f"not what Docker is asked for here: {arguments}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
