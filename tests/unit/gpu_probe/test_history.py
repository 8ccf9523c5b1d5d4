"""Causes that need a before, or a worker: told by the cache, which remembers, and by looking again in a child."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.device_nodes import read_nodes
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import ErrorFacts
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import WorkerFault, compare_with_past

SITE = "usr/lib/python3.11/site-packages"

# A worker of the service, as far as this matters: it imports torch, works, and tells how its work ended.
WORKER = """
import json, sys
from dataclasses import asdict
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import describe_worker_fault
import torch
torch.cuda.is_initialized = lambda: sys.argv[1] == "started"
try:
    torch.ones(1, device=torch.device("cuda", 0))
    torch.cuda.init()
    torch.cuda.synchronize(None)
except RuntimeError as error:
    print(json.dumps(asdict(describe_worker_fault(torch, error))))
"""


def work(host: Any, started: str, **environ: str) -> WorkerFault:
    """Fail in a process of its own, on the host's torch."""
    path = os.pathsep.join([str(host.root / SITE), *sys.path])
    child = subprocess.run(
        [sys.executable, "-c", WORKER, started],
        env=os.environ | {"PYTHONPATH": path} | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(child.stdout)
    return WorkerFault(ErrorFacts(**told["error"]), told["had_started"], told["is_in_bad_fork"])


def remember(host: Any) -> CachedProbe:
    """A cache over the host's probe and nodes, that has seen every rung pass."""
    cached = CachedProbe(lambda: probe(host.root), read_watched=lambda: read_nodes(host.root))
    assert cached.current_blocking().cause is None
    return cached


def lose_node(host: Any) -> None:
    host.remove("dev/nvidiactl")


def lose_torch_devices(host: Any) -> None:
    path = host.root / SITE / "torch/shim.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"devices": []}))


@pytest.mark.parametrize("lose", [lose_node, lose_torch_devices])
def test_a_gpu_that_worked_and_is_gone_while_the_host_has_it_was_lost(lose: Callable[[Any], None], host: Any) -> None:
    host.add_working_nvidia()
    cached = remember(host)
    lose(host)
    cached.invalidate()
    now = cached.current_blocking()
    assert now.cause is Cause.GPU_LOST_AFTER_START
    assert now.evidence[0].startswith("history: every rung had passed (NVIDIA H100, 0000:65:00.0); now: ")
    assert now.remediation[: len(CAUSES[now.cause].remedies)] == CAUSES[now.cause].remedies
    assert not now.is_available


@pytest.mark.parametrize("lose", [lose_node, lose_torch_devices])
def test_a_gpu_that_never_worked_was_not_lost(lose: Callable[[Any], None], host: Any) -> None:
    host.add_working_nvidia()
    lose(host)
    cached = CachedProbe(lambda: probe(host.root), read_watched=lambda: read_nodes(host.root))
    assert cached.current_blocking().cause in {Cause.NODE_NOT_PASSED_THROUGH, Cause.PROBE_INCOMPLETE}


def test_a_card_that_was_taken_out_is_no_loss_of_a_container(host: Any) -> None:
    host.add_working_nvidia()
    past = probe(host.root)
    for name in ("sys/bus/pci/devices/0000:65:00.0", "dev/nvidiactl"):
        host.remove(name)
    assert compare_with_past(probe(host.root), past).cause is Cause.NO_GPU_HARDWARE


def test_the_gpu_that_came_back_is_proven_anew(host: Any) -> None:
    host.add_working_nvidia()
    cached = remember(host)
    lose_node(host)
    assert cached.current_blocking().cause is Cause.GPU_LOST_AFTER_START  # without `invalidate`: the node is watched
    host.write("dev/nvidiactl", "")
    assert cached.current_blocking().cause is None


def explain(host: Any, fault: WorkerFault) -> Cause:
    host.add_working_nvidia()
    cached = CachedProbe(lambda: probe(host.root), read_watched=lambda: read_nodes(host.root))
    cause, fresh = asyncio.run(cached.explain(fault))
    assert isinstance(fresh, ProbeSnapshot)
    return cause


def test_a_worker_whose_context_is_poisoned_while_a_fresh_child_computes_has_a_sticky_fault(host: Any) -> None:
    error = {"at": "synchronise", "error": "an illegal memory access", "type": "AcceleratorError", "code": 700}
    host.add_working_nvidia(faults=[error])
    fault = work(host, "started")
    assert (fault.error.code, fault.had_started) == (700, True)
    assert explain(host, fault) is Cause.GPU_FAULT_STICKY


def test_a_worker_that_cannot_start_where_a_fresh_child_can_had_its_variables_changed(host: Any) -> None:
    host.add_working_nvidia()
    fault = work(host, "not started", CUDA_VISIBLE_DEVICES="-1")
    assert fault.error.text == "No CUDA GPUs are available"
    assert explain(host, fault) is Cause.ENV_CHANGED_AFTER_INIT


def test_a_worker_that_was_forked_is_told_whatever_a_fresh_child_says(host: Any) -> None:
    host.add_working_nvidia(is_in_bad_fork=True, faults=[{"at": "init", "error": "Cannot re-initialize CUDA"}])
    assert explain(host, work(host, "not started")) is Cause.BAD_FORK


def test_a_worker_that_ran_out_of_memory_is_not_a_sticky_fault(host: Any) -> None:
    error = {"at": "allocate", "error": "CUDA out of memory", "type": "OutOfMemoryError"}
    host.add_working_nvidia(faults=[error])
    assert explain(host, work(host, "started")) is Cause.VRAM_EXHAUSTED


def test_where_a_fresh_child_fails_too_the_machine_is_at_fault(host: Any) -> None:
    error = {"at": "synchronise", "error": "an illegal memory access", "type": "AcceleratorError", "code": 700}
    host.add_working_nvidia(faults=[error])
    cached = CachedProbe(lambda: probe(host.root))
    cause, fresh = asyncio.run(cached.explain(work(host, "started")))
    assert cause is fresh.cause is Cause.FIRST_KERNEL_CRASH
