"""A person with a browser: it follows redirects when told to, sends forms, and keeps cookies."""

from __future__ import annotations

import contextlib
import html
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

_FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_SECONDS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What the browser shows.

    Attributes:
        status: HTTP status.
        location: Where it is sent to, empty if it stays.
        text: The document.
    """

    status: int
    location: str
    text: str

    @property
    def fields(self) -> dict[str, str]:
        """What the document's form holds already."""
        return {name: html.unescape(value) for name, value in _FIELD.findall(self.text)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Browser:
    """The browser; every name leads to the emulator.

    Attributes:
        port: Where the emulator listens.
        cookies: Those it has, by host.
    """

    port: int
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def get(self, url: str) -> Page:
        """Open a URL."""
        return self._ask("GET", url, None)

    def post(self, url: str, form: Mapping[str, str]) -> Page:
        """Send a form."""
        return self._ask("POST", url, urlencode(form))

    def headers(self, host: str) -> dict[str, str]:
        """The cookies of a host as it sends them, and that it speaks TLS."""
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.get(host, {}).items())
        return {"X-Forwarded-Proto": "https", **({"Cookie": jar} if jar else {})}

    def _ask(self, method: str, url: str, body: str | None) -> Page:
        parts = urlsplit(url)
        headers = {"Host": parts.netloc, **self.headers(parts.netloc)}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        with contextlib.closing(wire):
            wire.request(method, path, body=body, headers=headers)
            answer = wire.getresponse()
            jar = self.cookies.setdefault(parts.netloc, {})
            for line in answer.headers.get_all("Set-Cookie", ()):
                jar |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
            text = answer.read().decode(errors="replace")
            return Page(status=answer.status, location=answer.headers.get("Location", ""), text=text)
