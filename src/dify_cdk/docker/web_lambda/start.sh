#!/bin/sh
# Completes the environment of Dify's web in a Lambda function, then becomes the program it is given.
#
#   start.sh PROGRAM [ARGUMENT ...]
#
# Web has no secrets. Where a value contains the public URL, two variables say so, see public_url.mjs; without
# them nothing is fetched, so the image also runs elsewhere.
set -eu

if [ $# -eq 0 ]; then
  echo "dify-cdk: cannot start: no program is given" >&2
  exit 1
fi

# Only /tmp is writable, and it starts empty.
mkdir -p "$HOME" "$DIFY_CDK_NEXT_CACHE"

here=${0%/*}
if [ -n "${DIFY_CDK_URL_PARAMETER:-}${DIFY_CDK_URL_TEMPLATES:-}" ]; then
  variables=$(node "$here/public_url.mjs")
  while IFS= read -r variable; do
    export "${variable?}"
  done <<END
$variables
END
fi
unset DIFY_CDK_URL_PARAMETER DIFY_CDK_URL_TEMPLATES DIFY_CDK_NEXT_CACHE

# Older images start the server with PM2; the one beside this script stands in for it.
export PATH="$here:$PATH"
exec "$@"
