"""The probe on a real GPU: proven to the last rung, and refused for the right cause when something is in the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung, RungState, RuntimeKind
from sir_convert_a_lot.infrastructure.gpu_probe_child import known_answers, numerics
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import NEED_BYTES, probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import HIDE_EVERY_GPU
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import ANSWERS_NEEDED

pytestmark = pytest.mark.gpu

ABSENT_PCI_ID = "0000:ff:1f.7"
GIB = 1024**3


def test_every_rung_passes_and_the_facts_are_those_of_a_gpu(snapshot: ProbeSnapshot) -> None:
    assert [(report.rung, report.state) for report in snapshot.rungs] == [(rung, RungState.PASSED) for rung in LADDER]
    assert (snapshot.cause, snapshot.simulated, snapshot.remediation) == (None, False, ())
    assert snapshot.device_count >= 1
    assert snapshot.device_name
    assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", snapshot.pci_id or "")
    is_rocm = snapshot.runtime_kind is RuntimeKind.ROCM
    assert re.fullmatch(r"gfx[0-9a-f]+" if is_rocm else r"sm_\d+", snapshot.arch or "")
    assert bool(snapshot.hip_version) is is_rocm
    assert bool(snapshot.cuda_version) is not is_rocm
    assert NEED_BYTES <= (snapshot.vram_bytes or 0) < 4096 * GIB


def test_torch_and_the_kernel_speak_of_the_same_device(snapshot: ProbeSnapshot) -> None:
    """The address from torch is one of a PCI function that the hardware rung saw in /sys."""
    hardware = [line for line in snapshot.evidence if line.startswith("hardware: PCI ")]
    assert any(str(snapshot.pci_id) in line for line in hardware)


def test_every_known_answer_is_right_and_the_same_each_time(snapshot: ProbeSnapshot) -> None:
    import torch

    answers = known_answers.answer_all(torch, torch.device("cuda:0"), lambda _: None)
    assert {(answer["op"], answer["dtype"]) for answer in answers} == ANSWERS_NEEDED
    assert [answer for answer in answers if not answer["is_right"] or answer["distinct_answers"] != 1] == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_answer_of_the_gpu_that_was_computed_in_half_is_rejected_as_single(
    snapshot: ProbeSnapshot, dtype: str
) -> None:
    """The control: the same GPU, the same question, its inputs rounded to half. The tolerance must not take that."""
    import torch

    question = next(q for q in numerics.ask_all() if (q.op, q.dtype) == ("gemm", "float32"))
    rounded = [torch.from_numpy(values).to(getattr(torch, dtype)).to("cuda:0") for values in question.inputs]
    answer = torch.matmul(*rounded).cpu().double().numpy()
    assert np.allclose(answer, question.reference, rtol=0.1, atol=1.0)  # it is no nonsense, only not exact enough
    assert not numerics.compare(question, answer).is_right


def test_a_mask_that_hides_the_gpu_is_named(snapshot: ProbeSnapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    is_rocm = snapshot.runtime_kind is RuntimeKind.ROCM
    mask, value = ("HIP_VISIBLE_DEVICES", "-1") if is_rocm else ("CUDA_VISIBLE_DEVICES", "")  # HIP takes "" for unset
    monkeypatch.setenv(mask, value)
    refused = probe()
    assert (refused.cause, refused.rung) == (Cause.MASKED_BY_ENV, Rung.ENUMERATE)
    assert not refused.is_available
    assert any(mask in line for line in refused.evidence)


def refusal(seen: ProbeSnapshot) -> tuple[Any, ...]:
    return seen.cause, seen.rung, seen.is_available


def test_another_gpu_than_the_one_meant_is_not_taken_for_it(snapshot: ProbeSnapshot) -> None:
    refused = probe(wanted_pci_id=ABSENT_PCI_ID)
    assert refusal(refused) == (Cause.WRONG_DEVICE_SELECTED, Rung.ENUMERATE, False)


def test_the_gpu_that_is_meant_is_found_by_its_address(snapshot: ProbeSnapshot) -> None:
    assert probe(wanted_pci_id=snapshot.pci_id, last_rung=Rung.ENUMERATE).rungs[4].state is RungState.PASSED


# A process as the service starts it: what of the GPU it sees, without touching more of it than that.
SEE = """
import json, torch
from sir_convert_a_lot.infrastructure.gpu_probe_child.device_facts import describe_device
count = torch.cuda.device_count()
print(json.dumps([count, describe_device(torch, 0)["pci_id"] if count else None]))
"""


def test_the_masks_leave_one_process_that_gpu_alone_and_another_none(snapshot: ProbeSnapshot) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", SEE], env=os.environ | masks, stdout=subprocess.PIPE, text=True)
        for masks in (snapshot.masks, HIDE_EVERY_GPU)
    ]
    seen = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert seen == [[1, snapshot.pci_id], [0, None]]


def test_a_gpu_too_small_for_the_models_is_refused_at_the_last_rung(snapshot: ProbeSnapshot) -> None:
    refused = probe(need_bytes=(snapshot.vram_bytes or 0) + 1)
    assert refusal(refused) == (Cause.VRAM_EXHAUSTED, Rung.RESOURCE, False)
