"""Checks of arguments that let values pass which are only known at deploy time (CDK tokens)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

# How the CDK writes a token into a plain value; a synth test compares this with ``Token.is_unresolved``.
_STRING_TOKEN = re.compile(r"[$#]\{Token\[")
_HIGHEST_NUMBER_TOKEN = -1e280


def is_token(value: object) -> bool:
    """Whether the value (or a part of it) is known only when CloudFormation deploys."""
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return value <= _HIGHEST_NUMBER_TOKEN
    if isinstance(value, str):
        return _STRING_TOKEN.search(value) is not None
    if isinstance(value, (list, tuple)):
        return any(is_token(item) for item in value)
    return False


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ``ValueError`` unless it is a number and ``low <= value <= high``."""
    require_number(name, value)
    if low <= value <= high or is_token(value):
        return
    raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")


def require_whole(name: str, value: float, low: int, high: int) -> None:
    """Raise ``ValueError`` unless it is a whole number and ``low <= value <= high``."""
    require_between(name, value, low, high)
    if not is_token(value) and not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")


def require_number(name: str, value: object) -> None:
    """Raise ``ValueError`` for anything but a number: a context value from the command line is text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, got {value!r}")


def require_one_of(name: str, value: object, allowed: Collection[object]) -> None:
    """Raise ``ValueError`` unless the value is one of those allowed."""
    if value in allowed or is_token(value):
        return
    choices = ", ".join(str(item) for item in allowed)
    raise ValueError(f"{name} must be one of {choices}, got {value!r}")


def require_match(name: str, value: str, pattern: str, meaning: str) -> None:
    """Raise ``ValueError`` unless the whole value matches; ``meaning`` says in words what is allowed."""
    if is_token(value) or (isinstance(value, str) and re.fullmatch(pattern, value)):
        return
    raise ValueError(f"{name} must be {meaning}, got {value!r}")


def require_literal(name: str, value: object, reason: str) -> None:
    """Raise ``ValueError`` for a value known only at deployment, where synthesis needs it."""
    if is_token(value):
        raise ValueError(f"{name} must be literal: {reason}")


def require_list(name: str, values: Sequence[str], meaning: str) -> None:
    """Raise ``ValueError`` for a single text, and for a list whose length is known only at deployment."""
    if isinstance(values, str):
        raise ValueError(f"{name} must be a list of {meaning}, got the text {values!r}; write [{values!r}]")
    if any(value.startswith("#{Token[") for value in values):
        raise ValueError(f"{name} must be a literal list, only its entries may be known at deployment")


def require_cidrs(name: str, values: Sequence[str], version: int) -> None:
    """Raise ``ValueError`` unless each value is a network of the IP version, such as ``203.0.113.0/24``."""
    require_list(name, values, "networks")
    for value in values:
        if not is_token(value):
            _require_cidr(name, value, version)


def _require_cidr(name: str, value: str, version: int) -> None:
    example = "203.0.113.0/24" if version == 4 else "2001:db8::/32"  # noqa: PLR2004
    if "/" not in value:
        raise ValueError(
            f"{name} must hold networks such as {example}, got {value!r} without a prefix length"
        )
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{name} must hold networks such as {example}, got {value!r}: {error}") from None
    if value.partition("/")[2] != str(network.prefixlen) or "%" in value:
        plain = f"{str(network.network_address).partition('%')[0]}/{network.prefixlen}"
        raise ValueError(f"{name} must hold networks such as {example}, got {value!r}; write {plain!r}")
    if network.version != version:
        other = "ipv6" if network.version == 6 else "ipv4"  # noqa: PLR2004
        raise ValueError(f"{name} must hold IPv{version} networks, got {value!r}; put it into {other}=")


def require_index_url(name: str, url: str) -> None:
    """Raise ``ValueError`` unless the value is the URL of a package index that everybody may read."""
    if re.search(r"[\s\x00-\x1f]", url):
        raise ValueError(f"{name} must not hold spaces or line breaks, got {url!r}")
    if is_token(url):
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} must be a URL such as https://pip.example.com/simple, got {url!r}")
    if "@" in parts.netloc:
        raise ValueError(
            f"{name} must not hold credentials, which everybody who may read the task definition would "
            f"see; got a URL for {parts.hostname} that does"
        )
