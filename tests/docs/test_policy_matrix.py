"""The page of what a caller gets says what the policy's truth table says, cell by cell, and leaves nothing out."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import policy_cells
from sir_convert_a_lot.domain.acceleration_policy import ServerRules, judge_readiness
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy
from sir_convert_a_lot.domain.receipt import Grade, acceleration_used_by

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "converters" / "gpu_policy_matrix.md").read_text(encoding="utf-8")
HOSTS = tuple(policy_cells.STATES)


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    """The module with the truth table of the policy, which knows nothing of this page."""
    spec = importlib.util.spec_from_file_location("truth", ROOT / "tests" / "unit" / "test_acceleration_policy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
    assert lines, heading
    return [line.split(" | ") for line in lines[2:]]


def admits(shown: str, value: str, everything: Sequence[str]) -> bool:
    """Whether a cell of the table stands for this value."""
    if shown.startswith("not "):
        return value != shown.removeprefix("not ").strip("`")
    named = [name.strip("`") for name in shown.split("`, `")] if "`" in shown else shown.split(", ")
    assert shown == "any" or set(named) <= set(everything), f"{shown} is none of {everything}"
    return shown == "any" or value in named


def is_installed(shown: str, installed: frozenset[str]) -> bool:
    named = [] if shown == "any" else shown.split(", ")
    return all((name.removeprefix("no ").strip("`") in installed) is not name.startswith("no ") for name in named)


def test_the_page_is_what_the_script_writes() -> None:
    script = ROOT / "scripts" / "make_policy_matrix.py"
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_state_policy_backend_cause_or_grade_is_missing() -> None:
    every = [*HOSTS, *AccelerationPolicy, *BackendStrategy, *Cause, *Grade, "promised_device", "GPU lock"]
    assert [name for name in every if not re.search(rf"`{re.escape(name)}`|\| {re.escape(name)} \|", PAGE)] == []
    assert [row[0] for row in rows_under("The states of a host")] == [f"`{name}`" for name in HOSTS]


def test_every_cell_of_the_truth_table_has_one_row_with_its_answer(truth: ModuleType) -> None:
    rows, policies, backends = rows_under("At admission"), list(AccelerationPolicy), list(BackendStrategy)
    assert len(rows) < 30, "this many rows nobody reads"
    checked = 0
    for (policy, backend, name, rules, installed), decision in truth.table():
        if "builtin" not in installed:
            continue  # it is part of the package
        host = "proven" if name == "proven" and not rules.gpu_is_forbidden else "no GPU"
        lock = "on" if rules.cpu_is_locked else "off"
        matching = [
            row
            for row in rows
            if admits(row[0], policy, policies)
            and admits(row[1], backend, backends)
            and admits(row[2], host, HOSTS)
            and admits(row[3], lock, ("on", "off"))
            and is_installed(row[4], installed)
        ]
        assert [tell(row) for row in matching] == [truth.describe(decision)], (policy, backend, name, rules, installed)
        checked += 1
    assert checked > 1000


def tell(row: list[str]) -> str:
    """A row's answer in the words of the truth table."""
    answer, reason, runs = row[5].strip("`"), row[6].strip("`"), row[8]
    if answer != "202":
        assert runs == "nothing"
        return f"{answer} {reason}"
    engine, _, device = runs.partition(" on the ")
    return f"{device.lower()} {engine.strip('`')}"


def test_every_cell_of_readiness_has_one_row_with_its_answer(truth: ModuleType) -> None:
    rows = rows_under("Readiness")
    for name, snapshot in truth.SNAPSHOTS.items():
        for rules in truth.RULES:
            readiness = judge_readiness(snapshot, rules)
            host = "proven" if name == "proven" and not rules.gpu_is_forbidden else "no GPU"
            told = [
                (row[3], row[4])
                for row in rows
                if admits(row[0], host, HOSTS)
                and admits(row[1], rules.promised_device, ("none", "gpu"))
                and admits(row[2], "on" if rules.cpu_is_locked else "off", ("on", "off"))
            ]
            assert told == [("`200`" if readiness.is_ready else "`503`", f"`{readiness.state}`")], (name, rules)


def test_only_a_grade_that_says_cuda_is_released() -> None:
    rows = {row[0].strip("`"): row for row in rows_under("When the result is to be released")}
    for grade in Grade:
        assert rows[grade.value][1] == f"`{acceleration_used_by(grade)}`"
        assert rows[grade.value][2].startswith("succeeds" if acceleration_used_by(grade) == "cuda" else "fails")


def test_no_row_runs_gpu_required_on_the_cpu() -> None:
    rows = [row for heading in ("At admission", "When a worker takes the job") for row in rows_under(heading)]
    required = [row for row in rows if "`gpu_required`" in row[0]]
    assert len(required) >= 6
    assert not [row for row in required if any("on the CPU" in cell for cell in row)]


def test_a_state_of_which_two_snapshots_are_answered_differently_is_no_state() -> None:
    both = (policy_cells.take_snapshot(), *policy_cells.stop_for([Cause.NO_GPU_HARDWARE]))
    mixed = policy_cells.State("mixed", "a proven GPU and none", both)
    answers = {policy_cells.read_readiness(snapshot, ServerRules(), mixed) for snapshot in mixed.snapshots}
    with pytest.raises(ValueError, match="has 2 answers"):
        policy_cells.only(answers, ("mixed",))
