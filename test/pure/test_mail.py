"""Mail: from a choice of server to variables."""

from __future__ import annotations

from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.parser import BytesParser
from email.policy import default
from types import SimpleNamespace
from typing import Any

import pytest

from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import secret_options
from dify_cdk.options.mail import MailSecurity, SesMail, SmtpMail
from dify_defaults import known_names
from support import around_stand_ins

ADDRESS = "dify@example.com"
SECRET: Any = SimpleNamespace()


def zone(name: str) -> Any:
    return SimpleNamespace(zone_name=name)


def test_ses_is_called_in_the_region_with_starttls() -> None:
    assert SesMail(sender=f"Dify <{ADDRESS}>").environment("eu-west-1") == {
        "MAIL_TYPE": "smtp",
        "MAIL_DEFAULT_SEND_FROM": f"Dify <{ADDRESS}>",
        "SMTP_SERVER": "email-smtp.eu-west-1.amazonaws.com",
        "SMTP_PORT": "587",
        "SMTP_USE_TLS": "true",
        "SMTP_OPPORTUNISTIC_TLS": "true",
    }


@pytest.mark.parametrize(
    ("security", "port", "expected"),
    [
        (MailSecurity.STARTTLS, None, ("587", "true", "true")),
        (MailSecurity.TLS, None, ("465", "true", "false")),
        (MailSecurity.NONE, None, ("25", "false", "false")),
        (MailSecurity.TLS, 2465, ("2465", "true", "false")),
    ],
)
def test_security_decides_port_and_switches(
    security: MailSecurity, port: int | None, expected: tuple[str, str, str]
) -> None:
    found = SmtpMail(host="smtp.example.com", sender=ADDRESS, security=security, port=port).environment()
    assert (found["SMTP_PORT"], found["SMTP_USE_TLS"], found["SMTP_OPPORTUNISTIC_TLS"]) == expected
    assert found["SMTP_SERVER"] == "smtp.example.com"


@pytest.mark.parametrize("component", [Component.API, Component.WORKER])
def test_the_components_that_send_read_these_names(component: Component) -> None:
    names = SmtpMail(host="smtp.example.com", sender=ADDRESS).environment()
    assert {*names, *secret_options(component)} - known_names(component) == set()
    assert set(secret_options(component)) == {"SMTP_USERNAME", "SMTP_PASSWORD"}


@pytest.mark.parametrize(
    "component", [component for component in Component if component not in (Component.API, Component.WORKER)]
)
def test_no_other_component_has_credentials(component: Component) -> None:
    assert secret_options(component) == ()


@pytest.mark.parametrize(
    ("sender", "address"),
    [
        (ADDRESS, ADDRESS),
        (f"Dify <{ADDRESS}>", ADDRESS),
        ("d.i+fy@mail.example.com", "d.i+fy@mail.example.com"),
    ],
)
def test_the_address_is_what_a_policy_names(sender: str, address: str) -> None:
    assert SesMail(sender=sender).address == address


@pytest.mark.parametrize("name", ["Dify", "\u793e\u5185Dify", "B\u00fcro", "Dify Inc.", "Dify (Tokyo)"])
def test_a_name_in_any_script_leaves_the_address_readable(name: str) -> None:
    found = SmtpMail(host="smtp.example.com", sender=f"{name} <{ADDRESS}>").environment()
    mail = MIMEMultipart()  # Dify writes the variable into the header like this
    mail["From"] = found["MAIL_DEFAULT_SEND_FROM"]
    read = BytesParser(EmailMessage, policy=default).parsebytes(mail.as_bytes())
    (sender,) = read["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, ADDRESS)


def test_a_sender_known_only_at_deployment_stays_as_it_is() -> None:
    token = "${Token[TOKEN.12]}"
    found = SmtpMail(host="smtp.example.com", sender=token).environment()
    assert found["MAIL_DEFAULT_SEND_FROM"] == token


@pytest.mark.parametrize("name", ["example.com", "example.com.", "mail.example.com"])
def test_a_zone_may_be_of_the_domain_or_above(name: str) -> None:
    assert around_stand_ins(SesMail, sender="dify@mail.example.com", zone=zone(name)).address


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "dify",
        "dify@example",
        "dify@Example.com",
        "a@example.com, b@example.com",
        "Dify dify@example.com",
        f"Dify <{ADDRESS}>\r\nBcc: all@example.com",
        f"Dify\nBcc: all <{ADDRESS}>",
        f"dify@example.com <{ADDRESS}>",
        "di(f)y@example.com",
        "b\u00fcro@example.com",
    ],
)
def test_fails_when_the_sender_is_no_address(sender: Any) -> None:
    message = r"sender must be an address such as dify@example\.com or Dify <dify@example\.com>"
    with pytest.raises(ValueError, match=message):
        SesMail(sender=sender)
    with pytest.raises(ValueError, match=message):
        SmtpMail(host="smtp.example.com", sender=sender)


@pytest.mark.parametrize("name", ["example.org", "ample.com", "other.mail.example.com"])
def test_fails_when_the_zone_is_of_another_domain(name: str) -> None:
    with pytest.raises(ValueError, match=r"^SesMail\.zone must be the zone of the sender's domain mail\.exa"):
        around_stand_ins(SesMail, sender="dify@mail.example.com", zone=zone(name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"host": "smtps://smtp.example.com"}, r"^SmtpMail\.host must be a host name .* without port"),
        ({"host": "smtp.example.com:587"}, r"^SmtpMail\.host must be a host name"),
        ({"host": ""}, r"^SmtpMail\.host must be a host name"),
        ({"port": 0}, r"^SmtpMail\.port must be between 1 and 65535, got 0$"),
        ({"port": 587.5}, r"^SmtpMail\.port must be a whole number, got 587\.5$"),
        ({"port": 465}, r"^SmtpMail\.port=465 is for security=MailSecurity\.TLS, got MailSecurity\.STARTTLS"),
        (
            {"port": 587, "security": "tls"},
            r"^SmtpMail\.port=587 is for security=MailSecurity\.STARTTLS, got MailSecurity\.TLS: no mail",
        ),
        ({"security": "ssl"}, r"^SmtpMail\.security must be .* or MailSecurity\.NONE, got 'ssl'$"),
        ({"port": 65536}, r"^SmtpMail\.port must be between 1 and 65535, got 65536$"),
    ],
)
def test_fails_when_a_server_cannot_be_meant(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmtpMail(**{"host": "smtp.example.com", "sender": ADDRESS, **arguments})


def test_fails_when_credentials_would_travel_in_clear_text() -> None:
    message = r"^SmtpMail\.credentials would travel in clear text with security=MailSecurity\.NONE"
    with pytest.raises(ValueError, match=message):
        around_stand_ins(
            SmtpMail,
            host="smtp.example.com",
            sender=ADDRESS,
            security=MailSecurity.NONE,
            credentials=SECRET,
        )
