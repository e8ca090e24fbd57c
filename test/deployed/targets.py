"""Tiny HTTP servers on loopback, one for each role that a load balancer leads to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def start_targets(roles: Iterable[str]) -> Iterator[dict[str, int]]:
    """One server per role, which answers with its role and the path it was asked for.

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
            body = json.dumps({"role": role, "path": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
