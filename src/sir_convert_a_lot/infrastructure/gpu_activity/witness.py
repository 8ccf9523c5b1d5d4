"""Watches the GPU of a worker process: how it rests, what it does during a job, what it is.

`domain.gpu_activity.DeviceWitness` for one process. Owns the baseline, which is taken once a device and kept, and the
choice of a reader. A root other than `/`, and a stand-in of torch or NVML, make all that it sees `simulated`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.gpu_activity import (
    FIGURES,
    ActivitySample,
    GpuActivity,
    ReceiptDevice,
    Watched,
    derive_activity,
)
from sir_convert_a_lot.domain.gpu_facts import Fact, Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_activity.amd_reader import AmdReader
from sir_convert_a_lot.infrastructure.gpu_activity.nvidia_reader import open_nvml
from sir_convert_a_lot.infrastructure.gpu_activity.receipt_device import read_receipt_device
from sir_convert_a_lot.infrastructure.gpu_activity.sampling import INTERVAL_S, Looks, Reader, Sampler
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot

HERE = Path("/")

# The counters lag by up to a second (on an H200 they read 0 again 1.5 s after the work), so before that they still show
# what loading the models did.
SETTLE_S = 1.5
BASELINE_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class _Baseline:
    samples: tuple[ActivitySample, ...]
    reasons: dict[str, str]
    ended_at: float  # of the monotonic clock


class GpuWitness:
    """One a worker process. Not thread-safe. `root`, `torch` and `nvml` stand in for this machine in tests alone."""

    def __init__(
        self,
        root: Path = HERE,
        *,
        torch: Any = None,
        nvml: Any = None,
        interval_s: float = INTERVAL_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._host = HostRoot(root)
        self._torch = torch
        self._nvml = nvml
        self._simulated = os.fspath(root) != os.fspath(HERE) or torch is not None or nvml is not None
        self._interval_s = interval_s
        self._settle_s = settle_s
        self._devices: dict[str, ReceiptDevice] = {}
        self._readers: dict[str, Fact[Reader]] = {}
        self._baselines: dict[str, _Baseline] = {}

    def describe(self, device: str) -> ReceiptDevice:
        """What torch says of it, asked once; its name alone where torch cannot say."""
        if device not in self._devices:
            try:
                self._devices[device] = read_receipt_device(self._import_torch(), device, self._host)
            except (ImportError, RuntimeError, AssertionError):  # the engine is refused the same device, and says why
                return ReceiptDevice(device)
        return self._devices[device]

    def rest(self, device: str) -> None:
        """Take the baseline: the models are loaded, and nothing is asked of them. A second call does nothing.

        Takes 2 s.
        """
        reader = self._reader_of(device)
        if device in self._baselines or not isinstance(reader, Present):
            return
        time.sleep(self._settle_s)
        looks = Looks(reader.value)
        for _ in range(BASELINE_SAMPLES):
            looks.look()
            time.sleep(self._interval_s)
        self._baselines[device] = _Baseline(tuple(looks.samples), looks.reasons, time.monotonic())

    @contextmanager
    def watch(self, device: str) -> Iterator[Watch]:
        reader = self._reader_of(device)
        sampler = Sampler(reader.value, self._interval_s) if isinstance(reader, Present) else None
        began = time.monotonic()
        watch = Watch(self, device, sampler, began)
        if sampler is not None:
            sampler.start()
        try:
            yield watch
        finally:
            if sampler is not None and not sampler.stop():
                self._readers[device] = Unknown(sampler.stopped or "sampling ended early")

    def tell(self, device: str, sampler: Sampler | None, began: float) -> GpuActivity:
        """What one watch saw."""
        reader, described = self._reader_of(device), self.describe(device)
        if sampler is None:
            reason = "sampling did not begin" if isinstance(reader, Present) else reader.reason
            return derive_activity(
                Watched("none", described.pci_id, self._simulated, reasons=dict.fromkeys(FIGURES, reason))
            )
        baseline = self._baselines.get(device)
        return derive_activity(
            Watched(
                source=sampler.reader.source,
                pci_id=described.pci_id,
                simulated=self._simulated,
                baseline_age_ms=None if baseline is None else round((began - baseline.ended_at) * 1000, 1),
                baseline=() if baseline is None else baseline.samples,
                samples=tuple(sampler.looks.samples),
                taken=sampler.looks.taken,
                read_from=sampler.reader.read_from,
                reasons=({} if baseline is None else baseline.reasons) | sampler.looks.reasons,
                stopped=sampler.stopped,
            )
        )

    def _reader_of(self, device: str) -> Fact[Reader]:
        """Opened once the process has the device, and kept."""
        if device not in self._readers:
            described = self.describe(device)
            if described.torch is None:
                return Unknown(f"torch in this process does not know {device}")
            self._readers[device] = self._open(described)
        return self._readers[device]

    def _open(self, described: ReceiptDevice) -> Fact[Reader]:
        if described.pci_id is None:
            return Unknown(f"torch does not tell the PCI address of {described.device}")
        if described.hip:
            return Present(AmdReader(self._host, described.pci_id))
        opened = open_nvml(described.pci_id, self._nvml)
        return Present(opened.value) if isinstance(opened, Present) else opened

    def _import_torch(self) -> Any:
        if self._torch is None:
            import torch

            return torch
        return self._torch


@dataclass(frozen=True, slots=True)
class Watch:
    """One job's watch (`domain.gpu_activity.RunningWatch`)."""

    witness: GpuWitness
    device: str
    sampler: Sampler | None
    began: float

    def activity(self) -> GpuActivity:
        return self.witness.tell(self.device, self.sampler, self.began)
