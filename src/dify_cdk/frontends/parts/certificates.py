"""A custom domain: certificates and records, with the same ids behind every kind of frontend."""

from __future__ import annotations

import re
from functools import cached_property

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from dify_cdk._checks import is_token
from dify_cdk.frontends.parts.names import CLOUDFRONT_REGION
from dify_cdk.options.domain import Domain

_REGION_OF_ARN = re.compile(r"arn:[^:]+:acm:([^:]+):")


class DomainName(Construct):
    """The certificate of a frontend's host names and their A and AAAA records.

    Args:
        domain: The host names.
    """

    def __init__(self, scope: Construct, id: str, *, domain: Domain) -> None:
        super().__init__(scope, id)
        self._domain = domain

    @property
    def host_name(self) -> str:
        """The main host name."""
        return self._domain.host_name

    @property
    def host_names(self) -> list[str]:
        """The main host name, and that of plugins if they have their own."""
        return self._domain.host_names

    @property
    def has_certificate(self) -> bool:
        """Whether there is, or can be, a certificate in the stack's region."""
        return self._domain.certificate is not None or not _cannot_validate(self._domain.zone)

    @cached_property
    def certificate(self) -> acm.ICertificate:
        """Certificate in the stack's region; one is defined when first asked for, if none was given.

        Raises:
            ValueError: If none was given and there is no hosted zone to validate one, or it is in another
                region.
        """
        if self._domain.certificate is not None:
            _require_region("Domain.certificate", self._domain.certificate, cdk.Stack.of(self).region)
        elif self._domain.zone is not None and _cannot_validate(self._domain.zone):
            raise ValueError(
                f"Domain {self.host_name} needs certificate=: its zone is private, and AWS issues "
                "certificates for names that everybody can look up"
            )
        elif self._domain.zone is None:
            raise ValueError(
                f"Domain {self.host_name} needs zone= or certificate= for this frontend's region"
            )
        return self._domain.certificate or acm.Certificate(
            self,
            "Certificate",
            domain_name=self._domain.host_name,
            subject_alternative_names=self._domain.host_names[1:] or None,
            validation=acm.CertificateValidation.from_dns(self._domain.zone),
        )

    @property
    def edge_certificate(self) -> acm.ICertificate:
        """Certificate for CloudFront, which takes those of us-east-1 only.

        Raises:
            ValueError: If there is none and the stack is in another region, or it is in another region.
        """
        given = self._domain.edge_certificate
        if given is None:
            region = cdk.Stack.of(self).region
            if region != CLOUDFRONT_REGION:
                raise ValueError(
                    f"Domain.edge_certificate is needed: CloudFront takes those of {CLOUDFRONT_REGION} only, "
                    f"and the stack is in {region}"
                )
            return self.certificate
        _require_region("Domain.edge_certificate", given, CLOUDFRONT_REGION)
        return given

    def point_at(self, target: route53.IAliasRecordTarget) -> None:
        """Define the records, if the domain has a hosted zone.

        The AAAA record of a target without IPv6 addresses has an empty answer, as browsers expect.
        """
        if self._domain.zone is None:
            return
        for owner, host_name in zip(("", "Plugin"), self.host_names, strict=False):
            for id, record in (("A", route53.ARecord), ("Aaaa", route53.AaaaRecord)):
                record(
                    self,
                    f"{owner}{id}",
                    zone=self._domain.zone,
                    record_name=f"{host_name}.",
                    target=route53.RecordTarget.from_alias(target),
                )


def _require_region(name: str, certificate: acm.ICertificate, region: str) -> None:
    """Raise ``ValueError`` for a certificate that is known to be in another region."""
    found = _REGION_OF_ARN.match(certificate.certificate_arn)
    if found:
        there = found[1]
    elif isinstance(certificate, acm.Certificate):
        there = cdk.Stack.of(certificate).region
    else:
        return
    if there != region and not is_token([there, region]):
        raise ValueError(f"{name} must be in {region}, got one in {there}")


def _cannot_validate(zone: route53.IHostedZone | None) -> bool:
    """Whether there is no zone, or one that is known to be private: ACM would wait for ever."""
    if zone is None:
        return True
    classes = [type(one) for one in vars(zone).get("_delegates", ())] or [type(zone)]
    if any(
        issubclass(one, route53.PrivateHostedZone) or "IPrivateHostedZone" in one.__name__ for one in classes
    ):
        return True
    resource = None if isinstance(zone, route53.PublicHostedZone) else zone.node.default_child
    if not isinstance(resource, route53.CfnHostedZone):
        return False
    return bool(cdk.Stack.of(resource).resolve(resource.vpcs))
