"""The viewer-request function in Node, as CloudFront would run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from dify_cdk.cdk_helpers.assets import node_binary

INSIDE = "203.0.113.77"
"""A viewer in the office of the tests and the examples."""

Event = dict[str, Any]


def event_of(
    ip: object = INSIDE,
    *,
    uri: str = "/console/api/setup",
    query: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    host: str = "d111111abcdef8.cloudfront.net",
) -> Event:
    """What CloudFront passes at a viewer request.

    Args:
        ip: The viewer's address.
        uri: The path as the client sent it.
        query: What ``rawQueryString()`` returns; Node's side makes the method from it.
        parameters: The parsed query string. Given without ``query``, there is no ``rawQueryString()``.
        headers: Names in lower case to the values of each.
        host: The ``Host`` header.
    """
    request: Event = {
        "method": "POST",
        "uri": uri,
        "querystring": dict(parameters or {}),
        "headers": {"host": {"value": host}, "user-agent": {"value": "curl/8.5.0"}},
        "cookies": {"locale": {"value": "en-US"}},
    }
    for name, values in (headers or {}).items():
        request["headers"][name] = {"value": values[0]}
        if len(values) > 1:
            request["headers"][name]["multiValue"] = [{"value": value} for value in values]
    return {
        "version": "1.0",
        "context": {
            "distributionDomainName": "d111111abcdef8.cloudfront.net",
            "distributionId": "EDFDVBD6EXAMPLE",
            "eventType": "viewer-request",
            "requestId": "EXAMPLE4gIYmC5ZuXDb1UXKY9Ev7F0N4g==",
        },
        "viewer": {"ip": ip},
        "request": request,
        "raw": {} if parameters is not None and query is None else {"query": query},
    }


# Reads the sources from the first line and then one [number of the source, event] a line. CloudFront's
# functions are always strict, and a missing query string is undefined, which JSON cannot say.
RUN = """
const lines = require("node:fs").readFileSync(0, "utf8").trim().split("\\n").map(JSON.parse);
const handlers = lines.shift().map((source) => new Function(`"use strict";${source}; return handler;`)());
for (const [number, event] of lines) {
  if ("query" in event.raw) {
    event.request.rawQueryString = () => event.raw.query ?? undefined;
  }
  console.log(JSON.stringify(handlers[number](event)));
}
"""


def run(sources: Sequence[str], questions: Sequence[tuple[int, Event]]) -> list[Event]:
    """What the functions answer, all in one process."""
    program = node_binary()
    assert program is not None
    done = subprocess.run(
        [program, "--eval", RUN],
        input="".join(json.dumps(line) + "\n" for line in (sources, *questions)),
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers: list[Event] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def source_of(properties: Mapping[str, Any]) -> str:
    """The code of a function of a template; addresses that are known only at deployment are one of nobody."""
    code = properties["FunctionCode"]
    parts = [code] if isinstance(code, str) else code["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else "192.0.2.7" for part in parts)
