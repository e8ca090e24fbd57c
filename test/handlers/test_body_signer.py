"""The origin-request function, run in Node as Lambda would run it, and its hash in a real signature."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dify_cdk.cdk_helpers.assets import handler_dir, node_binary

HASH = "x-amz-content-sha256"
MOVED = "x-dify-authorization"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
HOST = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws"

Event = dict[str, Any]
Vector = Mapping[str, Any]

VECTORS: list[Vector] = json.loads((Path(__file__).parents[1] / "data" / "body-signer.json").read_bytes())
SIGNED = [
    vector for vector in VECTORS if "sha256" in vector["expect"] and not vector["name"].startswith("trunc")
]

# Lambda switches off what Node 22 and 24 would do to run a file as either kind of module.
NODE_FLAGS = ("--no-experimental-require-module", "--no-experimental-detect-module")
RUN = """
const { handler } = require(process.argv[1]);
const lines = require("node:fs").readFileSync(0, "utf8").split("\\n").filter(Boolean);
(async () => {
  for (const line of lines) console.log(JSON.stringify(await handler(JSON.parse(line), {})));
})();
"""


def ids(vector: Vector) -> str:
    return str(vector["name"])


def shown(body: Mapping[str, Any]) -> bytes:
    """The bytes of a vector's body that CloudFront shows."""
    if "bytes" in body:
        return bytes(range(256))
    if "repeat" in body:
        text, count = body["repeat"]
        return bytes(text * count, "ascii")
    return base64.b64decode(body["data"])


def event_of(vector: Vector) -> Event:
    """What CloudFront passes at an origin request."""
    headers = {"host": [HOST], "user-agent": ["Amazon CloudFront"], **vector["headers"]}
    request: Event = {
        "clientIp": "203.0.113.77",
        "method": vector["method"],
        "uri": "/console/api/apps",
        "querystring": "limit=30&page=1",
        "headers": {
            name: [{"key": name.title(), "value": value} for value in values]
            for name, values in headers.items()
        },
        "origin": {"custom": {"domainName": HOST, "port": 443, "protocol": "https", "readTimeout": 120}},
    }
    if vector["body"] is not None:
        request["body"] = {
            "action": "read-only",
            "data": base64.b64encode(shown(vector["body"])).decode(),
            "encoding": "base64",
            "inputTruncated": vector["body"]["inputTruncated"],
        }
    config = {"distributionDomainName": "d111111abcdef8.cloudfront.net", "eventType": "origin-request"}
    return {"Records": [{"cf": {"config": config, "request": request}}]}


@dataclass(frozen=True)
class Run:
    """What the handler answered, event by event, and whatever else was written."""

    answers: list[Event]
    errors: str


def run(file: Path, events: Sequence[Event]) -> Run:
    """Run the handler; a line that it would log itself would break the answers apart."""
    program = node_binary()
    assert program is not None
    done = subprocess.run(
        [program, *NODE_FLAGS, "--eval", RUN, str(file)],
        input="".join(json.dumps(event) + "\n" for event in events),
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Event] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(events)
    return Run(answers=answers, errors=done.stderr)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All vectors in one process, with nothing beside the file as when CloudFormation writes it."""
    file = tmp_path_factory.mktemp("task") / "index.js"
    shutil.copyfile(handler_dir("body_signer") / "index.js", file)
    return run(file, [event_of(vector) for vector in VECTORS])


@pytest.fixture(scope="module")
def answers(runs: Run) -> dict[str, Event]:
    return {vector["name"]: answer for vector, answer in zip(VECTORS, runs.answers, strict=True)}


def values(headers: Mapping[str, Any], name: str) -> list[str]:
    return [row["value"] for row in headers.get(name, ())]


# ---- the vectors


@pytest.mark.parametrize("vector", [one for one in VECTORS if "status" not in one["expect"]], ids=ids)
def test_the_request_goes_on_as_expected(vector: Vector, answers: dict[str, Event]) -> None:
    expect = vector["expect"]
    sent = event_of(vector)["Records"][0]["cf"]["request"]
    got = copy.deepcopy(answers[vector["name"]])
    headers = got["headers"]
    # what is told apart from the rest
    if "sha256" in expect:
        assert values(headers, HASH) == [expect["sha256"]]
    for name, wanted in expect.get("set", {}).items():
        assert values(headers, name) == wanted
    for name in expect.get("removed", ()):
        assert name not in headers
    for name in expect.get("headers_kept", ()):
        assert headers[name] == sent["headers"][name]
    # the rest, to the byte
    if expect.get("unchanged"):
        assert got == sent
    for name in (HASH, MOVED, "authorization"):
        headers.pop(name, None)
        sent["headers"].pop(name, None)
    assert got == sent


@pytest.mark.parametrize("vector", [one for one in VECTORS if "status" in one["expect"]], ids=ids)
def test_what_cannot_be_signed_is_answered_here(vector: Vector, answers: dict[str, Event]) -> None:
    got = copy.deepcopy(answers[vector["name"]])
    body = json.loads(got.pop("body"))
    assert got == {
        "status": vector["expect"]["status"],
        "statusDescription": "Payload Too Large",
        "headers": {
            "content-type": [{"key": "Content-Type", "value": "application/json"}],
            "cache-control": [{"key": "Cache-Control", "value": "no-store"}],
        },
    }
    assert body == {
        "code": "payload_too_large",
        "message": "The request is larger than the 1 MB that this address takes.",
        "status": 413,
    }


def test_nothing_is_logged(runs: Run) -> None:
    assert runs.errors == ""


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": {"authorization": "Bearer t"}},
        {"headers": {"authorization": [{"value": "Bearer t"}]}, "body": {"data": ["Bearer t"]}},
    ],
    ids=["headers", "body"],
)
def test_a_failure_tells_nothing_of_the_request(request_: Event) -> None:
    program = node_binary()
    assert program is not None
    done = subprocess.run(
        [program, "--eval", RUN, str(handler_dir("body_signer") / "index.js")],
        input=json.dumps({"Records": [{"cf": {"request": request_}}]}),
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "TypeError" in done.stderr
    assert "Bearer" not in done.stdout + done.stderr


def test_the_headers_that_are_written_are_ones_that_cloudfront_lets_a_function_write(
    answers: dict[str, Event],
) -> None:
    kept = {"host", "user-agent"}
    for vector in VECTORS:
        headers = answers[vector["name"]]["headers"]
        if "status" in vector["expect"]:
            assert set(headers) == {"content-type", "cache-control"}
        else:
            assert set(headers) <= kept | set(vector["headers"]) | {HASH, MOVED}


def test_the_file_needs_no_environment() -> None:
    """A function at the edge has none."""
    assert "process" not in (handler_dir("body_signer") / "index.js").read_text(encoding="utf-8")


# ---- the signature that Lambda checks


@dataclass(frozen=True)
class Wire:
    """A request as it reaches the function URL."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token")
SCOPE = ("eu-west-1", "lambda", "aws4_request")


def signed(vector: Vector, headers: Mapping[str, Any], body: bytes) -> Wire:
    """Sign as CloudFront does: with whatever hash the header holds, and never seeing the body."""
    url = f"https://{HOST}/console/api/apps?limit=30&page=1"
    request = AWSRequest(
        method=vector["method"], url=url, headers={"host": HOST, HASH: values(headers, HASH)[0]}
    )
    SigV4Auth(CREDENTIALS, SCOPE[1], SCOPE[0]).add_auth(request)
    return Wire(vector["method"], url, {name.lower(): value for name, value in request.headers.items()}, body)


def digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def is_accepted(wire: Wire) -> bool:
    """Whether the signature is that of this request with this body, worked out from AWS's description.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    algorithm, _, rest = wire.headers["authorization"].partition(" ")
    fields = dict(field.strip().split("=", 1) for field in rest.split(","))
    names = fields["SignedHeaders"].split(";")
    body_hash = hashlib.sha256(wire.body).hexdigest()
    if HASH not in names or wire.headers[HASH] != body_hash:
        return False
    parts = urlsplit(wire.url)
    canonical = "\n".join(
        [
            wire.method,
            parts.path,
            "&".join(sorted(parts.query.split("&"))),
            *(f"{name}:{wire.headers[name].strip()}" for name in names),
            "",
            fields["SignedHeaders"],
            body_hash,
        ]
    )
    time = wire.headers["x-amz-date"]
    scope = "/".join((time[:8], *SCOPE))
    to_sign = "\n".join([algorithm, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{CREDENTIALS.secret_key}".encode()
    for part in (time[:8], *SCOPE):
        key = digest(key, part)
    return hmac.compare_digest(digest(key, to_sign).hex(), fields["Signature"])


@pytest.mark.parametrize("vector", SIGNED, ids=ids)
def test_lambda_accepts_the_signature_over_the_hash(vector: Vector, answers: dict[str, Event]) -> None:
    body = shown(vector["body"]) if vector["body"] else b""
    wire = signed(vector, answers[vector["name"]]["headers"], body)
    assert is_accepted(wire)
    # and of no other body, hash, method or address
    assert not is_accepted(Wire(wire.method, wire.url, wire.headers, body + b" "))
    other = {**wire.headers, HASH: hashlib.sha256(body + b" ").hexdigest()}
    assert not is_accepted(Wire(wire.method, wire.url, other, body + b" "))
    assert not is_accepted(Wire("OPTIONS", wire.url, wire.headers, body))
    assert not is_accepted(Wire(wire.method, f"{wire.url}0", wire.headers, body))


@pytest.mark.parametrize(
    "value",
    [EMPTY_HASH, "UNSIGNED-PAYLOAD", hashlib.sha256(b"eyJhIjoxfQ==").hexdigest()],
    ids=["no body", "unsigned", "hash of the base64 text"],
)
def test_lambda_accepts_no_other_hash(value: str) -> None:
    vector = next(one for one in VECTORS if one["name"] == "post-json")
    assert not is_accepted(signed(vector, {HASH: [{"key": HASH, "value": value}]}, b'{"a":1}'))


def test_a_client_that_hashed_a_long_body_itself_gets_through(answers: dict[str, Event]) -> None:
    # GIVEN a body of which CloudFront shows a part only, and its hash from the client
    vector = next(one for one in VECTORS if one["name"] == "truncated-client-hash-and-authorization")
    whole = b"x" * 1_500_000
    headers = answers[vector["name"]]["headers"]
    # THEN the whole of it is what Lambda accepts, and not what CloudFront showed
    assert is_accepted(signed(vector, headers, whole))
    assert not is_accepted(signed(vector, headers, whole[: 1 << 20]))
