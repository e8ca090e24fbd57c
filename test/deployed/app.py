"""The app that is deployed: the example v1 itself, with what a test changes about it.

Context keys: ``image_tag`` (tag of api and web), ``revision`` (of the database initialisation) and
``extension`` (asked for in the main database).
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import aws_cdk as cdk

from dify_cdk import DifyRelease, DifyWorkers
from dify_cdk._assets import examples_dir


def main() -> None:
    """Build and synthesize."""
    sys.path.append(str(examples_dir()))
    example: Any = importlib.import_module("v1")
    app = cdk.App()
    tag = app.node.try_get_context("image_tag")
    if tag:
        example.DifyWorkers = functools.partial(DifyWorkers, release=DifyRelease(version=tag))
    stack = example.build(app)
    database = stack.node.find_child("Data").node.find_child("DatabaseInit").node.find_child("Resource")
    resource = database.node.default_child
    revision = app.node.try_get_context("revision")
    if revision:
        resource.add_property_override("Revision", revision)
    extension = app.node.try_get_context("extension")
    if extension:
        resource.add_property_override("Roles.0.Databases.0.Extensions", ["uuid-ossp", extension])
    app.synth()


main()
