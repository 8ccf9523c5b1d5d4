#!/bin/sh
# Asks whether Hemma is fit to convert on its GPU: `convert-a-lot host verify --host hemma`, with what else is given here.
#
#   scripts/devops/verify-hemma-gpu-runtime.sh --evidence build/hemma
#
# Exits 0 with a yes, 1 with a no, 2 when it could not be told. SIR_CONVERT_A_LOT_HEMMA_HOST and
# SIR_CONVERT_A_LOT_HEMMA_ROOT go over what the hosts file says.
set -eu

exec "$(dirname "$0")/../../.venv/bin/convert-a-lot" host verify --host hemma "$@"
