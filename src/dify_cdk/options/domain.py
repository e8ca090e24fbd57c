"""The host name users type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dify_cdk._checks import is_token, require_match

if TYPE_CHECKING:
    from aws_cdk import aws_certificatemanager as acm
    from aws_cdk import aws_route53 as route53

_HOST_NAME = r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A custom domain of a frontend, for example ``dify.example.com``.

    With a ``zone`` the frontend defines the A and AAAA records in it and, unless ``certificate`` is given,
    a certificate that Route 53 validates. With a ``certificate`` alone, point your own DNS at the frontend.

    Attributes:
        host_name: Lower-case host name without scheme, port or trailing dot.
        zone: Route 53 hosted zone that contains the host name. Default: no records are defined.
        certificate: Certificate for the host name in the frontend's region. Default: one is defined and
            validated through ``zone``.
        edge_certificate: Certificate in us-east-1 for a frontend with CloudFront. Default: in a stack in
            us-east-1 the one above; in other regions it has to be given.

    Raises:
        ValueError: If the host name is malformed, lies outside the zone, or ``zone`` and both certificates
            are missing.
    """

    host_name: str
    zone: route53.IHostedZone | None = None
    certificate: acm.ICertificate | None = None
    edge_certificate: acm.ICertificate | None = None

    def __post_init__(self) -> None:
        """Check the host name and that TLS is possible."""
        meaning = "a lower-case host name such as dify.example.com, without scheme, port or path"
        require_match("Domain.host_name", self.host_name, _HOST_NAME, meaning)
        if self.zone is None and self.certificate is None and self.edge_certificate is None:
            raise ValueError(
                f"Domain {self.host_name} needs zone= or certificate=, or no TLS certificate exists"
            )
        if self.zone is not None:
            self._require_inside(self.zone.zone_name)

    def _require_inside(self, zone_name: str) -> None:
        zone_name = zone_name.removesuffix(".")
        if is_token(zone_name) or is_token(self.host_name):
            return
        if self.host_name != zone_name and not self.host_name.endswith(f".{zone_name}"):
            raise ValueError(f"Domain.host_name {self.host_name!r} must lie in the hosted zone {zone_name!r}")
