#!/bin/sh
# Brings Hemma back to where it converts on its GPU: `convert-a-lot host repair --host hemma`, with what else is given here.
#
#   scripts/devops/repair-hemma-rocm-runtime.sh            shows what would be done
#   scripts/devops/repair-hemma-rocm-runtime.sh --apply    does what needs no root and can be undone
#
# Exits as the verification at its end: 0 fit, 1 not fit, or rolled back, 2 could not tell. SIR_CONVERT_A_LOT_HEMMA_HOST
# and SIR_CONVERT_A_LOT_HEMMA_ROOT go over what the hosts file says.
set -eu

exec "$(dirname "$0")/../../.venv/bin/convert-a-lot" host repair --host hemma "$@"
