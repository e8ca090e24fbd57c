"""The app that is deployed: an example itself, with what a test changes about it.

The only argument is the example's name. Context keys: ``image_tag`` (tag of api and web), ``revision`` (of
the database initialisation), ``extension`` (asked for in the main database) and ``allowed`` (the network that
may enter).
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import aws_cdk as cdk

from dify_cdk import DifyRelease, DifyWorkers
from dify_cdk._assets import examples_dir


def main(variant: str) -> None:
    """Build and synthesize.

    Args:
        variant: Name of the example.
    """
    sys.path.append(str(examples_dir()))
    example: Any = importlib.import_module(variant)
    app = cdk.App()
    asked = app.node.try_get_context
    if asked("image_tag"):
        release = DifyRelease(version=asked("image_tag"))
        example.DifyWorkers = functools.partial(DifyWorkers, release=release)
    if asked("allowed"):
        example.ALLOWED_NETWORKS = [asked("allowed")]
    stack = example.build(app)
    database = stack.node.find_child("Data").node.find_child("DatabaseInit").node.find_child("Resource")
    resource = database.node.default_child
    if asked("revision"):
        resource.add_property_override("Revision", asked("revision"))
    if asked("extension"):
        extensions = ["uuid-ossp", asked("extension")]
        resource.add_property_override("Roles.0.Databases.0.Extensions", extensions)
    app.synth()


main(sys.argv[1])
