"""Writes docs/runbooks/gpu-causes.md from the table of causes.

python scripts/make_cause_runbook.py            writes the file
python scripts/make_cause_runbook.py --check    exits 1 when the file is not what the table says
"""

from __future__ import annotations

import sys
from pathlib import Path

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause, CauseEntry, Remedy

RUNBOOK = Path(__file__).parents[1] / "docs" / "runbooks" / "gpu-causes.md"

HEAD = """# Why the GPU is not used: every cause, and what to do

<!-- Made by scripts/make_cause_runbook.py from src/sir_convert_a_lot/domain/gpu_causes.py: change the table there. -->

A 503 `gpu_not_available` names one `cause`. Look it up here, do the first remedy that fits, then ask again
with `convert-a-lot gpu probe --json`.

The probe climbs a ladder, nearest the hardware first, and the first rung that does not pass names the cause. What else
was seen stands in `evidence`. Remedies stand in the order in which to try them. Names in capitals are yours to fill in.

The first four rungs read files and open device nodes. Only where they pass does the probe start a child process that
imports torch, computes, and compares the results with the CPU's; a hang or a crash there is a cause, not a dead
service. What no rung could tell is `probe_incomplete`, and a request that needs the GPU is refused. *Told without
torch* marks causes that the first four rungs name, so also on a machine where torch is not installed.
"""


def write_runbook() -> str:
    """The whole file."""
    index = "\n".join(f"| [`{cause.value}`](#{cause.value}) | {entry.meaning} |" for cause, entry in CAUSES.items())
    sections = "\n".join(write_section(cause, entry) for cause, entry in CAUSES.items())
    return f"{HEAD}\n| cause | what it means |\n|---|---|\n{index}\n\n{sections}"


def write_section(cause: Cause, entry: CauseEntry) -> str:
    """One cause; the heading is its anchor."""
    if entry.is_warning_only:
        mark = "*A warning: nothing is refused for it.*\n\n"
    elif entry.teller:
        mark = f"*{entry.teller} tells it.*\n\n"
    elif entry.is_told_without_torch:
        mark = "*Told without torch.*\n\n"
    else:
        mark = ""
    remedies = "\n".join(f"{number}. {write_remedy(remedy)}" for number, remedy in enumerate(entry.remedies, 1))
    return f"## {cause.value}\n\n{mark}{entry.meaning}\n\nTold by: {entry.discriminator}\n\n{remedies}\n"


def write_remedy(remedy: Remedy) -> str:
    """One remedy, its command ready to be copied."""
    notes = [
        note
        for note, holds in (("needs root", remedy.needs_root), ("cannot be undone", not remedy.is_reversible))
        if holds
    ]
    command = f": `{remedy.command}`" if remedy.command else ""
    return remedy.text + command + (f" ({', '.join(notes)})" if notes else "")


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        is_current = RUNBOOK.exists() and RUNBOOK.read_text() == write_runbook()
        print(
            f"{RUNBOOK.name} is {'up to date' if is_current else 'not what the table says: run this without --check'}"
        )
        return 0 if is_current else 1
    RUNBOOK.parent.mkdir(parents=True, exist_ok=True)
    RUNBOOK.write_text(write_runbook())
    print(RUNBOOK.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
