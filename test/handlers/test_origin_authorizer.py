"""The authorizer of the upload API: who knows the secret enters, whatever happens to the secret."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dify_cdk.cdk_helpers.assets import handler_dir

SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:Origin-AbCdEf"
OLD, RIGHT, NEW, WRONG = "0" * 31 + "a", "r" * 32, "n" * 32, "w" * 32
ALL_VALUES = (OLD, RIGHT, NEW, WRONG)


class NotFoundError(ClientError):
    """What boto3's ``client.exceptions.ResourceNotFoundException`` is."""


def refusal(code: str, kind: type[ClientError] = ClientError) -> ClientError:
    return kind({"Error": {"Code": code, "Message": f"{code}: {RIGHT}"}}, "GetSecretValue")


@dataclass
class FakeSecrets:
    """Secrets Manager with one secret, which may fail.

    Attributes:
        stages: Version stage to value.
        failure: Raised by every call while it is set.
        asked: The version stages that were asked for.
    """

    stages: dict[str, str]
    failure: Exception | None = None
    asked: list[str] = field(default_factory=list)

    class exceptions:
        ResourceNotFoundException = NotFoundError

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, str]:
        assert SecretId == SECRET_ARN
        self.asked.append(VersionStage)
        if self.failure:
            raise self.failure
        if VersionStage not in self.stages:
            raise refusal("ResourceNotFoundException", NotFoundError)
        return {"SecretString": self.stages[VersionStage], "VersionStages": [VersionStage]}  # type: ignore[dict-item]

    @property
    def reads(self) -> int:
        return self.asked.count("AWSCURRENT")

    def rotate(self, value: str) -> None:
        self.stages = {"AWSCURRENT": value, "AWSPREVIOUS": self.stages["AWSCURRENT"]}


def event_with(value: object) -> dict[str, Any]:
    """What API Gateway sends, payload format 2.0."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:111122223333:abcdef1234/$default/POST/v1/files/upload",
        "identitySource": [value],
        "routeKey": "ANY /{proxy+}",
        "rawPath": "/v1/files/upload",
        "rawQueryString": "",
        "headers": {"host": "abcdef1234.execute-api.eu-west-1.amazonaws.com", "x-dify-origin": value},
        "requestContext": {"http": {"method": "POST", "path": "/v1/files/upload", "sourceIp": "203.0.113.1"}},
    }


def load() -> ModuleType:
    """The module as Lambda starts it, with nothing else of the package to be found."""
    path = handler_dir("origin_authorizer") / "authorizer.py"
    spec = importlib.util.spec_from_file_location("origin_authorizer_at_start", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
        spec.loader.exec_module(module)
    return module


@dataclass
class Function:
    """A started function and its clock."""

    module: ModuleType
    now: float = 1000.0

    def asks(self, value: object) -> bool:
        answer = self.module.handler(event_with(value), None)
        assert set(answer) == {"isAuthorized"}
        verdict: bool = answer["isAuthorized"]
        return verdict


Start = Callable[[FakeSecrets], Function]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Start]:
    """Start the function on a fake; at the end, nothing secret may stand in the log."""
    caplog.set_level(logging.DEBUG)

    def started(secrets: FakeSecrets) -> Function:
        monkeypatch.setenv("SECRET_ARN", SECRET_ARN)
        monkeypatch.setattr(boto3, "client", lambda service, **_: {"secretsmanager": secrets}[service])
        function = Function(load())
        function.module.GUARD.clock = lambda: function.now
        return function

    yield started
    assert [value for value in ALL_VALUES if value in caplog.text] == []


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "dify_cdk"]


# ---- who enters


def test_the_right_value_enters(start: Start) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT, "AWSPREVIOUS": OLD})
    function = start(secrets)
    assert secrets.asked == ["AWSCURRENT", "AWSPREVIOUS"]
    assert [function.asks(RIGHT) for _ in range(3)] == [True] * 3
    assert function.asks(OLD)
    assert secrets.reads == 1


def test_a_secret_that_was_never_rotated_has_one_value(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    function = start(FakeSecrets({"AWSCURRENT": RIGHT}))
    assert function.asks(RIGHT)
    assert not function.asks(OLD)
    assert lines(caplog) == []


@pytest.mark.parametrize(
    "value",
    [
        *(WRONG, RIGHT[:-1], f"{RIGHT}r", RIGHT.upper(), f" {RIGHT}", f"{RIGHT},{RIGHT}", f"{RIGHT}\n"),
        *("", "\u0440" * 32, "\ud800", None, 0, True, [RIGHT], {"value": RIGHT}),
    ],
    ids=repr,
)
def test_no_other_value_enters(start: Start, value: object, caplog: pytest.LogCaptureFixture) -> None:
    function = start(FakeSecrets({"AWSCURRENT": RIGHT, "AWSPREVIOUS": OLD}))
    assert not function.asks(value)
    assert lines(caplog) == []


@pytest.mark.parametrize(
    "event",
    [None, [], {}, "event", {"headers": None}, {"headers": []}, {"headers": {"host": RIGHT}}],
    ids=str,
)
def test_an_event_without_the_header_does_not_enter(start: Start, event: Any) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT})
    assert start(secrets).module.handler(event, None) == {"isAuthorized": False}
    assert secrets.reads == 1  # not worth a look


def test_an_empty_secret_lets_nobody_in(start: Start) -> None:
    function = start(FakeSecrets({"AWSCURRENT": "", "AWSPREVIOUS": ""}))
    assert not function.asks("")
    assert not function.asks(RIGHT)


def test_every_comparison_takes_the_same_time_whatever_was_right(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN two values, and a record of what is compared how
    function = start(FakeSecrets({"AWSCURRENT": RIGHT, "AWSPREVIOUS": OLD}))
    compare = function.module.hmac.compare_digest
    compared: list[bytes] = []

    def recorded(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return bool(compare(one, other))

    monkeypatch.setattr(function.module.hmac, "compare_digest", recorded)
    # WHEN the first of them is right already
    assert function.asks(RIGHT)
    # THEN the second was compared all the same
    assert compared == [RIGHT.encode(), OLD.encode()]


# ---- when the secret changes


def test_a_rotated_secret_enters_at_once(start: Start) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT, "AWSPREVIOUS": OLD})
    function = start(secrets)
    secrets.rotate(NEW)
    assert function.asks(RIGHT)
    assert secrets.reads == 1
    assert function.asks(NEW)
    assert secrets.reads == 2
    assert function.asks(RIGHT)  # AWSPREVIOUS now
    assert not function.asks(OLD)


def test_wrong_values_cause_one_read_a_minute(start: Start) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT})
    function = start(secrets)
    found = []
    for second in range(0, 181, 4):
        function.now = 5000.0 + second
        assert not function.asks(WRONG)
        assert function.asks(RIGHT)
        found.append((second, secrets.reads))
    assert found[0] == (0, 2)
    assert {reads for second, reads in found if second < 60} == {2}
    assert {reads for second, reads in found if 60 <= second < 120} == {3}
    assert {reads for second, reads in found if 120 <= second < 180} == {4}
    assert found[-1] == (180, 5)


def test_a_rotation_in_the_minute_after_a_wrong_value_is_known_when_it_is_over(start: Start) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT})
    function = start(secrets)
    assert not function.asks(WRONG)
    secrets.rotate(NEW)
    function.now += 59.9
    assert not function.asks(NEW)
    function.now += 0.1
    assert function.asks(NEW)


# ---- when it cannot be read


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (refusal("AccessDeniedException"), "AccessDeniedException"),
        (refusal("ResourceNotFoundException", NotFoundError), "ResourceNotFoundException"),
        (EndpointConnectionError(endpoint_url=f"https://{RIGHT}"), "EndpointConnectionError"),
        (KeyError(RIGHT), "KeyError"),
        (RuntimeError(RIGHT), "RuntimeError"),
    ],
    ids=["denied", "gone", "no connection", "no text", "anything"],
)
def test_an_unreadable_secret_lets_nobody_in_and_is_logged_in_one_line(
    start: Start, caplog: pytest.LogCaptureFixture, failure: Exception, reason: str
) -> None:
    # GIVEN a secret that cannot be read
    secrets = FakeSecrets({"AWSCURRENT": RIGHT}, failure=failure)
    function = start(secrets)
    line = f"the secret of the origin header cannot be read: {reason}"
    assert lines(caplog) == [line]
    # WHEN requests come
    assert not any(function.asks(value) for value in (RIGHT, WRONG, "", RIGHT))
    # THEN it is tried once more in that minute, and each attempt is one line
    assert secrets.reads == 2
    assert lines(caplog) == [line] * 2
    assert {(record.levelname, record.exc_info) for record in caplog.records} == {("ERROR", None)}
    # AND it serves as soon as it can be read
    secrets.failure = None
    function.now += 60
    assert function.asks(RIGHT)


def test_known_values_stay_known_while_nothing_can_be_read(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = FakeSecrets({"AWSCURRENT": RIGHT})
    function = start(secrets)
    secrets.failure = refusal("ThrottlingException")
    assert not function.asks(WRONG)
    assert function.asks(RIGHT)
    assert lines(caplog) == ["the secret of the origin header cannot be read: ThrottlingException"]


def test_a_function_without_the_variable_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SECRET_ARN", raising=False)
    monkeypatch.setattr(boto3, "client", lambda *_, **__: FakeSecrets({"AWSCURRENT": RIGHT}))
    assert not Function(load()).asks(RIGHT)
    assert set(lines(caplog)) == {"the secret of the origin header cannot be read: KeyError"}


# ---- with boto3 itself


class Endpoint(BaseHTTPRequestHandler):
    """Secrets Manager's protocol: one secret, never rotated."""

    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(question)
        if question["VersionStage"] == "AWSCURRENT":
            self.answer(200, {"SecretString": RIGHT, "VersionStages": ["AWSCURRENT"]})
        else:
            self.answer(400, {"__type": "ResourceNotFoundException", "message": "no such version"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Endpoint]]:
    Endpoint.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{server.server_port}")
    yield Endpoint
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_reads_a_real_endpoint_as_lambda_would(
    endpoint: type[Endpoint], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {
        "SECRET_ARN": SECRET_ARN,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    function = Function(load())
    assert function.asks(RIGHT)
    assert not function.asks(WRONG)
    assert lines(caplog) == []
    stages = ["AWSCURRENT", "AWSPREVIOUS"] * 2
    assert endpoint.asked == [{"SecretId": SECRET_ARN, "VersionStage": stage} for stage in stages]
