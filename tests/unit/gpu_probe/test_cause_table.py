"""The table of causes: whole, in plain words, and the same as the runbook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause, Remedy

ROOT = Path(__file__).parents[3]


def test_every_cause_has_an_entry_in_the_order_of_the_codes() -> None:
    assert list(CAUSES) == list(Cause)


def test_only_a_slow_first_run_is_no_refusal() -> None:
    assert [cause for cause, entry in CAUSES.items() if entry.is_warning_only] == [Cause.SLOW_FIRST_RUN]


@pytest.mark.parametrize("cause", Cause)
def test_an_entry_says_what_it_means_how_it_is_told_and_what_to_do(cause: Cause) -> None:
    entry = CAUSES[cause]
    assert entry.meaning.endswith(".")
    assert entry.discriminator.endswith(".")
    assert entry.remedies
    for remedy in entry.remedies:
        assert not remedy.text.endswith("."), remedy
        assert not re.search(r"[<>]", remedy.sentence), remedy


def test_a_remedy_is_one_line_with_its_command() -> None:
    assert Remedy("Load it", "modprobe x", needs_root=True).sentence == "Load it: modprobe x (needs root)"
    assert Remedy("Buy one").sentence == "Buy one"


def test_the_runbook_is_what_the_table_says() -> None:
    script = ROOT / "scripts" / "make_cause_runbook.py"
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("cause", Cause)
def test_the_runbook_has_the_anchor_that_the_cause_names(cause: Cause) -> None:
    name, _, anchor = cause.runbook.partition("#")
    assert f"\n## {anchor}\n" in (ROOT / name).read_text()
