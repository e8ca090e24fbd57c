"""The shape every way in to Dify has."""

from __future__ import annotations

from typing import Protocol

from dify_cdk.limits import Limits


class DifyFrontend(Protocol):
    """A construct that hosts api and web and routes every path of the route table."""

    @property
    def url(self) -> str:
        """What users type, without a trailing slash; may be a token."""
        ...

    @property
    def limits(self) -> Limits:
        """What this way in carries."""
        ...
