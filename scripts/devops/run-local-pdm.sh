#!/bin/sh
# Runs a PDM script in the project's own environment, from any directory, with nothing of the caller's Python.
#
#   /path/to/project/scripts/devops/run-local-pdm.sh check
#
# The exit code is the script's own. 127: there is no pdm on the PATH.
set -eu

project=$(cd "$(dirname "$0")/../.." && pwd -P)
if [ $# -eq 0 ]; then
  echo "usage: run-local-pdm.sh SCRIPT [ARGUMENT]..." >&2
  exit 64
fi
pdm=$(command -v pdm) || {
  echo "there is no pdm on the PATH: install it with pipx install pdm" >&2
  exit 127
}
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP PDM_IGNORE_ACTIVE_VENV
export PDM_PYTHON="$project/.venv/bin/python"
exec "$pdm" run --project "$project" "$@"
