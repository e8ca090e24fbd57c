"""Effective limits side by side, with what sets each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from dify_cdk.report.comparison import Compared, Comparison
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output.sections import Cell, Column, Grid, Line, Row, Section, Style, row

_TITLE = "Effective limits"
_LEAD = (
    "For each kind of path a request is followed hop by hop; the smallest value counts. In the table, app"
    " means the api's long requests, web the pages, uploads paths that take files, plugin endpoints /e/."
    " What cannot be followed is called unknown."
)


def limits_section(comparison: Comparison) -> Section:
    """The limits of all subjects side by side; scopes that agree everywhere share a row."""
    compared = comparison.compared
    if not any(one.limits for one in compared):
        return Section(title=_TITLE, text="No public entry point in these templates.")
    columns = (Column(name="limit"), *(Column(name=one.name) for one in compared))
    grid = Grid(columns=columns, rows=tuple(_rows(compared)), reasons="What sets these limits")
    return Section(title=_TITLE, text=_LEAD, grids=(grid,))


def _rows(compared: Sequence[Compared]) -> Iterator[Row]:
    by_subject = [{(limit.name, limit.scope): limit for limit in one.limits} for one in compared]
    keys = dict.fromkeys((limit.name, limit.scope) for one in compared for limit in one.limits)
    order = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in keys))}
    for name, group in groupby(sorted(keys, key=lambda key: order[key[0]]), key=lambda key: key[0]):
        scopes = [scope for _, scope in group]
        for shared in _alike(name, scopes, by_subject):
            label = _label(name, shared, all_of_them=len(shared) == len(scopes))
            found = [[one[name, scope] for scope in shared if (name, scope) in one] for one in by_subject]
            different = len({tuple(limit.text for limit in some[:1]) for some in found}) > 1
            yield row(label, *map(_cell, found), style=Style.DIFFERENT if different else Style.PLAIN)


def _cell(limits: Sequence[Limit]) -> Cell:
    """The text that all the limits share, and what sets them."""
    if not limits:
        return Cell(text="-")
    reasons = dict.fromkeys(Line(text=limit.hop, source=limit.source) for limit in limits)
    return Cell(text=limits[0].text, reasons=tuple(reasons))


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
