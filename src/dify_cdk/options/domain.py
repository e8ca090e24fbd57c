"""The host name users type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_match

if TYPE_CHECKING:
    from aws_cdk import aws_certificatemanager as acm
    from aws_cdk import aws_route53 as route53

_HOST_NAME = r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A custom domain of a frontend, for example ``dify.example.com``.

    With a ``zone`` the frontend defines the A and AAAA records in it and, unless ``certificate`` is given,
    a certificate that Route 53 validates. With a ``certificate`` alone, point your own DNS at the frontend.

    Attributes:
        host_name: Lower-case host name without scheme, port or trailing dot.
        plugin_host_name: Another host name for endpoints of plugins (``/e/``), which then answer there and
            nowhere else, so that a page that a plugin makes is of another origin than Dify's console and
            cannot act for who has it open. ``DifyAlbFrontend`` only. Certificates and records are defined for
            both names; a certificate that you pass has to cover both. Default: ``host_name``.
        zone: Route 53 hosted zone that contains the host name. Default: no records are defined.
        certificate: Certificate for the host name in the frontend's region. Default: one is defined and
            validated through ``zone``.
        edge_certificate: Certificate in us-east-1 for a frontend with CloudFront. Default: in a stack in
            us-east-1 the one above; in other regions it has to be given.

    Raises:
        ValueError: If a host name is malformed or lies outside the zone, both are the same, or ``zone`` and
            both certificates are missing.
    """

    host_name: str
    zone: route53.IHostedZone | None = None
    certificate: acm.ICertificate | None = None
    edge_certificate: acm.ICertificate | None = None
    plugin_host_name: str | None = None

    def __post_init__(self) -> None:
        """Check the host name and that TLS is possible."""
        meaning = "a lower-case host name such as dify.example.com, without scheme, port or path"
        require_match("Domain.host_name", self.host_name, _HOST_NAME, meaning)
        if self.plugin_host_name is not None:
            require_match("Domain.plugin_host_name", self.plugin_host_name, _HOST_NAME, meaning)
            if self.plugin_host_name == self.host_name:
                raise ValueError("Domain.plugin_host_name must be another one than host_name, or be left out")
        if self.zone is None and self.certificate is None and self.edge_certificate is None:
            raise ValueError(
                f"Domain {self.host_name} needs zone= or certificate=, or no TLS certificate exists"
            )
        if self.zone is not None:
            zone_name = self.zone.zone_name.removesuffix(".")
            _require_inside("host_name", self.host_name, zone_name)
            if self.plugin_host_name is not None:
                _require_inside("plugin_host_name", self.plugin_host_name, zone_name)

    @property
    def host_names(self) -> list[str]:
        """All host names, the main one first."""
        return [self.host_name, *([self.plugin_host_name] if self.plugin_host_name else [])]

    def require_one_host_name(self, frontend: str, reason: str) -> None:
        """Raise ``ValueError`` if plugins have a host name of their own, which this frontend cannot give."""
        if self.plugin_host_name is not None:
            raise ValueError(f"Domain.plugin_host_name cannot be used with {frontend}: {reason}")


def _require_inside(name: str, host_name: str, zone_name: str) -> None:
    if is_token([zone_name, host_name]):
        return
    if host_name != zone_name and not host_name.endswith(f".{zone_name}"):
        raise ValueError(f"Domain.{name} {host_name!r} must lie in the hosted zone {zone_name!r}")
