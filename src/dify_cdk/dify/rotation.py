"""Which secrets can be renewed, and how: one table for the constructs and for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dify_cdk._checks import is_token
from dify_cdk.dify.environment import Purpose


class Renewal(StrEnum):
    """How a secret gets a new value."""

    BY_DEPLOYING = "by deploying"
    """Raise ``rotation=`` of ``DifyData`` by one and deploy."""
    BY_HAND = "by hand"
    """In the steps of its row, because of what it does: decide before you begin."""
    POINTLESS = "pointless"
    """It is of no use any more when somebody could want a new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRenewal:
    """How one secret is renewed.

    Attributes:
        secret: What it is called, in the console and in ``DifyData.secret``.
        purposes: The purposes it serves; empty for those that belong to no component of Dify.
        renewal: How.
        reason: Why so, and what to expect meanwhile.
        steps: What to do by hand, in order.
    """

    secret: str
    purposes: tuple[Purpose, ...]
    renewal: Renewal
    reason: str
    steps: tuple[str, ...] = ()


_RANDOM = (
    "aws secretsmanager get-random-password --exclude-punctuation --password-length 43 "
    "--query RandomPassword --output text"
)
_FIND = (
    "aws cloudformation list-stack-resources --stack-name STACK --output text "
    "--query \"StackResourceSummaries[?contains(LogicalResourceId, 'SecretKey')].PhysicalResourceId\""
)

_BETWEEN_ROLES = "until all tasks are replaced, calls between an old and a new one are refused"

RENEWALS = (
    SecretRenewal(
        secret="SECRET_KEY",
        purposes=(Purpose.SECRET_KEY,),
        renewal=Renewal.BY_HAND,
        reason="it signs, and gets a new value when it leaked: visitors of published web apps begin anew, "
        "without their conversations, OAuth clients of the whole installation have to be entered again, and "
        "links to files of the last five minutes are void; browsers renew their sessions by themselves, but "
        "until all tasks are replaced, requests fail at old ones or new ones",
        steps=(
            "take the ARN of the secret that you passed in with secret_key=, whose new value is made by "
            "whatever manages it, or else find the one in the stack:",
            _FIND,
            f'printf %s "$({_RANDOM})" | aws secretsmanager put-secret-value --secret-id ARN '
            "--secret-string file:///dev/stdin",
            "raise rotation= of DifyData by one and deploy at once: that replaces every task and function "
            "that reads the key, which they do only when they start",
            "enter OAuth clients that somebody set up for the whole installation again, in a shell of api: "
            "flask setup-system-tool-oauth-client and flask setup-system-trigger-oauth-client show the key, "
            "so that no log may keep what they print",
            "look through members, API keys and apps: what somebody did with a forged session stays",
        ),
    ),
    SecretRenewal(
        secret="INIT_PASSWORD",
        purposes=(Purpose.INIT_PASSWORD,),
        renewal=Renewal.POINTLESS,
        reason="it is asked once, before the first administrator exists",
    ),
    SecretRenewal(
        secret="master user of the database",
        purposes=(),
        renewal=Renewal.BY_DEPLOYING,
        reason="only the initialisation logs in with it",
    ),
    SecretRenewal(
        secret="database roles dify and dify_plugin",
        purposes=(Purpose.DATABASE, Purpose.PLUGIN_DATABASE),
        renewal=Renewal.BY_DEPLOYING,
        reason="the initialisation sets the passwords before services are replaced: until then old tasks "
        "keep the connections they have, and cannot open new ones",
    ),
    SecretRenewal(
        secret="keys between api, plugin daemon and sandbox",
        purposes=(Purpose.SANDBOX_KEY, Purpose.PLUGIN_DAEMON_KEY, Purpose.INNER_API_KEY),
        renewal=Renewal.BY_DEPLOYING,
        reason=_BETWEEN_ROLES,
    ),
    SecretRenewal(
        secret="SMTP credentials of Amazon SES",
        purposes=(),
        renewal=Renewal.BY_DEPLOYING,
        reason="the old access key is deleted at the end of the deployment",
    ),
    SecretRenewal(
        secret="passwords of the cache's users dify and plugin-daemon, and the broker URL",
        purposes=(Purpose.CACHE, Purpose.PLUGIN_CACHE, Purpose.BROKER_URL),
        renewal=Renewal.BY_DEPLOYING,
        reason="a user has two passwords, the newest and the one before, so that old tasks go on until they "
        "are replaced; one that leaked opens the cache until the next renewal: raise rotation= once more "
        "when the deployment is done, not by two at once, which would shut old tasks out",
    ),
)
"""Every secret that the library defines; those that you pass in are read again when tasks are replaced.

See https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
"""


def renewal_of(purpose: Purpose) -> Renewal:
    """How the secret of a purpose is renewed."""
    return next(row.renewal for row in RENEWALS if purpose in row.purposes)


def require_count(name: str, value: int) -> None:
    """Raise ``ValueError`` unless the value counts something: construct ids are made from it."""
    if isinstance(value, bool) or not isinstance(value, int) or is_token(value) or value < 0:
        raise ValueError(
            f"{name} must be a count such as 0, 1 or 2, got {value!r}; raise it by one at a time"
        )
