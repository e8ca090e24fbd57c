"""Text as people read it, the same in tables, pages and pictures."""

from __future__ import annotations

from collections.abc import Sequence


def clean(value: str) -> str:
    """Text without control characters, which a template may hold and a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in value)


def plural(count: int, noun: str) -> str:
    """``1 route``, ``2 routes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def enumeration(parts: Sequence[str]) -> str:
    """``a, b and c``; empty for none."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
