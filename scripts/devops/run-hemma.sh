#!/bin/sh
# Runs a command in the project's folder on Hemma, in a clean shell; every argument arrives there as it is.
#
#   scripts/devops/run-hemma.sh git log -1
#   scripts/devops/run-hemma.sh <<'SCRIPT'
#   for unit in sir-convert-a-lot; do systemctl --user status "$unit"; done
#   SCRIPT
#
# The exit code is the command's own. 66: the folder is not there; 67: it is no git repository; 68: it is not the top of
# the repository that it lies in.
set -eu

[ "${1:-}" = -- ] && shift
exec "$(dirname "$0")/../../.venv/bin/convert-a-lot" host run --host hemma -- "$@"
