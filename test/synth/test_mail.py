"""Mail: variables of the components that send, SES's credentials, and no secret value in a template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import (
    Access,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Egress,
    SesMail,
    SmtpMail,
)
from iam import ACCOUNT, allows, statements_of, text
from support import REGION, Template, strings
from synth.installation import data_in

SENDER = "Dify <dify@example.com>"
SENDERS = {Component.API, Component.WORKER}
IDENTITY = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity"


@pytest.fixture
def data(stack: cdk.Stack) -> DifyData:
    return DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc)


def template_with(stack: cdk.Stack, data: DifyData, mail: SesMail | SmtpMail | None) -> Template:
    workers = DifyWorkers(stack, "Workers", data=data, mail=mail)
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    return Template(Synthesized.from_stack(stack).to_json())


@pytest.fixture(scope="module")
def with_ses(new_stack: Callable[[], cdk.Stack]) -> Template:
    """An installation that sends through Amazon SES."""
    stack = new_stack()
    return template_with(stack, data_in(stack), SesMail(sender=SENDER))


def login(stack: cdk.Stack) -> secretsmanager.ISecret:
    return secretsmanager.Secret.from_secret_name_v2(stack, "Login", "dify/smtp")


def test_only_the_components_that_send_know_of_the_server(stack: cdk.Stack, data: DifyData) -> None:
    mail = SmtpMail(host="smtp.example.com", sender=SENDER, credentials=login(stack))
    template = template_with(stack, data, mail)
    for component in template.containers():
        names = {*template.environment(component), *template.secrets(component)}
        assert ("SMTP_SERVER" in names) == (component in SENDERS), component
        assert ("SMTP_PASSWORD" in names) == (component in SENDERS), component
    worker = template.environment(Component.WORKER)
    assert worker["MAIL_DEFAULT_SEND_FROM"] == SENDER
    assert worker["SMTP_SERVER"] == "smtp.example.com"
    assert "dify/smtp:username::" in text(template.secrets(Component.WORKER)["SMTP_USERNAME"])
    assert "dify/smtp:password::" in text(template.secrets(Component.API)["SMTP_PASSWORD"])


def test_a_server_without_log_in_needs_no_secret(stack: cdk.Stack, data: DifyData) -> None:
    template = template_with(stack, data, SmtpMail(host="relay.example.com", sender=SENDER))
    assert template.environment(Component.API)["MAIL_TYPE"] == "smtp"
    assert "SMTP_PASSWORD" not in template.secrets(Component.API)


def test_without_mail_nothing_is_set(stack: cdk.Stack, data: DifyData) -> None:
    template = template_with(stack, data, None)
    assert "MAIL_TYPE" not in template.environment(Component.WORKER)
    assert not template.of_type("AWS::IAM::AccessKey", "AWS::SES::EmailIdentity")


def test_ses_credentials_are_read_from_a_filled_secret(with_ses: Template) -> None:
    ((id, resource),) = with_ses.of_type("Custom::DifySmtpCredentials").items()
    for component, service in (("worker", "Workers"), ("api", "Frontend")):
        assert text(with_ses.secrets(component)["SMTP_PASSWORD"]) == f"<{id}.SecretArn>:password::", service
    properties = resource["Properties"]
    (key,) = with_ses.of_type("AWS::IAM::AccessKey")
    assert properties["AccessKeyId"] == {"Ref": key}
    assert properties["Region"] == REGION


def test_the_execution_role_may_read_the_credentials(with_ses: Template) -> None:
    (id,) = with_ses.of_type("Custom::DifySmtpCredentials")
    for component in with_ses.containers():
        execution = with_ses.task_of(component)["ExecutionRoleArn"]["Fn::GetAtt"][0]
        found = allows(
            statements_of(with_ses, execution), "secretsmanager:GetSecretValue", f"<{id}.SecretArn>"
        )
        assert found == (component in SENDERS), component


def test_the_user_may_send_from_one_address_and_do_nothing_else(with_ses: Template) -> None:
    (user,) = with_ses.of_type("AWS::IAM::User")
    statements = statements_of(with_ses, user)
    from_dify = {"ses:FromAddress": "dify@example.com"}
    assert allows(statements, "ses:SendRawEmail", f"{IDENTITY}/example.com", from_dify)
    assert allows(
        statements, "ses:SendRawEmail", f"{IDENTITY}/guest@example.org", from_dify
    )  # in the sandbox
    assert not allows(
        statements, "ses:SendRawEmail", f"{IDENTITY}/example.com", {"ses:FromAddress": "boss@example.com"}
    )
    assert not allows(statements, "ses:SendRawEmail", f"{IDENTITY}/example.com")
    # An identity may have a configuration set, which SES asks about as well.
    default_set = IDENTITY.replace(":identity", ":configuration-set/default")
    assert allows(statements, "ses:SendRawEmail", default_set, from_dify)
    assert not allows(statements, "ses:SendRawEmail", default_set)
    for action in ("ses:SendEmail", "ses:CreateEmailIdentity", "ses:DeleteIdentity", "iam:CreateAccessKey"):
        assert not allows(statements, action, f"{IDENTITY}/example.com", from_dify), action


def test_the_handler_reads_the_key_and_writes_the_credentials_only(with_ses: Template) -> None:
    (resource,) = with_ses.properties("Custom::DifySmtpCredentials").values()
    key, smtp = text(resource["KeySecretArn"]), text(resource["SmtpSecretArn"])
    (function,) = [
        p
        for p in with_ses.properties("AWS::Lambda::Function").values()
        if p.get("Handler") == "smtp_credentials.on_event"
    ]
    statements = statements_of(with_ses, function["Role"]["Fn::GetAtt"][0])
    assert allows(statements, "secretsmanager:GetSecretValue", key)
    assert allows(statements, "secretsmanager:PutSecretValue", smtp)
    assert not allows(statements, "secretsmanager:PutSecretValue", key)
    assert not allows(statements, "secretsmanager:GetSecretValue", smtp)


def test_the_key_goes_into_its_secret_by_reference_only(with_ses: Template) -> None:
    (key,) = with_ses.of_type("AWS::IAM::AccessKey")
    places = [
        id
        for id, resource in with_ses.resources.items()
        if f'["{key}", "SecretAccessKey"]' in json.dumps(resource)
    ]
    (secret,) = places
    assert with_ses.resources[secret]["Type"] == "AWS::SecretsManager::Secret"
    outside = {name: part for name, part in with_ses.body.items() if name != "Resources"}
    assert "SecretAccessKey" not in json.dumps(outside)


def test_a_zone_proves_the_domain(stack: cdk.Stack, data: DifyData) -> None:
    zone = route53.PublicHostedZone.from_public_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z1", zone_name="example.com"
    )
    template = template_with(stack, data, SesMail(sender=SENDER, zone=zone))
    (identity,) = template.properties("AWS::SES::EmailIdentity").values()
    assert identity["EmailIdentity"] == "example.com"
    records = template.properties("AWS::Route53::RecordSet").values()
    assert [record["Type"] for record in records] == ["CNAME"] * 3


@pytest.mark.parametrize("mail", ["ses", "smtp"])
def test_functions_read_the_credentials_themselves(stack: cdk.Stack, mail: str) -> None:
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc)
    choice: Any = (
        SesMail(sender=SENDER)
        if mail == "ses"
        else SmtpMail(host="smtp.example.com", sender=SENDER, credentials=login(stack))
    )
    workers = DifyWorkers(stack, "Workers", data=data, mail=choice)
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=Access.anyone())
    template = Template(Synthesized.from_stack(stack).to_json())
    functions = template.properties("AWS::Lambda::Function")
    (api,) = [p for p in functions.values() if p.get("Description") == "Dify: api"]
    (web,) = [p for p in functions.values() if p.get("Description") == "Dify: web"]
    variables = api["Environment"]["Variables"]
    assert variables["MAIL_TYPE"] == "smtp"
    assert "SMTP_PASSWORD" not in variables
    told = json.loads(text(variables["DIFY_CDK_SECRETS"]))
    (source,) = [one for one in told if "SMTP_PASSWORD" in one["env"]]
    assert source["env"] == {"SMTP_USERNAME": "username", "SMTP_PASSWORD": "password"}
    statements = statements_of(template, api["Role"]["Fn::GetAtt"][0])
    suffix = "" if mail == "ses" else "-AbCdEf"  # which a name alone does not tell
    assert allows(statements, "secretsmanager:GetSecretValue", source["arn"] + suffix)
    assert "SMTP_SERVER" not in web["Environment"]["Variables"]


def test_a_closed_network_is_told_what_ses_needs(stack: cdk.Stack) -> None:
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc)
    workers = DifyWorkers(stack, "Workers", data=data, mail=SesMail(sender=SENDER))
    warnings = [str(entry.data) for entry in workers.node.metadata if entry.type == "aws:cdk:warning"]
    assert any("email-smtp" in warning for warning in warnings)


def test_no_secret_of_mail_is_plain(with_ses: Template) -> None:
    found = [path for path, value in strings(with_ses.resources) if "{{resolve:" in value]
    assert [path for path in found if not path.startswith("/Data")] == []
    for component in with_ses.containers():
        assert "SMTP_PASSWORD" not in with_ses.environment(component)
