"""Tiny HTTP servers on loopback, one for each role that a frontend leads to, and a client."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ASK_SECONDS = 10

TLS = {"X-Forwarded-Proto": "https"}  # this is how the emulator knows
PRETENDED = {
    **TLS,
    "CF-Connecting-IP": "203.0.113.9",
    "X-Forwarded-For": "203.0.113.9",
    "Dify-Hook-Url": "https://elsewhere.example/e/hook",
}
"""What a client may claim of itself behind CloudFront, which knows better."""

MEBIBYTE = bytes(1024 * 1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back through a frontend.

    Attributes:
        status: HTTP status.
        body: The JSON document, empty if it is something else.
        own: Headers of the answer, in lower case.
    """

    status: int
    body: Mapping[str, Any]
    own: Mapping[str, str]

    @property
    def role(self) -> str:
        """The server that answered, none if the frontend itself did."""
        return str(self.body.get("role", ""))

    @property
    def path(self) -> str:
        """Path and query that arrived there."""
        return str(self.body["path"])

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that arrived there, in lower case."""
        return {name.lower(): value for name, value in self.body["headers"]}


def ask(
    port: int,
    host: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    source: str = "127.0.0.1",
) -> Answer:
    """Get a path, or post to it.

    Args:
        port: Port on loopback.
        host: Name of the frontend.
        path: Path and query.
        headers: More headers.
        body: What is posted. Default: the path is only asked for.
        source: The address to come from, one of loopback.
    """
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=_ASK_SECONDS, source_address=(source, 0)
    )
    with contextlib.closing(connection) as wire:
        method = "GET" if body is None else "POST"
        wire.request(method, path, body=body, headers={"Host": host, **(headers or {})})
        answer = wire.getresponse()
        own = {name.lower(): value for name, value in answer.getheaders()}
        content = answer.read()
        is_json = own.get("content-type", "").startswith("application/json")
        return Answer(status=answer.status, body=json.loads(content) if is_json else {}, own=own)


@contextlib.contextmanager
def start_targets(roles: Iterable[str]) -> Iterator[dict[str, int]]:
    """One server per role, which answers with its role and what it was asked for.

    Args:
        roles: Names.

    Yields:
        The port of each role.
    """
    with contextlib.ExitStack() as stack:
        yield {role: stack.enter_context(_serve(role)) for role in roles}


@contextlib.contextmanager
def _serve(role: str) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = {
                "role": role,
                "path": self.path,
                "headers": self.headers.items(),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            body = json.dumps(asked).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Tests ask for what they want to know."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
