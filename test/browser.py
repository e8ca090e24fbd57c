"""Chromium without a window, spoken to over a pipe: no driver and no package in between."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe", "--force-color-profile=srgb"),
)
_SECONDS = 60


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class BrowserError(Exception):
    """The browser ended or refused a command."""


class Browser:
    """One browser with one page. Commands and events are those of the DevTools protocol.

    See https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, to: int, source: int) -> None:
        self._to = to
        self._source = source
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        """Open a page and speak to it from now on."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come before it are kept."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise BrowserError(f"{method}: no answer")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._source, 1 << 20)
            if not piece:
                raise BrowserError("the browser ended")
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(
        self, page: Path, *, width: int, height: int = 900, dark: bool = False, media: str = "screen"
    ) -> None:
        """Show a file in a window of this width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, which its policy does not keep from us."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, selector: str, *, height: int) -> bytes:
        """The page as PNG, in its full width, from where an element begins."""
        top = self.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().top + scrollY")
        clip = {"x": 0, "y": int(top), "width": self.evaluate("innerWidth"), "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        return base64.b64decode(answer["data"])


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """A running browser with an empty profile; it ends with the block."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    # The browser speaks through its descriptors 3 and 4. Not sh: dash knows no descriptors above 9.
    command = [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", f'exec 3<&{read_commands} 4>&{write_answers}; exec "$@"', "bash", *command],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        found = Browser(write_commands, read_answers)
        found.attach()
        yield found
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(write_commands)
        os.close(read_answers)


# --- pictures -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A decoded PNG; ``rows`` are bytes of red, green, blue and where there is one alpha."""

    width: int
    height: int
    channels: int
    rows: tuple[bytes, ...]

    def colours(self) -> Counter[str]:
        """How many pixels have each colour, written as in a style sheet."""
        found: Counter[tuple[int, ...]] = Counter()
        for row in self.rows:
            found.update(zip(*(row[channel :: self.channels] for channel in range(3)), strict=True))
        return Counter({"#" + bytes(colour).hex(): count for colour, count in found.items()})


def decode(png: bytes) -> Picture:
    """Decode a PNG of 8 bits a channel, without interlacing, which is what browsers write."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    data, position, head = b"", 8, (0, 0, 0, 0, 0, 0, 0)
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        kind, body = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            data += body
        position += length + 12
    width, height, depth, colour_type, _, _, interlaced = head
    channels = {2: 3, 6: 4}[colour_type]
    assert (depth, interlaced) == (8, 0)
    return Picture(
        width, height, channels, tuple(_unfiltered(zlib.decompress(data), width * channels, channels))
    )


def _unfiltered(data: bytes, stride: int, step: int) -> Iterator[bytes]:
    """Undo the prediction that PNG applies to every row."""
    above = bytearray(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for i in range(stride) if kind else ():
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            row[i] = (row[i] + _predicted(kind, left, above[i], corner)) & 255
        yield bytes(row)
        above = row


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))
