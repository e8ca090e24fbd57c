"""Say what a release of Dify changes in the table of defaults (``test/data/dify-defaults.json``).

Begin every release of Dify with it. It reads source trees that you have checked out, never the internet:

    python3 dev.py defaults TREE [--daemon TREE] [--sandbox TREE] [--write]

It ends with 1 when something moved: a default, a variable without a row that Compose sets otherwise than the
component does, or a row whose variable nobody reads any more. ``--write`` puts the defaults into the table;
verdicts and new rows are left to you, and the tests say which verdicts no longer hold.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dify_cdk.dify.components import BACKEND_COMPONENTS, Component
from dify_defaults import DEFAULTS_FILE, Row, Table, Verdict, read_table, written
from dify_sources import Defaults, Found, read_trees, version_of

COLUMNS = ("code", "image", "compose")


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """A table as the trees have it.

    Attributes:
        table: With their defaults.
        moved: What is different, one line each.
    """

    table: Table
    moved: Sequence[str]


def renew(table: Table, trees: Mapping[Component, Defaults], version: str) -> Renewed:
    """Compare the table with source trees.

    Args:
        table: The table.
        trees: The defaults of every component whose sources are there; rows of others stay as they are.
        version: Version of Dify in the tree: rows of variables that came later are not looked for.
    """
    rows: list[Row] = []
    moved: list[str] = []
    for row in table.rows:
        components = [component for component in row.components if component in trees]
        if not components or _is_later(row.since, version):
            rows.append(row)
            continue
        found = {component: trees[component] for component in components}
        if _is_gone(row, found):
            moved.append(f"gone      {_title(row)}: nobody reads it; delete the row")
            rows.append(row)
            continue
        renewed = _renewed(row, found)
        moved += [*_changes(row, renewed), *_disagreements(row, found)]
        rows.append(renewed)
    moved += _new(table, trees)
    return Renewed(table=replace(table, rows=tuple(rows)), moved=moved)


def _is_later(since: str | None, version: str) -> bool:
    return since is not None and _numbers(since) > _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _is_gone(row: Row, trees: Mapping[Component, Defaults]) -> bool:
    """Whether nothing names the variable any more; what else than Dify reads it is not in the trees."""
    if any(row.is_by_hand(column) for column in COLUMNS):
        return False
    return not any(row.variable in getattr(tree, column) for tree in trees.values() for column in COLUMNS)


def _renewed(row: Row, trees: Mapping[Component, Defaults]) -> Row:
    """The row with what the trees say; what is given has no defaults that matter.

    A column that is kept by hand is so until a tree says it.
    """
    if row.verdict is Verdict.GIVEN:
        return row
    said = {column: _column(row, column, trees) for column in COLUMNS}
    columns = {column: one for column, one in said.items() if one is not None or not row.is_by_hand(column)}
    files = {column: found.file for column, found in columns.items() if found is not None}
    kept = {key: text for key, text in row.source.items() if key not in columns}
    source = {key: text for key in (*COLUMNS, "why") if (text := files.get(key) or kept.get(key))}
    values = {column: None if found is None else found.value for column, found in columns.items()}
    return replace(row, source=source, **values)  # type: ignore[arg-type]


def _column(row: Row, column: str, trees: Mapping[Component, Defaults]) -> Found | None:
    """What the trees say in a column, of a component of which they say something if there is one."""
    names = [getattr(tree, column) for tree in trees.values()]
    found = [one[row.variable] for one in names if row.variable in one]
    says = [one for one in found if one.value is not None]
    return next(iter(says or found), None)


def _changes(before: Row, after: Row) -> Iterator[str]:
    for column in COLUMNS:
        old, new = getattr(before, column), getattr(after, column)
        if old != new:
            where = after.source.get(column) or before.source.get(column)
            yield f"changed   {_title(before)}: {column} {_shown(old)} is now {_shown(new)} ({where})"


def _disagreements(row: Row, trees: Mapping[Component, Defaults]) -> Iterator[str]:
    """Where components of one row do not hold the same."""
    for column in COLUMNS:
        found = {
            component: one.value
            for component, tree in trees.items()
            if (one := getattr(tree, column).get(row.variable))
        }
        values = {value for value in found.values() if value is not None}
        if len(values) > 1 and row.verdict is not Verdict.GIVEN and not row.is_by_hand(column):
            each = ", ".join(f"{_shown(value)} for {component}" for component, value in found.items())
            yield f"split     {_title(row)}: {column} is {each}; make a row for each"


def _new(table: Table, trees: Mapping[Component, Defaults]) -> Iterator[str]:
    """Variables without a row that Compose sets otherwise than the component."""
    seen: set[tuple[str, str]] = set()
    for component, tree in trees.items():
        family = BACKEND_COMPONENTS if component in BACKEND_COMPONENTS else (component,)
        for variable, found in sorted(tree.compose.items()):
            is_known = any(table.find(one, variable) for one in family) or table.ignores(variable)
            if is_known or component is Component.SSRF_PROXY or (family[0], variable) in seen:
                continue
            if tree.reads(variable) and tree.differs(variable):
                seen.add((family[0], variable))
                own, said = _shown(tree.own(variable)), _shown(found.value)
                what = f"{variable} of {component}"
                yield f"new       {what}: {own}, in Compose {said} ({found.file}); add a row"


def _title(row: Row) -> str:
    return f"{row.variable} of {', '.join(row.components)}"


def _shown(value: str | None) -> str:
    return "nothing" if value is None else repr(value)


def _described(tree: Path) -> str | None:
    """What git calls the commit of a tree; None if it is no checkout."""
    if not (tree / ".git").exists():
        return None
    command = ["git", "-C", str(tree), "describe", "--tags", "--always"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _versions(table: Table, version: str, trees: Mapping[str, Path | None]) -> dict[str, str]:
    """What was read by now: of checkouts their commits, else what the table had, to be mended by hand."""
    versions = dict(table.versions)
    for name, tree in trees.items():
        described = None if tree is None else _described(tree)
        if described is not None:
            versions[name] = f"{version} ({described})" if name == "dify" else described
        elif tree is not None:
            print(f"{tree} is no checkout: is {name} {versions[name]!r} in the table?", file=sys.stderr)
    return versions


def main(arguments: Sequence[str] | None = None, file: Path = DEFAULTS_FILE) -> int:
    """Compare, say what moved and return 1 if something did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tree", type=Path, metavar="TREE", help="a checkout of langgenius/dify")
    parser.add_argument("--daemon", type=Path, metavar="TREE", help="one of langgenius/dify-plugin-daemon")
    parser.add_argument("--sandbox", type=Path, metavar="TREE", help="one of langgenius/dify-sandbox")
    parser.add_argument("--write", action="store_true", help="put the defaults into the table")
    given = parser.parse_args(arguments)
    table = read_table(file)
    try:
        version = version_of(given.tree)
        found = read_trees(given.tree, given.daemon, given.sandbox)
    except FileNotFoundError as problem:
        parser.error(f"{problem.filename} is missing: give checkouts of the repositories")
    renewed = renew(table, found, version)
    print("".join(f"{line}\n" for line in renewed.moved), end="")
    if given.write:
        trees = {"dify": given.tree, "plugin_daemon": given.daemon, "sandbox": given.sandbox}
        new = replace(renewed.table, versions=_versions(table, version, trees))
        file.write_text(written(new), encoding="utf-8")
    return 1 if renewed.moved else 0


if __name__ == "__main__":
    sys.exit(main())
