"""What a climb with a child gives beyond one cause: masks and overrides seen from two sides, warnings, no leftovers.

The torch is `shims/made_torch.py`, imported by a real child.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from made_gpus import AMD, NO_DEVICES, NVIDIA, fault, one_device

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Rung, RungState, RuntimeKind
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe


@pytest.mark.parametrize(
    ("environ", "mask"),
    [
        ({"HIP_VISIBLE_DEVICES": ""}, "HIP_VISIBLE_DEVICES"),
        ({"ROCR_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "-1"}, "ROCR_VISIBLE_DEVICES, CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_mask_that_hides_the_gpu_is_told_by_a_child_without_it(environ: dict[str, str], mask: str, host: Any) -> None:
    host.add_working_amd()
    snapshot = probe(host.root, environ=environ)
    assert (snapshot.cause, snapshot.rung) == (Cause.MASKED_BY_ENV, Rung.ENUMERATE)
    assert f"enumerate: without {mask}, torch finds 1 device(s)" in snapshot.evidence


def test_a_mask_is_not_blamed_where_there_is_nothing_behind_it(host: Any) -> None:
    host.add_working_amd(**NO_DEVICES)
    assert probe(host.root, environ={"HIP_VISIBLE_DEVICES": ""}).cause is Cause.PROBE_INCOMPLETE


def test_an_override_is_told_by_what_the_kernel_says_before_any_kernel_runs(host: Any) -> None:
    host.add_working_amd(devices=one_device(arch="gfx1030"), arch_list=["gfx1030"], **fault("allocate", hang=True))
    snapshot = probe(host.root, environ={"HSA_OVERRIDE_GFX_VERSION": "10.3.0"})
    assert (snapshot.cause, snapshot.rung) == (Cause.GFX_OVERRIDE_IN_EFFECT, Rung.ARCH)
    assert "arch: the kernel has gfx1100, and the runtime reports gfx1030" in snapshot.evidence


def test_a_torch_that_does_not_tell_the_address_leaves_it_open(host: Any) -> None:
    host.add_working_amd(devices=[{"name": "a GPU", "gcnArchName": "gfx1100", "total_bytes": 2**34}])
    snapshot = probe(host.root, last_rung=Rung.ENUMERATE)
    assert snapshot.rungs[4].state is RungState.PASSED
    assert (snapshot.pci_id, snapshot.arch) == (None, "gfx1100")
    assert "address not told" in snapshot.rungs[4].seen


def test_a_device_that_was_chosen_by_its_address_must_be_the_one(host: Any) -> None:
    host.add_working_amd()
    assert probe(host.root, wanted_pci_id=AMD, last_rung=Rung.ENUMERATE).rungs[4].state is RungState.PASSED
    assert probe(host.root, wanted_pci_id="0000:0c:00.0").cause is Cause.WRONG_DEVICE_SELECTED


@pytest.mark.parametrize("build", ["amd", "nvidia"])
def test_a_whole_climb_passes_every_rung_and_is_still_simulated(build: str, host: Any) -> None:
    getattr(host, f"add_working_{build}")()
    snapshot = probe(host.root)
    assert snapshot.cause is None
    assert all(report.state is RungState.PASSED for report in snapshot.rungs), snapshot.evidence
    assert snapshot.simulated
    assert not snapshot.is_available
    assert (snapshot.pci_id, snapshot.arch, snapshot.device_count, snapshot.runtime_kind) == (
        (AMD, "gfx1100", 1, RuntimeKind.ROCM) if build == "amd" else (NVIDIA, "sm_90", 1, RuntimeKind.CUDA)
    )


def test_the_same_host_gives_the_same_answer_from_its_child_too(host: Any) -> None:
    host.add_working_amd(wrong={"op": "reduction", "dtype": "float16", "how": "element"})
    details = [probe(host.root).refusal_details("docling") | {"probe_id": None} for _ in range(2)]
    assert details[0]["cause"] == Cause.RESULT_MISMATCH
    assert details[0] == details[1]


def test_a_slow_first_run_is_a_warning_and_refuses_nothing(host: Any) -> None:
    host.add_working_amd().write("a-file", "")
    snapshot = probe(host.root, environ={"MIOPEN_USER_DB_PATH": str(host.root / "a-file" / "db")})
    assert snapshot.cause is None
    assert any(line.startswith("slow_first_run: MIOPEN_USER_DB_PATH cannot be written") for line in snapshot.warnings)


def test_a_hang_leaves_no_process(host: Any) -> None:
    host.add_working_amd(**fault("synchronise", hang=True))
    before = set(list_children())
    started = time.monotonic()
    probe(host.root, limits_s={Rung.FIRST_KERNEL: 0.5})
    assert set(list_children()) == before
    assert time.monotonic() - started < 20


def list_children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def test_the_child_gets_no_variable_about_this_machines_gpu(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "")
    host.add_working_amd()
    assert probe(host.root, last_rung=Rung.ENUMERATE).rungs[4].state is RungState.PASSED
    assert os.environ["HIP_VISIBLE_DEVICES"] == ""
