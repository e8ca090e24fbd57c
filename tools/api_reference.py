"""Write ``API.md`` from the docstrings of the public names; ``python3 dev.py docs`` runs this.

Nothing is imported but the generator: it reads the sources, so no Node starts and no version of the CDK
shows in the page.
"""

from __future__ import annotations

import re
from pathlib import Path

from griffe2md import ConfigDict, render_package_docs

ROOT = Path(__file__).parents[1]
PACKAGE = "dify_cdk"

OPTIONS: ConfigDict = {
    "search_paths": [str(ROOT / "src")],
    "line_length": 110,
    "inherited_members": False,
    "show_if_no_docstring": False,  # fields of value objects are described in their class
    "show_signature_annotations": True,
    "show_submodules": False,
    "summary": {"classes": True, "functions": True, "attributes": False, "modules": False},
}

_LINK = re.compile(r"\[([^\[\]]+)\]\(#([\w.]+)\)")
_HEADING = re.compile(r"^#+ `([\w.]+)", re.MULTILINE)
_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")


def slug(heading: str) -> str:
    """The anchor that Git hosts give a heading which is a dotted name in backticks."""
    return heading.lower().replace(".", "")


def with_living_links(page: str) -> str:
    """The page with links to its own headings kept and those to other packages turned into plain text."""
    headings = set(_HEADING.findall(page))

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        return f"[{text}](#{slug(target)})" if target in headings else text

    return _LINK.sub(link, page)


def with_plain_roles(page: str) -> str:
    """The page with Sphinx roles such as ``:meth:`` left out, which Markdown does not know."""
    return _ROLE.sub(r"`\1`", page)


def main() -> None:
    """Write the page."""
    page = with_plain_roles(with_living_links(render_package_docs(PACKAGE, OPTIONS, format_md=True)))
    (ROOT / "API.md").write_text(f"# API reference\n\n{page.rstrip()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
