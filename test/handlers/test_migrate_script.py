"""The container's script, run for real with a ``flask`` program whose behaviour is written down per test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from migration import judge

SCRIPT = Path(__file__).parents[2] / "src" / "dify_cdk" / "docker" / "migration" / "migrate.sh"

# Each command has a list of answers; the last one is repeated. An answer is [exit code, stdout, stderr].
FLASK = """\
#!{python} -S
import json, sys
from pathlib import Path

folder = Path({folder!r})
command = " ".join(sys.argv[1:])
with (folder / "calls").open("a") as calls:
    calls.write(command + "\\n")
answers = json.loads((folder / "answers.json").read_text())
code, out, err = answers[command][0]
if len(answers[command]) > 1:
    del answers[command][0]
    (folder / "answers.json").write_text(json.dumps(answers))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

Answer = tuple[int, str, str]

HEADS, CURRENT, UPGRADE = "db heads", "db current", "upgrade-db"
NOISE = "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n"
UNREACHABLE: Answer = (1, "", "psycopg2.OperationalError: could not connect to server: Connection refused\n")
LOCKED: Answer = (0, "Preparing database migration...\nDatabase migration skipped\n", "")
MIGRATED: Answer = (0, "Starting database migration.\nDatabase migration successful!\n", NOISE)


def revisions(*lines: str) -> Answer:
    """What Alembic prints, between log lines of the application on both streams."""
    out = "".join(f"{line}\n" for line in ("2026-11-22 INFO [app.py:1] ready", *lines))
    return (0, out, NOISE)


EMPTY = revisions()
OLD = revisions("c3cbbbc8d6b4")
HEAD = revisions("2d7f8eb7628d (head)")
UNKNOWN: Answer = (
    1,
    "",
    NOISE + "ERROR [flask_migrate] Error: Can't locate revision identified by 'feedface'\n",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the script ended."""

    code: int
    lines: list[str]
    calls: list[str]

    @property
    def last(self) -> str:
        return self.lines[-1]

    @property
    def upgrades(self) -> int:
        return self.calls.count(UPGRADE)


class Container:
    """An api image with nothing in it but a shell and the written-down ``flask``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "flask"
        program.write_text(FLASK.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)

    def run(
        self,
        *,
        current: Sequence[Answer],
        heads: Sequence[Answer] = (HEAD,),
        upgrade: Sequence[Answer] = (MIGRATED,),
        **environment: str,
    ) -> Outcome:
        answers: dict[str, Any] = {HEADS: heads, CURRENT: current, UPGRADE: upgrade}
        (self.folder / "answers.json").write_text(json.dumps(answers))
        settings = {
            "DIFY_CDK_MIGRATION_WAIT_SECONDS": "60",
            "DIFY_CDK_MIGRATION_PAUSE_SECONDS": "0",
            "LC_ALL": "C",
            **environment,
        }
        done = subprocess.run(
            # As in the task definition: entry point /bin/bash -c, command: the text of the script.
            ["/bin/bash", "-c", SCRIPT.read_text()],
            env={"PATH": f"{self.folder}:{os.defpath}", **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == "", "the shell itself complained"
        calls = (self.folder / "calls").read_text().splitlines()
        return Outcome(code=done.returncode, lines=done.stdout.splitlines(), calls=calls)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def result_of(outcome: Outcome) -> str:
    """What the handler makes of the output."""
    verdict = judge(outcome.lines)
    assert verdict.is_good == (outcome.code == 0), "script and handler disagree"
    return verdict.result


def test_a_database_that_is_up_to_date_is_left_alone(container: Container) -> None:
    outcome = container.run(current=[HEAD])
    assert (outcome.code, result_of(outcome)) == (0, "unchanged")
    assert outcome.upgrades == 0


@pytest.mark.parametrize("before", [EMPTY, OLD])
def test_an_empty_or_older_database_is_migrated(container: Container, before: Answer) -> None:
    outcome = container.run(current=[before, HEAD])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.upgrades == 1
    assert outcome.last == "dify-migration: done: the schema is at 2d7f8eb7628d"


def test_what_dify_prints_is_passed_on(container: Container) -> None:
    outcome = container.run(current=[OLD, HEAD])
    assert "Database migration successful!" in outcome.lines
    assert NOISE.strip() in outcome.lines


@pytest.mark.parametrize("code", [0, 1])
def test_fails_when_the_migration_failed_whatever_its_exit_code(container: Container, code: int) -> None:
    # GIVEN a command that reports its failure, or hides it
    failure = (code, "Database migration failed: relation exists", "Traceback (most recent call last):\n")
    # WHEN the schema is not where it should be afterwards THEN that decides
    outcome = container.run(current=[OLD], upgrade=[failure])
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert "Database migration failed: relation exists" in outcome.lines
    assert outcome.upgrades == 1


def test_a_migration_that_arrives_counts_whatever_its_exit_code(container: Container) -> None:
    outcome = container.run(current=[OLD, HEAD], upgrade=[(1, "", "the lock could not be given back\n")])
    assert (outcome.code, result_of(outcome)) == (0, "done")


def test_a_lock_that_another_process_holds_is_waited_for(container: Container) -> None:
    # GIVEN another process that finishes the migration in the meantime
    outcome = container.run(current=[OLD, OLD, OLD, HEAD], upgrade=[LOCKED])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.upgrades == 3


def test_a_lock_that_becomes_free_is_taken(container: Container) -> None:
    outcome = container.run(current=[OLD, OLD, OLD, HEAD], upgrade=[LOCKED, LOCKED, MIGRATED])
    assert (outcome.code, result_of(outcome)) == (0, "done")


def test_fails_when_the_lock_stays_held(container: Container) -> None:
    outcome = container.run(current=[OLD], upgrade=[LOCKED], DIFY_CDK_MIGRATION_WAIT_SECONDS="0")
    assert (outcome.code, result_of(outcome)) == (1, "skipped")
    assert (
        outcome.last
        == "dify-migration: skipped: another process has held Dify's migration lock for 0 seconds"
    )


def test_fails_when_a_held_lock_is_followed_by_a_failure(container: Container) -> None:
    outcome = container.run(current=[OLD], upgrade=[LOCKED, (1, "Database migration failed: x\n", "")])
    assert (outcome.code, result_of(outcome)) == (1, "failed")


def test_a_revision_from_a_newer_image_is_left_alone(container: Container) -> None:
    outcome = container.run(current=[UNKNOWN])
    assert (outcome.code, result_of(outcome)) == (0, "unknown-revision")
    assert outcome.upgrades == 0


def test_a_newer_image_may_migrate_while_we_wait(container: Container) -> None:
    outcome = container.run(current=[OLD, UNKNOWN], upgrade=[LOCKED])
    assert (outcome.code, result_of(outcome)) == (0, "unknown-revision")


def test_a_database_that_is_resuming_is_asked_again(container: Container) -> None:
    outcome = container.run(current=[UNREACHABLE, UNREACHABLE, HEAD])
    assert (outcome.code, result_of(outcome)) == (0, "unchanged")


def test_fails_when_the_database_never_answers(container: Container) -> None:
    outcome = container.run(current=[UNREACHABLE], DIFY_CDK_MIGRATION_TRIES="3")
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert outcome.calls.count(CURRENT) == 3
    assert any("Connection refused" in line for line in outcome.lines)


@pytest.mark.parametrize("heads", [(1, "", "ModuleNotFoundError: flask_migrate\n"), revisions()])
def test_fails_when_the_image_names_no_head(container: Container, heads: Answer) -> None:
    outcome = container.run(current=[HEAD], heads=[heads])
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert outcome.upgrades == 0


def test_several_heads_are_all_needed(container: Container) -> None:
    both = revisions("2d7f8eb7628d (head)", "163f15c08acc (plugins) (head)")
    one = revisions("2d7f8eb7628d (head)")
    swapped = revisions("163f15c08acc (head)", "2d7f8eb7628d (head) (mergepoint)")
    outcome = container.run(heads=[both], current=[one, swapped])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.last == "dify-migration: done: the schema is at 163f15c08acc 2d7f8eb7628d"


def test_fails_when_one_of_several_heads_is_missing(container: Container) -> None:
    both = revisions("2d7f8eb7628d (head)", "163f15c08acc (head)")
    outcome = container.run(heads=[both], current=[revisions("2d7f8eb7628d (head)")])
    assert (outcome.code, result_of(outcome)) == (1, "failed")


def test_the_script_is_well_formed() -> None:
    checked = subprocess.run(["/bin/bash", "-n", SCRIPT], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
