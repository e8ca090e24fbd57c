"""A Data API that executes for real, on a PostgreSQL of the tests, and fails the way AWS's does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from botocore.exceptions import ClientError

from handlers.postgres import Postgres
from handlers.refusals import refusal

CLUSTER_ARN = "arn:aws:rds:ap-northeast-1:111122223333:cluster:dify"

# What libpq tells without a code when a connection is refused.
_CONNECTION_STATES = (
    ("password authentication failed", "28P01"),
    ("is not permitted to log in", "28000"),
    ("does not exist", "3D000"),
    ("permission denied for database", "42501"),
)
_LIBPQ = re.compile(r"(FATAL: .*)")


def resuming() -> ClientError:
    """The first call to a paused cluster."""
    text = "The Aurora DB instance arn:x is resuming after being auto-paused. Please wait a few seconds"
    return refusal("DatabaseResumingException", f"{text} and try again.")


@dataclass
class FakeSecrets:
    """boto3's ``secretsmanager`` client.

    Attributes:
        contents: ARN to content. A password that only an application knows stands beside the secret.
        faults: Raised by the next calls, one each.
    """

    contents: dict[str, dict[str, str]]
    faults: list[Exception] = field(default_factory=list)

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, Any]:
        """The content of a secret."""
        if self.faults:
            raise self.faults.pop(0)
        return {"ARN": SecretId, "SecretString": json.dumps(self.contents[SecretId])}


@dataclass
class FakeDataApi:
    """boto3's ``rds-data`` client for one cluster.

    Attributes:
        postgres: Where statements are executed.
        secrets: Whose user and password the ARNs stand for.
        faults: Raised by the next calls, one each; None lets a call pass.
        late: Statements starting with this are executed, but answered with a timeout, once each.
        calls: Arguments of every call that reached the database.
    """

    postgres: Postgres
    secrets: FakeSecrets
    faults: list[Exception | None] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def execute_statement(self, **arguments: Any) -> Mapping[str, Any]:
        """Execute one statement outside a transaction."""
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            if fault is None:
                self.calls.append(arguments)
        if fault is not None:
            raise fault
        assert arguments["resourceArn"] == CLUSTER_ARN
        records = self._execute(arguments["secretArn"], arguments["database"], arguments["sql"])
        for start in self.late:
            if arguments["sql"].startswith(start):
                self.late.remove(start)
                assert arguments["continueAfterTimeout"], "the API would have cancelled the statement"
                raise refusal("StatementTimeoutException", "Statement timed out")
        return {"records": records, "numberOfRecordsUpdated": 0}

    def _execute(self, secret_arn: str, database: str, sql: str) -> list[list[dict[str, Any]]]:
        secret = self.secrets.contents[secret_arn]
        try:
            rows = self.postgres.query(secret["username"], secret["password"], database, sql)
        except psycopg2.Error as error:
            raise _translated(error) from None
        return [[_field(value) for value in row] for row in rows]

    @property
    def writes(self) -> list[str]:
        """The statements that change something."""
        return [call["sql"] for call in self.calls if not call["sql"].startswith("SELECT ")]


def _translated(error: psycopg2.Error) -> ClientError:
    if error.pgcode is not None:
        message = (error.diag.message_primary or "").strip()
        return refusal("DatabaseErrorException", f"ERROR: {message}; SQLState: {error.pgcode}")
    found = _LIBPQ.search(str(error))
    message = found.group(1) if found else str(error)
    state = next((state for text, state in _CONNECTION_STATES if text in message), "08006")
    return refusal("DatabaseErrorException", f"{message}; SQLState: {state}")


def _field(value: object) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"longValue": value}
    return {"stringValue": str(value)}
