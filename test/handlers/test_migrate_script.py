"""The container's script, run for real with a ``flask`` program whose behaviour is written down per test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from migration import judge

SCRIPT = Path(__file__).parents[2] / "src" / "dify_cdk" / "docker" / "migration" / "migrate.sh"

# Each command has a list of answers; the last one is repeated. An answer is (exit code, stdout, stderr).
# Nothing is imported that takes longer than all the rest: each test starts it several times.
FLASK = """\
#!{python} -S
import sys

folder = {folder!r}
command = " ".join(sys.argv[1:])
with open(folder + "/calls", "a") as calls:
    calls.write(command + "\\n")
with open(folder + "/answers") as file:
    answers = eval(file.read())
code, out, err = answers[command][0]
if len(answers[command]) > 1:
    del answers[command][0]
    with open(folder + "/answers", "w") as file:
        file.write(repr(answers))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

Answer = tuple[int, str, str]

HEADS, CURRENT, HISTORY, UPGRADE = "db heads", "db current", "db history", "upgrade-db"
BACKFILL = "backfill-plugin-auto-upgrade"
MODEL_TYPES = "data-migrate legacy-model-types --apply"
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


# As Alembic prints it, newest first. The revisions in the middle are Dify's own: those of the two commands,
# from api/migrations/versions of 1.15.0 and 1.17.1.
CATEGORIES, CANONICAL = "f6a7b8c9d012", "5578e028b2f2"
HISTORY_1_14 = revisions("c3cbbbc8d6b4 -> 2d7f8eb7628d (head), add", "<base> -> c3cbbbc8d6b4, init")
HISTORY_1_16 = revisions(
    "7df29de0f6be, f5e8a9c0d2b3 -> 2d7f8eb7628d (head) (mergepoint), merge -> heads",
    f"{CATEGORIES} -> 7df29de0f6be, add",
    f"{CATEGORIES} -> f5e8a9c0d2b3, add learn dify flag to recommended apps",
    f"c3cbbbc8d6b4 -> {CATEGORIES} (branchpoint), add plugin auto upgrade category",
    "<base> -> c3cbbbc8d6b4, init",
)
HISTORY_1_17_1 = revisions(
    f"{CANONICAL} -> 2d7f8eb7628d (head), add",
    f"9b7c6d5e4f3a -> {CANONICAL}, migrate legacy model types",
    f"{CATEGORIES} -> 9b7c6d5e4f3a, add",
    f"c3cbbbc8d6b4 -> {CATEGORIES}, add plugin auto upgrade category",
    "<base> -> c3cbbbc8d6b4, init",
)

# What Dify's commands print: api/commands/plugin.py of 1.15.0, services/legacy_model_type_migration.py at
# ad96501e0.
COUNTS = (
    "Backfill plugin auto-upgrade strategy categories completed. backfilled={}, created_rows={}, "
    "normalized={}, skipped=0, failed={}, elapsed=0.31s\n"
)
BACKFILLED: Answer = (0, "Found 2 candidate tenants.\n" + COUNTS.format(2, 8, 0, 0), "")
NOBODY_LEFT: Answer = (0, "Found 0 candidate tenants.\n" + COUNTS.format(0, 0, 0, 0), "")
HALF: Answer = (
    0,
    "Found 2 candidate tenants.\n"
    "Failed tenant 0c9f3f3a-9f0a-4b21-9d5e-6f2f3c2b8a11: Failed to request plugin daemon\n"
    + COUNTS.format(1, 4, 0, 1),
    "",
)
UNINSTALLED: Answer = (
    BACKFILLED[0],
    BACKFILLED[1],
    "2026-11-22 12:00:00.000 WARNING [MainThread] [plugin_auto_upgrade_service.py:90] Skipped unknown plugin "
    "IDs while backfilling plugin auto-upgrade strategies: tenant_id=1, field=exclude_plugins, "
    "plugin_ids=['a/b']\n",
)


def events(*names: str, code: int = 0, error: str = "") -> Answer:
    """JSON lines of the migration of model types."""
    rows = [
        {
            "event": name,
            "message": "...",
            "attrs": {"tenant_id": "1", "apply": True},
            "ts": "2026-11-22T12:00:00",
        }
        for name in names
    ]
    return (code, "".join(json.dumps(row) + "\n" for row in rows), error)


CANONICALIZED = events("tenant_started", "row_updated", "cache_deleted", "tenant_completed")
SKIPPED_A_ROW = events("tenant_started", "lock_timeout_skipped", "tenant_completed")
LEFT_CACHE = events("tenant_started", "row_updated", "cache_delete_failed", "tenant_completed")
BROKEN_OFF = events("tenant_started", code=1, error="sqlalchemy.exc.ProgrammingError: no such column\n")


def no_command(name: str, before: str = "") -> Answer:
    """What Flask 3.1 says of a command that no app registers; ``before``: of an app that cannot be loaded."""
    usage = "Usage: flask [OPTIONS] COMMAND [ARGS]...\nTry 'flask --help' for help.\n\n"
    return (2, "", f"{before}{usage}Error: No such command '{name}'.\n")


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

    @property
    def one_offs(self) -> list[str]:
        return [call for call in self.calls if call not in (HEADS, CURRENT, HISTORY, UPGRADE)]


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
        history: Sequence[Answer] = (HISTORY_1_14,),
        backfill: Sequence[Answer] = (BACKFILLED,),
        model_types: Sequence[Answer] = (CANONICALIZED,),
        finished: str = "",
        **environment: str,
    ) -> Outcome:
        answers = {
            HEADS: [*heads],
            CURRENT: [*current],
            HISTORY: [*history],
            UPGRADE: [*upgrade],
            BACKFILL: [*backfill],
            MODEL_TYPES: [*model_types],
        }
        (self.folder / "answers").write_text(repr(answers))
        settings = {
            "DIFY_CDK_MIGRATION_WAIT_SECONDS": "60",
            "DIFY_CDK_MIGRATION_PAUSE_SECONDS": "0",
            "DIFY_CDK_MIGRATION_ONE_OFF_SECONDS": "0",
            "DIFY_CDK_MIGRATION_FINISHED": finished,
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


# ---- one-off commands of a release

AT_HEAD = "the schema is at 2d7f8eb7628d"


@pytest.mark.parametrize(
    ("history", "expected"),
    [(HISTORY_1_14, []), (HISTORY_1_16, [BACKFILL, MODEL_TYPES]), (HISTORY_1_17_1, [BACKFILL])],
)
def test_an_upgrade_runs_what_its_release_wants_and_says_so(
    container: Container, history: Answer, expected: list[str]
) -> None:
    """From 1.14: nothing within 1.14, both commands up to 1.17.0, one from 1.17.1 on."""
    outcome = container.run(current=[OLD, HEAD], history=[history])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.one_offs == expected
    ran = f"; ran {', '.join(expected)}" if expected else ""
    assert outcome.last == f"dify-migration: done: {AT_HEAD}{ran}"
    assert outcome.calls.index(UPGRADE) < min(map(outcome.calls.index, expected or [HISTORY]))


def test_a_new_database_owes_nothing(container: Container) -> None:
    outcome = container.run(current=[EMPTY, HEAD], history=[HISTORY_1_16])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.one_offs == []
    assert outcome.last == f"dify-migration: done: {AT_HEAD}"


def test_what_was_done_before_is_not_done_again(container: Container) -> None:
    """An upgrade from 1.15 or later, and the same release under another name."""
    between = revisions("f5e8a9c0d2b3")
    later = container.run(current=[between, HEAD], history=[HISTORY_1_16], finished="f5e8a9c0d2b3")
    assert (later.code, result_of(later), later.one_offs) == (0, "done", [])
    again = container.run(current=[HEAD], history=[HISTORY_1_16], finished="2d7f8eb7628d")
    assert (again.code, result_of(again)) == (0, "unchanged")
    assert HISTORY not in again.calls[len(later.calls) :]


@pytest.mark.parametrize("finished", ["", "c3cbbbc8d6b4", "feedface"])
@pytest.mark.parametrize("before", [HEAD, revisions("f5e8a9c0d2b3")])
def test_what_may_not_have_been_done_is_done(container: Container, before: Answer, finished: str) -> None:
    """A command failed after the migration, whatever image comes next, or the database is from elsewhere."""
    outcome = container.run(current=[before, HEAD], history=[HISTORY_1_16], finished=finished)
    assert outcome.code == 0
    assert outcome.one_offs == [BACKFILL, MODEL_TYPES]


def test_a_database_that_is_older_than_what_was_done_is_brought_up(container: Container) -> None:
    """A snapshot from before the last upgrade."""
    outcome = container.run(current=[OLD, HEAD], history=[HISTORY_1_16], finished="2d7f8eb7628d")
    assert outcome.one_offs == [BACKFILL, MODEL_TYPES]


def test_a_migration_by_another_process_is_followed_by_the_commands(container: Container) -> None:
    outcome = container.run(current=[OLD, OLD, HEAD], upgrade=[LOCKED], history=[HISTORY_1_17_1])
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.one_offs == [BACKFILL]


def test_a_newer_database_is_left_alone_by_the_commands_too(container: Container) -> None:
    outcome = container.run(current=[UNKNOWN], history=[HISTORY_1_16])
    assert (outcome.code, result_of(outcome), outcome.one_offs) == (0, "unknown-revision", [])


def test_commands_with_nothing_to_do_succeed(container: Container) -> None:
    outcome = container.run(
        current=[HEAD], history=[HISTORY_1_16], backfill=[NOBODY_LEFT], model_types=[events()]
    )
    assert (outcome.code, result_of(outcome)) == (0, "unchanged")
    assert outcome.last == f"dify-migration: unchanged: {AT_HEAD}; ran {BACKFILL}, {MODEL_TYPES}"


@pytest.mark.parametrize("name", ["data-migrate", "legacy-model-types"])
def test_a_command_that_the_image_does_not_know_is_left_out(container: Container, name: str) -> None:
    outcome = container.run(
        current=[OLD, HEAD],
        history=[HISTORY_1_16],
        backfill=[no_command(BACKFILL)],
        model_types=[no_command(name)],
    )
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.last == f"dify-migration: done: {AT_HEAD}"
    assert outcome.lines.count("dify-migration: running: this image does not know it, nothing to do") == 2


def test_fails_when_the_app_cannot_be_loaded_which_looks_like_a_missing_command(container: Container) -> None:
    broken = no_command(BACKFILL, "Error: While importing 'app', an ImportError was raised:\n\nTraceback\n")
    outcome = container.run(current=[OLD, HEAD], history=[HISTORY_1_17_1], backfill=[broken])
    assert (outcome.code, result_of(outcome)) == (1, "failed")


@pytest.mark.parametrize(
    ("answers", "command", "told"),
    [
        ({"backfill": [HALF]}, BACKFILL, "Failed to request plugin daemon"),
        ({"backfill": [UNREACHABLE]}, BACKFILL, "Connection refused"),
        ({"backfill": [(0, "", "")]}, BACKFILL, ""),
        ({"model_types": [SKIPPED_A_ROW]}, MODEL_TYPES, "lock_timeout_skipped"),
        ({"model_types": [BROKEN_OFF]}, MODEL_TYPES, "no such column"),
        ({"model_types": [(137, "", "")]}, MODEL_TYPES, ""),
    ],
)
def test_fails_when_a_command_fails_whatever_its_exit_code(
    container: Container, answers: dict[str, Any], command: str, told: str
) -> None:
    outcome = container.run(current=[OLD, HEAD], history=[HISTORY_1_16], **answers)
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert outcome.last == (
        f"dify-migration: failed: {AT_HEAD}, but 'flask {command}' failed: see the messages above, deploy "
        "again"
    )
    assert told in "\n".join(outcome.lines[-5:]), "the reason is among the last lines"
    assert outcome.one_offs[-1] == command, "nothing ran after it"


def test_a_command_is_tried_again_while_the_plugin_daemon_starts(container: Container) -> None:
    outcome = container.run(
        current=[OLD, HEAD],
        history=[HISTORY_1_17_1],
        backfill=[HALF, HALF, BACKFILLED],
        DIFY_CDK_MIGRATION_ONE_OFF_SECONDS="60",
    )
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.one_offs == [BACKFILL] * 3
    assert outcome.last.endswith(f"; ran {BACKFILL}")


def test_a_command_is_not_tried_for_ever(container: Container) -> None:
    outcome = container.run(
        current=[OLD, HEAD],
        history=[HISTORY_1_17_1],
        backfill=[HALF],
        DIFY_CDK_MIGRATION_ONE_OFF_SECONDS="2",
        DIFY_CDK_MIGRATION_PAUSE_SECONDS="1",
    )
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert 2 <= len(outcome.one_offs) <= 4


def test_warnings_are_passed_on(container: Container) -> None:
    outcome = container.run(
        current=[OLD, HEAD], history=[HISTORY_1_16], backfill=[UNINSTALLED], model_types=[LEFT_CACHE]
    )
    assert (outcome.code, result_of(outcome)) == (0, "done")
    assert outcome.last == (
        f"dify-migration: done: {AT_HEAD}; ran {BACKFILL} with warnings, {MODEL_TYPES} with warnings"
    )


def test_fails_when_the_image_cannot_tell_its_history(container: Container) -> None:
    outcome = container.run(current=[OLD, HEAD], history=[(1, "", "boom\n")])
    assert (outcome.code, result_of(outcome)) == (1, "failed")
    assert outcome.last == f"dify-migration: failed: {AT_HEAD}, but this image could not tell its revisions"


def test_several_heads_are_asked_together(container: Container) -> None:
    both = revisions("2d7f8eb7628d (head)", "163f15c08acc (plugins) (head)")
    history = revisions(
        f"{CATEGORIES} -> 2d7f8eb7628d (head), add",
        f"c3cbbbc8d6b4 -> {CATEGORIES}, add plugin auto upgrade category",
        "<base> -> c3cbbbc8d6b4, init",
        "<base> -> 163f15c08acc (plugins) (head), of its own",
    )
    at_both = "163f15c08acc 2d7f8eb7628d"
    done = container.run(heads=[both], current=[both], history=[history], finished=at_both)
    assert (done.code, result_of(done), done.one_offs) == (0, "unchanged", [])
    owed = container.run(heads=[both], current=[both], history=[history], finished="163f15c08acc")
    assert owed.one_offs == [BACKFILL, MODEL_TYPES]


def test_every_row_of_the_table_is_complete() -> None:
    rows = re.findall(r"^  '(.*)'$", SCRIPT.read_text(), re.MULTILINE)
    assert [row.split("|")[0] for row in rows] == [BACKFILL, MODEL_TYPES]
    for row in rows:
        command, since, until, worked, failed, _ = row.split("|")
        assert re.fullmatch(r"[a-z -]+", command)
        assert re.fullmatch(r"[0-9a-f]{12}", since)
        assert re.fullmatch(r"([0-9a-f]{12})?", until)
        assert worked or failed, "exit codes of Dify's commands say too little"


def test_the_script_is_well_formed() -> None:
    checked = subprocess.run(["/bin/bash", "-n", SCRIPT], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
