"""HTML that is escaped by construction: text is text unless it was made here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

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
    return escape("".join(letter if letter.isprintable() else " " for letter in text))


def link(text: str, address: str) -> Html:
    """A link to a page of the web; an address of another kind stays text."""
    if not address.startswith(("https://", "http://")):
        return join(text if text == address else f"{text}: {address}")
    return el("a", text, href=address, rel="noreferrer")


def table(caption: str, heads: Sequence[Content], rows: Iterable[Sequence[Content]], *, class_: str) -> Html:
    """A table whose first column names the rows.

    With the class ``stack`` every row becomes a block with the column's name beside each value where there is
    no room; the roles keep it a table for screen readers there.

    Args:
        caption: What it shows.
        heads: Names of the columns.
        rows: Cells; the first one of each is the row's name.
        class_: How it looks; ``stack`` makes blocks of its rows on narrow screens.
    """
    labels = [_plain(head) for head in heads]
    head = el("tr", *(el("th", one, scope="col", role="columnheader") for one in heads), role="row")
    return el(
        "table",
        el("caption", caption),
        el("thead", head, role="rowgroup"),
        el("tbody", (_row(labels, row) for row in rows), role="rowgroup"),
        class_=f"{class_} {_label_size(labels[1:])}".strip(),
        role="table",
    )


_FEW, _SHORT = 4, 8


def fitting(names: Sequence[str], cells: Iterable[str]) -> str:
    """Class of a table of short values: with few columns it is narrow enough for a phone as it is."""
    fits = len(names) <= _FEW and max(map(len, [*names, *cells]), default=0) <= _SHORT
    return "few" if fits else "stack"


_SMALL_LABEL, _USUAL_LABEL = 4, 12


def _label_size(labels: Sequence[str]) -> str:
    """Class by how much room the names of columns take where they stand beside each value."""
    longest = max(map(len, labels), default=0)
    return "small-labels" if longest <= _SMALL_LABEL else "" if longest <= _USUAL_LABEL else "long-labels"


def _row(labels: Sequence[str], cells: Sequence[Content]) -> Html:
    first, *others = cells
    return el(
        "tr",
        el("th", first, scope="row", role="rowheader"),
        (
            el("td", el("span", cell, class_="cell"), role="cell", data_label=label)
            for label, cell in zip(labels[1:], others, strict=True)
        ),
        role="row",
    )


def _plain(content: Content) -> str:
    return content if isinstance(content, str) and not isinstance(content, Html) else ""


def listed(entries: Iterable[Content], class_: str | None = None) -> Html:
    """A bulleted list."""
    return el("ul", (el("li", entry) for entry in entries), class_=class_)
