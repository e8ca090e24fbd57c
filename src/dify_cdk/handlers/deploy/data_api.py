"""The RDS Data API: statements for one Aurora cluster, and which of its errors pass by themselves.

IAM: ``rds-data:ExecuteStatement`` on the cluster, ``secretsmanager:GetSecretValue`` on each secret named in a
call (the Data API reads it with the caller's permissions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import SETTLE_SECONDS, Answer, CallError, calling

if TYPE_CHECKING:
    from mypy_boto3_rds_data import RDSDataServiceClient
    from mypy_boto3_rds_data.type_defs import FieldOutputTypeDef

Value = str | bool | int | None

_PASSING_CODES = frozenset(
    {
        "HttpEndpointNotEnabledException",
        "DatabaseResumingException",
        "DatabaseUnavailableException",
        "DatabaseNotFoundException",  # no writer instance yet, or it is being replaced
        "InvalidResourceStateException",
        "ServiceUnavailableError",
        "InternalServerErrorException",
        "StatementTimeoutException",  # what changes something goes on behind it, see DataApi.run
    }
)
# The same things as BadRequestException, which the API used for everything before it had classes.
_PASSING_TEXTS = (
    "httpendpoint is not enabled",
    "http endpoint is not enabled",
    "resuming after being auto-paused",
    "communications link failure",
    "timed out retrieving the secret",
)
_PASSING_STATES = frozenset(
    {
        "23505",  # unique_violation in a system catalogue: a parallel run makes the same name
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "42710",  # duplicate_object: a parallel run was faster
        "42P04",  # duplicate_database
        "42P06",  # duplicate_schema
        "53300",  # too_many_connections
        "55006",  # object_in_use: template1 while another database is made from it
        "55P03",  # lock_not_available
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up
    }
)
_CONNECTION_CLASS = "08"
_AUTHENTICATION_CLASS = "28"
# An internal error of PostgreSQL with a harmless cause: two sessions changed one catalogue row.
_CONCURRENT = "tuple concurrently"

_STATE = re.compile(r"SQLState: ([0-9A-Z]{5})")
_WRONG_PASSWORD = "28P01"
_NOT_PRIVILEGED = "42501"
_NO_DATABASE = "3D000"


class DataApiError(CallError):
    """A call that failed.

    Args:
        action: What was tried, for the reader.
        answer: What came back; the database's own errors end in ``SQLState: 42P04``.
    """

    def __init__(self, action: str, answer: Answer) -> None:
        super().__init__(action, answer)
        found = _STATE.search(answer.message)
        self.state = found.group(1) if found else ""
        self._message = answer.message.lower()

    def passes_after(self, seconds: float) -> bool:
        """Whether trying again makes sense that long after the first try."""
        if self.is_password and seconds < SETTLE_SECONDS:  # RDS takes a moment to set a new one
            return True
        if self.state:  # the database's own refusal, which IAM has nothing to do with
            return (
                self.state in _PASSING_STATES
                or self.state.startswith(_CONNECTION_CLASS)
                or _CONCURRENT in self._message
            )
        return (
            super().passes_after(seconds)
            or self.answer.code in _PASSING_CODES
            or any(text in self._message for text in _PASSING_TEXTS)
        )

    @property
    def is_authentication(self) -> bool:
        """Whether the user or the password of the secret was refused."""
        return (
            self.is_password
            or self.state.startswith(_AUTHENTICATION_CLASS)
            or self.answer.code == "InvalidSecretException"
        )

    @property
    def is_password(self) -> bool:
        """Whether the database knew another password."""
        return self.state == _WRONG_PASSWORD or "password authentication failed" in self._message

    @property
    def is_after_login(self) -> bool:
        """Whether the database knew the password, and refused something after that."""
        return self.state in {_NOT_PRIVILEGED, _NO_DATABASE}

    @property
    def is_privilege(self) -> bool:
        """Whether the user may not do it."""
        return self.state == _NOT_PRIVILEGED


@dataclass(frozen=True, kw_only=True, slots=True)
class DataApi:
    """Statements for one cluster.

    Attributes:
        client: boto3's ``rds-data`` client, or what behaves like it.
        cluster_arn: The cluster.
    """

    client: RDSDataServiceClient
    cluster_arn: str

    def rows(self, secret_arn: str, database: str, sql: str, action: str) -> list[list[Value]]:
        """Rows of a query.

        Args:
            secret_arn: Whose user and password to log in with.
            database: Where.
            sql: One statement, whose columns are text, numbers or booleans.
            action: What it is for, in a sentence of a failure.

        Raises:
            DataApiError: If it fails.
        """
        return self._execute(secret_arn, database, sql, action, wait=True)

    def run(self, secret_arn: str, database: str, sql: str, action: str) -> None:
        """Execute a statement that changes something, outside a transaction.

        It goes on when it takes longer than the API's 45 seconds: the caller gets a passing error and looks
        again later. Arguments and errors are those of :meth:`rows`.
        """
        self._execute(secret_arn, database, sql, action, wait=False)

    def _execute(
        self, secret_arn: str, database: str, sql: str, action: str, *, wait: bool
    ) -> list[list[Value]]:
        with calling(action, DataApiError):
            answer = self.client.execute_statement(
                resourceArn=self.cluster_arn,
                secretArn=secret_arn,
                database=database,
                sql=sql,
                continueAfterTimeout=not wait,
            )
        return [[_value(field) for field in record] for record in answer.get("records", [])]


def _value(field: FieldOutputTypeDef) -> Value:
    if "stringValue" in field:
        return field["stringValue"]
    if "booleanValue" in field:
        return field["booleanValue"]
    if "longValue" in field:
        return field["longValue"]
    return None
