"""Write a runnable app from an example: ``dify-cdk init v1 my-dify``."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import version
from pathlib import Path

from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.options.access import Access

README = """\
# Dify on AWS ({variant})

```sh
python3 -m venv .venv && . .venv/bin/activate  # Windows: .venv\\Scripts\\activate, python in cdk.json
pip install -r requirements.txt                # with Node and the CDK's command line
cdk synth                                      # templates in cdk.out, no AWS account needed
cdk bootstrap                                  # v3 outside us-east-1: there as well
cdk deploy --all --no-rollback                 # the first time; from then on: cdk deploy --all
```
{before}
Change `app.py`; `cdk diff` shows what a deployment would do. Commit `cdk.context.json` if one appears.
"""

_NETWORKS = re.compile(r"^ALLOWED_NETWORKS = .*$", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')

GITIGNORE = """\
.venv/
__pycache__/
cdk.out/
"""


class InitError(ValueError):
    """An app cannot be written as asked; the message is one line for the user."""


def variants() -> list[str]:
    """Names of the examples an app can be made from, for example ``v1``."""
    return sorted(path.stem for path in examples_dir().glob("v*.py"))


def architectures() -> list[str]:
    """The examples that are an architecture each; others, such as ``v4_low_cost``, are one with options."""
    return [name for name in variants() if name.removeprefix("v").isdecimal()]


def write_app(variant: str, folder: Path) -> list[Path]:
    """Write an example as an app of its own that the CDK's command line can synthesize and deploy.

    Args:
        variant: Name of the example, one of :func:`variants`.
        folder: Where the app goes; is made if missing and has to be empty otherwise.

    Returns:
        The files written.

    Raises:
        InitError: If there is no such example, or ``folder`` is a file or holds anything.
    """
    if variant not in variants():
        raise InitError(f"unknown variant {variant!r}, there are: {', '.join(variants())}")
    if folder.exists() and not folder.is_dir():
        raise InitError(f"{folder} is a file, name a new or an empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InitError(f"{folder} is not empty, name a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    return [*_copy_example(variant, folder), *_write_texts(variant, folder)]


def _copy_example(variant: str, folder: Path) -> list[Path]:
    sources = {"app.py": f"{variant}.py", "cdk.json": "cdk.json"}
    return [shutil.copyfile(examples_dir() / source, folder / name) for name, source in sources.items()]


def what_to_change(variant: str) -> str | None:
    """What has to be written into an example's app before the first deployment; None if nothing has."""
    found = _NETWORKS.search((examples_dir() / f"{variant}.py").read_text(encoding="utf-8"))
    if found is None or not Access(ipv4=_QUOTED.findall(found[0])).nobodys:
        return None
    return (
        "Before the first `cdk deploy` write your own networks into `ALLOWED_NETWORKS` of `app.py`: nobody "
        "comes from the range that stands there, which is for documentation."
    )


def _write_texts(variant: str, folder: Path) -> list[Path]:
    before = what_to_change(variant)
    texts = {
        # Compatible releases only: before 1.0 construct ids and defaults may change with a minor version.
        "requirements.txt": f"dify-cdk[cli]~={version('dify-cdk')}\n",
        "README.md": README.format(variant=variant, before=f"\n{before}\n" if before else ""),
        ".gitignore": GITIGNORE,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
