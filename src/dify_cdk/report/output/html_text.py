"""HTML that is escaped by construction: text is text unless it was made here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from dify_cdk.report.phrases import clean

_VOID = frozenset({"br", "meta"})


class Html(str):
    """Markup that is finished; any other text is escaped when it is put into an element."""

    __slots__ = ()


Content = str | None | Iterable["Content"]
"""What stands in an element: text, markup, nothing, or several of these."""


def el(tag: str, *content: Content, **attributes: str | None) -> Html:
    """An element.

    Args:
        tag: Its name.
        *content: What stands in it, in order.
        **attributes: By name, with ``_`` for ``-`` and at the end of Python's own words (``class_``); None
            leaves the attribute out.
    """
    given = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    written = "".join(f' {name}="{_clean(value)}"' for name, value in given if value is not None)
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(content)}</{tag}>")


def join(content: Content) -> Html:
    """Several pieces as one."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(_clean(content))
    return Html("".join(map(join, content)))


def _clean(text: str) -> str:
    """Text without what HTML forbids: a template may hold control characters."""
    return escape(clean(text))


def link(text: str, address: str) -> Html:
    """A link to a page of the web; an address of another kind stays text."""
    if not address.startswith(("https://", "http://")):
        return join(text if text == address else f"{text}: {address}")
    return el("a", text, href=address, rel="noreferrer")
