"""SCRAM verifiers against the exchange in RFC 7677 section 3."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
import scram
from hypothesis import given
from hypothesis import strategies as st

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
AUTH_MESSAGE = (
    f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={NONCE}"
).encode()
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SERVER_SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def keys(verifier: str) -> tuple[bytes, bytes]:
    stored, server = verifier.rsplit("$", 1)[1].split(":")
    return base64.b64decode(stored), base64.b64decode(server)


def test_the_client_of_the_rfc_is_accepted() -> None:
    # GIVEN the verifier of the RFC's password
    stored_key, _ = keys(scram.verifier("pencil", salt=SALT, iterations=4096))
    # WHEN the server opens the RFC's proof with it
    signature = hmac.digest(stored_key, AUTH_MESSAGE, "sha256")
    client_key = bytes(left ^ right for left, right in zip(PROOF, signature, strict=True))
    # THEN the client knew the password
    assert hashlib.sha256(client_key).digest() == stored_key


def test_the_server_proves_itself_as_in_the_rfc() -> None:
    _, server_key = keys(scram.verifier("pencil", salt=SALT, iterations=4096))
    assert hmac.digest(server_key, AUTH_MESSAGE, "sha256") == SERVER_SIGNATURE


def test_the_text_is_what_postgresql_stores() -> None:
    kind, rounds_and_salt, _ = scram.verifier("pencil", salt=SALT).split("$")
    assert kind == "SCRAM-SHA-256"
    assert rounds_and_salt == "4096:W22ZaJ0SNY7soEsUEjb6gQ=="


def test_every_call_has_its_own_salt() -> None:
    assert scram.verifier("pencil") != scram.verifier("pencil")


@given(st.text(max_size=8).filter(lambda text: not (text.isascii() and text.isalnum())))
def test_fails_when_a_password_has_other_characters(password: str) -> None:
    with pytest.raises(ValueError, match="letters and digits only"):
        scram.verifier(password)


def test_fails_when_a_password_ends_in_a_line_break() -> None:
    with pytest.raises(ValueError, match="letters and digits only"):
        scram.verifier("pencil\n")


def test_fails_when_there_are_few_iterations() -> None:
    with pytest.raises(ValueError, match="at least 4096 iterations are needed, got 1000"):
        scram.verifier("pencil", iterations=1000)
