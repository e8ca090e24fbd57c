"""README.ja.md follows README.md: the same sections, the same code, the same links."""

from __future__ import annotations

import re

from documentation.pages import ENGLISH, JAPANESE, Block, read

GENERATED = re.compile(r"<!-- generated: (\w[\w -]*) -->\n(.*?)<!-- end -->", re.DOTALL)
_KANA = re.compile(r"[\u3040-\u30ff]")


def without_comments(block: Block) -> tuple[str, str]:
    """Language and code; comments are translated."""
    lines = [re.sub(r"\s*#\s.*$", "", line) for line in block.code.splitlines()]
    return block.language, "\n".join(filter(None, lines))


def test_sections_follow_one_another() -> None:
    english, japanese = read(ENGLISH).headings, read(JAPANESE).headings
    assert [level for level, _ in japanese] == [level for level, _ in english]


def test_code_is_the_same() -> None:
    english, japanese = read(ENGLISH).blocks, read(JAPANESE).blocks
    assert list(map(without_comments, japanese)) == list(map(without_comments, english))


def test_links_are_the_same_but_those_to_sections() -> None:
    own = {"README.md", "README.ja.md"}
    english, japanese = (
        [link for link in read(path).links if not link.startswith("#") and link not in own]
        for path in (ENGLISH, JAPANESE)
    )
    assert sorted(japanese) == sorted(english)


def test_each_leads_to_the_other() -> None:
    assert "README.ja.md" in read(ENGLISH).links
    assert "README.md" in read(JAPANESE).links


def test_generated_parts_are_the_same() -> None:
    english, japanese = (GENERATED.findall(path.read_text(encoding="utf-8")) for path in (ENGLISH, JAPANESE))
    assert japanese == english


def test_tables_have_the_same_shape() -> None:
    def shape(prose: str) -> list[int]:
        return [line.count("|") for line in prose.splitlines() if line.startswith("|")]

    assert shape(read(JAPANESE).prose) == shape(read(ENGLISH).prose)


def test_every_section_is_translated() -> None:
    sections = re.split(r"^## .*$", read(JAPANESE).prose, flags=re.MULTILINE)
    assert all(_KANA.search(section) for section in sections)
