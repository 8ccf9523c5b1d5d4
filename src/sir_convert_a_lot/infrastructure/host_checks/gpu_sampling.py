"""The activity of a host's GPUs over some time, sampled on the host itself by `on_host/gpu_sampler.py`.

Owns starting, stopping and reading the sampler. What it says is context, never proof: any process moves these figures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from sir_convert_a_lot.application.host_ports import CheckSite, Host
from sir_convert_a_lot.domain.gpu_facts import Present, RuntimeKind
from sir_convert_a_lot.domain.host_access import CommandOutcome, HostCommand
from sir_convert_a_lot.domain.host_check import GpuSample, GpuSeries

T = TypeVar("T")

SCRIPT = (Path(__file__).parent / "on_host" / "gpu_sampler.py").read_bytes()
VENDOR = {RuntimeKind.ROCM: "amd", RuntimeKind.CUDA: "nvidia"}
REST_S = 2.0
ONCE_S = 0.01
UNTIL_TOLD = 0.0
LEAD_S = 1.0  # for the sampler to be under way: what follows may take less than its start
SLACK_S = 30.0  # a tool that the sampler waits for may take 10 s


def find_kind(site: CheckSite) -> RuntimeKind:
    """Which vendor's figures to read: as the profile says, else by the kernel's driver."""
    if site.profile.runtime_kind is not None:
        return site.profile.runtime_kind
    has_amdgpu = isinstance(site.host.read_file("/sys/module/amdgpu/initstate"), Present)
    return RuntimeKind.ROCM if has_amdgpu else RuntimeKind.CUDA


def sample_once(host: Host, kind: RuntimeKind) -> tuple[GpuSeries, bytes]:
    """One look at the GPUs, or two."""
    outcome = host.run(_command(kind, ONCE_S, SLACK_S))
    return read_series(outcome), outcome.stdout


def sample_rest(host: Host, kind: RuntimeKind, rest_s: float = REST_S) -> tuple[GpuSeries, bytes]:
    """The GPUs while nothing is asked of them, and what the sampler printed."""
    outcome = host.run(_command(kind, rest_s, rest_s + SLACK_S))
    return read_series(outcome), outcome.stdout


def sample_while(host: Host, kind: RuntimeKind, limit_s: float, work: Callable[[], T]) -> tuple[T, GpuSeries, bytes]:
    """What `work` gives, and the GPUs meanwhile. Whatever `work` raises is raised, once sampling has ended."""
    stop = Event()
    with ThreadPoolExecutor(1, "gpu-sampler") as threads:
        sampling = threads.submit(host.run, _command(kind, UNTIL_TOLD, limit_s + SLACK_S), stop)
        try:
            time.sleep(LEAD_S)
            result = work()
        finally:
            stop.set()
        outcome = sampling.result()
    return result, read_series(outcome), outcome.stdout


def _command(kind: RuntimeKind, seconds: float, limit_s: float) -> HostCommand:
    return HostCommand(["python3", "-I", "-", VENDOR[kind], f"{seconds:g}"], SCRIPT, timeout_s=limit_s)


def read_series(outcome: CommandOutcome) -> GpuSeries:
    """A line that is cut off, or no JSON, is left out and told."""
    samples: list[GpuSample] = []
    process_bytes: dict[int, int] = {}
    source, unread = "none", dict.fromkeys([] if outcome.stdout else [outcome.line])
    for line in outcome.text.splitlines():
        try:
            look: dict[str, Any] = json.loads(line)
            samples += [GpuSample(float(look["at_s"]), pci_id, **gpu) for pci_id, gpu in look["gpus"].items()]
            for pid, held in look["processes"].items():
                process_bytes[int(pid)] = max(process_bytes.get(int(pid), 0), int(held))
            source = str(look["source"])
            unread |= dict.fromkeys(str(why) for why in look["unread"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            unread[f"the sampler printed something unreadable: {type(error).__name__}"] = None
    return GpuSeries(source, tuple(samples), process_bytes, tuple(unread))
