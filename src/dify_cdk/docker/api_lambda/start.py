"""Completes the environment of Dify's api in a Lambda function, then becomes the program it is given.

    start.py PROGRAM [ARGUMENT ...]

The configuration of a Lambda function holds no secret, only where they are. Three variables say so:

DIFY_CDK_SECRETS        JSON list of {"arn": ..., "env": {variable: field}}; the secret's text is a JSON
                        object with that field, or, where the field is null, all of it is the value
DIFY_CDK_URL_PARAMETER  name of the Systems Manager parameter that holds the public URL
DIFY_CDK_URL_TEMPLATES  JSON object {variable: text}; {url} and {host} in the text are replaced, nothing else

Values reach the program through its environment alone: no file, no output and no command line has them.
Without these variables nothing is fetched, so the image also runs elsewhere.

Standard library only, and one request per secret, all at once: this is part of every cold start.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECRETS, URL_PARAMETER, URL_TEMPLATES = OWN = (
    "DIFY_CDK_SECRETS",
    "DIFY_CDK_URL_PARAMETER",
    "DIFY_CDK_URL_TEMPLATES",
)
# Libraries write into them; of the whole file system only /tmp is writable, and it starts empty.
FOLDERS = ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME", "NUMBA_CACHE_DIR")

TIMEOUT_SECONDS = 3.0
PAUSES_SECONDS = (0.2, 0.6)  # between three tries: in the worst case the ten seconds of Lambda's init phase
THROTTLING = frozenset(
    {"RequestLimitExceeded", "ThrottledException", "ThrottlingException", "TooManyRequestsException"}
)
ENDPOINT_SUFFIXES = {"secretsmanager": "SECRETS_MANAGER", "ssm": "SSM"}

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ARN = re.compile(r"arn:[^:\s]+:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[^\s]+")
PARAMETER = re.compile(r"[A-Za-z0-9_./-]+")
PUBLIC_URL = re.compile(r"https?://([A-Za-z0-9.-]+(?::[0-9]+)?)")
ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?/?")
VISIBLE = re.compile(r"[\x21-\x7e]+")


class ProblemError(Exception):
    """Why the program cannot be started; the message is for the log and has no value in it."""


class PassingError(Exception):
    """Something that may be gone at the next try."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What one request fetches.

    Attributes:
        service: Service that has it, as in its host name and signature.
        region: Region that has it.
        target: Operation, as the service names it.
        parameters: Parameters of the operation.
        variables: Names of the variables that depend on it, for messages.
        read: Makes variables of the answer.
    """

    service: str
    region: str
    target: str
    parameters: Mapping[str, str]
    variables: Sequence[str]
    read: Callable[[Mapping[str, Any]], dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Credentials of the function's role."""

    key: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)


# ---- what is asked for


def json_in(text: str | bytes) -> object:
    """What a text says, None where it is no JSON."""
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found


def require_variables(name: str, variables: Collection[str]) -> None:
    """Check what shall be set.

    Raises:
        ProblemError: If there is none, or one is not the name of a variable.
    """
    if not variables:
        raise ProblemError(f"{name} names no variable")
    for variable in variables:
        if not VARIABLE.fullmatch(variable):
            raise ProblemError(f"{name}: {variable!r} is no variable name")


def secret_sources(text: str) -> list[Source]:
    """One source per secret.

    Raises:
        ProblemError: If the text is not what the description above asks for.
    """
    fields: dict[str, dict[str, str | None]] = {}
    entries = json_in(text)
    if not isinstance(entries, list):
        raise ProblemError(f"{SECRETS} is no JSON list")
    for entry in entries:
        arn, variables = (entry.get("arn"), entry.get("env")) if isinstance(entry, dict) else (None, None)
        if not isinstance(arn, str) or not ARN.fullmatch(arn):
            raise ProblemError(f"{SECRETS}: {arn!r} is no ARN of a secret")
        if not isinstance(variables, dict):
            raise ProblemError(f"{SECRETS}: env of {arn} is no JSON object")
        require_variables(SECRETS, variables)
        if any(name is not None and not isinstance(name, str) for name in variables.values()):
            raise ProblemError(f"{SECRETS}: a field of {arn} is neither text nor null")
        fields.setdefault(arn, {}).update(variables)
    return [secret_source(arn, variables) for arn, variables in fields.items()]


def secret_source(arn: str, fields: Mapping[str, str | None]) -> Source:
    """The source of one secret's variables."""
    return Source(
        service="secretsmanager",
        region=arn.split(":")[3],
        target="secretsmanager.GetSecretValue",
        parameters={"SecretId": arn},
        variables=list(fields),
        read=lambda answer: fields_of(answer, fields),
    )


def url_source(parameter: str, templates: str, region: str) -> Source:
    """The source of the variables that contain the public URL.

    Raises:
        ProblemError: If the parameter's name or the templates are malformed.
    """
    if not PARAMETER.fullmatch(parameter):
        raise ProblemError(f"{URL_PARAMETER}: {parameter!r} is no name of a parameter")
    texts = json_in(templates)
    if not isinstance(texts, dict):
        raise ProblemError(f"{URL_TEMPLATES} is no JSON object")
    require_variables(URL_TEMPLATES, texts)
    for name, text in texts.items():
        if not isinstance(text, str) or not ("{url}" in text or "{host}" in text):
            raise ProblemError(f"{URL_TEMPLATES}: {name} contains neither {{url}} nor {{host}}")
    return Source(
        service="ssm",
        region=region,
        target="AmazonSSM.GetParameter",
        parameters={"Name": parameter},
        variables=list(texts),
        read=lambda answer: filled(answer, texts),
    )


def sources_of(environment: Mapping[str, str]) -> list[Source]:
    """What has to be fetched.

    Raises:
        ProblemError: If a variable is malformed, or two sources set the same one.
    """
    secrets, parameter, templates = (environment.get(name, "") for name in OWN)
    sources = secret_sources(secrets) if secrets else []
    if bool(parameter) != bool(templates):
        raise ProblemError(f"{URL_PARAMETER} and {URL_TEMPLATES} go together, only one of them is set")
    if parameter:
        sources.append(url_source(parameter, templates, required(environment, "AWS_REGION")))
    names = [name for source in sources for name in source.variables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProblemError(f"{', '.join(twice)}: asked for twice")
    return sources


# ---- what the answers say


def fields_of(answer: Mapping[str, Any], fields: Mapping[str, str | None]) -> dict[str, str]:
    """Variable to value, out of a secret.

    Raises:
        ProblemError: If the secret is binary, or a field is missing or no usable text.
    """
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise ProblemError("the secret is binary, text is needed")
    found = json_in(text)
    values = {}
    for variable, name in fields.items():
        if name is None:
            values[variable] = usable(text, "the secret")
            continue
        if not isinstance(found, dict):
            raise ProblemError("the secret is no JSON object, so it has no fields")
        if name not in found:
            raise ProblemError(f"the secret has no field {name!r}")
        values[variable] = usable(found[name], f"field {name!r} of the secret")
    return values


def usable(value: object, where: str) -> str:
    """A value that an environment can hold.

    Raises:
        ProblemError: If it cannot.
    """
    if not isinstance(value, str) or not value:
        raise ProblemError(f"{where} is {'empty' if value == '' else 'no text'}")
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise ProblemError(f"{where} is no valid Unicode text") from None
    if b"\0" in encoded:
        raise ProblemError(f"{where} contains a null character")
    return value


def filled(answer: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str]:
    """Variable to text with the public URL in it.

    Raises:
        ProblemError: If the parameter is not a URL without path and trailing slash.
    """
    parameter = answer.get("Parameter")
    url = parameter.get("Value") if isinstance(parameter, dict) else None
    match = PUBLIC_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise ProblemError("the parameter is no URL such as https://dify.example.com")
    values = {"url": match[0], "host": match[1]}
    return {name: re.sub(r"\{(url|host)\}", lambda m: values[m[1]], text) for name, text in texts.items()}


# ---- asking


def required(environment: Mapping[str, str], name: str) -> str:
    """A variable that Lambda sets.

    Raises:
        ProblemError: If it is missing, or could not stand in a request.
    """
    value = environment.get(name, "")
    if not VISIBLE.fullmatch(value):
        raise ProblemError(f"{name} is {'malformed' if value else 'not set'}")
    return value


def credentials_of(environment: Mapping[str, str]) -> Credentials:
    """The credentials that Lambda puts into the environment.

    Raises:
        ProblemError: If they are missing or malformed.
    """
    return Credentials(
        key=required(environment, "AWS_ACCESS_KEY_ID"),
        secret=required(environment, "AWS_SECRET_ACCESS_KEY"),
        token=required(environment, "AWS_SESSION_TOKEN") if "AWS_SESSION_TOKEN" in environment else None,
    )


def endpoint_of(source: Source, environment: Mapping[str, str]) -> str:
    """Where a service is.

    Always in the partition ``aws``: only there is Lambda@Edge, without which nobody reaches this function.

    Raises:
        ProblemError: If the environment names an endpoint that is none.
    """
    for name in (f"AWS_ENDPOINT_URL_{ENDPOINT_SUFFIXES[source.service]}", "AWS_ENDPOINT_URL"):
        if environment.get(name):
            if not ENDPOINT.fullmatch(environment[name]):
                raise ProblemError(f"{name} is not of the form https://host:port")
            return environment[name]
    return f"https://{source.service}.{source.region}.amazonaws.com"


def signed_headers(
    source: Source, host: str, payload: bytes, credentials: Credentials, stamp: str
) -> dict[str, str]:
    """Headers of a request, signed with Signature Version 4.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": host,
        "x-amz-date": stamp,
        "x-amz-target": source.target,
    }
    if credentials.token is not None:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    signed = ";".join(names)
    lines = ["POST", "/", "", *(f"{name}:{headers[name]}" for name in names), "", signed]
    request = "\n".join([*lines, hashlib.sha256(payload).hexdigest()])
    scope = f"{stamp[:8]}/{source.region}/{source.service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    proof = f"Credential={credentials.key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {proof}"}


def post(endpoint: str, source: Source, credentials: Credentials, context: ssl.SSLContext | None) -> bytes:
    """Body of the answer to one request.

    Raises:
        PassingError: If the service cannot be reached, is in trouble, or wants less load.
        ProblemError: If it refuses.
    """
    host = urlsplit(endpoint).netloc
    payload = json.dumps(source.parameters).encode()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = signed_headers(source, host, payload, credentials, stamp)
    if endpoint.startswith("https:"):
        connection: http.client.HTTPConnection
        connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_SECONDS, context=context)
    else:  # only where the environment says so
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/", payload, headers)
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        raise PassingError(f"{host}: {error.strerror or error}") from None
    except http.client.HTTPException as error:
        raise PassingError(f"{host}: {type(error).__name__}") from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise refusal(response.status, body)
    return body


def refusal(status: int, body: bytes) -> Exception:
    """What an answer other than 200 means."""
    found = json_in(body)
    error = found if isinstance(found, dict) else {}
    code = str(error.get("__type", "")).rsplit("#", 1)[-1]
    message = " ".join(str(error.get("message") or error.get("Message") or "").split())[:400]
    text = " ".join(part for part in (code or f"status {status}", message) if part)
    passes = status >= http.client.INTERNAL_SERVER_ERROR or status == http.client.TOO_MANY_REQUESTS
    return PassingError(text) if passes or code in THROTTLING else ProblemError(text)


def post_with_patience(
    source: Source, endpoint: str, credentials: Credentials, context: ssl.SSLContext | None
) -> bytes:
    """Body of the answer, after a few tries.

    Raises:
        ProblemError: If the service refuses, or each try failed.
    """
    for pause in PAUSES_SECONDS:
        try:
            return post(endpoint, source, credentials, context)
        except PassingError:
            time.sleep(pause)
    try:
        return post(endpoint, source, credentials, context)
    except PassingError as error:
        raise ProblemError(f"{error}, in {len(PAUSES_SECONDS) + 1} tries") from None


def variables_of(
    source: Source, endpoint: str, credentials: Credentials, context: ssl.SSLContext | None
) -> dict[str, str]:
    """Variable to value, from one source.

    Raises:
        ProblemError: If it cannot be had, or is not what it should be.
    """
    answer = json_in(post_with_patience(source, endpoint, credentials, context))
    if not isinstance(answer, dict):
        raise ProblemError(f"{source.service} answered with no JSON object")
    return source.read(answer)


def fetch(environment: Mapping[str, str]) -> dict[str, str]:
    """All variables that have to be fetched, with their values.

    Raises:
        ProblemError: If one cannot be had; every line of the message is one source.
    """
    sources = sources_of(environment)
    if not sources:
        return {}
    credentials = credentials_of(environment)
    endpoints = [endpoint_of(source, environment) for source in sources]
    secure = any(endpoint.startswith("https:") for endpoint in endpoints)
    context = ssl.create_default_context() if secure else None
    values: dict[str, str] = {}
    problems = []
    with ThreadPoolExecutor(max_workers=len(sources)) as pool:
        asked = [
            pool.submit(variables_of, source, endpoint, credentials, context)
            for source, endpoint in zip(sources, endpoints, strict=True)
        ]
        for source, future in zip(sources, asked, strict=True):
            try:
                values.update(future.result())
            except ProblemError as error:
                subject = ", ".join(source.parameters.values())
                problems.append(f"{', '.join(source.variables)}: {error} ({subject})")
    if problems:
        raise ProblemError("\n".join(problems))
    return values


# ---- the start


def make_folders(environment: Mapping[str, str]) -> None:
    """Make the folders that libraries write into.

    Raises:
        ProblemError: If one cannot be made.
    """
    for name in FOLDERS:
        if environment.get(name):
            try:
                Path(environment[name]).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ProblemError(f"{name}: cannot make {environment[name]}: {error.strerror}") from None


def say(text: str) -> None:
    """Write to the function's log."""
    for line in text.splitlines():
        print(f"dify-cdk: {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Become the program, or say why not."""
    begin = time.monotonic()
    try:
        if not arguments:
            raise ProblemError("no program is given")
        make_folders(os.environ)
        values = fetch(os.environ)
        if values:
            say(f"{len(values)} variables fetched in {(time.monotonic() - begin) * 1000:.0f} ms")
        # As bytes: whatever the locale of the image is, the values arrive as UTF-8.
        own = {name.encode() for name in OWN}
        inherited = {name: value for name, value in os.environb.items() if name not in own}
        fetched = {name.encode(): value.encode() for name, value in values.items()}
        os.execvpe(arguments[0], list(arguments), {**inherited, **fetched})
    except ProblemError as error:
        say(f"cannot start:\n{error}")
    except OSError as error:
        say(f"cannot start: {arguments[0]}: {error.strerror}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
