"""v4 with an own domain, a login, a web ACL and collaboration."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53

from dify_cdk import (
    Access,
    CloudFrontEdge,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Domain,
    Login,
    WebAcl,
)

_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def build(app: cdk.App) -> cdk.Stack:
    """Define the stack."""
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="eu-west-1"))
    network = DifyNetwork(stack, "Network")
    workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
    zone = route53.HostedZone.from_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z0000000000000000000", zone_name="example.com"
    )
    certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", _CERTIFICATE)
    DifyAlbFrontend(
        stack,
        "Frontend",
        workers=workers,
        access=Access(ipv4=["203.0.113.0/24"], ipv6=["2001:db8::/32"]),
        domain=Domain(host_name="dify.example.com", zone=zone, edge_certificate=certificate),
        edge=CloudFrontEdge(web_acl=WebAcl.addresses(rate=2000)),
        login=Login(),
        collaboration=True,
    )
    return stack
