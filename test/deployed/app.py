"""The app that is deployed: an example itself, with what a test changes about it.

The only argument is the example's name. Context keys: ``image_tag`` (tag of api and web), ``revision`` (of
the database initialisation), ``extension`` (asked for in the main database), ``allowed`` (the network that
may enter), ``login_host`` and ``login_zone`` (a host name with a login before it, and its hosted zone).
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from dify_cdk import DifyAlbFrontend, DifyRelease, DifyWorkers, Domain, Login
from dify_cdk.cdk_helpers.assets import examples_dir

_EDGE_CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"


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
    if asked("login_host"):
        example.DifyAlbFrontend = functools.partial(_with_login, asked("login_host"), asked("login_zone"))
    stack = example.build(app)
    database = stack.node.find_child("Data").node.find_child("DatabaseInit").node.find_child("Resource")
    resource = database.node.default_child
    if asked("revision"):
        resource.add_property_override("Revision", asked("revision"))
    if asked("extension"):
        extensions = ["uuid-ossp", asked("extension")]
        resource.add_property_override("Roles.0.Databases.0.Extensions", extensions)
    app.synth()


def _with_login(host: str, zone_id: str, scope: Construct, id: str, **options: Any) -> DifyAlbFrontend:
    zone = route53.HostedZone.from_hosted_zone_attributes(
        scope, "Zone", hosted_zone_id=zone_id, zone_name=host.partition(".")[2]
    )
    certificate = acm.Certificate.from_certificate_arn(scope, "EdgeCertificate", _EDGE_CERTIFICATE)
    domain = Domain(host_name=host, zone=zone, edge_certificate=certificate)
    return DifyAlbFrontend(scope, id, domain=domain, login=Login(), **options)


if __name__ == "__main__":
    main(sys.argv[1])
