"""evidence.json: never more than was seen, there from the first moment, and without words of the machine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpu_acceptance_evidence import Evidence, Outcome, Verdict, find_problems, private_words, redact

Json = dict[str, Any]


def read(evidence: Evidence) -> Json:
    found: Json = json.loads(evidence.path.read_text(encoding="utf-8"))
    return found


def conclude(evidence: Evidence, name: str, outcome: Outcome) -> None:
    evidence.conclude(name, Verdict(outcome, "seen"), time.monotonic())


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    made = Evidence(tmp_path, "scripts/devops/gpu-acceptance.sh --tiny-models")
    made.plan("probe", "it passes")
    made.plan("conversion:a.pdf", "it is proven")
    return made


def test_a_run_that_was_cut_off_leaves_what_it_saw_and_calls_the_rest_unknown(evidence: Evidence) -> None:
    conclude(evidence, "probe", Outcome.OK)
    seen = read(evidence)  # nothing was finished
    assert [(check["name"], check["outcome"], check["seen"]) for check in seen["checks"]] == [
        ("probe", "ok", "seen"),
        ("conversion:a.pdf", "unknown", "not run"),
    ]
    assert (seen["outcome"], seen["exit_code"], seen["ended_at"]) == ("unknown", None, None)


@pytest.mark.parametrize(("second", "code"), [(Outcome.OK, 0), (Outcome.FAILED, 1), (Outcome.UNKNOWN, 2)])
def test_the_worst_check_is_the_outcome_and_the_exit_code(evidence: Evidence, second: Outcome, code: int) -> None:
    conclude(evidence, "probe", Outcome.OK)
    conclude(evidence, "conversion:a.pdf", second)
    assert evidence.finish() == code
    assert (read(evidence)["outcome"], read(evidence)["exit_code"]) == (second.value, code)


def test_an_exit_code_that_is_given_cannot_make_a_success(evidence: Evidence) -> None:
    conclude(evidence, "probe", Outcome.FAILED)
    assert evidence.finish(2) == 2
    conclude(evidence, "probe", Outcome.OK)
    conclude(evidence, "conversion:a.pdf", Outcome.OK)
    assert evidence.finish(1) == 0  # the checks decide


def test_a_run_without_any_check_is_no_success(tmp_path: Path) -> None:
    assert Evidence(tmp_path, "x").finish() == 2


def test_a_check_that_was_not_planned_cannot_be_concluded(evidence: Evidence) -> None:
    with pytest.raises(KeyError):
        conclude(evidence, "another", Outcome.OK)


def test_what_is_told_later_does_not_wipe_out_what_was_known(evidence: Evidence) -> None:
    evidence.tell(machine={"driver": "nvidia driver 580 serves 1 GPU node(s)", "device": "NVIDIA H200"})
    evidence.tell(machine={"driver": "580.159.04", "device": None})
    assert read(evidence)["machine"]["driver"] == "580.159.04"
    assert read(evidence)["machine"]["device"] == "NVIDIA H200"


def test_words_of_the_machine_are_replaced_wherever_they_stand(tmp_path: Path) -> None:
    words = private_words(Path("/elsewhere/checkout"), (tmp_path / "out", "OUTPUT"))
    told = {
        "log": [f"wrote {tmp_path}/out/evidence.json", "File /elsewhere/checkout/src/x.py"],
        "foreign": "libcuda at /usr/lib64/libcuda.so.1, node /dev/nvidia0, /proc/driver/nvidia",
    }
    assert redact(told, words) == {
        "log": ["wrote OUTPUT/evidence.json", "File REPOSITORY/src/x.py"],
        "foreign": "libcuda at PATH node /dev/nvidia0, /proc/driver/nvidia",
    }


@pytest.fixture
def made_evidence(made_snapshot: Json) -> Json:
    """As a run writes it at its end, made up."""
    check = {"name": "probe", "expects": "it passes", "outcome": "ok", "seen": "passed", "details": {}}
    return {
        "schema_version": "1",
        "kind": "gpu_acceptance",
        "started_at": "2026-11-26T18:42:47Z",
        "ended_at": "2026-11-26T18:44:47Z",
        "outcome": "ok",
        "exit_code": 0,
        "command": "scripts/devops/gpu-acceptance.sh --tiny-models",
        "commands": ["python -m sir_convert_a_lot gpu probe --json"],
        "machine": {
            "device": "NVIDIA H200",
            "pci_id": "0000:00:06.0",
            "driver": "580.159.04",
            "runtime_kind": "cuda",
            "torch": "2.11.0+cu130",
            "cuda": "13.0",
            "hip": None,
            "python": "3.12.3",
        },
        "product": {"revision": None, "source_sha256": "00"},
        "models": {"kind": "tiny, made"},
        "probe": made_snapshot,
        "checks": [check],
        "conversions": [],
        "measured": {},
    }


def test_finished_evidence_of_a_gpu_has_no_problem(made_evidence: Json) -> None:
    assert find_problems(made_evidence) == []


PROBLEMS: dict[str, Callable[[Json], object]] = {
    r"lacks probe": lambda e: e.pop("probe"),
    r"of version 0": lambda e: e.update(schema_version="0"),
    r"machine.driver is not told": lambda e: e["machine"].update(driver=None),
    r"neither a CUDA nor a HIP": lambda e: e["machine"].update(cuda=None),
    r"says ok without an end": lambda e: e.update(ended_at=None),
    r"models is empty": lambda e: e.update(models=None),
    r"did not prove a GPU": lambda e: e["probe"].update(is_available=False),
    r"did not prove a GPU$": lambda e: e["probe"].update(simulated=True),
    r"says ok while its worst check is failed": lambda e: e["checks"][0].update(outcome="failed"),
    r"says ok while its worst check is unknown": lambda e: e.update(checks=[]),
    r"exit code 0 while not every": lambda e: (e.update(outcome="failed"), e["checks"][0].update(outcome="failed")),
    r"/home/": lambda e: e["checks"][0].update(seen="read /home/kim/models"),
    r"hostname": lambda e: e["machine"].update(hostname="gpu7"),
    r"http://gpu7": lambda e: e["checks"][0].update(details={"url": "http://gpu7:18085"}),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_evidence_that_may_not_be_committed_is_told_why(made_evidence: Json, problem: str) -> None:
    PROBLEMS[problem](made_evidence)
    assert any(re.search(problem, found) for found in find_problems(made_evidence))


def test_the_kernels_own_names_and_loopback_may_stand_there(made_evidence: Json) -> None:
    made_evidence["checks"][0]["seen"] = "/dev/nvidia0, /sys/class/kfd, /proc/driver and http://127.0.0.1:4711/readyz"
    assert find_problems(made_evidence) == []
