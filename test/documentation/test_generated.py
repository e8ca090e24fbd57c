"""Parts of pages that are computed are what would be computed now."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from types import ModuleType

import pytest

from dify_cdk.dify.environment import TABLE, Default
from dify_defaults import Verdict, read_table
from documentation.pages import PAGES, ROOT, name_of
from support import VARIANTS, Example

START = re.compile(r"<!-- generated: ([\w ]+) -->")
MADE_SO = "python3 dev.py docs writes it anew"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "tools" / "docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tool: ModuleType, example: Example) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "synthesize", lambda name, _, region: example(name, region))
        generated: dict[str, str] = tool.generate()
    return generated


def test_pages_and_images_are_up_to_date(files: dict[str, str]) -> None:
    stale = [name for name, text in files.items() if (ROOT / name).read_text(encoding="utf-8") != text]
    assert stale == [], MADE_SO


def test_every_marker_is_on_a_page_that_is_written_and_has_its_end(files: dict[str, str]) -> None:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        starts = START.findall(text)
        assert text.count("<!-- end -->") == len(starts), name_of(path)
        assert not starts or name_of(path) in files, name_of(path)


def test_no_part_is_empty(files: dict[str, str]) -> None:
    inside = re.compile(r"-->\n(.*?)<!-- end -->", re.DOTALL)
    parts = [part for text in files.values() for part in inside.findall(text)]
    assert len(parts) >= 14
    assert all(part.strip() for part in parts)


def test_images_are_complete_and_known(files: dict[str, str]) -> None:
    images = {name for name in files if name.endswith(".svg")}
    assert images == {f"docs/images/{name}.svg" for name in VARIANTS}
    assert {name_of(path) for path in (ROOT / "docs" / "images").iterdir()} == images
    for name in images:
        assert ET.fromstring(files[name]).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_part_is_written_between_its_markers_only(tool: ModuleType) -> None:
    page = "a\n<!-- generated: x y -->\nold\n<!-- end -->\nb\n"
    assert tool.filled(page, {"x y": lambda: "new\n"}) == page.replace("old", "new")


def test_fails_when_a_part_has_a_name_that_nothing_writes(tool: ModuleType) -> None:
    with pytest.raises(KeyError, match="nothing"):
        tool.filled("<!-- generated: nothing -->\n<!-- end -->\n", {})


def test_defaults_that_differ_and_are_free_are_on_the_page(tool: ModuleType) -> None:
    text = tool.defaults()
    lines = text.splitlines()[2:]
    assert 20 <= len(lines) <= 30
    free = {row.name for row in TABLE if isinstance(row.value, Default)}
    ours = {row.variable for row in read_table().rows if row.verdict in (Verdict.LOST, Verdict.OURS)}
    assert [
        name
        for name in free & ours
        if not re.search(rf"^\| `{name}` of .* \| `environment=` \|$", text, re.M)
    ] == []
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in lines)


def test_logical_ids_are_left_out_and_words_are_not(tool: ModuleType) -> None:
    hop = "read timeout of distribution EdgeDistribution528FE0B6; timeout of function ApiFunction135C4088"
    assert tool._without_ids(hop) == "read timeout of distribution; timeout of function"
    assert tool._without_ids("body that Lambda@Edge sees") == "body that Lambda@Edge sees"
