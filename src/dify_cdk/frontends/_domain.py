"""An own host name: certificate and records, with the same ids behind every kind of frontend."""

from __future__ import annotations

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from dify_cdk.domain import Domain


class DomainName(Construct):
    """The certificate of a host name and its A and AAAA records.

    Args:
        domain: The host name.
    """

    def __init__(self, scope: Construct, id: str, *, domain: Domain) -> None:
        super().__init__(scope, id)
        self._domain = domain
        self._certificate = domain.certificate or acm.Certificate(
            self,
            "Certificate",
            domain_name=domain.host_name,
            validation=acm.CertificateValidation.from_dns(domain.zone),
        )

    @property
    def certificate(self) -> acm.ICertificate:
        """Certificate in the stack's region."""
        return self._certificate

    def point_at(self, target: route53.IAliasRecordTarget) -> None:
        """Define the records, if the domain has a hosted zone.

        The AAAA record of a target without IPv6 addresses has an empty answer, which is what browsers expect.
        """
        if self._domain.zone is None:
            return
        for id, record in (("A", route53.ARecord), ("Aaaa", route53.AaaaRecord)):
            record(
                self,
                id,
                zone=self._domain.zone,
                record_name=f"{self._domain.host_name}.",
                target=route53.RecordTarget.from_alias(target),
            )
