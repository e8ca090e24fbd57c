"""The pages that people read, taken apart: blocks of code, headings, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, JAPANESE = ROOT / "README.md", ROOT / "README.ja.md"
PAGES = [
    *(ENGLISH, JAPANESE, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "examples" / "README.md"),
    *sorted((ROOT / "docs").glob("*.md")),
]

_FENCE = re.compile(r"^```(\w*)$")
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`]+`")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: The file.
        line: Number of its first line of code.
        language: The word after the fence.
        code: What is inside.
    """

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page.

    Attributes:
        path: The file.
        headings: Level and text of each heading.
        blocks: The blocks of code.
        prose: Its lines without blocks of code.
    """

    path: Path
    headings: tuple[tuple[int, str], ...]
    blocks: tuple[Block, ...]
    prose: str

    @property
    def anchors(self) -> list[str]:
        """What a link to one of its headings ends with."""
        return [slug(text) for _, text in self.headings]

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return _LINK.findall(_CODE.sub("`", self.prose))

    @property
    def inline_code(self) -> list[str]:
        """What stands between backticks."""
        return [text[1:-1] for text in _CODE.findall(self.prose)]


def name_of(path: Path) -> str:
    """The path in the repository."""
    return path.relative_to(ROOT).as_posix()


def slug(heading: str) -> str:
    """The anchor that Git hosts give a heading: lower case, no punctuation, blanks as hyphens."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


@cache
def read(path: Path) -> Page:
    """Take a page apart."""
    blocks, headings, prose = [], [], []
    language: str | None = None
    code: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if language is None and fence:
            language, code, first = fence[1], [], number + 1
        elif language is not None and line == "```":
            text = "".join(f"{one}\n" for one in code)
            blocks.append(Block(page=path, line=first, language=language, code=text))
            language = None
        elif language is not None:
            code.append(line)
        else:
            prose.append(line)
            heading = _HEADING.match(line)
            if heading:
                headings.append((len(heading[1]), heading[2]))
    assert language is None, f"{name_of(path)} ends inside a block of code"
    return Page(path=path, headings=tuple(headings), blocks=tuple(blocks), prose="\n".join(prose))


def blocks(language: str) -> Iterator[Block]:
    """Every block of a language, on all pages."""
    for path in PAGES:
        yield from (block for block in read(path).blocks if block.language == language)
