"""How Dify sends mail: invitations, password resets, codes to log in, and mail nodes of workflows."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formataddr, parseaddr
from enum import StrEnum
from typing import TYPE_CHECKING

from dify_cdk._checks import is_token, require_literal, require_match, require_one_of, require_whole

if TYPE_CHECKING:
    from aws_cdk import aws_route53 as route53
    from aws_cdk import aws_secretsmanager as secretsmanager

# Amazon SES takes ASCII only before the @, and brackets there would be a comment.
_ADDRESS = r"[!#-'*+\-./0-9=?A-Z^-~]+@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?"
# No line breaks: they would add headers to every mail.
_SENDER = rf"{_ADDRESS}|[^<>\"@,;:\r\n]*<{_ADDRESS}>"
_SENDER_MEANING = "an address such as dify@example.com or Dify <dify@example.com>, its domain in lower case"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_MOST_PORTS = 65535


class MailSecurity(StrEnum):
    """How the connection to a mail server is encrypted."""

    STARTTLS = "starttls"
    """Begins in clear text and switches to TLS, usually on port 587."""
    TLS = "tls"
    """TLS from the first byte, usually on port 465."""
    NONE = "none"
    """Never: for a relay inside your network only, usually on port 25."""


_PORTS = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE: 25}
_NOT_ON = {MailSecurity.STARTTLS: 465, MailSecurity.TLS: 587}
"""Ports on which servers begin in the other way: the two would wait for each other."""
_SWITCHES = {  # SMTP_USE_TLS, SMTP_OPPORTUNISTIC_TLS
    MailSecurity.STARTTLS: ("true", "true"),
    MailSecurity.TLS: ("true", "false"),
    MailSecurity.NONE: ("false", "false"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SesMail:
    """Mail through Amazon SES in the stack's region.

    Defines a user whose only permission is to send from ``sender``, and its SMTP credentials in a secret
    that api and worker read. With ``zone`` it also defines the domain's identity in SES and its DKIM records.

    A new account is in SES's sandbox, where recipients have to be verified as well: ask AWS to move it out.
    In a network without internet egress, SES needs an interface endpoint for ``email-smtp``, which some
    availability zones do not have.

    Attributes:
        sender: From address, ``dify@example.com`` or ``Dify <dify@example.com>``; the name may be in any
            script.
        zone: Public hosted zone of the sender's domain, in which DKIM records prove that SES may send for
            it. Default: no records; the address or its domain has to be a verified identity in SES.

    Raises:
        ValueError: If ``sender`` is not an address, is a token, or is not in the zone's domain.

    See https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html

    Examples:
        >>> workers = DifyWorkers(stack, "Workers", data=data, mail=SesMail(sender="dify@example.com"))
    """

    sender: str
    zone: route53.IPublicHostedZone | None = None

    def __post_init__(self) -> None:
        """Check the sender."""
        require_literal("SesMail.sender", self.sender, "a policy is made from it")
        require_match("SesMail.sender", self.sender, _SENDER, _SENDER_MEANING)
        if self.zone is None or is_token(self.zone.zone_name):
            return
        domain = self.address.partition("@")[2]
        name = self.zone.zone_name.rstrip(".").lower()
        if domain != name and not domain.endswith(f".{name}"):
            raise ValueError(
                f"SesMail.zone must be the zone of the sender's domain {domain}, got {name}: leave it out if "
                "the domain is an identity in SES already"
            )

    @property
    def address(self) -> str:
        """The sender's address without a name."""
        return parseaddr(self.sender)[1]

    def environment(self, region: str) -> dict[str, str]:
        """Plain variables of the components that send.

        Args:
            region: The stack's region, may be a token.
        """
        host = f"email-smtp.{region}.amazonaws.com"
        return _variables(self.sender, host, _PORTS[MailSecurity.STARTTLS], MailSecurity.STARTTLS)


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpMail:
    """Mail through a mail server of yours.

    Attributes:
        host: Host name or IPv4 address of the server.
        sender: From address, ``dify@example.com`` or ``Dify <dify@example.com>``; the name may be in any
            script.
        credentials: Secret with the JSON fields ``username`` and ``password``, which api and worker read
            when they start. Default: the server takes mail without a log-in.
        security: How the connection is encrypted. Default: STARTTLS.
        port: TCP port, 1 to 65535; AWS blocks 25 to the internet. Default: the usual one for ``security``.

    Raises:
        ValueError: If the host, sender or port is not valid, the port is one for another ``security``, or
            ``credentials`` would be sent in clear text.

    Examples:
        >>> secret = secretsmanager.Secret.from_secret_name_v2(stack, "Smtp", "dify/smtp")
        >>> mail = SmtpMail(host="smtp.example.com", sender="dify@example.com", credentials=secret)
    """

    host: str
    sender: str
    credentials: secretsmanager.ISecret | None = None
    security: MailSecurity = MailSecurity.STARTTLS
    port: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require_match("SmtpMail.host", self.host, _HOST, "a host name such as smtp.example.com without port")
        require_match("SmtpMail.sender", self.sender, _SENDER, _SENDER_MEANING)
        require_one_of("SmtpMail.security", self.security, list(MailSecurity))
        if self.port is not None:
            require_whole("SmtpMail.port", self.port, 1, _MOST_PORTS)
        if self.port is not None and self.port == _NOT_ON.get(self.security):
            other = MailSecurity.TLS if self.security == MailSecurity.STARTTLS else MailSecurity.STARTTLS
            raise ValueError(
                f"SmtpMail.port={self.port} is for security=MailSecurity.{other.name}, got "
                f"MailSecurity.{MailSecurity(self.security).name}: no mail would be sent"
            )
        if self.security == MailSecurity.NONE and self.credentials is not None:
            raise ValueError(
                "SmtpMail.credentials would travel in clear text with security=MailSecurity.NONE: "
                "encrypt the connection, or leave them out"
            )

    def environment(self) -> dict[str, str]:
        """Plain variables of the components that send."""
        port = _PORTS[self.security] if self.port is None else self.port
        return _variables(self.sender, self.host, port, self.security)


def _variables(sender: str, host: str, port: int, security: MailSecurity) -> dict[str, str]:
    use_tls, starttls = _SWITCHES[security]
    return {
        "MAIL_TYPE": "smtp",
        "MAIL_DEFAULT_SEND_FROM": _header(sender),
        "SMTP_SERVER": host,
        "SMTP_PORT": str(port),
        "SMTP_USE_TLS": use_tls,
        "SMTP_OPPORTUNISTIC_TLS": starttls,
    }


def _header(sender: str) -> str:
    """The sender as a mail's header takes it.

    Dify puts the text into the header as it is, where a name in other letters than ASCII would be encoded
    together with the address, so that no server finds one.
    """
    return sender if is_token(sender) else formataddr(parseaddr(sender))
