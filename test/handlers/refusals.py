"""Exceptions as boto3 raises them."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    """An AWS service's refusal, with the parts of the answer that the handlers read."""
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Call")
