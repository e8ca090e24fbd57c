"""How wide a text is, without a font: an upper estimate, so that what is drawn around it has room.

The widths are those of DejaVu Sans, the widest of the fonts that stand in for ``system-ui``.
"""

from __future__ import annotations

from types import MappingProxyType

_EM = MappingProxyType(
    {
        letter: width
        for width, letters in (
            (0.32, "iIjlJ|' .,"),
            (0.40, "rtf-()[]/:;!"),
            (0.53, 'csz_*"?'),
            (0.60, "kvxyeaoLFP"),
            (0.64, "bdghnpqu0123456789EST$"),
            (0.70, "ABCKRVXYZ"),
            (0.79, "DGHNOQU"),
            (0.84, "w+<>=~#"),
            (1.00, "mMW@%&"),
        )
        for letter in letters
    }
)
"""Width of each letter as a part of the font size."""

_LATIN, _OTHER = 0.72, 1.05  # what is not in the table; letters beyond Latin may be as wide as high
_LATIN_END = 0x250
_BOLD = 1.13
_ELLIPSIS = "..."


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width in the unit of the font size."""
    return sum(map(_em, text)) * size * (_BOLD if bold else 1.0)


def _em(letter: str) -> float:
    return _EM.get(letter, _LATIN if ord(letter) < _LATIN_END else _OTHER)


def shortened(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(text + _ELLIPSIS, size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip(" ,") + _ELLIPSIS


def wrapped(parts: tuple[str, ...], width: float, size: float, lines: int) -> list[str]:
    """Parts joined by commas, broken between them; what does not fit in the last line is cut off."""
    rows: list[str] = []
    for part in parts:
        longer = f"{rows[-1]}, {part}" if rows else part
        if rows and (text_width(longer, size) <= width or len(rows) == lines):
            rows[-1] = longer
        else:
            rows.append(part)
    return [shortened(row, width, size) for row in rows]
