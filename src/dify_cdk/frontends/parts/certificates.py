"""A custom domain: certificates and records, with the same ids behind every kind of frontend."""

from __future__ import annotations

import re
from functools import cached_property

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

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
        return self._domain.certificate is not None or self._domain.zone is not None

    @cached_property
    def certificate(self) -> acm.ICertificate:
        """Certificate in the stack's region; one is defined when first asked for, if none was given.

        Raises:
            ValueError: If none was given and there is no hosted zone to validate one.
        """
        if not self.has_certificate:
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
        region_of_arn = _REGION_OF_ARN.match(given.certificate_arn)
        if region_of_arn and region_of_arn[1] != CLOUDFRONT_REGION and "Token" not in region_of_arn[1]:
            raise ValueError(
                f"Domain.edge_certificate must be in {CLOUDFRONT_REGION}, got one in {region_of_arn[1]}"
            )
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
