"""The entry scripts of the Lambda images, run for real: what Dify gets, and what nobody may see."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import botocore.session
import pytest
from botocore.loaders import Loader
from botocore.regions import EndpointResolver
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.dify.environment import Purpose
from handlers.lambda_entry import (
    API,
    KEY,
    MARK,
    PRINTER,
    REGION,
    SECRET_KEY,
    START,
    TOKEN,
    URL_TEMPLATES,
    WEB,
    Entry,
    Failure,
    FakeAws,
    Outcome,
    arn,
    fetcher_cpu_seconds,
    request_for,
    serve,
    signature_of,
    url_request,
    whole_api,
)

# Real processes against a server with delays: too much for the inner loop.
pytestmark = pytest.mark.slow

ONE = arn("One")
URL = "https://d111111abcdef8.cloudfront.net"
THROTTLED = Failure(status=400, code="ThrottlingException", message="Rate exceeded")
OPENSSL = shutil.which("openssl")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Entry]:
    entry = Entry(command=API, folder=tmp_path)
    yield entry
    assert secrets_on_disk(tmp_path) == []


@pytest.fixture
def web(tmp_path: Path) -> Entry:
    return Entry(command=WEB, folder=tmp_path)


@pytest.fixture(params=[API, WEB], ids=["api", "web"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Entry:
    """What the two scripts have in common is the public URL."""
    return Entry(command=request.param, folder=tmp_path)


@pytest.fixture(scope="session")
def start() -> ModuleType:
    """The api's script as a module, for its parts."""
    spec = importlib.util.spec_from_file_location("lambda_start", START)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
    return module


def secrets_on_disk(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if MARK.encode() in path.read_bytes()]


def run(entry: Entry, aws: FakeAws, *requests: Mapping[str, str | None]) -> Outcome:
    with serve(aws):
        return entry.run(aws, {name: value for request in requests for name, value in request.items()})


def require_silence(outcome: Outcome) -> None:
    """Neither the script's output nor the command line of the program has a secret in it."""
    assert outcome.output == ""
    assert MARK not in outcome.log
    assert SECRET_KEY not in outcome.log
    assert TOKEN not in outcome.log
    assert not any(MARK in argument for argument in outcome.arguments)


def require_refused(outcome: Outcome, *parts: str) -> None:
    assert outcome.code == 1
    assert outcome.arguments == [], "the program was started"
    assert "Traceback" not in outcome.log
    for part in parts:
        assert part in outcome.log
    require_silence(outcome)


class TestTheFake:
    """It refuses what the services would, or the tests below would prove nothing."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"AWS_SECRET_ACCESS_KEY": "another"},
            {"AWS_ACCESS_KEY_ID": "another"},
            {"AWS_SESSION_TOKEN": "another"},
            {"AWS_SESSION_TOKEN": None},
        ],
        ids=str,
    )
    def test_it_wants_the_signature_of_the_role(self, either: Entry, settings: dict[str, str | None]) -> None:
        aws = FakeAws(parameters={"/dify/url": URL})
        outcome = run(either, aws, url_request(URL_TEMPLATES), settings)
        require_refused(outcome, "InvalidSignatureException")

    def test_it_knows_only_what_it_has(self, api: Entry) -> None:
        require_refused(run(api, FakeAws(), request_for({ONE: {"A": None}})), "A: ResourceNotFoundException")


class TestTheEnvironment:
    def test_all_that_the_api_needs_arrives(self, api: Entry) -> None:
        aws, request = whole_api()
        outcome = run(api, aws, request, {"MODE": "api", "CONSOLE_API_URL": "http://127.0.0.1:5001"})
        assert outcome.code == 0
        assert outcome.arguments == ["a b", "$(c)"]
        found = outcome.environment
        assert found["DB_USERNAME"] == f"{MARK}-{arn('DatabaseUser')}-username"
        assert found["PGVECTOR_PASSWORD"] == found["DB_PASSWORD"] == f"{MARK}-{arn('DatabaseUser')}-password"
        assert found["SECRET_KEY"] == f"{MARK}-{arn('SecretKey')}"
        assert sum(MARK in value for value in found.values()) == 11
        # What the image has for a variable gives way, what Lambda and the template set stays.
        assert found["CONSOLE_API_URL"] == URL
        assert found["ENDPOINT_URL_TEMPLATE"] == f"{URL}/e/{{hook_id}}"
        assert (found["MODE"], found["AWS_ACCESS_KEY_ID"]) == ("api", KEY)
        assert not any(name.startswith("DIFY_CDK_") for name in found if name != "DIFY_CDK_NEXT_CACHE")
        require_silence(outcome)
        assert outcome.log.startswith("dify-cdk: 13 variables fetched in ")

    def test_nothing_is_asked_for_twice(self, api: Entry) -> None:
        aws, request = whole_api()
        run(api, aws, request)
        assert len(aws.received) == 9
        assert len(set(aws.subjects)) == 9
        again = FakeAws(secrets={ONE: f'{{"a": "{MARK}", "b": "{MARK}b"}}'})
        entries = [{"arn": ONE, "env": {"A": "a"}}, {"arn": ONE, "env": {"B": "b"}}]
        outcome = run(api, again, {"DIFY_CDK_SECRETS": json.dumps(entries)})
        assert (outcome.environment["A"], outcome.environment["B"]) == (MARK, f"{MARK}b")
        assert again.subjects == [ONE]

    def test_all_is_asked_for_at_once(self, api: Entry) -> None:
        """Nobody gets an answer before all nine are there."""
        aws, request = whole_api()
        together = FakeAws(secrets=aws.secrets, parameters=aws.parameters, together=9)
        assert run(api, together, request).code == 0

    @pytest.mark.parametrize(
        "value",
        [
            'it\'s "quoted" $(touch x) `touch y` \\ %s {url} ; & | > z',
            "two\nlines\tand a tab\r\n",
            " spaces around ",
            "größer 日本語 \U0001f511",
            "=",
            "x" * 60_000,
        ],
        ids=["shell", "lines", "spaces", "unicode", "equals", "long"],
    )
    def test_values_arrive_as_they_are(self, api: Entry, value: str) -> None:
        value = f"{MARK}{value}"
        aws = FakeAws(secrets={ONE: value, arn("Two"): json.dumps({"a field": value})})
        request = request_for({ONE: {"A": None}, arn("Two"): {"B": "a field"}})
        outcome = run(api, aws, request)
        assert (outcome.environment["A"], outcome.environment["B"]) == (value, value)
        assert not {"x", "y", "z"} & {path.name for path in api.folder.iterdir()}

    @pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1", "C.UTF-8"])
    def test_values_are_utf_8_in_every_locale(self, api: Entry, locale: str) -> None:
        value = f"{MARK} größer 日本語"
        outcome = run(api, FakeAws(secrets={ONE: value}), request_for({ONE: {"A": None}}), {"LC_ALL": locale})
        assert outcome.environment["A"] == value

    def test_a_json_secret_can_be_one_value(self, api: Entry) -> None:
        text = json.dumps({"a": MARK})
        outcome = run(api, FakeAws(secrets={ONE: text}), request_for({ONE: {"A": None, "B": "a"}}))
        assert (outcome.environment["A"], outcome.environment["B"]) == (text, MARK)

    def test_only_the_two_places_are_replaced(self, either: Entry) -> None:
        templates = {
            "A": "{url}",
            "B": "{url}/e/{hook_id}",
            "C": "wss://{host}",
            "D": "{{url}} {host}{host} {URL} {} {0} \\1 $& $1 $(touch x) `touch y` 'q' \"q\"",
        }
        aws = FakeAws(parameters={"/dify/url": "https://dify.example.com:8443"})
        found = run(either, aws, url_request(templates)).environment
        assert found["A"] == "https://dify.example.com:8443"
        assert found["B"] == "https://dify.example.com:8443/e/{hook_id}"
        assert found["C"] == "wss://dify.example.com:8443"
        assert found["D"] == (
            "{https://dify.example.com:8443} dify.example.com:8443dify.example.com:8443 {URL} {} {0} "
            "\\1 $& $1 $(touch x) `touch y` 'q' \"q\""
        )
        assert not {"x", "y"} & {path.name for path in either.folder.iterdir()}
        assert not any(name.startswith("DIFY_CDK_URL") for name in found)

    def test_nothing_is_needed_where_nothing_is_fetched(self, either: Entry) -> None:
        """Neither credentials nor a region, and no service: the images run elsewhere too."""
        names = ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        outcome = either.run(None, {**dict.fromkeys(names), "PATH": os.defpath})
        assert (outcome.code, outcome.log, outcome.arguments) == (0, "", ["a b", "$(c)"])

    def test_a_role_without_session_will_do(self, either: Entry) -> None:
        aws = FakeAws(parameters={"/dify/url": URL}, token=None)
        outcome = run(either, aws, url_request(URL_TEMPLATES), {"AWS_SESSION_TOKEN": None})
        assert outcome.environment["CONSOLE_API_URL"] == URL

    def test_the_folders_are_there(self, api: Entry) -> None:
        folders = {
            name: str(api.folder / "cache" / name)
            for name in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME", "NUMBA_CACHE_DIR")
        }
        assert run(api, FakeAws(), folders).code == 0
        assert all(Path(folder).is_dir() for folder in folders.values())
        assert run(api, FakeAws(), folders).code == 0, "an environment that is used again"

    def test_the_folders_of_web_are_there(self, web: Entry) -> None:
        assert run(web, FakeAws()).code == 0
        assert (web.folder / "home").is_dir()
        assert (web.folder / "next").is_dir()


class TestTrouble:
    """What may pass is tried again, what will not is said at once."""

    @pytest.mark.parametrize(
        "failure",
        [
            Failure(status=500, code="InternalServiceError"),
            Failure(status=503, body="<html>Service Unavailable</html>"),
            Failure(status=429, body=""),
            THROTTLED,
            Failure(status=400, code="com.amazonaws.coral.availability#ThrottlingException"),
            Failure(),
            Failure(status=200, body='{"Parameter"', missing=9),
        ],
        ids=["500", "503", "429", "throttling", "namespace", "cut", "half"],
    )
    def test_what_may_pass_is_forgiven(self, either: Entry, failure: Failure) -> None:
        aws = FakeAws(parameters={"/dify/url": URL}, failures={"/dify/url": [failure]})
        outcome = run(either, aws, url_request(URL_TEMPLATES))
        assert outcome.environment["CONSOLE_API_URL"] == URL
        assert len(aws.received) == 2

    def test_two_failures_are_forgiven(self, either: Entry) -> None:
        aws = FakeAws(parameters={"/dify/url": URL}, failures={"/dify/url": [THROTTLED, Failure()]})
        outcome = run(either, aws, url_request(URL_TEMPLATES))
        assert outcome.environment["CONSOLE_API_URL"] == URL
        assert len(aws.received) == 3

    def test_a_secret_may_fail_twice_while_others_do_not(self, api: Entry) -> None:
        aws, request = whole_api()
        aws.failures = {arn(Purpose.SECRET_KEY): [THROTTLED, Failure()], arn(Purpose.CACHE): [THROTTLED]}
        outcome = run(api, aws, request)
        assert outcome.environment["SECRET_KEY"] == f"{MARK}-{arn('SecretKey')}"
        assert len(aws.received) == 9 + 3

    @pytest.mark.parametrize(
        ("failure", "message"),
        [
            (Failure(status=502, body="<html>"), "status 502"),
            (Failure(status=400, code="ThrottlingException", message="Rate\n exceeded"), "Rate exceeded"),
        ],
        ids=["502", "throttling"],
    )
    def test_fails_when_it_does_not_pass(self, either: Entry, failure: Failure, message: str) -> None:
        aws = FakeAws(parameters={"/dify/url": URL}, failures={"/dify/url": [failure] * 3})
        outcome = run(either, aws, url_request(URL_TEMPLATES))
        require_refused(outcome, f"{', '.join(URL_TEMPLATES)}: ", f"{message}, in 3 tries (/dify/url)")
        assert len(aws.received) == 3

    def test_fails_when_access_is_denied(self, either: Entry) -> None:
        message = (
            "User: arn:aws:sts::111122223333:assumed-role/f is not authorized to perform: ssm:GetParameter"
        )
        denied = Failure(status=400, code="AccessDeniedException", message=message)
        aws = FakeAws(failures={"/dify/url": [denied]})
        outcome = run(either, aws, url_request(URL_TEMPLATES))
        require_refused(outcome, f"AccessDeniedException {message} (/dify/url)")
        assert len(aws.received) == 1, "it is not asked again"

    def test_fails_when_there_is_no_parameter(self, either: Entry) -> None:
        outcome = run(either, FakeAws(), url_request({"A": "{url}"}))
        require_refused(outcome, "A: ParameterNotFound (/dify/url)")

    @pytest.mark.parametrize(
        "value",
        [
            "https://dify.example.com/",
            "https://dify.example.com/apps",
            "dify.example.com",
            "https://dify example.com",
            "https://dify.example.com\nA=b",
            "https://",
            "",
            None,
            {"url": 1},
        ],
        ids=str,
    )
    def test_fails_when_the_parameter_is_no_url(self, either: Entry, value: object) -> None:
        outcome = run(either, FakeAws(parameters={"/dify/url": value}), url_request({"A": "{url}"}))
        require_refused(outcome, "A: the parameter is no URL such as https://dify.example.com (/dify/url)")

    @pytest.mark.parametrize("body", ["", "null", "[]", '"x"', "{", '{"Parameter": "x"}'])
    def test_fails_when_the_answer_is_nonsense(self, either: Entry, body: str) -> None:
        aws = FakeAws(failures={"/dify/url": [Failure(status=200, body=body)]})
        require_refused(run(either, aws, url_request({"A": "{url}"})), "A: ", "(/dify/url)")

    @pytest.mark.parametrize(
        ("value", "field", "message"),
        [
            (b"\x00\x01" + MARK.encode(), None, "the secret is binary, text is needed"),
            (f"{MARK} no json", "f", "the secret is no JSON object, so it has no fields"),
            (f'["{MARK}"]', "f", "the secret is no JSON object, so it has no fields"),
            (f'{{"g": "{MARK}"}}', "f", "the secret has no field 'f'"),
            (f'{{"f": {{"g": "{MARK}"}}}}', "f", "field 'f' of the secret is no text"),
            ('{"f": 5432}', "f", "field 'f' of the secret is no text"),
            ('{"f": null}', "f", "field 'f' of the secret is no text"),
            ('{"f": ""}', "f", "field 'f' of the secret is empty"),
            (f'{{"f": "{MARK}\\u0000"}}', "f", "field 'f' of the secret contains a null character"),
            (f'{{"f": "{MARK}\\ud800"}}', "f", "field 'f' of the secret is no valid Unicode text"),
            (f"{MARK}\0", None, "the secret contains a null character"),
        ],
    )
    def test_fails_when_a_secret_is_not_what_it_should_be(
        self, api: Entry, value: str | bytes, field: str | None, message: str
    ) -> None:
        outcome = run(api, FakeAws(secrets={ONE: value}), request_for({ONE: {"A": field, "B": field}}))
        require_refused(outcome, f"A, B: {message} ({ONE})")

    def test_all_problems_are_said_in_one_go(self, api: Entry) -> None:
        aws, request = whole_api()
        denied = Failure(status=400, code="AccessDeniedException")
        aws.failures = {arn("SecretKey"): [denied], arn("DatabaseUser"): [denied], "/dify/url": [denied]}
        outcome = run(api, aws, request)
        require_refused(outcome)
        names = "DB_USERNAME, DB_PASSWORD, PGVECTOR_USER, PGVECTOR_PASSWORD"
        assert outcome.lines == [
            "cannot start:",
            f"{names}: AccessDeniedException ({arn('DatabaseUser')})",
            f"SECRET_KEY: AccessDeniedException ({arn('SecretKey')})",
            f"{', '.join(URL_TEMPLATES)}: AccessDeniedException (/dify/url)",
        ]

    def test_fails_when_nobody_listens(self, either: Entry) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            closed = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            outcome = either.run(None, {**url_request({"A": "{url}"}), **closed})
        assert "refused" in outcome.log.lower().replace("econnrefused", "refused")
        require_refused(outcome, f"A: 127.0.0.1:{port}: ", ", in 3 tries (/dify/url)")

    @pytest.mark.slow
    def test_silence_is_borne_as_long_as_lambda_waits(self, either: Entry) -> None:
        """The real limits, in the real process."""
        with QuietPort() as (port, accepted):
            silent = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            begin = time.monotonic()
            outcome = either.run(None, {**url_request({"A": "{url}"}), **silent})
            seconds = time.monotonic() - begin
            assert len(accepted()) == 3
        require_refused(outcome, f"A: 127.0.0.1:{port}: timed out, in 3 tries")
        assert 9 < seconds < 13

    def test_silence_is_a_failure(self, start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(start, "TIMEOUT_SECONDS", 0.05)
        monkeypatch.setattr(start, "PAUSES_SECONDS", (0.0, 0.0))
        environment = {
            **{name: value for name, value in url_request({"A": "{url}"}).items() if value is not None},
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with QuietPort() as (port, accepted):
            environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
            with pytest.raises(start.ProblemError, match=f"^A: 127.0.0.1:{port}: timed out, in 3 tries"):
                start.fetch(environment)
            assert len(accepted()) == 3


class QuietPort:
    """A port where every connection is accepted and nothing is ever said."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.connections: list[socket.socket] = []

    def __enter__(self) -> tuple[int, Callable[[], list[socket.socket]]]:
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(16)
        self.socket.setblocking(False)
        return self.socket.getsockname()[1], self.accepted

    def accepted(self) -> list[socket.socket]:
        """The connections that were made."""
        while True:
            try:
                self.connections.append(self.socket.accept()[0])
            except BlockingIOError:
                return self.connections

    def __exit__(self, *_: object) -> None:
        for connection in (*self.accepted(), self.socket):
            connection.close()


class TestMisuse:
    """What only a mistake in the template can cause is said in words that lead to it."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "DIFY_CDK_SECRETS is no JSON list"),
            ("{}", "DIFY_CDK_SECRETS is no JSON list"),
            ("[1]", "DIFY_CDK_SECRETS: None is no ARN of a secret"),
            ('[{"env": {"A": null}}]', "DIFY_CDK_SECRETS: None is no ARN of a secret"),
            ('[{"arn": "my-secret", "env": {"A": null}}]', "'my-secret' is no ARN of a secret"),
            (f'[{{"arn": "{ONE}"}}]', "is no JSON object"),
            (f'[{{"arn": "{ONE}", "env": ["A"]}}]', "is no JSON object"),
            (f'[{{"arn": "{ONE}", "env": {{}}}}]', "DIFY_CDK_SECRETS names no variable"),
            (f'[{{"arn": "{ONE}", "env": {{"A-B": null}}}}]', "'A-B' is no variable name"),
            (f'[{{"arn": "{ONE}", "env": {{"A=B": null}}}}]', "'A=B' is no variable name"),
            (f'[{{"arn": "{ONE}", "env": {{"A": 1}}}}]', "is neither text nor null"),
            (
                json.dumps([{"arn": name, "env": {"A": None}} for name in (ONE, arn("Two"))]),
                "A: asked for twice",
            ),
        ],
    )
    def test_fails_when_the_list_of_secrets_is_malformed(self, api: Entry, text: str, message: str) -> None:
        aws = FakeAws(secrets={ONE: MARK})
        require_refused(run(api, aws, {"DIFY_CDK_SECRETS": text}), message)
        assert aws.received == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[", "DIFY_CDK_URL_TEMPLATES is no JSON object"),
            ("[]", "DIFY_CDK_URL_TEMPLATES is no JSON object"),
            ("null", "DIFY_CDK_URL_TEMPLATES is no JSON object"),
            ("{}", "DIFY_CDK_URL_TEMPLATES names no variable"),
            ('{"A B": "{url}"}', "is no variable name"),
            (
                '{"A": "https://dify.example.com"}',
                "DIFY_CDK_URL_TEMPLATES: A contains neither {url} nor {host}",
            ),
            ('{"A": ["{url}"]}', "DIFY_CDK_URL_TEMPLATES: A contains neither {url} nor {host}"),
            (None, "DIFY_CDK_URL_PARAMETER and DIFY_CDK_URL_TEMPLATES go together"),
        ],
    )
    def test_fails_when_the_templates_are_malformed(
        self, either: Entry, text: str | None, message: str
    ) -> None:
        aws = FakeAws(parameters={"/dify/url": URL})
        request = {**url_request({}), "DIFY_CDK_URL_TEMPLATES": text}
        require_refused(run(either, aws, request), message)
        assert aws.received == []

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"DIFY_CDK_URL_PARAMETER": None}, "go together, only one of them is set"),
            ({"DIFY_CDK_URL_PARAMETER": "a b"}, "is no name of a parameter"),
            ({"AWS_REGION": None}, "AWS_REGION is not set"),
            ({"AWS_ACCESS_KEY_ID": None}, "AWS_ACCESS_KEY_ID is not set"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set"),
            ({"AWS_SECRET_ACCESS_KEY": f"{MARK}\n"}, "AWS_SECRET_ACCESS_KEY is malformed"),
            ({"AWS_SESSION_TOKEN": f"{MARK}\r\nX-Forged: 1"}, "AWS_SESSION_TOKEN is malformed"),
            ({"AWS_ENDPOINT_URL": "127.0.0.1:4566"}, "AWS_ENDPOINT_URL is not of the form https://host:port"),
            ({"AWS_ENDPOINT_URL_SSM": "http://h/p"}, "AWS_ENDPOINT_URL_SSM is not of the form"),
            ({"AWS_ENDPOINT_URL_SSM": "http://h:p"}, "AWS_ENDPOINT_URL_SSM is not of the form"),
        ],
        ids=str,
    )
    def test_fails_when_a_request_cannot_be_made(
        self, either: Entry, settings: dict[str, str | None], message: str
    ) -> None:
        aws = FakeAws(parameters={"/dify/url": URL})
        require_refused(run(either, aws, url_request(URL_TEMPLATES), settings), message)
        assert aws.received == []

    def test_fails_when_a_variable_comes_from_two_places(self, api: Entry) -> None:
        both = {**request_for({ONE: {"A": None}}), **url_request({"A": "{url}"})}
        require_refused(run(api, FakeAws(secrets={ONE: MARK}), both), "A: asked for twice")

    def test_fails_without_a_program(self, either: Entry) -> None:
        require_refused(either.run(program=[]), "no program is given")

    def test_fails_when_there_is_no_such_program(self, api: Entry) -> None:
        outcome = api.run(program=["/nowhere/program"])
        require_refused(outcome, "cannot start: /nowhere/program: No such file or directory")

    def test_fails_when_a_folder_cannot_be_made(self, api: Entry) -> None:
        outcome = api.run(settings={"HF_HOME": "/dev/null/cache"})
        require_refused(outcome, "HF_HOME: cannot make /dev/null/cache: Not a directory")


class TestSigning:
    @given(
        body=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
        host=st.from_regex(r"[a-z0-9]{1,12}(\.[a-z]{2,5}){1,2}(:[1-9][0-9]{1,3})?", fullmatch=True),
        secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
        token=st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
        region=st.sampled_from(["us-east-1", "ap-northeast-1"]),
        service=st.sampled_from(["secretsmanager", "ssm"]),
    )
    @settings(deadline=None)
    def test_it_is_what_botocore_computes(
        self,
        start: ModuleType,
        *,
        body: dict[str, str],
        host: str,
        secret: str,
        token: str | None,
        region: str,
        service: str,
    ) -> None:
        source = start.Source(
            service=service, region=region, target=f"{service}.Get", parameters=body, variables=[], read=dict
        )
        payload = json.dumps(body).encode()
        credentials = start.Credentials(key=KEY, secret=secret, token=token)
        headers = start.signed_headers(source, host, payload, credentials, "20261122T203000Z")
        proof = headers.pop("authorization")
        wanted = signature_of(headers, payload, secret=secret, region=region, service=service)
        assert proof.endswith(f"Signature={wanted}")
        assert f"Credential={KEY}/20261122/{region}/{service}/aws4_request, " in proof

    def test_credentials_hide_what_is_secret(self, start: ModuleType) -> None:
        shown = repr(start.Credentials(key=KEY, secret=SECRET_KEY, token=TOKEN))
        assert KEY in shown
        assert SECRET_KEY not in shown
        assert TOKEN not in shown


class TestWhere:
    def test_the_services_are_where_botocore_finds_them(self, start: ModuleType) -> None:
        session = botocore.session.Session()
        resolver = EndpointResolver(Loader().load_data("endpoints"))
        regions = set(session.get_available_regions("ssm")) & set(
            session.get_available_regions("secretsmanager")
        )
        assert len(regions) > 20
        for region in regions:
            for service in ("ssm", "secretsmanager"):
                source = start.Source(
                    service=service, region=region, target="", parameters={}, variables=[], read=dict
                )
                known = resolver.construct_endpoint(service, region)
                assert known is not None
                assert start.endpoint_of(source, {}) == f"https://{known['hostname']}"

    def test_a_secret_is_asked_for_in_its_own_region(self, start: ModuleType) -> None:
        (entry,) = request_for({arn("A", "sa-east-1"): {"A": None}}).values()
        (source,) = start.secret_sources(entry)
        assert start.endpoint_of(source, {}) == "https://secretsmanager.sa-east-1.amazonaws.com"

    def test_each_service_can_have_an_endpoint_of_its_own(self, api: Entry) -> None:
        secrets, parameters = FakeAws(secrets={ONE: MARK}), FakeAws(parameters={"/dify/url": URL})
        request = {**request_for({ONE: {"A": None}}), **url_request({"B": "{url}"})}
        with serve(secrets), serve(parameters):
            settings = {
                **request,
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
                "AWS_ENDPOINT_URL_SSM": f"{parameters.url}/",
            }
            outcome = api.run(None, settings)
        assert (outcome.environment["A"], outcome.environment["B"]) == (MARK, URL)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, which sign themselves."""
    folder = tmp_path_factory.mktemp("certificate")
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "crt"))
    command = [str(OPENSSL), *options.split(), "-addext", "subjectAltName=IP:127.0.0.1", *files]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key").read_text() + (folder / "crt").read_text())
    return both


@pytest.mark.skipif(OPENSSL is None, reason="makes its certificate with openssl")
class TestEncryption:
    def test_a_certificate_that_is_trusted_will_do(self, either: Entry, certificate: Path) -> None:
        trusted = str(certificate.with_name("crt"))
        with serve(FakeAws(parameters={"/dify/url": URL}), certificate) as aws:
            settings = {"SSL_CERT_FILE": trusted, "NODE_EXTRA_CA_CERTS": trusted}
            outcome = either.run(aws, {**url_request({"A": "{url}"}), **settings})
        assert outcome.environment["A"] == URL

    def test_fails_when_nobody_vouches_for_the_certificate(self, either: Entry, certificate: Path) -> None:
        with serve(FakeAws(parameters={"/dify/url": URL}), certificate) as aws:
            outcome = either.run(aws, url_request({"A": "{url}"}))
        require_refused(outcome, "A: 127.0.0.1:", "in 3 tries")
        assert "CERT" in outcome.log
        assert aws.received == []


class TestWeb:
    def test_every_variable_is_one_line(self, web: Entry) -> None:
        """Else a text could set further ones."""
        outcome = run(web, FakeAws(parameters={"/dify/url": URL}), url_request({"A": "{url}\nB=c"}))
        require_refused(outcome, "A has more than one line")

    def test_node_is_not_started_for_nothing(self, web: Entry) -> None:
        outcome = web.run(settings={"PATH": os.defpath}, program=["/bin/sh", "-c", 'echo "$PATH"'])
        assert outcome.output == f"{Path(WEB[1]).parent}:{os.defpath}\n"

    @pytest.mark.parametrize(
        "entrypoint",
        [
            "pm2 start ./server.js --name dify-web --cwd . -i ${PM2_INSTANCES:-2} --no-daemon",
            "exec node ./server.js",
        ],
        ids=["with pm2", "without"],
    )
    def test_one_server_is_started_whatever_starts_it(
        self, web: Entry, tmp_path: Path, entrypoint: str
    ) -> None:
        # GIVEN the scripts as the image has them, and an entry script of Dify's kind
        folder = tmp_path / "opt"
        shutil.copytree(Path(WEB[1]).parent, folder)
        for path in folder.iterdir():
            path.chmod(0o755)
        server = (
            "console.log(JSON.stringify([process.ppid, process.pid, process.env.NEXT_PUBLIC_API_PREFIX]))"
        )
        (tmp_path / "server.js").write_text(server)
        prefix = "export NEXT_PUBLIC_API_PREFIX=${CONSOLE_API_URL}/console/api"
        (tmp_path / "entrypoint.sh").write_text(f"set -e\n{prefix}\n{entrypoint}\n")
        entry = Entry(command=["/bin/sh", str(folder / "start.sh")], folder=tmp_path)
        # WHEN it is started as the image's CMD says
        with serve(FakeAws(parameters={"/dify/url": URL})) as aws:
            program = ["/bin/sh", "./entrypoint.sh"]
            outcome = entry.run(aws, url_request({"CONSOLE_API_URL": "{url}"}), program)
        assert outcome.log == ""
        parent, _, found = json.loads(outcome.output)
        assert found == f"{URL}/console/api"
        assert (parent == os.getpid()) is (not entrypoint.startswith("pm2")), "nothing stands in between"

    def test_the_stand_in_does_nothing_else(self) -> None:
        pm2 = Path(WEB[1]).with_name("pm2")
        done = subprocess.run(["/bin/sh", pm2, "monit"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "pm2 monit" in done.stderr

    def test_the_scripts_need_no_package(self) -> None:
        text = Path(WEB[1]).with_name("public_url.mjs").read_text(encoding="utf-8")
        sources = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith("import ")]
        assert sources
        assert all(source.startswith('"node:') for source in sources)


def imported_by(command: Sequence[str]) -> set[str]:
    """Top-level modules that a Python command loads."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines} - {"imported package"}


class TestCost:
    def test_only_the_standard_library_is_loaded(self) -> None:
        loaded = imported_by([sys.executable, "-X", "importtime", "-I", "-S", str(START)])
        assert {"http", "ssl", "json"} <= loaded
        # "org" is what the module copy looks for on Jython, here in vain.
        assert loaded - sys.stdlib_module_names <= {"org"}

    @pytest.mark.slow
    def test_it_takes_little_processor_time(self, capsys: pytest.CaptureFixture[str]) -> None:
        seconds = fetcher_cpu_seconds()
        with capsys.disabled():
            print(f"\nprocessor time of the api's entry script: {seconds:.3f} s, the goal is 0.3 s")
        assert seconds < 1.0


def test_the_printer_prints_what_is_there(tmp_path: Path) -> None:
    """The tests see the environment through it."""
    entry = Entry(command=["/usr/bin/env"], folder=tmp_path)
    outcome = entry.run(settings={"A": "ü\nb"}, program=PRINTER)
    assert outcome.environment["A"] == "ü\nb"
