"""From a choice of mail server to variables: for Amazon SES also the identity and its SMTP credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ses as ses
from constructs import Construct

from dify_cdk.cdk_helpers.custom_resources import DeployFunction, define_provider
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_wildcards
from dify_cdk.options.mail import SesMail, SmtpMail
from dify_cdk.workers.component_service import SecretSource

_TIMEOUT_SECONDS = 180
_SECRET_REASON = {"AwsSolutions-SMG4": "follows the user's access key, which a deployment can replace"}


@dataclass(frozen=True, kw_only=True, slots=True)
class MailVariables:
    """Variables of the components that send, by name: the plain ones, and where the secret ones are read."""

    plain: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)


def define_mail(scope: Construct, mail: SesMail | SmtpMail, *, rotation: int) -> MailVariables:
    """Define what a choice of mail server needs below ``Mail``, and return the variables.

    Args:
        scope: Parent construct.
        mail: The choice.
        rotation: How often the credentials have been renewed.
    """
    if isinstance(mail, SmtpMail):
        return MailVariables(plain=mail.environment(), secrets=_secrets(mail.credentials))
    plain = mail.environment(cdk.Stack.of(scope).region)
    sender = SesSender(scope, "Mail", mail=mail, rotation=rotation)
    return MailVariables(plain=plain, secrets=_secrets(sender.credentials))


def _secrets(credentials: secretsmanager.ISecret | None) -> dict[str, SecretSource]:
    if credentials is None:
        return {}
    return {
        "SMTP_USERNAME": SecretSource(credentials, "username"),
        "SMTP_PASSWORD": SecretSource(credentials, "password"),
    }


class SesSender(Construct):
    """A user that may send from one address, and its SMTP credentials in a secret.

    SES's SMTP password is computed from a secret access key, which CloudFormation cannot do. The access key
    goes from IAM into a secret by reference, our handler reads it there and writes the credentials into a
    second secret: no value is in the template, in an event or in a log.

    Args:
        mail: Sender and zone.
        rotation: How often the access key has been renewed: another number is another key.
    """

    def __init__(self, scope: Construct, id: str, *, mail: SesMail, rotation: int) -> None:
        super().__init__(scope, id)
        if mail.zone is not None:
            ses.EmailIdentity(self, "Identity", identity=ses.Identity.public_hosted_zone(mail.zone))
        key = iam.AccessKey(self, "AccessKey", user=self._define_user(mail), serial=rotation or None)
        key_secret = self._define_secret(
            "KeySecret",
            "Dify: access key of the user that sends mail",
            {
                "access_key_id": cdk.SecretValue.unsafe_plain_text(key.access_key_id),
                "secret_access_key": key.secret_access_key,
            },
        )
        smtp_secret = self._define_secret("SmtpSecret", "Dify: SMTP credentials of Amazon SES", None)
        resource = self._define_derivation(key, key_secret, smtp_secret)
        # By the resource's own attribute, so that whoever reads the secret waits until it is filled.
        self._credentials = secretsmanager.Secret.from_secret_complete_arn(
            self, "Credentials", resource.get_att_string("SecretArn")
        )

    @property
    def credentials(self) -> secretsmanager.ISecret:
        """Secret with ``username`` and ``password``."""
        return self._credentials

    def _define_user(self, mail: SesMail) -> iam.User:
        user = iam.User(self, "User")
        # In SES's sandbox recipients are identities, on which sending has to be allowed as well; and an
        # identity may have a configuration set, which is asked for in addition.
        sendable = [
            cdk.Stack.of(self).format_arn(service="ses", resource=resource, resource_name="*")
            for resource in ("identity", "configuration-set")
        ]
        user.add_to_policy(
            iam.PolicyStatement(
                actions=["ses:SendRawEmail"],
                resources=sendable,
                conditions={"StringEquals": {"ses:FromAddress": mail.address}},
            )
        )
        acknowledge_wildcards(user, sendable, "limited to one sender by a condition")
        return user

    def _define_secret(
        self, id: str, description: str, fields: dict[str, cdk.SecretValue] | None
    ) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            id,
            description=description,
            secret_object_value=fields,
            removal_policy=cdk.RemovalPolicy.DESTROY,  # a new key can be made at any time
        )
        acknowledge(secret, _SECRET_REASON)
        return secret

    def _define_derivation(
        self, key: iam.AccessKey, key_secret: secretsmanager.Secret, smtp_secret: secretsmanager.Secret
    ) -> cdk.CustomResource:
        allowed = {
            "secretsmanager:GetSecretValue": key_secret,
            "secretsmanager:PutSecretValue": smtp_secret,
        }
        handler = DeployFunction(
            self,
            "Handler",
            handler="smtp_credentials.on_event",
            description="Dify: computes SMTP credentials of Amazon SES from an access key",
            timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS),
            statements=[
                iam.PolicyStatement(actions=[action], resources=[secret.secret_arn])
                for action, secret in allowed.items()
            ],
        )
        return cdk.CustomResource(
            self,
            "Resource",
            service_token=define_provider(self, handler).service_token,
            resource_type="Custom::DifySmtpCredentials",
            service_timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS + 60),
            properties={
                "KeySecretArn": key_secret.secret_arn,
                "SmtpSecretArn": smtp_secret.secret_arn,
                "AccessKeyId": key.access_key_id,
                "Region": cdk.Stack.of(self).region,
            },
        )
