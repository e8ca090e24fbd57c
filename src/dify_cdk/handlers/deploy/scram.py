"""SCRAM-SHA-256 verifiers: what PostgreSQL stores instead of a password (RFC 5802, RFC 7677)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

ITERATIONS = 4096
"""PostgreSQL's own count. The passwords are 43 random characters: more rounds would only slow each log-in."""

_SALT_BYTES = 16
_SAFE = re.compile(r"[A-Za-z0-9]+")


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The text that ``PASSWORD '...'`` takes in place of the password itself.

    Args:
        password: Letters and digits only: for them SASLprep changes nothing, and Dify's plugin daemon puts
            the password unquoted into a connection string.
        salt: Default: 16 random bytes.
        iterations: 4096 or more.

    Raises:
        ValueError: If the password is empty or has other characters, or if there are too few iterations.
    """
    if not _SAFE.fullmatch(password):
        raise ValueError("the password must consist of letters and digits only")
    if iterations < ITERATIONS:
        raise ValueError(f"at least {ITERATIONS} iterations are needed, got {iterations}")
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
