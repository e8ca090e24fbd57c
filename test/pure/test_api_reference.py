from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import dify_cdk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_reference", ROOT / "tools" / "api_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "ROOT", folder)
        tool.main()
    return (folder / "API.md").read_text()


def test_links_to_headings_stay_and_others_become_text(tool: ModuleType) -> None:
    text = (
        "### `dify_cdk.Access`\n[Access](#dify_cdk.Access) [Sequence](#abc.Sequence)[[str](#str)] [a](b.md)"
    )
    expected = "### `dify_cdk.Access`\n[Access](#dify_cdkaccess) Sequence[str] [a](b.md)"
    assert tool.with_living_links(text) == expected


def test_sphinx_roles_become_code(tool: ModuleType) -> None:
    assert tool.with_plain_roles("see :meth:`anyone` and :class:`~dify_cdk.Role`") == (
        "see `anyone` and `dify_cdk.Role`"
    )


def test_every_public_class_has_a_section_and_no_private_name_has_one(page: str) -> None:
    headings = set(re.findall(r"^### `dify_cdk\.(\w+)", page, re.MULTILINE))
    assert headings == set(dify_cdk.__all__)


def test_every_link_leads_somewhere(tool: ModuleType, page: str) -> None:
    anchors = {tool.slug(heading) for heading in re.findall(r"^#+ `([\w.]+)", page, re.MULTILINE)}
    targets = re.findall(r"\]\(#([^)]+)\)", page)
    assert len(targets) >= len(dify_cdk.__all__)
    assert set(targets) <= anchors


def test_the_page_holds_nothing_of_this_machine(page: str) -> None:
    assert str(ROOT) not in page
