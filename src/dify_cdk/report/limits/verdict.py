"""What the claims of all hops come to: the least of them, or that a template leaves it open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dify_cdk.report.templates.template import integer
from dify_cdk.report.traffic.hops import Claim, Kind, Way

UNKNOWN, NOT_SERVED = "unknown", "not served"

_FILE_LIMITS = (
    "UPLOAD_FILE_SIZE_LIMIT",
    "UPLOAD_IMAGE_FILE_SIZE_LIMIT",
    "UPLOAD_AUDIO_FILE_SIZE_LIMIT",
    "UPLOAD_VIDEO_FILE_SIZE_LIMIT",
)
"""Variables of Dify, in MiB, each for one kind of file: they cap a file, not a request."""

_MB_PER_GB = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One answer.

    Attributes:
        value: Seconds, MB, whether something is possible, a word, or None if no limit is known.
        unit: ``s``, ``MB`` or empty.
        text: The value for people.
        hop: What sets it.
        source: Page that proves it; empty where the template alone does.
    """

    value: float | bool | str | None
    unit: str = ""
    text: str
    hop: str
    source: str


def not_served(ways: list[Way]) -> Verdict:
    """The verdict on paths that have no route of their own."""
    hop = f"no route of its own: leads to {ways[0].end.name}" if ways else "no route"
    return Verdict(value=NOT_SERVED, text=NOT_SERVED, hop=hop, source="")


def timeout(ways: Iterable[Way]) -> Verdict:
    """The shortest timeout; beside an idle timeout also the total one."""
    claims = _claims(Kind.TIMEOUT, ways)
    least, unknown = _least(claims)
    if unknown is not None or least is None:
        return _open(least, unknown, _seconds)
    if least.value == math.inf:
        return Verdict(value=None, unit="s", text="no limit", hop=least.hop, source=least.source)
    text, hop = _seconds(least), least.hop
    whole, _ = _least([claim for claim in claims if claim.total])
    if not least.total and whole is not None and whole.value != math.inf:
        text = f"{text}, {_seconds(whole)}"
        hop = f"{hop}; {whole.hop}"
    return Verdict(value=_number(least), unit="s", text=text, hop=hop, source=least.source)


def largest(ways: list[Way], *, files: bool) -> Verdict:
    """The smallest of the largest requests.

    Args:
        ways: Every way that counts.
        files: Whether files are uploaded there, of which Dify's own variables may say more.
    """
    least, unknown = _least(_claims(Kind.LARGEST, ways))
    if unknown is not None or least is None:
        return _open(least, unknown, _size)
    unlimited = least.value == math.inf
    text = "no limit" if unlimited else _size(least)
    most = _largest_file(ways) if files else None
    if most is not None:
        text = f"{text}, files {most} MiB"
    value = None if unlimited else _number(least)
    return Verdict(value=value, unit="MB", text=text, hop=least.hop, source=least.source)


def possible(kind: Kind, ways: Iterable[Way]) -> Verdict:
    """Whether something passes every hop: one that refuses decides, whatever is unknown beside it."""
    claims = _claims(kind, ways)
    refused = next((claim for claim in claims if claim.value is False), None)
    if refused is not None:
        return Verdict(value=False, text="no", hop=refused.hop, source=refused.source)
    unknown = next((claim for claim in claims if claim.value is None), None)
    if unknown is not None or not claims:
        return _open(None, unknown, _size)
    return Verdict(value=True, text="yes", hop=claims[-1].hop, source=claims[-1].source)


def _claims(kind: Kind, ways: Iterable[Way]) -> list[Claim]:
    found = (claim for way in ways for claim in way.claims if claim.kind is kind)
    return list(dict.fromkeys(found))


def _least(claims: list[Claim]) -> tuple[Claim | None, Claim | None]:
    """The lowest claim, and the first one whose value is not known."""
    known = [claim for claim in claims if claim.value is not None]
    unknown = next((claim for claim in claims if claim.value is None), None)
    return min(known, key=_number, default=None), unknown


def _number(claim: Claim) -> float:
    return float(claim.value or 0)


def _open(least: Claim | None, unknown: Claim | None, words: Callable[[Claim], str]) -> Verdict:
    """A limit that the template leaves open; what is known about it stands in the text."""
    hop = unknown.hop if unknown else "no hop that answers says it"
    if least is None or least.value == math.inf:
        return Verdict(value=UNKNOWN, text=UNKNOWN, hop=hop, source="")
    text = f"{UNKNOWN}, at most {words(least)}"
    return Verdict(value=UNKNOWN, text=text, hop=f"{hop}; {least.hop}", source=least.source)


def _seconds(claim: Claim) -> str:
    """Seconds, and what they count."""
    return f"{_number(claim):g} s {'total' if claim.total else 'idle'}"


def _size(claim: Claim) -> str:
    megabytes = _number(claim)
    if megabytes == 0:
        return "no body"
    return f"{megabytes / _MB_PER_GB:g} GB" if megabytes >= _MB_PER_GB else f"{megabytes:.3g} MB"


def _largest_file(ways: list[Way]) -> int | None:
    """The largest file that Dify's own variables allow at the ends of the ways; None if none is set."""
    found = []
    for way in ways:
        limits = (integer(way.end.variables.get(name)) for name in _FILE_LIMITS)
        found.append(max((limit for limit in limits if limit is not None), default=None))
    return min((limit for limit in found if limit is not None), default=None)
