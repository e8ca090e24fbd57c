"""Links lead somewhere, and every page can be reached from the README."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from documentation.pages import ENGLISH, PAGES, ROOT, name_of, read, slug

LANGUAGES = {"python", "sh", "text"}
FILES = [path for path in PAGES if path.is_file()]


def target_of(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a relative link leads to."""
    file, _, anchor = link.partition("#")
    return (page if not file else (page.parent / file).resolve()), anchor


def is_external(link: str) -> bool:
    return re.match(r"[a-z]+:", link) is not None


def test_all_pages_are_there() -> None:
    assert FILES == PAGES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_relative_links_resolve_and_anchors_exist(path: Path) -> None:
    for link in read(path).links:
        if is_external(link):
            continue
        file, anchor = target_of(path, link)
        assert file.is_relative_to(ROOT), link
        assert file.exists(), link
        if anchor:
            assert anchor in read(file).anchors, link


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_external_links_are_secure_and_complete(path: Path) -> None:
    for link in filter(is_external, read(path).links):
        assert re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+/?(/[^\s]*)?", link), link


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_headings_are_told_apart_and_begin_with_a_title(path: Path) -> None:
    page = read(path)
    assert len(set(page.anchors)) == len(page.anchors)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_blocks_are_of_a_language_that_is_tested_or_plain_text(path: Path) -> None:
    assert {block.language for block in read(path).blocks} <= LANGUAGES


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ENGLISH]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        found = (target_of(page, link)[0] for link in read(page).links if not is_external(link))
        waiting += [file for file in found if file in PAGES and file not in seen]
    assert seen == set(PAGES)


def test_a_link_to_a_folder_or_page_is_found_and_code_is_not_a_link() -> None:
    """The reader itself."""
    page = read(ENGLISH)
    assert "LICENSE" in page.links
    assert not [link for link in page.links if "`" in link]
    assert slug("What `plan` does, from v1 to v4") == "what-plan-does-from-v1-to-v4"
