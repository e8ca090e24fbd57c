"""SMTP credentials: against known pairs, botocore's own key derivation, and Secrets Manager in memory."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from shared import DeployError, Retry
from smtp_credentials import handle, password

from handlers.refusals import refusal

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
KEY = "some+secret+key"
KEY_ARN, SMTP_ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:key", "arn:of:smtp"
EVENT: dict[str, Any] = {
    "RequestType": "Create",
    "ResourceProperties": {
        "KeySecretArn": KEY_ARN,
        "SmtpSecretArn": SMTP_ARN,
        "AccessKeyId": KEY_ID,
        "Region": "eu-central-1",
    },
}
PASSWORD = "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"


@dataclass
class FakeSecrets:
    """boto3's ``secretsmanager`` client; each read takes the next text, the last one for ever."""

    texts: list[str | Exception]
    written: dict[str, str] = field(default_factory=dict)
    refuses: list[Exception] = field(default_factory=list)

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        assert SecretId == KEY_ARN
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(text, Exception):
            raise text
        return {"SecretString": text}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:
        if self.refuses:
            raise self.refuses.pop(0)
        self.written[SecretId] = SecretString


def text(id: str = KEY_ID, key: object = KEY) -> str:
    return json.dumps({"access_key_id": id, "secret_access_key": key})


def run(secrets: FakeSecrets, event: dict[str, Any] = EVENT, seconds: float = 180) -> dict[str, Any]:
    clock = [seconds * 1000]

    def sleep(waited: float) -> None:
        clock[0] -= waited * 1000

    return handle(event, secrets=secrets, retry=Retry(lambda: int(clock[0]), sleep=sleep))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "key", "expected"),
    [  # pairs with which others test their own derivation, such as Terraform's AWS provider
        ("eu-central-1", "some+secret+key", PASSWORD),
        ("eu-central-1", "another+secret+key", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
        ("us-west-1", "some+secret+key", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
        ("us-west-1", "another+secret+key", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
    ],
)
def test_passwords_are_those_that_others_compute(region: str, key: str, expected: str) -> None:
    assert password(key, region) == expected


def test_the_derivation_is_botocores_with_a_fixed_date() -> None:
    auth = SigV4Auth(Credentials(KEY_ID, KEY), "ses", "ap-northeast-1")
    request: Any = type("Request", (), {"context": {"timestamp": "11111111T000000Z"}})()
    signature = auth.signature("SendRawEmail", request)
    assert base64.b64decode(password(KEY, "ap-northeast-1")) == b"\x04" + bytes.fromhex(signature)


def test_credentials_are_written_and_their_secret_is_the_attribute() -> None:
    secrets = FakeSecrets([text()])
    answer = run(secrets)
    assert json.loads(secrets.written[SMTP_ARN]) == {"username": KEY_ID, "password": PASSWORD}
    assert answer == {"PhysicalResourceId": f"{SMTP_ARN}/smtp", "Data": {"SecretArn": SMTP_ARN}}


def test_the_answer_holds_no_secret() -> None:
    answer = json.dumps(run(FakeSecrets([text()])))
    assert KEY not in answer
    assert PASSWORD not in answer


def test_a_new_key_gives_a_new_password_for_the_same_resource() -> None:
    update = {**EVENT, "RequestType": "Update", "PhysicalResourceId": f"{SMTP_ARN}/smtp"}
    secrets = FakeSecrets([text(key="another+secret+key")])
    assert run(secrets, update)["PhysicalResourceId"] == update["PhysicalResourceId"]
    assert json.loads(secrets.written[SMTP_ARN])["password"] != PASSWORD


def test_a_secret_that_still_holds_the_old_key_is_read_again() -> None:
    secrets = FakeSecrets([text(id="AKIAOLD"), text(id="AKIAOLD"), text()])
    run(secrets)
    assert json.loads(secrets.written[SMTP_ARN])["username"] == KEY_ID


def test_a_refusal_is_tried_again_while_permissions_settle() -> None:
    secrets = FakeSecrets(
        [refusal("AccessDeniedException"), text()], refuses=[refusal("AccessDeniedException")]
    )
    run(secrets)
    assert SMTP_ARN in secrets.written


def test_delete_touches_nothing() -> None:
    secrets = FakeSecrets([AssertionError("read")])
    event = {"RequestType": "Delete", "PhysicalResourceId": "x", "ResourceProperties": {}}
    assert run(secrets, event) == {"PhysicalResourceId": "x"}
    assert secrets.written == {}


def test_fails_when_the_secret_never_holds_the_key() -> None:
    secrets = FakeSecrets([text(id="AKIAOLD")])
    with pytest.raises(DeployError, match=rf"gave up after \d+ tries: .* holds AKIAOLD instead of {KEY_ID}"):
        run(secrets)
    assert secrets.written == {}


@pytest.mark.parametrize("content", ["", "no json", "[]", "{}", json.dumps({"access_key_id": KEY_ID})])
def test_fails_when_the_secret_is_something_else(content: str) -> None:
    with pytest.raises(DeployError, match="must be JSON with access_key_id and secret_access_key") as caught:
        run(FakeSecrets([content]))
    assert caught.value.__cause__ is None  # its text might quote the secret


@pytest.mark.parametrize("key", ["", None, 5])
def test_fails_when_the_key_is_empty(key: object) -> None:
    with pytest.raises(DeployError, match="has no secret_access_key"):
        run(FakeSecrets([text(key=key)]))


def test_fails_when_writing_is_refused_for_good() -> None:
    secrets = FakeSecrets([text()], refuses=[refusal("ResourceNotFoundException", "gone")])
    with pytest.raises(DeployError, match="writing the SMTP credentials: ResourceNotFoundException: gone"):
        run(secrets)


@pytest.mark.parametrize("name", ["KeySecretArn", "SmtpSecretArn", "AccessKeyId", "Region"])
def test_fails_when_a_property_is_missing(name: str) -> None:
    properties = {key: value for key, value in EVENT["ResourceProperties"].items() if key != name}
    with pytest.raises(DeployError, match=f"lacks the properties {name}"):
        run(FakeSecrets([text()]), {**EVENT, "ResourceProperties": properties})
