#!/usr/bin/env bash
# Brings Dify's database to the schema of the api image it runs in, and says truthfully how that went.
#
# Dify's own command ("flask upgrade-db") can leave with 0 although nothing was done: when another process
# holds its lock it prints one line and ends. So the revision of the schema is asked before and after, and
# only that decides. The last line that starts with "dify-migration:" is the result:
#
#   done, unchanged       exit 0: the schema is at the head revisions of this image
#   unknown-revision      exit 0: a newer image was here (a rollback); its schema is left as it is
#   skipped, failed       exit 1
#
# DIFY_CDK_MIGRATION_WAIT_SECONDS   how long to wait for another process to give the lock back
# DIFY_CDK_MIGRATION_PAUSE_SECONDS  between two looks
# DIFY_CDK_MIGRATION_TRIES          how often to ask a database that does not answer (it may be resuming)
set -euo pipefail

# What Dify's own entry point sets; this script runs instead of it.
export LANG="${LANG:-en_US.UTF-8}" LC_ALL="${LC_ALL:-en_US.UTF-8}" PYTHONIOENCODING="${PYTHONIOENCODING:-utf-8}"

wait_seconds="${DIFY_CDK_MIGRATION_WAIT_SECONDS:-2700}"
pause_seconds="${DIFY_CDK_MIGRATION_PAUSE_SECONDS:-10}"
tries="${DIFY_CDK_MIGRATION_TRIES:-6}"

say() {
  printf 'dify-migration: %s: %s\n' "$1" "$2"
}

# The revisions that Alembic marks "(head)", sorted, on one line: log lines of the app are in between.
heads_in() {
  printf '%s\n' "$1" | sed -n 's/^\([0-9A-Za-z_][0-9A-Za-z_]*\) .*(head).*/\1/p' | sort -u | paste -s -d ' ' -
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

# Sets "reached": those of the database's revisions that are heads of this image.
read_reached() {
  local output try
  for ((try = 1; ; try++)); do
    if output=$(flask db current 2>&1); then
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

main() {
  local result=unchanged deadline=$((SECONDS + wait_seconds)) wanted reached skipped=yes
  read_wanted
  while true; do
    read_reached
    if [[ $reached == "$wanted" ]]; then
      say "$result" "the schema is at $wanted"
      exit 0
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
  done
}

main
