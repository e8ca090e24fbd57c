"""The viewer-request function, run in Node as CloudFront would run it, against ``ipaddress``."""

from __future__ import annotations

import copy
import ipaddress
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from dify_cdk.cdk_helpers.assets import node_binary
from dify_cdk.frontends.parts.clients import Everybody, Networks
from dify_cdk.frontends.parts.viewer_function import code
from viewer import INSIDE, Event, event_of, run

BITS = {4: 32, 6: 128}
TOKENS = {"${Token[TOKEN.12]}": "192.0.2.7", "${Token[TOKEN.13]}": "198.51.100.9"}
OFFICE = {"ipv4": ["203.0.113.0/24", "198.51.100.7/32"], "ipv6": ["2001:db8:1::/48"]}
OUTSIDE = "192.0.2.1"


def deployed(source: str) -> str:
    """The code as CloudFormation writes it."""
    for token, address in TOKENS.items():
        source = source.replace(token, address)
    return source


OFFICE_CODE = deployed(code(Networks(**OFFICE, addresses=list(TOKENS))))
ANYONE_CODE = code(Everybody())


def answer(event: Event, source: str = OFFICE_CODE) -> Event:
    (only,) = run([source], [(0, event)])
    return only


def enters(answered: Event) -> bool:
    return "statusCode" not in answered


# ---- who may enter


def may_enter(address: str, networks: Sequence[str]) -> bool:
    """What the standard library says."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if "%" in address:  # the library knows zones, CloudFront's viewers have none
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in ipaddress.ip_network(network) for network in networks)


KINDS: dict[int, type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]] = {
    4: ipaddress.IPv4Address,
    6: ipaddress.IPv6Address,
}


@dataclass
class Cases:
    """Random lists and addresses, the same ones in every run."""

    source: random.Random = field(default_factory=lambda: random.Random(41))

    def number(self, version: int) -> int:
        """Any number, often with many zero bits, so that ``::`` and mapped addresses come up."""
        number = self.source.getrandbits(BITS[version])
        if version == 6 and self.source.random() < 0.5:
            number >>= self.source.choice((16, 48, 64, 80, 96, 112))
        if version == 6 and self.source.random() < 0.2:
            number = 0xFFFF << 32 | number & 0xFFFFFFFF
        return number

    def networks(self, version: int, count: int) -> list[str]:
        found = []
        for _ in range(self.source.randint(0, count)):
            prefix = self.source.choice((self.source.randint(0, BITS[version]), BITS[version], 24))
            host_bits = BITS[version] - prefix
            first = KINDS[version](self.number(version) >> host_bits << host_bits)
            found.append(f"{first}/{prefix}")
        return found

    def address(self, networks: Sequence[str]) -> str:
        """An address in a network, at one of its edges, just outside, or anywhere."""
        version = self.source.choice((4, 6))
        number = self.number(version)
        if networks and self.source.random() < 0.75:
            near = ipaddress.ip_network(self.source.choice(networks))
            version = near.version
            size = near.num_addresses
            offset = self.source.choice((-1, 0, size - 1, size, self.source.randrange(size)))
            number = (int(near.network_address) + offset) % 2 ** BITS[version]
        return self.written(version, number)

    def written(self, version: int, number: int) -> str:
        """One of the forms of an address, a broken one now and then."""
        if version == 4:
            dotted = str(ipaddress.IPv4Address(number))
            text = self.source.choice(
                (dotted, dotted, f"::ffff:{dotted}", f"::FFFF:{number >> 16:x}:{number & 0xFFFF:x}")
            )
        else:
            address = ipaddress.IPv6Address(number)
            dotted = str(ipaddress.IPv4Address(number & 0xFFFFFFFF))
            mixed = f"{address.exploded[:30]}{dotted}"
            text = self.source.choice((str(address), address.exploded, str(address).upper(), mixed))
        return self.spoiled(text) if self.source.random() < 0.15 else text

    def spoiled(self, text: str) -> str:
        """The text with one character removed, replaced, added or doubled."""
        place = self.source.randrange(len(text))
        other = self.source.choice("0123456789afgx:.%/ ,-[]\n")
        middle = self.source.choice(("", other, other + text[place], text[place] * 2))
        return text[:place] + middle + text[place + 1 :]


def test_every_address_is_decided_as_the_standard_library_decides() -> None:
    # GIVEN hundreds of random lists, each with addresses in and around its networks
    cases = Cases()
    sources, questions, expected = [], [], []
    for number in range(400):
        lists = {"ipv4": cases.networks(4, 8), "ipv6": cases.networks(6, 5)}
        tokens = list(TOKENS) if number % 3 == 0 or not any(lists.values()) else []
        sources.append(deployed(code(Networks(**lists, addresses=tokens))))
        networks = [*lists["ipv4"], *lists["ipv6"], *(f"{TOKENS[token]}/32" for token in tokens)]
        for _ in range(40):
            address = cases.address(networks)
            questions.append((number, event_of(address)))
            expected.append(may_enter(address, networks))
    # WHEN the code of each list is asked
    answers = [enters(one) for one in run(sources, questions)]
    # THEN no verdict differs, and the cases were worth asking
    asked = [event["viewer"]["ip"] for _, event in questions]
    assert [row for row in zip(asked, expected, answers, strict=True) if row[1] is not row[2]] == []
    assert len(questions) == 16_000
    assert min(Counter(expected).values()) > 4_000
    assert sum(1 for address in asked if not may_enter(address, ["0.0.0.0/0", "::/0"])) > 1_000


@pytest.mark.parametrize("address", list(TOKENS.values()))
def test_addresses_of_the_deployment_may_enter(address: str) -> None:
    neighbour = str(ipaddress.IPv4Address(address) + 1)
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    asked = [address, f"::ffff:{address}", mapped.exploded, neighbour]
    assert [enters(answer(event_of(one))) for one in asked] == [True, True, True, False]


def test_a_deployment_that_yields_no_address_lets_nobody_else_in() -> None:
    source = code(Networks(addresses=["${Token[TOKEN.12]}"]))
    for value in ("", "undefined", "0.0.0.0/0", "::/0", "*"):
        broken = source.replace("${Token[TOKEN.12]}", value)
        asked = [OUTSIDE, "2001:db8::1", "0.0.0.0", "::", "", value, None]
        assert not any(map(enters, run([broken], [(0, event_of(address)) for address in asked])))


NO_ADDRESSES: list[object] = [
    *(None, 0, 3405803777, True, [INSIDE], {"ip": INSIDE}, "", " ", "-", "localhost", "4cb007101", "unknown"),
    *(f"{INSIDE}\n", f"\n{INSIDE}", f"{INSIDE} ", f"{INSIDE}:443", f"{INSIDE}/32", f"{INSIDE}, {INSIDE}"),
    *("203.0.113", "203.0.113.256", "203.0.113.01", "203.0.113.1.1", "203.0.113.1e1", "0xcb.0.113.1"),
    *("[2001:db8:1::1]", "2001:db8:1::1%eth0", "2001:db8:1::12345", "2001:db8:1::1::", ":::", "1::2::3"),
    *("1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:", "1::2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8::", "1:2:3:4:5:6:7"),
    *("1:2:3:4:5:6:1.2.3.999", "::1.2.3.4:5", "1.2.3.4::", "\u0662\u0660\u0663.0.113.1", "::\uff11"),
]


def test_what_is_no_plain_address_enters_nowhere() -> None:
    source = code(Networks(ipv4=["0.0.0.0/0"], ipv6=["::/0"]))
    asked = [*NO_ADDRESSES, "203.0.113.1", "2001:db8::1"]
    verdicts = [enters(one) for one in run([source], [(0, event_of(address)) for address in asked])]
    assert verdicts == [*[False] * len(NO_ADDRESSES), True, True]


def test_who_may_not_enter_gets_an_error_that_nobody_keeps() -> None:
    answered = answer(event_of(OUTSIDE, headers={"cf-connecting-ip": [INSIDE], "x-forwarded-for": [INSIDE]}))
    body = answered.pop("body")
    assert answered == {
        "statusCode": 403,
        "statusDescription": "Forbidden",
        "headers": {
            "content-type": {"value": "application/json"},
            "cache-control": {"value": "no-store"},
        },
    }
    assert body.pop("encoding") == "text"
    assert json.loads(body.pop("data")) == {
        "code": "forbidden",
        "message": "This site is not open to your network address.",
        "status": 403,
    }
    assert body == {}


def test_anyone_may_enter_if_anyone_may() -> None:
    asked = [OUTSIDE, "2001:db8:ffff::1", "::ffff:192.0.2.1"]
    answers = run([ANYONE_CODE], [(0, event_of(address)) for address in asked])
    values = [one["headers"]["cf-connecting-ip"] for one in answers]
    assert values == [{"value": address} for address in asked]


# ---- paths that programs do not agree about

DOTS = [
    *("/..", "/.", "/../", "/./x", "/a/..", "/a/../b", "/a/./b", "//..//x", "/a/.", "/e/hook/../../apps"),
    *("/_next/static/../../apps", "/_next/static/%2e%2e/%2E%2E/apps", "/_next/static/.%2e/%2E./apps"),
    *("/%2e", "/a/%2E/b", "/console/api/remote-files/../../../v1/models", "..", "../a"),
]
NO_DOTS = [
    *("/", "", "/...", "/a/.../b", "/.env", "/a..b", "/a../b", "/..a/b", "/.well-known/x", "//", "/a//b"),
    "/e/h/a.b",
    *("/%2f..%2f", "/a%2F..%2Fb", "/%252e%252e/x", "/a/%2e%2e%2fb", "/%2e%2e%2e/x", "/a/..;/b", "/%2fx"),
    *("/console/api/workspaces/current/model-providers/langgenius%2Fopenai%2Fopenai/models", "/a/%2e%2ex"),
    "/console/api/remote-files/https%3A%2F%2Fexample.com%2Fa%2F..%2Fb.png",
]


@pytest.mark.parametrize("source", [OFFICE_CODE, ANYONE_CODE], ids=["listed", "anyone"])
def test_dot_segments_are_refused_and_nothing_else(source: str) -> None:
    answers = run([source], [(0, event_of(uri=uri)) for uri in (*DOTS, *NO_DOTS)])
    refused = [one.get("statusCode") for one in answers]
    assert refused == [*[400] * len(DOTS), *[None] * len(NO_DOTS)]
    assert [one["uri"] for one in answers[len(DOTS) :]] == NO_DOTS


def test_dot_segments_get_an_error_that_nobody_keeps() -> None:
    answered = answer(event_of(uri="/a/../b"))
    assert answered["headers"]["cache-control"] == {"value": "no-store"}
    assert json.loads(answered["body"]["data"]) == {
        "code": "bad_request",
        "message": "Paths must not have the segments . and ..",
        "status": 400,
    }


def test_strangers_learn_nothing_about_paths() -> None:
    assert answer(event_of(OUTSIDE, uri="/a/../b"))["statusCode"] == 403


def test_a_path_of_any_length_is_decided_at_once() -> None:
    longest = 8192  # bytes of a URL, of which CloudFront takes no more
    uris = ["/.a" * (longest // 3), "/%2e%2e%2e" * (longest // 10), "." * longest, "/" * longest]
    assert all(map(enters, run([ANYONE_CODE], [(0, event_of(uri=uri)) for uri in uris])))


@pytest.mark.parametrize("source", [OFFICE_CODE, ANYONE_CODE], ids=["listed", "anyone"])
@pytest.mark.parametrize("sent", [["/v1"], ["/v1", "/e"]], ids=["once", "twice"])
@pytest.mark.parametrize("name", ["script_name", "path_info"])
def test_a_client_cannot_move_its_request_to_another_path(source: str, sent: list[str], name: str) -> None:
    """A server behind the origin may believe what such a header says, see ``FORWARDED_ALLOW_IPS``."""
    event = event_of(uri="/v1/inner/api", headers={name: sent})
    expected = copy.deepcopy(event["request"])
    del expected["headers"][name]
    expected["headers"]["cf-connecting-ip"] = {"value": INSIDE}
    assert answer(event, source) == expected


# ---- what the request carries on


@pytest.mark.parametrize("source", [OFFICE_CODE, ANYONE_CODE], ids=["listed", "anyone"])
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], {"value": INSIDE}),
        (["10.0.0.1"], {"value": INSIDE}),
        (["10.0.0.1", "10.0.0.2"], {"value": INSIDE, "multiValue": [{"value": INSIDE}]}),
        ([INSIDE, "10.0.0.2"], {"value": INSIDE, "multiValue": [{"value": INSIDE}]}),
    ],
    ids=["none", "forged", "forged twice", "right and forged"],
)
def test_the_viewers_address_takes_the_place_of_the_clients_claims(
    source: str, sent: list[str], expected: Event
) -> None:
    headers = {"cf-connecting-ip": sent} if sent else {}
    answered = answer(event_of(headers=headers), source)
    assert answered["headers"]["cf-connecting-ip"] == expected


def test_nothing_else_changes() -> None:
    event = event_of(
        parameters={"a": {"value": "1", "multiValue": [{"value": "1"}, {"value": "2"}]}},
        headers={
            "accept": ["text/html", "application/json"],
            "authorization": ["Bearer app-key"],
            "cf-connecting-ipv6": ["2001:db8::1"],
            "content-length": ["12"],
            "dify-hook-url-2": ["https://example.com"],
            "x-amz-content-sha256": ["0" * 64],
            "x-dify-origin": ["guess"],
            "x-forwarded-for": ["10.0.0.1"],
        },
    )
    expected = copy.deepcopy(event["request"])
    expected["headers"]["cf-connecting-ip"] = {"value": INSIDE}
    assert answer(event) == expected


@pytest.mark.parametrize(
    "uri",
    ["/", "/e", "/E/abc", "/explore", "/e%2Fabc", "/%65/abc", "/console/api/e/abc", "//e/abc", "/files/e/"],
)
@pytest.mark.parametrize("sent", [["https://evil.example/e/1"], ["https://a.example", "https://b.example"]])
def test_a_hook_url_from_a_client_is_removed(uri: str, sent: list[str]) -> None:
    event = event_of(uri=uri, headers={"dify-hook-url": sent})
    expected = copy.deepcopy(event["request"])
    del expected["headers"]["dify-hook-url"]
    expected["headers"]["cf-connecting-ip"] = {"value": INSIDE}
    assert answer(event) == expected


@pytest.mark.parametrize(
    ("uri", "query", "expected"),
    [
        ("/e/abc", None, "/e/abc"),
        ("/e/", None, "/e/"),
        ("/e/abc", "", "/e/abc?"),
        ("/e/abc", "challenge=1", "/e/abc?challenge=1"),
        ("/e/abc/def.json", "b=2&a=1&b=3&flag&empty=", "/e/abc/def.json?b=2&a=1&b=3&flag&empty="),
        ("/e/a%20b/%E3%81%93%2F", "q=%E3%81%93+x%26&u=https://h.example/?c", None),
    ],
)
def test_webhooks_learn_the_url_that_was_called(uri: str, query: str | None, expected: str | None) -> None:
    expected = expected or f"{uri}?{query}"
    answered = answer(event_of(uri=uri, query=query))
    assert answered["headers"]["dify-hook-url"] == {
        "value": f"https://d111111abcdef8.cloudfront.net{expected}"
    }
    assert answered["uri"] == uri


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "/e/abc"),
        ({"challenge": {"value": "1%202"}}, "/e/abc?challenge=1%202"),
        (
            {
                "b": {"value": "2", "multiValue": [{"value": "2"}, {"value": "3"}]},
                "empty": {"value": ""},
            },
            "/e/abc?b=2&b=3&empty=",
        ),
    ],
    ids=["none", "one", "several"],
)
def test_webhooks_learn_it_without_the_raw_query_string(parameters: Event, expected: str) -> None:
    answered = answer(event_of(uri="/e/abc", parameters=parameters))
    assert answered["headers"]["dify-hook-url"] == {
        "value": f"https://d111111abcdef8.cloudfront.net{expected}"
    }


@pytest.mark.parametrize("host", ["dify.example.com", "Dify.Example.COM", "dify.example.com:443"])
@pytest.mark.parametrize(
    "sent", [[], ["https://evil.example/e/1"], ["https://a.example", "https://b.example"]]
)
def test_the_hook_url_is_the_hosts_whatever_the_client_sent(host: str, sent: list[str]) -> None:
    headers = {"dify-hook-url": sent} if sent else {}
    answered = answer(event_of(uri="/e/abc", query="a=1", host=host, headers=headers))
    found = answered["headers"]["dify-hook-url"]
    assert found["value"] == "https://dify.example.com/e/abc?a=1"
    assert found.get("multiValue", [{"value": found["value"]}]) == [{"value": found["value"]}]
    assert ("multiValue" in found) is (len(sent) > 1)


# ---- the language: CloudFront's runtime 2.0 is ECMAScript 5.1 and parts of what came later

# Node carries a parser for its own use. The second line makes out what is called, read and declared.
PARSE = """
const { parse } = require("internal/deps/acorn/acorn/dist/acorn");
const { full } = require("internal/deps/acorn/acorn-walk/dist/walk");
const tree = parse(require("node:fs").readFileSync(0, "utf8"), { ecmaVersion: 5 });
const found = { declared: ["arguments", "undefined"], called: [], made: [], members: [], expressions: [] };
full(tree, (node) => {
  if (node.type === "CallExpression") found.called.push(node.callee.name);
  if (node.type === "NewExpression") found.made.push(node.callee.name);
  if (node.type === "FunctionDeclaration") found.declared.push(node.id.name);
  if (node.type === "MemberExpression" && !node.computed) found.members.push(node.property.name);
  if (node.type === "Literal" && node.regex) found.expressions.push(node.regex.pattern);
});
console.log(JSON.stringify(found));
"""
ES5_MEMBERS = {
    *("charAt", "concat", "indexOf", "lastIndexOf", "match", "replace", "search", "slice", "split"),
    *("substring", "toLowerCase", "toUpperCase", "trim", "length", "test", "exec", "keys", "stringify"),
    *("every", "filter", "forEach", "join", "map", "pop", "push", "reduce", "reverse", "some", "sort"),
}
EVENT_MEMBERS = {
    *("viewer", "ip", "request", "uri", "querystring", "rawQueryString", "headers", "host"),
    *("value", "multiValue"),
}


def parse(source: str) -> subprocess.CompletedProcess[str]:
    program = node_binary()
    assert program is not None
    return subprocess.run(
        [program, "--expose-internals", "--eval", PARSE],
        input=source,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_code_is_written_in_the_language_of_the_runtime() -> None:
    done = parse(code(Networks(**OFFICE, addresses=list(TOKENS))))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "handler" in found["declared"]
    assert set(found["called"]) <= {*found["declared"], "Number", None}  # None: a method, see below
    assert found["made"] == []
    assert set(found["members"]) <= ES5_MEMBERS | EVENT_MEMBERS
    # Look-behind and named groups are newer.
    assert [one for one in found["expressions"] if "(?<" in one] == []
    assert len(found["expressions"]) == 5


@pytest.mark.parametrize(
    "newer",
    [
        "const a = 1;",
        "var f = (a) => a;",
        "var a = b?.c;",
        "var a = b ?? c;",
        "var a = `text`;",
        "var a = [...b];",
        "var { a } = b;",
        "var a = { b };",
        "var a = 1n;",
        "for (var a of b) {}",
        "class A {}",
        "import a from 'a';",
        "export function a() {}",
        "function f(a = 1) {}",
        "async function f() {}",
        "try { f(); } catch { g(); }",
        "f(a,);",
    ],
)
def test_the_parser_refuses_what_is_newer(newer: str) -> None:
    done = parse(newer)
    assert done.returncode != 0
    assert "SyntaxError" in done.stderr


NJS = shutil.which("njs")


@pytest.mark.skipif(
    NJS is None, reason="needs njs, whose dialect CloudFront's runtime speaks (Debian: apt install njs)"
)
def test_the_code_runs_in_nginxs_engine() -> None:
    assert NJS is not None
    source = code(Networks(ipv4=["0.0.0.0/0"], ipv6=["2001:db8::/32"]))
    asked = [*NO_ADDRESSES, "203.0.113.1", "2001:db8::1", "2001:db9::1"]
    events = json.dumps(
        [event_of(address, uri="/e/abc", parameters={"a": {"value": "1"}}) for address in asked]
    )
    lines = f"{events}.forEach(function (event) {{ console.log(JSON.stringify(handler(event))); }});"
    done = subprocess.run(
        [NJS, "-"], input=source + lines, capture_output=True, encoding="utf-8", timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [enters(one) for one in answers] == [*[False] * len(NO_ADDRESSES), True, True, False]
    assert answers[-2]["headers"]["cf-connecting-ip"] == {"value": "2001:db8::1"}
    assert answers[-2]["headers"]["dify-hook-url"]["value"].endswith("/e/abc?a=1")
