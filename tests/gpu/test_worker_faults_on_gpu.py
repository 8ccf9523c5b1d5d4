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


def work(how: str) -> dict[str, Any]:
    child = subprocess.run([sys.executable, "-c", WORKER, how], capture_output=True, text=True, check=True, timeout=60)
    told: dict[str, Any] = json.loads(child.stdout)
    return told


@pytest.fixture(scope="module")
def exhausted(snapshot: ProbeSnapshot) -> dict[str, Any]:
    return work("exhaust")


@pytest.fixture(scope="module")
def asserted(snapshot: ProbeSnapshot) -> dict[str, Any]:
    return work("assert")


def fault_of(told: dict[str, Any]) -> WorkerFault:
    return read_worker_fault(told["fault"])


def test_too_large_an_allocation_is_told_as_exhausted_memory(
    exhausted: dict[str, Any], snapshot: ProbeSnapshot
) -> None:
    fault = fault_of(exhausted)
    assert (fault.error.kind, fault.had_started, fault.is_in_bad_fork) == ("OutOfMemoryError", True, False)
    assert judge_worker_fault(fault, snapshot) is Cause.VRAM_EXHAUSTED
    assert exhausted["goes_on"] is True


def test_an_assertion_on_the_device_sticks_to_its_process_and_is_told_so(
    asserted: dict[str, Any], snapshot: ProbeSnapshot
) -> None:
    fault = fault_of(asserted)
    assert (fault.had_started, fault.is_in_bad_fork) == (True, False)
    assert asserted["goes_on"] is False
    assert judge_worker_fault(fault, snapshot) is Cause.GPU_FAULT_STICKY


def test_after_a_sticky_fault_the_gpu_is_proven_anew_in_a_fresh_child(asserted: dict[str, Any]) -> None:
    cached = CachedProbe()
    before = cached.current_blocking()
    cause, fresh = asyncio.run(cached.explain(fault_of(asserted)))
    assert cause is Cause.GPU_FAULT_STICKY
    assert fresh.is_available
    assert fresh.probe_id != before.probe_id
    assert cached.peek() is fresh
