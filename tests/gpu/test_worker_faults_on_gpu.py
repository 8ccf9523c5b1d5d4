"""Faults of a worker on a real GPU: what it meets, what a fresh look says of it, and that nothing old is believed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import (
    WorkerFault,
    judge_worker_fault,
    read_worker_fault,
)

pytestmark = pytest.mark.gpu

# A worker as far as this matters: it works on the GPU, meets a fault, describes it, and tries to go on.
WORKER = """
import json, sys
import torch
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import describe_worker_fault

def exhaust():
    torch.empty(2 ** 50, dtype=torch.uint8, device="cuda:0")

def assert_on_device():
    table = torch.zeros(4, device="cuda:0")
    table[torch.tensor([10_000], device="cuda:0")]
    torch.cuda.synchronize()

torch.ones(1, device="cuda:0")
try:
    {"exhaust": exhaust, "assert": assert_on_device}[sys.argv[1]]()
except Exception as error:
    fault = describe_worker_fault(torch, error)
try:
    goes_on = torch.ones(1, device="cuda:0").sum().item() == 1.0
except Exception:
    goes_on = False
print(json.dumps({"fault": fault.to_json(), "goes_on": goes_on}), flush=True)
import os
os._exit(0)  # a context that is broken makes a normal exit noisy
"""


@pytest.fixture(scope="module")
def workers(snapshot: ProbeSnapshot) -> dict[str, dict[str, Any]]:
    """What each worker told; they fail beside each other, as workers of one service might."""
    running = {
        how: subprocess.Popen([sys.executable, "-c", WORKER, how], stdout=subprocess.PIPE, text=True)
        for how in ("exhaust", "assert")
    }
    return {how: json.loads(worker.communicate(timeout=60)[0]) for how, worker in running.items()}


def fault_of(told: dict[str, Any]) -> WorkerFault:
    return read_worker_fault(told["fault"])


def test_too_large_an_allocation_is_told_as_exhausted_memory(
    workers: dict[str, dict[str, Any]], snapshot: ProbeSnapshot
) -> None:
    fault = fault_of(workers["exhaust"])
    assert (fault.error.kind, fault.had_started, fault.is_in_bad_fork) == ("OutOfMemoryError", True, False)
    assert judge_worker_fault(fault, snapshot) is Cause.VRAM_EXHAUSTED
    assert workers["exhaust"]["goes_on"] is True


def test_an_assertion_on_the_device_sticks_to_its_process_and_is_told_so(
    workers: dict[str, dict[str, Any]], snapshot: ProbeSnapshot
) -> None:
    fault = fault_of(workers["assert"])
    assert (fault.had_started, fault.is_in_bad_fork) == (True, False)
    assert workers["assert"]["goes_on"] is False
    assert judge_worker_fault(fault, snapshot) is Cause.GPU_FAULT_STICKY


def test_after_a_sticky_fault_the_gpu_is_proven_anew_in_a_fresh_child(workers: dict[str, dict[str, Any]]) -> None:
    cached = CachedProbe()
    before = cached.current_blocking()
    cached.invalidate()
    cause, fresh = asyncio.run(cached.explain(fault_of(workers["assert"])))
    assert cause is Cause.GPU_FAULT_STICKY
    assert fresh.is_available
    assert fresh.probe_id != before.probe_id
    assert cached.peek() is fresh
