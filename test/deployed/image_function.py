"""Runs in the place of a container image in Lambda: its own entry script, and ``env`` in the place of Dify.

Packed with the folder that the image would be built from. As in the image, the entry script completes the
environment with the permissions of the function's role and becomes a program; here that prints what it was
given. Requests are answered in the way of Lambda Web Adapter, with what Dify would have been asked and told.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

START_FILE = "start.json"
"""What the image starts with: ``name`` of what is in it, ``command`` and ``environment``."""

_FOLDER = Path(__file__).parent
_PROGRAM = ("/usr/bin/env", "-0")
_PRELUDE_ENDS = "\0" * 8


@functools.cache
def started() -> tuple[str, dict[str, str]]:
    """What is in the image, and the environment of its program; the start, once for each environment."""
    told = json.loads((_FOLDER / START_FILE).read_text(encoding="utf-8"))
    command = [word.replace("/opt/dify-cdk", str(_FOLDER)) for word in told["command"]]
    temporary = str(_FOLDER.parent)  # removed with the function, and its own as in Lambda
    own = {name: value.replace("/tmp", temporary, 1) for name, value in told["environment"].items()}
    done = subprocess.run(
        [*command, *_PROGRAM], env={**own, **os.environ}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the entry script of {told['name']} ended with {done.returncode}: {done.stderr}")
    return told["name"], dict(row.split("=", 1) for row in done.stdout.split("\0") if row)


def handler(event: Any, context: object) -> str:
    """Answer a request of a function URL that streams: status and headers, a mark, the body."""
    name, environment = started()
    body = event.get("body", "")
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    query = event.get("rawQueryString", "")
    answer = {
        "role": name,
        "path": event["rawPath"] + (f"?{query}" if query else ""),
        "headers": list(_restored(event["headers"], environment).items()),
        "sha256": hashlib.sha256(content).hexdigest(),
        "environment": environment,
    }
    prelude = {"statusCode": 200, "headers": {"content-type": "application/json"}}
    return json.dumps(prelude) + _PRELUDE_ENDS + json.dumps(answer)


def _restored(headers: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
    """The adapter finds a client's credentials in another header: the signature has taken their place."""
    source = environment.get("AWS_LWA_AUTHORIZATION_SOURCE", "")
    if source not in headers:
        return headers
    others = {name: value for name, value in headers.items() if name not in (source, "authorization")}
    return {**others, "authorization": headers[source]}
