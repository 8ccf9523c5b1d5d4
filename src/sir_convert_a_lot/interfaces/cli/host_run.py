"""`convert-a-lot host run`: one command in the project's folder on a host.

Owns the clean shell that it runs in, the checks before it, and the exit codes of what they find.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sir_convert_a_lot.domain.host_access import Ending, HostCommand
from sir_convert_a_lot.interfaces.cli.talk import say

if TYPE_CHECKING:
    from sir_convert_a_lot.application.host_ports import Host

ROOT_MISSING, NO_REPOSITORY, ELSEWHERE = 66, 67, 68
TIMED_OUT = 124  # as timeout(1) says it
NOT_STARTED = 126
# A shell that no file of the account has touched, with nothing of the caller's but where the account lives. `$0` is the
# folder, the rest the command; without one, the shell reads its script on from stdin. A shell starts the command: `env`
# would take a first word with `=` in it for a variable.
CLEAN = 'exec env -i HOME="$HOME" USER="${USER:-}" LOGNAME="${LOGNAME:-}" PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC '
GUARD = f"""\
root=$0
case $root in "~") root=$HOME ;; "~/"*) root=$HOME/${{root#"~/"}} ;; esac
cd -- "$root" 2>/dev/null || {{ echo "$root is not there" >&2; exit {ROOT_MISSING}; }}
top=$(git rev-parse --show-toplevel 2>/dev/null) || {{ echo "$root is no git repository" >&2; exit {NO_REPOSITORY}; }}
here=$(pwd -P)
[ "$top" = "$here" ] || {{ echo "$here is not the top of its repository, $top is" >&2; exit {ELSEWHERE}; }}
if [ $# -eq 0 ]; then {CLEAN} sh -eu; fi
{CLEAN} sh -c 'unset PWD OLDPWD SHLVL; exec "$@"' sh "$@"
"""


def run_in_project(host: Host, root: str, command: Sequence[str], stdin: bytes, timeout_s: float) -> int:
    """Print what the command printed, when it has ended, and return its exit code."""
    outcome = host.run(HostCommand(["sh", "-c", GUARD, root, *command], stdin, timeout_s=timeout_s))
    sys.stdout.buffer.write(outcome.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(outcome.stderr)
    sys.stderr.flush()
    if outcome.ending is Ending.EXITED:
        return outcome.exit_code or 0
    say(outcome.line)
    if outcome.ending is Ending.SIGNALLED:
        return 128 - (outcome.exit_code or 0)
    return TIMED_OUT if outcome.ending is Ending.TIMED_OUT else NOT_STARTED
