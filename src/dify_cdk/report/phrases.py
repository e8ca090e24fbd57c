"""Counts and lists as people write them, the same in tables, pages and pictures."""

from __future__ import annotations

from collections.abc import Sequence


def plural(count: int, noun: str) -> str:
    """``1 route``, ``2 routes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def enumeration(parts: Sequence[str]) -> str:
    """``a, b and c``; empty for none."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
