"""Limits of AWS services as the package knows them: ``data/limits.json``, each with its source and date.

A fact is a number that holds where a template does not say another, or a page that proves how a service
behaves. What a template says itself is never in here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One limit of a service.

    Attributes:
        value: Number, or whether something is possible; None where only the page matters.
        unit: ``s``, ``MB``, ``ACU``, ``vCPU`` or empty.
        source: Page that proves it.
        date: Date of the page, or of the day it was read if it shows none.
        note: What it is about.
    """

    value: float | bool | None
    unit: str
    source: str
    date: str
    note: str

    @property
    def number(self) -> float:
        """The value of a fact that is a number.

        Raises:
            TypeError: If it is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise TypeError(f"the value of this fact is no number: {self.note}")
        return float(self.value)


@cache
def facts() -> Mapping[str, Fact]:
    """Every fact by its name, for example ``http_api.timeout``."""
    text = files("dify_cdk.report").joinpath("data", "limits.json").read_text(encoding="utf-8")
    return {name: Fact(**row) for name, row in json.loads(text)["limits"].items()}


def fact(name: str) -> Fact:
    """The fact of this name."""
    return facts()[name]
