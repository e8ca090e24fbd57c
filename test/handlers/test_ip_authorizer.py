"""The IP authorizer: in Python, in JavaScript, and both against arithmetic and ``ipaddress``."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.cdk_helpers.assets import handler_dir, node_binary

FOLDER = handler_dir("ip_authorizer")
BITS = {4: 32, 6: 128}
EVERYONE = {"ALLOWED_IPV4": "0.0.0.0/0", "ALLOWED_IPV6": "::/0"}
OFFICE = {"ALLOWED_IPV4": "203.0.113.0/24,198.51.100.7/32", "ALLOWED_IPV6": "2001:db8:1::/48"}


def event_from(address: object) -> dict[str, Any]:
    """What API Gateway sends, payload format 2.0."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:111122223333:abcdef1234/$default/GET/console/api/setup",
        "identitySource": [address],
        "routeKey": "ANY /console/api/{proxy+}",
        "rawPath": "/console/api/setup",
        "rawQueryString": "",
        "headers": {"host": "abcdef1234.execute-api.eu-west-1.amazonaws.com", "x-forwarded-for": "10.0.0.1"},
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "abcdef1234",
            "http": {
                "method": "GET",
                "path": "/console/api/setup",
                "protocol": "HTTP/1.1",
                "sourceIp": address,
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
            "timeEpoch": 1763812800000,
        },
        "pathParameters": {"proxy": "setup"},
    }


def start(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as Lambda starts it, with nothing else of the package to be found."""
    for name in EVERYONE:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("ip_authorizer_at_start", FOLDER / "authorizer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def authorizer() -> ModuleType:
    """The module, for its pure functions."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return start(OFFICE, monkeypatch)


@dataclass(frozen=True)
class Network:
    """A network as plain numbers, and as written."""

    version: int
    first: int
    prefix: int

    @property
    def host_bits(self) -> int:
        return BITS[self.version] - self.prefix

    def has(self, version: int, number: int) -> bool:
        return self.version == version and number >> self.host_bits == self.first >> self.host_bits

    def __str__(self) -> str:
        return f"{write(self.version, self.first)}/{self.prefix}"


def write(version: int, number: int) -> str:
    """An address in its longest form, written without the library under test."""
    if version == 4:
        return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))
    return ":".join(f"{number >> shift & 0xFFFF:04x}" for shift in range(112, -1, -16))


def environment_of(networks: Sequence[Network]) -> dict[str, str]:
    return {
        f"ALLOWED_IPV{version}": ",".join(str(each) for each in networks if each.version == version)
        for version in BITS
    }


versions = st.sampled_from(sorted(BITS))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    version = draw(versions)
    prefix = draw(st.integers(0, BITS[version]))
    number = draw(st.integers(0, 2 ** BITS[version] - 1))
    host_bits = BITS[version] - prefix
    return Network(version, number >> host_bits << host_bits, prefix)


@st.composite
def lists_and_addresses(draw: st.DrawFn) -> tuple[list[Network], int, int]:
    """Networks, and an address that is in one of them, next to one, or anywhere."""
    listed = draw(st.lists(networks(), max_size=6))
    is_near: bool = draw(st.booleans())
    if listed and is_near:
        near = draw(st.sampled_from(listed))
        offset = draw(st.integers(-1, 2**near.host_bits))
        return listed, near.version, (near.first + offset) % 2 ** BITS[near.version]
    version = draw(versions)
    return listed, version, draw(st.integers(0, 2 ** BITS[version] - 1))


def is_mapped(version: int, number: int) -> bool:
    return version == 6 and number >> 32 == 0xFFFF


# ---- the decision


@given(lists_and_addresses())
def test_an_address_enters_exactly_if_its_first_bits_are_those_of_a_network(
    authorizer: ModuleType, case: tuple[list[Network], int, int]
) -> None:
    listed, version, number = case
    found = authorizer.read_networks(environment_of(listed))
    assert len(found) == len(listed)
    if is_mapped(version, number):
        version, number = 4, number & 0xFFFFFFFF
    expected = any(network.has(version, number) for network in listed)
    assert authorizer.is_allowed(write(version, number), found) is expected


@given(lists_and_addresses())
def test_a_mapped_address_is_decided_as_ipv4_however_it_is_written(
    authorizer: ModuleType, case: tuple[list[Network], int, int]
) -> None:
    listed, _, number = case
    number &= 0xFFFFFFFF
    found = authorizer.read_networks(environment_of(listed))
    expected = any(network.has(4, number) for network in listed)
    dotted = write(4, number)
    hexadecimal = f"{number >> 16:x}:{number & 0xFFFF:x}"
    for text in (f"::ffff:{dotted}", f"::FFFF:{hexadecimal}", f"0:0:0:0:0:ffff:{dotted}"):
        assert authorizer.is_allowed(text, found) is expected


def test_ipv6_networks_never_let_a_mapped_address_in(authorizer: ModuleType) -> None:
    found = authorizer.read_networks({"ALLOWED_IPV6": "::/0,::ffff:0:0/96"})
    assert authorizer.is_allowed("2001:db8::1", found)
    assert not authorizer.is_allowed("::ffff:203.0.113.1", found)


NOT_PLAIN = [
    *("", " ", "localhost", "unknown", "*", "0", "3405803777", "0xcb007101"),
    *("203.0.113", "203.0.113.1.1", "203.0.113.256", "203.0.113.01", "203.0.113.-1", "203.0.113.+1"),
    *("203.0.113.1 ", " 203.0.113.1", "203.0.113.1\n", "203.0.113.1,10.0.0.1", "203.0.113.1/32"),
    *("203.0.113.1:443", "[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1/128"),
    *("fe80::1%eth0", "2001:db8::1%1", "2001:db8::1%", "::ffff:203.0.113.1%1"),
    *(":", ":::", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"),
    *(
        "1::2:3:4:5:6:7:8",
        "::12345",
        "::g",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
    ),
    *("\u0662\u0660\u0663.0.113.1", "\uff12\uff10\uff13.0.113.1", "203\u30020\u3002113\u30021"),
]


@pytest.mark.parametrize("address", NOT_PLAIN)
def test_what_is_no_plain_address_enters_nowhere(authorizer: ModuleType, address: str) -> None:
    found = authorizer.read_networks(EVERYONE)
    assert authorizer.is_allowed("203.0.113.1", found)
    assert authorizer.is_allowed("2001:db8::1", found)
    assert not authorizer.is_allowed(address, found)


@given(st.text(alphabet=st.characters(exclude_characters="0123456789abcdefABCDEF:."), min_size=1), st.data())
def test_other_characters_never_enter(authorizer: ModuleType, foreign: str, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(["203.0.113.1", "2001:db8::1"]))
    place = data.draw(st.integers(0, len(good)))
    found = authorizer.read_networks(EVERYONE)
    assert not authorizer.is_allowed(good[:place] + foreign + good[place:], found)


# ---- the list

# Variable, its value, and which entry is wrong.
MALFORMED = [
    ("ALLOWED_IPV4", "203.0.113.0", 1),
    ("ALLOWED_IPV4", "203.0.113.1/24", 1),
    ("ALLOWED_IPV4", "203.0.113.0/33", 1),
    ("ALLOWED_IPV4", "203.0.113.0/024", 1),
    ("ALLOWED_IPV4", "203.0.113.0/-1", 1),
    ("ALLOWED_IPV4", "203.0.113.0/24/24", 1),
    ("ALLOWED_IPV4", "203.0.113.0/", 1),
    ("ALLOWED_IPV4", "/24", 1),
    ("ALLOWED_IPV4", "203.0.113.0/255.255.255.0", 1),
    ("ALLOWED_IPV4", "203.0.113.0/0.0.0.255", 1),
    ("ALLOWED_IPV4", "203.0.113.0/24,", 2),
    ("ALLOWED_IPV4", ",203.0.113.0/24", 1),
    ("ALLOWED_IPV4", "203.0.113.0/24,,198.51.100.7/32", 2),
    ("ALLOWED_IPV4", "203.0.113.0/24, 198.51.100.7/32", 2),
    ("ALLOWED_IPV4", "203.0.113.0/24 198.51.100.7/32", 1),
    ("ALLOWED_IPV4", "203.0.113.0/24\n", 1),
    ("ALLOWED_IPV4", "2001:db8::/32", 1),
    ("ALLOWED_IPV4", "::ffff:203.0.113.0/120", 1),
    ("ALLOWED_IPV6", "203.0.113.0/24", 1),
    ("ALLOWED_IPV6", "2001:db8::1/32", 1),
    ("ALLOWED_IPV6", "2001:db8::/129", 1),
    ("ALLOWED_IPV6", "fe80::%eth0/64", 1),
    ("ALLOWED_IPV6", "2001:db8::", 1),
    ("ALLOWED_IPV4", "office", 1),
    ("ALLOWED_IPV4", "[]", 1),
]
LONELY = [{}, {"ALLOWED_IPV4": ""}, {"ALLOWED_IPV4": "", "ALLOWED_IPV6": ""}]


@pytest.mark.parametrize(("variable", "text", "entry"), MALFORMED)
def test_fails_closed_when_an_entry_is_malformed(
    variable: str,
    text: str,
    entry: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # GIVEN lists that would let everybody in, but for one entry
    everyone = EVERYONE[variable]
    # WHEN Lambda starts the function and it is asked several times
    module = start({**EVERYONE, variable: f"{everyone},{text},{everyone}"}, monkeypatch)
    answers = [module.handler(event_from(address), None) for address in ("203.0.113.1", "2001:db8::1")]
    # THEN nobody enters, and one line says why, without any address
    assert answers == [{"isAuthorized": False}] * 2
    example = {"ALLOWED_IPV4": "203.0.113.0/24", "ALLOWED_IPV6": "2001:db8::/32"}[variable]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    reason = f"entry {entry + 1} of {variable} is no network such as {example}"
    assert record.message == f"nobody may enter: {reason}"


@pytest.mark.parametrize("environment", LONELY, ids=["missing", "one empty", "both empty"])
def test_fails_closed_when_there_is_no_list(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = start(environment, monkeypatch)
    assert module.handler(event_from("203.0.113.1"), None) == {"isAuthorized": False}
    assert [record.message for record in caplog.records] == ["nobody may enter: no network is listed"]


# ---- the function

VERDICTS = {
    "203.0.113.77": True,
    "198.51.100.7": True,
    "198.51.100.8": False,
    "192.0.2.1": False,
    "2001:db8:1:ffff::1": True,
    "2001:db8:2::1": False,
    "::ffff:203.0.113.77": True,
    "::ffff:192.0.2.1": False,
}
STRANGE_EVENTS: list[Any] = [
    *(None, [], {}, "203.0.113.1", {"requestContext": None}, {"requestContext": {"http": []}}),
    *(event_from(address) for address in (None, 0, 3405803777, ["203.0.113.1"], {"a": "b"}, True, "")),
]


def test_the_function_answers_in_the_simple_form(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = start(OFFICE, monkeypatch)
    answers = {address: module.handler(event_from(address), None) for address in VERDICTS}
    assert answers == {address: {"isAuthorized": verdict} for address, verdict in VERDICTS.items()}
    assert caplog.records == []


@pytest.mark.parametrize("event", STRANGE_EVENTS, ids=str)
def test_an_event_without_an_address_enters_nowhere(event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = start(EVERYONE, monkeypatch)
    assert module.handler(event_from("203.0.113.1"), None) == {"isAuthorized": True}
    assert module.handler(event, None) == {"isAuthorized": False}


def test_headers_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    module = start({"ALLOWED_IPV4": "10.0.0.0/8"}, monkeypatch)
    event = event_from("203.0.113.1")
    assert event["headers"]["x-forwarded-for"].startswith("10.")
    assert module.handler(event, None) == {"isAuthorized": False}


def test_the_list_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = start(OFFICE, monkeypatch)
    monkeypatch.setenv("ALLOWED_IPV4", "0.0.0.0/0")
    assert module.handler(event_from("192.0.2.1"), None) == {"isAuthorized": False}


# ---- the same for LLRT, in Node

QUESTIONS = """
import { createInterface } from "node:readline";
const { isAllowed, readNetworks } = await import(process.argv[1]);
const answer = ({ address, environment }) => {
  let networks;
  try {
    networks = readNetworks(environment);
  } catch (error) {
    return error.message;
  }
  return isAllowed(address, networks);
};
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
"""
EVENTS = """
import { createInterface } from "node:readline";
const { handler } = await import(process.argv[1]);
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await handler(JSON.parse(line), {})));
}
"""


@dataclass(frozen=True)
class Run:
    """What a Node process answered, line by line, and what it wrote as errors."""

    answers: list[Any]
    errors: str


def node(script: str, questions: Sequence[Any], environment: Mapping[str, str]) -> Run:
    program = node_binary()
    assert program is not None
    run = subprocess.run(
        [program, "--input-type=module", "--eval", script, (FOLDER / "index.mjs").as_uri()],
        input="".join(json.dumps(question) + "\n" for question in questions),
        env=dict(environment),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(questions)
    return Run(answers=answers, errors=run.stderr)


class Cases:
    """Random questions, the same ones in every run."""

    def __init__(self) -> None:
        self._random = random.Random(20)

    def number(self, version: int) -> int:
        """Any number, often with many zero bits, so that ``::`` and mapped addresses come up."""
        number = self._random.getrandbits(BITS[version])
        if self._random.random() < 0.5:
            number &= self._random.getrandbits(BITS[version]) & self._random.getrandbits(BITS[version])
        if version == 6 and self._random.random() < 0.4:
            number >>= self._random.choice((16, 48, 64, 80, 96, 112))
        if version == 6 and self._random.random() < 0.15:
            number = 0xFFFF << 32 | number & 0xFFFFFFFF
        return number

    def network(self) -> Network:
        version = self._random.choice((4, 6))
        prefix = self._random.randint(0, BITS[version])
        host_bits = BITS[version] - prefix
        return Network(version, self.number(version) >> host_bits << host_bits, prefix)

    def address(self, listed: Sequence[Network]) -> str:
        if listed and self._random.random() < 0.5:
            near = self._random.choice(listed)
            offset = self._random.randint(-1, 2**near.host_bits)
            return self.written(near.version, (near.first + offset) % 2 ** BITS[near.version])
        version = self._random.choice((4, 6))
        return self.written(version, self.number(version))

    def written(self, version: int, number: int) -> str:
        """One of the forms of an address."""
        if version == 4:
            dotted = write(4, number)
            return self._random.choice((dotted, dotted, dotted, f"::ffff:{dotted}"))
        address = ipaddress.IPv6Address(number)
        mixed = write(6, number)[:30] + write(4, number & 0xFFFFFFFF)
        return self._random.choice((str(address), address.exploded, str(address).upper(), mixed))

    def spoiled(self, text: str) -> str:
        """The text with one character removed, doubled, replaced or added."""
        place = self._random.randrange(len(text))
        other = self._random.choice("0123456789afgx:.%/ ,-[]")
        return self._random.choice(
            (
                text[:place] + text[place + 1 :],
                text[:place] + text[place] + text[place:],
                text[:place] + other + text[place + 1 :],
                text[:place] + other + text[place:],
            )
        )

    def question(self) -> dict[str, Any]:
        listed = [self.network() for _ in range(self._random.randrange(5))]
        address = self.address(listed)
        environment = environment_of(listed)
        if self._random.random() < 0.25:
            address = self.spoiled(address)
        if listed and self._random.random() < 0.1:
            name = self._random.choice([name for name, text in environment.items() if text])
            environment[name] = self.spoiled(environment[name])
        return {"address": address, "environment": environment}


def expected_of(question: dict[str, Any], authorizer: ModuleType) -> bool | str:
    """The verdict by ``ipaddress``, or which entry is malformed."""
    try:
        found = authorizer.read_networks(question["environment"])
    except ValueError as error:
        return str(error)
    try:
        address = ipaddress.ip_address(question["address"])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    return any(address in network for network in found)


def test_javascript_and_python_decide_like_ipaddress(authorizer: ModuleType) -> None:
    # GIVEN thousands of random lists and addresses, some of them spoiled
    cases = Cases()
    questions = [cases.question() for _ in range(15_000)]
    expected = [expected_of(question, authorizer) for question in questions]
    # THEN they cover every verdict
    assert min(expected.count(True), expected.count(False)) > 2000
    assert sum(isinstance(verdict, str) for verdict in expected) > 300
    assert sum("%" in question["address"] for question in questions) > 50
    assert sum("ffff:" in question["address"] for question in questions) > 1000
    # AND JavaScript agrees on all of them, as does Python
    answers = node(QUESTIONS, questions, {}).answers
    wrong = [row for row in zip(questions, expected, answers, strict=True) if row[1] != row[2]]
    assert wrong == []
    for question, verdict in zip(questions, expected, strict=True):
        if isinstance(verdict, bool):
            found = authorizer.read_networks(question["environment"])
            assert authorizer.is_allowed(question["address"], found) is verdict, question


def test_javascript_refuses_what_python_refuses(authorizer: ModuleType) -> None:
    addresses = [*NOT_PLAIN, "203.0.113.1", "2001:db8::1"]
    questions = [{"address": address, "environment": EVERYONE} for address in addresses]
    lists = [{variable: text} for variable, text, _ in MALFORMED] + LONELY
    questions += [{"address": "203.0.113.1", "environment": environment} for environment in lists]
    answers = node(QUESTIONS, questions, {}).answers
    assert answers == [expected_of(question, authorizer) for question in questions]
    assert answers.count(True) == 2


def test_the_javascript_function_answers_like_the_python_one() -> None:
    run = node(EVENTS, [event_from(address) for address in VERDICTS], OFFICE)
    assert run == Run(answers=[{"isAuthorized": verdict} for verdict in VERDICTS.values()], errors="")
    strange = node(EVENTS, [event_from("203.0.113.1"), *STRANGE_EVENTS], EVERYONE)
    assert strange.answers == [{"isAuthorized": True}, *[{"isAuthorized": False}] * len(STRANGE_EVENTS)]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "no network is listed"),
        ({**EVERYONE, "ALLOWED_IPV4": "0.0.0.0/0,office"}, "entry 2 of ALLOWED_IPV4 is no network such as"),
    ],
    ids=["missing", "malformed"],
)
def test_the_javascript_function_fails_closed(environment: dict[str, str], line: str) -> None:
    run = node(EVENTS, [event_from(address) for address in VERDICTS], environment)
    assert run.answers == [{"isAuthorized": False}] * len(VERDICTS)
    assert run.errors.count("\n") == 1
    assert f"nobody may enter: {line}" in run.errors


def test_the_javascript_file_stands_alone() -> None:
    assert not re.search(r"\b(import|require)\b(?!s)", (FOLDER / "index.mjs").read_text(encoding="utf-8"))
