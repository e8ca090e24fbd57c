"""Makes Dify's api image ready for Lambda while it is built: what a cold start would otherwise do each time.

    prepare.py PATH ...

- Token encodings are loaded, so that they are in the image: at run time their folder cannot be written, and
  then loading a missing one fails.
- Everything below the paths, and the standard library, which Python's own images ship without bytecode, is
  compiled. Checked by hash never: the pyc files stay valid and the same, whatever happens to time stamps.
- Every user may read all of that: Lambda runs the image as a user of its own.
"""

from __future__ import annotations

import compileall
import importlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode

ENCODINGS = ("gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base")

READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
SEARCH = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def load_encodings(names: Sequence[str] = ENCODINGS) -> None:
    """Let tiktoken put encodings into its cache folder."""
    tiktoken = importlib.import_module("tiktoken")
    for name in names:
        tiktoken.get_encoding(name)


def compile_all(folder: Path) -> tuple[int, list[Path]]:
    """Compile every source file; return how many could be, and which could not: packages ship templates."""
    compileall.compile_dir(
        str(folder),
        force=True,  # what is there already may be checked by time
        quiet=2,
        workers=0,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    sources = [path for path in folder.rglob("*.py") if path.is_file()]
    broken = [path for path in sources if not Path(cache_from_source(str(path))).is_file()]
    return len(sources) - len(broken), broken


def below(path: Path) -> Iterator[Path]:
    """The path and all below it, except links."""
    yield path
    for folder, folders, files in os.walk(path):
        yield from (child for name in (*folders, *files) if not (child := Path(folder, name)).is_symlink())


def make_readable(paths: Sequence[Path]) -> int:
    """Let everybody read, and return how many files and folders that changed.

    Only those that need it: a changed file is stored in the image a second time.
    """
    changed = 0
    for path in (found for root in paths for found in below(root)):
        mode = path.stat().st_mode
        may_search = stat.S_ISDIR(mode) or mode & SEARCH
        wanted = mode | READ | (SEARCH if may_search else 0)
        if wanted != mode:
            path.chmod(stat.S_IMODE(wanted))
            changed += 1
    return changed


def main(arguments: Sequence[str]) -> int:
    """Prepare the image."""
    paths = [Path(argument) for argument in arguments]
    load_encodings()
    paths.append(Path(sysconfig.get_path("stdlib")))
    for folder in (path for path in paths if path.is_dir()):
        compiled, broken = compile_all(folder)
        print(f"{folder}: {compiled} source files compiled, {len(broken)} cannot be")
        if not compiled:
            print(f"nothing below {folder} was compiled", file=sys.stderr)
            return 1
    print(f"{make_readable(paths)} files and folders made readable")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
