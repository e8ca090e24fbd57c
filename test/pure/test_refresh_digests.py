"""The tool that looks digests up, against registries that speak HTTP on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import refresh_digests
from dify_cdk.dify.digests import RELEASES_FILE
from refresh_digests import digest_of, main, parse

FIRST = f"sha256:{'1' * 64}"
SECOND = f"sha256:{'2' * 64}"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """A registry, and the service that gives tokens for it.

    Attributes:
        digests: What ``repository:tag`` stands for.
        challenge: Whether it asks for a token.
        scheme: Kind of token it asks for.
        asked: Method and path of each request.
    """

    digests: dict[str, str]
    challenge: bool = True
    scheme: str = "Bearer"
    asked: list[str] = field(default_factory=list)
    host: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        url = urlsplit(request.path)
        self.asked.append(f"{request.command} {url.path}")
        if url.path == "/token":
            scope = parse_qs(url.query)["scope"][0]
            return 200, {}, json.dumps({"token": f"for {scope}"}).encode()
        repository, _, tag = url.path.removeprefix("/v2/").partition("/manifests/")
        wanted = f"Bearer for repository:{repository}:pull"
        if self.challenge and request.headers.get("Authorization") != wanted:
            realm = f'{self.scheme} realm="http://{self.host}/token",service="tests",scope="x"'
            return 401, {"WWW-Authenticate": realm}, b""
        digest = self.digests.get(f"{repository}:{tag}")
        if digest is None:
            return 404, {}, b""
        assert INDEX in request.headers["Accept"].split(", ")[0]
        return 200, {"Docker-Content-Digest": digest} if digest else {}, b""


def _serve(registry: Registry) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            status, headers, body = registry.answer(self)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

        do_GET = do_HEAD = _respond

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Docker Hub, as far as the tool knows."""
    found = Registry({"langgenius/dify-api:1": FIRST, "ubuntu/squid:6": SECOND, "lwa:0": FIRST})
    server = _serve(found)
    monkeypatch.setattr(refresh_digests, "DOCKER_HUB", found.host)
    yield found
    server.shutdown()
    server.server_close()


def _table(folder: Path, registry: Registry, **digests: str | None) -> Path:
    images = {"api": "langgenius/dify-api:1", "squid": "ubuntu/squid:6"}
    row = {"version": "1", "digests": {images[name]: digest for name, digest in digests.items()}}
    adapter: dict[str, str | None] = {f"{registry.host}/lwa:0": None}
    file = folder / "releases.json"
    file.write_text(json.dumps({"releases": [row], "lambda_adapter": adapter}))
    return file


def _run(file: Path, *options: str) -> int:
    return main([*options, "--file", str(file), "--scheme", "http"])


@pytest.mark.parametrize("challenge", [True, False])
def test_a_digest_is_asked_for_without_pulling_anything(registry: Registry, challenge: bool) -> None:
    registry.challenge = challenge
    assert digest_of("langgenius/dify-api:1", scheme="http") == FIRST
    manifest = "HEAD /v2/langgenius/dify-api/manifests/1"
    assert registry.asked == ([manifest, "GET /token", manifest] if challenge else [manifest])


def test_names_are_taken_apart_as_docker_does() -> None:
    names = [parse(name) for name in ("ubuntu/squid:6.6_beta", "public.ecr.aws/a/b/c:1", "host:5000/a:2")]
    assert [(name.host, name.repository, name.tag) for name in names] == [
        ("registry-1.docker.io", "ubuntu/squid", "6.6_beta"),
        ("public.ecr.aws", "a/b/c", "1"),
        ("host:5000", "a", "2"),
    ]


def test_what_is_missing_is_filled_in(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _table(tmp_path, registry, api=None, squid=SECOND)
    assert _run(file) == 0
    content = json.loads(file.read_text())
    assert content["releases"][0]["digests"] == {"langgenius/dify-api:1": FIRST, "ubuntu/squid:6": SECOND}
    assert list(content["lambda_adapter"].values()) == [FIRST]
    assert "every tag stands for" in capsys.readouterr().out


def test_a_tag_that_was_moved_is_told_and_taken_over_only_when_asked(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _table(tmp_path, registry, api=SECOND)
    assert _run(file) == 1
    assert f"moved    langgenius/dify-api:1: {SECOND} was it, {FIRST} is it now" in capsys.readouterr().out
    assert SECOND in file.read_text()
    assert _run(file, "--write") == 1
    assert SECOND not in file.read_text()
    assert _run(file) == 0


def test_an_image_that_is_not_there_is_told_and_the_others_are_filled_in(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del registry.digests["langgenius/dify-api:1"]
    file = _table(tmp_path, registry, api=None, squid=None)
    assert _run(file) == 1
    assert "failed   langgenius/dify-api:1: HTTP Error 404" in capsys.readouterr().out
    row = json.loads(file.read_text())["releases"][0]["digests"]
    assert row == {"langgenius/dify-api:1": None, "ubuntu/squid:6": SECOND}


def test_fails_when_the_answer_has_no_digest(registry: Registry) -> None:
    registry.digests["langgenius/dify-api:1"] = ""
    with pytest.raises(ValueError, match=r"^langgenius/dify-api:1: the registry answers without a digest"):
        digest_of("langgenius/dify-api:1", scheme="http")


def test_fails_when_the_registry_wants_a_password(registry: Registry) -> None:
    registry.scheme = "Basic"
    with pytest.raises(ValueError, match="asks for a log-in of an unknown kind, 'Basic realm="):
        digest_of("langgenius/dify-api:1", scheme="http")


def test_the_table_is_written_as_the_tool_would_write_it() -> None:
    text = RELEASES_FILE.read_text(encoding="utf-8")
    assert json.dumps(json.loads(text), indent=2) + "\n" == text
