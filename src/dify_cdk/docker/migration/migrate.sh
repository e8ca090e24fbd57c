#!/usr/bin/env bash
# Brings Dify's database to the schema of the api image it runs in, and says truthfully how that went.
#
# Dify's own command ("flask upgrade-db") can leave with 0 although nothing was done: when another process
# holds its lock it prints one line and ends. So the revision of the schema is asked before and after, and
# only that decides. The last line that starts with "dify-migration:" is the result:
#
#   done, unchanged       exit 0: the schema is at the head revisions of this image, the one-off commands are done
#   unknown-revision      exit 0: a newer image was here (a rollback); its schema is left as it is
#   skipped, failed       exit 1
#
# DIFY_CDK_MIGRATION_FINISHED       revisions at which an earlier run was done with everything; empty: unknown
# DIFY_CDK_MIGRATION_WAIT_SECONDS   how long to wait for another process to give the lock back
# DIFY_CDK_MIGRATION_PAUSE_SECONDS  between two looks
# DIFY_CDK_MIGRATION_TRIES          how often to ask a database that does not answer (it may be resuming)
# DIFY_CDK_MIGRATION_ONE_OFF_SECONDS  how long to try a one-off command again: the plugin daemon may be starting
set -euo pipefail

# What Dify's own entry point sets; this script runs instead of it.
export LANG="${LANG:-en_US.UTF-8}" LC_ALL="${LC_ALL:-en_US.UTF-8}" PYTHONIOENCODING="${PYTHONIOENCODING:-utf-8}"

wait_seconds="${DIFY_CDK_MIGRATION_WAIT_SECONDS:-2700}"
pause_seconds="${DIFY_CDK_MIGRATION_PAUSE_SECONDS:-10}"
tries="${DIFY_CDK_MIGRATION_TRIES:-6}"
one_off_seconds="${DIFY_CDK_MIGRATION_ONE_OFF_SECONDS:-300}"
finished="${DIFY_CDK_MIGRATION_FINISHED:-}"

# Commands that a release wants once, after the schema, for databases from before it; in this order. One row
# each: command | since | until | worked | failed | warned
#
#   since    revision that came with the release: who was there already, and was done, owes nothing
#   until    revision whose release does the same inside upgrade-db; empty: none so far
#   worked   what the output of a success must say; empty: nothing
#   failed   what no output of a success may say, because the exit code is 0 all the same; empty: nothing
#   warned   what is worth a warning
#
# Each has to be harmless when it runs again, because a run may be cut off, and a database may come from
# elsewhere. Nothing runs on a new database, or in an image that does not know the command.
#
# backfill-plugin-auto-upgrade: release notes of Dify 1.15.0. Its exit code is 0 also when workspaces failed.
# It takes up workspaces that lack a category of plugins only, and commits one at a time, so that one that is
# done is not touched again; from 1.15.0 on every new workspace has all categories. It asks the plugin daemon
# about workspaces with lists of plugins. (api/commands/plugin.py, services/plugin/plugin_auto_upgrade_service.py)
#
# data-migrate legacy-model-types: release notes of Dify 1.15.0 to 1.17.0, as amended, and
# https://github.com/langgenius/dify/issues/41294; in 1.17.1 revision 5578e028b2f2 does it,
# https://github.com/langgenius/dify/pull/41326. It takes up rows with a legacy name of a model type only, each
# group in a transaction, and leaves out rows that are locked for 5 seconds with exit code 0. Stale entries of
# the cache that it cannot delete expire. (api/services/legacy_model_type_migration.py at ad96501e0)
one_offs=(
  'backfill-plugin-auto-upgrade|f6a7b8c9d012||completed\. .*failed=0,||Skipped unknown plugin IDs'
  'data-migrate legacy-model-types --apply|f6a7b8c9d012|5578e028b2f2||"lock_timeout_skipped"|"cache_delete_failed"'
)

say() {
  printf 'dify-migration: %s: %s\n' "$1" "$2"
}

# The revisions that Alembic marks "(head)", sorted, on one line: log lines of the app are in between.
heads_in() {
  printf '%s\n' "$1" | sed -n 's/^\([0-9A-Za-z_][0-9A-Za-z_]*\) .*(head).*/\1/p' | sort -u | paste -s -d ' ' -
}

# All revisions that Alembic names, sorted, on one line.
revisions_in() {
  printf '%s\n' "$1" | sed -n 's/^\([0-9A-Za-z_][0-9A-Za-z_]*\)\( ([^)]*)\)*$/\1/p' | sort -u | paste -s -d ' ' -
}

# Sets "wanted": the head revisions of this image; there may be several.
read_wanted() {
  local output
  if ! output=$(flask db heads 2>&1); then
    printf '%s\n' "$output"
    say failed "this image could not name its head revisions"
    exit 1
  fi
  wanted=$(heads_in "$output")
  if [[ -z $wanted ]]; then
    printf '%s\n' "$output"
    say failed "this image names no head revision"
    exit 1
  fi
}

# Sets "present", the database's revisions, and "reached", those of them that are heads of this image.
read_reached() {
  local output try
  for ((try = 1; ; try++)); do
    if output=$(flask db current 2>&1); then
      present=$(revisions_in "$output")
      reached=$(heads_in "$output")
      return 0
    fi
    if [[ $output == *"Can't locate revision identified by"* ]]; then
      say unknown-revision "the database is at a revision this image does not know, and stays there"
      exit 0
    fi
    printf '%s\n' "$output"
    if ((try >= tries)); then
      say failed "the database did not tell its revision in $tries tries"
      exit 1
    fi
    say waiting "the database does not tell its revision, try $try of $tries"
    sleep "$pause_seconds"
  done
}

# Runs Dify's own command and sets "skipped"; its exit code says nothing reliable, the next look does.
upgrade() {
  local line
  skipped=no
  while IFS= read -r line || [[ -n $line ]]; do
    printf '%s\n' "$line"
    if [[ $line == *"Database migration skipped"* ]]; then
      skipped=yes
    fi
  done < <(flask upgrade-db 2>&1 || true)
}

# Sets "parents": every revision that this image knows, and those before it.
read_history() {
  local output line known='^(<base>|[0-9A-Za-z_, ()]+) -> ([0-9A-Za-z_]+)'
  if ! output=$(flask db history 2>&1); then
    printf '%s\n' "$output"
    say failed "the schema is at $wanted, but this image could not tell its revisions"
    exit 1
  fi
  while IFS= read -r line; do
    if [[ $line =~ $known ]]; then
      parents[${BASH_REMATCH[2]}]=${BASH_REMATCH[1]//[,()]/ }
    fi
  done <<< "$output"
}

# Whether revision $1 is one of $2, or comes before one of them.
is_in() {
  local each
  local -a todo earlier
  local -A seen=()
  read -ra todo <<< "$2"
  while ((${#todo[@]})); do
    each=${todo[-1]}
    unset 'todo[-1]'
    if [[ $each == "$1" ]]; then
      return 0
    fi
    if [[ -z ${seen[$each]:-} ]]; then
      seen[$each]=yes
      read -ra earlier <<< "${parents[$each]:-}"
      todo+=("${earlier[@]}")
    fi
  done
  return 1
}

# Whether a command that came with revision $1 and went with revision $2 has to run.
is_owed() {
  is_in "$1" "$wanted" || return 1
  if [[ -n $2 ]] && is_in "$2" "$wanted"; then
    return 1
  fi
  ! { is_in "$1" "$before" && is_in "$1" "$finished"; }
}

# Runs the command of a row once, and sets "outcome": worked, warned, failed, or missing.
run_once() {
  local line code=0 errors=0 has_worked=no has_failed=no has_warned=no is_missing=no
  while IFS= read -r line || [[ -n $line ]]; do
    printf '%s\n' "$line"
    if [[ -n $worked && $line =~ $worked ]]; then has_worked=yes; fi
    if [[ -n $failed && $line =~ $failed ]]; then has_failed=yes; fi
    if [[ -n $warned && $line =~ $warned ]]; then has_warned=yes; fi
    if [[ $line == "Error: "* ]]; then errors=$((errors + 1)); fi
    if [[ $line == "Error: No such command "* ]]; then is_missing=yes; fi
  done < <(flask "$@" 2>&1)
  wait "$!" || code=$?
  if [[ -z $worked ]]; then has_worked=yes; fi
  outcome=failed
  # An app that could not be loaded has no commands either, but says so with an error of its own.
  if [[ $code == 2 && $is_missing == yes && $errors == 1 ]]; then
    outcome=missing
  elif [[ $code == 0 && $has_worked == yes && $has_failed == no ]]; then
    if [[ $has_warned == yes ]]; then outcome=warned; else outcome=worked; fi
  fi
}

# Runs the command of a row until it has worked, and adds it to "ran".
run_one_off() {
  local outcome deadline=$((SECONDS + one_off_seconds))
  local -a words
  read -ra words <<< "$command"
  while true; do
    say running "flask $command"
    run_once "${words[@]}"
    case $outcome in
      missing) say running "this image does not know it, nothing to do" ;;
      warned) ran+="${ran:+, }$command with warnings" ;;
      worked) ran+="${ran:+, }$command" ;;
    esac
    if [[ $outcome != failed ]]; then
      return 0
    fi
    if ((SECONDS >= deadline)); then
      say failed "the schema is at $wanted, but 'flask $command' failed: see the messages above, deploy again"
      exit 1
    fi
    say waiting "'flask $command' failed, and is tried again"
    sleep "$pause_seconds"
  done
}

# Runs what is owed since the database was at "before", and ends with the result $1.
finish() {
  local row command since until worked failed warned ran=""
  local -A parents=()
  if [[ -n $before && ("$before" != "$wanted" || "$finished" != "$wanted") ]]; then
    read_history
    for row in "${one_offs[@]}"; do
      IFS='|' read -r command since until worked failed warned <<< "$row"
      if is_owed "$since" "$until"; then
        run_one_off
      fi
    done
  fi
  say "$1" "the schema is at $wanted${ran:+; ran $ran}"
  exit 0
}

main() {
  local result=unchanged deadline=$((SECONDS + wait_seconds)) wanted reached present before skipped=yes
  read_wanted
  read_reached
  before=$present
  while true; do
    if [[ $reached == "$wanted" ]]; then
      finish "$result"
    fi
    if [[ $skipped == no ]]; then
      say failed "the schema is at '${reached:-another revision}', not at $wanted: see the messages above"
      exit 1
    fi
    if [[ $result == done ]] && ((SECONDS >= deadline)); then
      say skipped "another process has held Dify's migration lock for $wait_seconds seconds"
      exit 1
    fi
    say upgrading "to $wanted"
    result=done
    upgrade
    if [[ $skipped == yes ]]; then
      say waiting "another process holds Dify's migration lock"
      sleep "$pause_seconds"
    fi
    read_reached
  done
}

main
