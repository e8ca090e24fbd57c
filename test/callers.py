"""Many callers of one HTTP server at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse


class Callers:
    """Connections to a server on 127.0.0.1, all opened before the first request, closed with the block.

    Args:
        port: Where the server listens.
        count: How many connections.
    """

    def __init__(self, port: int, count: int = 1) -> None:
        self._connections = [HTTPConnection("127.0.0.1", port) for _ in range(count)]
        self._stack = ExitStack()

    def __enter__(self) -> Callers:
        for connection in self._connections:
            self._stack.enter_context(closing(connection))
            connection.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, path: str, *, seconds: float, headers: dict[str, str] | None = None) -> list[bytes]:
        """Bodies of the answers with status 200 that came in time, one request on each connection.

        A connection without one is not used again.
        """
        return self._answers(path, seconds, headers or {}, HTTPResponse.read)

    def listen(self, path: str, *, seconds: float) -> list[bytes]:
        """First lines of the streams that began in time; they go on until the block ends."""
        return self._answers(path, seconds, {}, HTTPResponse.readline)

    def _answers(
        self, path: str, seconds: float, headers: dict[str, str], read: Callable[[HTTPResponse], bytes]
    ) -> list[bytes]:
        deadline = time.monotonic() + seconds
        for connection in self._connections:
            connection.request("GET", path, headers=headers)
        found = {connection: _answer(connection, deadline, read) for connection in self._connections}
        self._connections = [connection for connection, body in found.items() if body is not None]
        return [body for body in found.values() if body is not None]

    def seconds_until_closed(self, most: float) -> float:
        """How long the server keeps the first connection, on which nothing is asked; at most so long."""
        begin = time.monotonic()
        socket = self._connections[0].sock
        socket.settimeout(most)
        try:
            while socket.recv(4096):
                pass
        except TimeoutError:
            return most
        return time.monotonic() - begin


def _answer(
    connection: HTTPConnection, deadline: float, read: Callable[[HTTPResponse], bytes]
) -> bytes | None:
    # Zero would not wait for what has arrived already.
    connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        response = connection.getresponse()
        body = read(response)
    except (OSError, HTTPException):
        return None
    return body if response.status == 200 else None


@dataclass(frozen=True)
class Answer:
    """What a server says.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: All of it.
    """

    status: int
    headers: Mapping[str, str]
    body: str


def answers(
    port: int, paths: Iterable[str], *, seconds: float, headers: Mapping[str, str] | None = None
) -> dict[str, Answer]:
    """What a server on 127.0.0.1 answers to paths, which are sent as they are written."""
    found = {}
    with closing(HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        for path in paths:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            said = {name.lower(): value for name, value in response.getheaders()}
            found[path] = Answer(response.status, said, response.read().decode(errors="replace"))
    return found
