"""Effective limits side by side, with what sets each of them below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from dify_cdk.report.comparison import Compared
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output.grid import Column, Grid, Row, Style

NONE = "No public entry point in these templates."


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """What sets a limit.

    Attributes:
        number: What refers to it in the cells.
        name: Of the subject; empty where there is one only.
        hop: What sets it.
        source: Page that proves it, or empty.
    """

    number: int
    name: str
    hop: str
    source: str

    @property
    def text(self) -> str:
        """Without the page."""
        return f"{self.name}: {self.hop}" if self.name else self.hop


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitTable:
    """Limits side by side.

    Attributes:
        grid: A row per limit, a column per subject; a cell ends with the numbers of its reasons.
        reasons: What sets them, in the order of their numbers.
    """

    grid: Grid
    reasons: tuple[Reason, ...]


def mark(number: int) -> str:
    """How a cell refers to a reason."""
    return f"[{number}]"


def limits(compared: Sequence[Compared]) -> LimitTable:
    """Put the limits of all subjects side by side; scopes that agree everywhere share a row."""
    book = _Book(several=len(compared) > 1)
    by_subject = [{(limit.name, limit.scope): limit for limit in one.limits} for one in compared]
    keys = dict.fromkeys((limit.name, limit.scope) for one in compared for limit in one.limits)
    order = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in keys))}
    rows = []
    for name, group in groupby(sorted(keys, key=lambda key: order[key[0]]), key=lambda key: key[0]):
        scopes = [scope for _, scope in group]
        for shared in _alike(name, scopes, by_subject):
            label = _label(name, shared, all_of_them=len(shared) == len(scopes))
            found = [[one[name, scope] for scope in shared if (name, scope) in one] for one in by_subject]
            cells = tuple(book.cell(one.name, some) for one, some in zip(compared, found, strict=True))
            different = len({tuple(limit.text for limit in some[:1]) for some in found}) > 1
            rows.append(Row(cells=(label, *cells), style=Style.DIFFERENT if different else Style.PLAIN))
    columns = (Column(name="limit"), *(Column(name=one.name) for one in compared))
    return LimitTable(grid=Grid(columns=columns, rows=tuple(rows)), reasons=tuple(book.reasons))


def _alike(name: str, scopes: list[str], by_subject: list[dict[tuple[str, str], Limit]]) -> list[list[str]]:
    """Scopes with the same text in every subject, together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for scope in scopes:
        found = (one.get((name, scope)) for one in by_subject)
        groups.setdefault(tuple(limit.text if limit else "" for limit in found), []).append(scope)
    return list(groups.values())


def _label(name: str, scopes: list[str], *, all_of_them: bool) -> str:
    named = ", ".join(filter(None, scopes))
    return name if all_of_them or not named else f"{name}: {named}"


class _Book:
    """Gives every reason a number once."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._numbers: dict[tuple[str, str], int] = {}
        self.reasons: list[Reason] = []

    def cell(self, subject: str, limits: list[Limit]) -> str:
        """The text that all the limits share, and the numbers of their reasons."""
        if not limits:
            return "-"
        numbers = dict.fromkeys(self._number(subject, limit) for limit in limits)
        return f"{limits[0].text} {''.join(map(mark, numbers))}"

    def _number(self, subject: str, limit: Limit) -> int:
        name = subject if self._several else ""
        number = self._numbers.setdefault((name, limit.hop), len(self._numbers) + 1)
        if number > len(self.reasons):
            self.reasons.append(Reason(number=number, name=name, hop=limit.hop, source=limit.source))
        return number
