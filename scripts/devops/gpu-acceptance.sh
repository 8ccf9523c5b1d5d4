#!/bin/sh
# Shows on this machine's GPU that the product keeps its word, and writes what was seen to evidence.json.
#
#   gpu-acceptance.sh [--output-dir DIR] [--models DIR | --tiny-models] [PDF…]
#
# Exits 0 when every check holds, 1 when one failed, 2 when it could not tell; without a GPU as `gpu probe` does.
# Runs with .venv/bin/python of the checkout, or with the interpreter that PYTHON names.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
if ! command -v "$python" >/dev/null 2>&1; then
  echo "No interpreter at $python: run \`make\` first, or name one with PYTHON=python3." >&2
  exit 2
fi
PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec "$python" "$root/scripts/devops/gpu_acceptance.py" "$@"
