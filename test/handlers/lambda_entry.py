"""Runs the entry scripts of the Lambda images against Secrets Manager and Systems Manager on 127.0.0.1.

The fake services check every signature with botocore's own arithmetic, from what arrived.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dify_cdk.cdk_helpers.assets import node_binary
from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import secret_variables

DOCKER = Path(__file__).parents[2] / "src" / "dify_cdk" / "docker"
START = DOCKER / "api_lambda" / "start.py"
START_WEB = DOCKER / "web_lambda" / "start.sh"

REGION = "eu-central-1"
KEY, SECRET_KEY, TOKEN = "ASIAEXAMPLEEXAMPLE00", "secret/key+Of=TheRole", "IQoJtoken//=="
MARK = "TOP-SECRET"
"""Part of every secret value in the tests: where it is found, a secret is found."""

# What the scripts become: it prints what it was given, on one line.
PROGRAM = """\
import json, os, sys
environment = {name.decode(): value.decode() for name, value in os.environb.items()}
print(json.dumps({"arguments": sys.argv[1:], "environment": environment, "uid": os.getuid()}))
"""
PRINTED = '{"arguments"'


def arn(name: str, region: str = REGION) -> str:
    """ARN of a secret."""
    return f"arn:aws:secretsmanager:{region}:111122223333:secret:{name}-AbCdEf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An answer of a service in trouble, or one that refuses; without a status the connection is cut.

    Attributes:
        status: HTTP status.
        code: What went wrong, as the service names it.
        message: And in its words.
        body: The whole body, instead of one made of these.
        missing: Bytes that are announced and do not come.
    """

    status: int | None = None
    code: str | None = None
    message: str = ""
    body: str | None = None
    missing: int = 0

    @property
    def text(self) -> bytes:
        """The body."""
        if self.body is not None:
            return self.body.encode()
        found = {"__type": self.code, "message": self.message}
        return json.dumps({name: value for name, value in found.items() if value}).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A request that came in."""

    target: str
    subject: str
    signed: Sequence[str]


@dataclass(kw_only=True)
class FakeAws:
    """Both services.

    Attributes:
        secrets: ARN to text, or bytes for a binary secret.
        parameters: Name to value.
        failures: ARN or name to failures that come before the answer.
        together: How many requests have to be there before the first one is answered.
        received: The requests that came, in order.
        key: The secret key that signatures are checked against.
        token: The session token that has to come with a request.
    """

    secrets: Mapping[str, str | bytes] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    together: int = 1
    received: list[Received] = field(default_factory=list)
    key: str = SECRET_KEY
    token: str | None = TOKEN
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Prepare to hold answers back."""
        self.barrier = threading.Barrier(self.together)

    @property
    def subjects(self) -> list[str]:
        """What was asked for."""
        return [request.subject for request in self.received]

    def answer(self, headers: Mapping[str, str], body: bytes) -> Failure | dict[str, Any]:
        """The answer to one request."""
        target = headers.get("x-amz-target", "")
        asked = json.loads(body)
        subject = asked.get("SecretId") or asked.get("Name")
        problem = self.complaint(
            headers, body, "ssm" if target.startswith("AmazonSSM.") else "secretsmanager"
        )
        signed = re.findall(r"SignedHeaders=([^,]+)", headers.get("authorization", ""))
        with self.lock:
            request = Received(target=target, subject=subject, signed="".join(signed).split(";"))
            self.received.append(request)
            failures = self.failures.get(subject, [])
            failure = failures.pop(0) if failures else None
        self.barrier.wait(timeout=10)
        if problem is not None:
            return Failure(status=400, code="InvalidSignatureException", message=problem)
        return failure or self.result(target, subject)

    def result(self, target: str, subject: str) -> Failure | dict[str, Any]:
        """What the services have."""
        if target == "AmazonSSM.GetParameter":
            if subject not in self.parameters:
                return Failure(status=400, code="ParameterNotFound")
            return {"Parameter": {"Name": subject, "Type": "String", "Value": self.parameters[subject]}}
        if target != "secretsmanager.GetSecretValue":
            return Failure(status=400, code="UnknownOperationException")
        value = self.secrets.get(subject)
        if value is None:
            message = "Secrets Manager can't find the specified secret."
            return Failure(status=400, code="ResourceNotFoundException", message=message)
        return {"ARN": subject, "SecretString" if isinstance(value, str) else "SecretBinary": str(value)}

    def complaint(self, headers: Mapping[str, str], body: bytes, service: str) -> str | None:
        """What is wrong with a signature; None if nothing is."""
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
            r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
            headers.get("authorization", ""),
        )
        if found is None:
            return "no signature"
        key, _, region, signed_service, names, signature = found.groups()
        signed = names.split(";")
        needed = {"host", "x-amz-date", "x-amz-target"} | ({"x-amz-security-token"} if self.token else set())
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.strptime(
            headers["x-amz-date"], "%Y%m%dT%H%M%S%z"
        )
        if (key, signed_service) != (KEY, service) or not needed <= set(signed):
            return "wrong scope or headers"
        if abs(age) > datetime.timedelta(minutes=5) or headers.get("x-amz-security-token") != self.token:
            return "expired, or another session"
        wanted = signature_of(
            {name: headers[name] for name in signed}, body, secret=self.key, region=region, service=service
        )
        return None if wanted == signature else "the signature does not match"


def signature_of(headers: Mapping[str, str], body: bytes, *, secret: str, region: str, service: str) -> str:
    """The signature of a request to ``/``, as botocore computes it."""
    request = AWSRequest(method="POST", url=f"http://{headers['host']}/", data=body, headers=dict(headers))
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(KEY, secret), service, region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the fake."""

    aws: FakeAws
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer as the services do."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.aws.answer(headers, body) if self.path == "/" else Failure(status=404)
        if isinstance(answer, Failure):
            if answer.status is None:
                self.close_connection = True
                return
            status, text, missing = answer.status, answer.text, answer.missing
        else:
            status, text, missing = 200, json.dumps(answer).encode(), 0
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(text) + missing))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = bool(missing)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Lets many callers in at once; a caller too many would come again after a second."""

    request_queue_size = 64


@contextmanager
def serve(aws: FakeAws, certificate: Path | None = None) -> Iterator[FakeAws]:
    """Serve on a free port of 127.0.0.1; with a certificate over TLS."""
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"aws": aws}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    aws.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield aws
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a script ended.

    Attributes:
        code: Exit code.
        output: What the script itself printed.
        log: What it wrote to standard error.
        environment: Environment of the program it became; empty if it did not.
        arguments: Arguments of that program.
    """

    code: int
    output: str
    log: str
    environment: Mapping[str, str]
    arguments: Sequence[str]

    @property
    def lines(self) -> list[str]:
        """The log without its prefix."""
        return [line.removeprefix("dify-cdk: ") for line in self.log.splitlines()]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry script in a folder of its own, which is all it may write to."""

    command: Sequence[str]
    folder: Path

    def environment(self, aws: FakeAws | None) -> dict[str, str]:
        """What Lambda and the image give it."""
        node = node_binary()
        assert node is not None
        return {
            "PATH": os.pathsep.join([str(node.parent), os.defpath]),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder),
            "DIFY_CDK_NEXT_CACHE": str(self.folder / "next"),
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_SESSION_TOKEN": TOKEN,
            **({} if aws is None else {"AWS_ENDPOINT_URL": aws.url}),
        }

    def run(
        self,
        aws: FakeAws | None = None,
        settings: Mapping[str, str | None] | None = None,
        program: Sequence[str] | None = None,
    ) -> Outcome:
        """Run it, with some variables set or, where None, taken away."""
        environment = {**self.environment(aws), **(settings or {})}
        done = subprocess.run(
            [*self.command, *([*PRINTER, "a b", "$(c)"] if program is None else program)],
            env={name: value for name, value in environment.items() if value is not None},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        printed = done.stdout.decode()
        found = json.loads(printed) if printed.startswith(PRINTED) else {}
        return Outcome(
            code=done.returncode,
            output="" if found else printed,
            log=done.stderr.decode(),
            environment=found.get("environment", {}),
            arguments=found.get("arguments", []),
        )


PRINTER = (sys.executable, "-I", "-S", "-c", PROGRAM)
API = (sys.executable, "-I", "-S", str(START))
WEB = ("/bin/sh", str(START_WEB))


def request_for(fields: Mapping[str, Mapping[str, str | None]]) -> dict[str, str | None]:
    """The setting that asks for secrets: ARN to variable to field."""
    entries = [{"arn": name, "env": dict(variables)} for name, variables in fields.items()]
    return {"DIFY_CDK_SECRETS": json.dumps(entries)}


def url_request(templates: Mapping[str, object], parameter: str = "/dify/url") -> dict[str, str | None]:
    """The settings that ask for the public URL."""
    return {"DIFY_CDK_URL_PARAMETER": parameter, "DIFY_CDK_URL_TEMPLATES": json.dumps(templates)}


URL_TEMPLATES = {"CONSOLE_API_URL": "{url}", "ENDPOINT_URL_TEMPLATE": "{url}/e/{hook_id}"}


def whole_api() -> tuple[FakeAws, dict[str, str | None]]:
    """All that Dify's api needs, and how it is asked for."""
    fields: dict[str, dict[str, str | None]] = {}
    for variable, secret in secret_variables(Component.API).items():
        fields.setdefault(arn(secret.purpose), {})[variable] = secret.field
    secrets = {}
    for name, variables in fields.items():
        by_field = {field: f"{MARK}-{name}-{field}" for field in variables.values() if field is not None}
        secrets[name] = json.dumps(by_field) if by_field else f"{MARK}-{name}"
    aws = FakeAws(secrets=secrets, parameters={"/dify/url": "https://d111111abcdef8.cloudfront.net"})
    return aws, {**request_for(fields), **url_request(URL_TEMPLATES)}


def _processor_seconds(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=dict(environment), cwd=cwd, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fetcher_cpu_seconds(runs: int = 5) -> float:
    """Processor time that the api's entry script adds to a start, with everything to fetch; the median."""
    aws, settings = whole_api()
    found = []
    with serve(aws), tempfile.TemporaryDirectory() as folder:
        entry = Entry(command=API, folder=Path(folder))
        environment = {**entry.environment(aws), **settings}
        given = {name: value for name, value in environment.items() if value is not None}
        for _ in range(runs):
            found.append(_processor_seconds([*API, "/bin/true"], given, entry.folder))
    return statistics.median(found)
