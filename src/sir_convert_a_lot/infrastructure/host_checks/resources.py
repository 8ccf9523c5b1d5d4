"""Check 6: what a conversion needs besides the GPU: weights, room on the disk, free GPU memory, a clock, permissions.

Most of it is what `convert-a-lot doctor --json` says on the host, in the project's environment.
"""

from __future__ import annotations

import time
from typing import Any

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.host_access import Ending, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport, GpuSeries
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.infrastructure.host_checks.findings import (
    failed,
    hung,
    lines_of,
    passed,
    read_object,
    unknown,
)
from sir_convert_a_lot.infrastructure.host_checks.gpu_sampling import find_kind, sample_once

LIMIT_S = 120.0
GIB = 1024**3
# A job keeps its upload (100 MiB at most), its Markdown and its logs; a service at work has a queue of them.
LEAST_FREE_BYTES = 5 * GIB
LEAST_GPU_BYTES = 2 * GIB  # what the probe asks to be free (`gpu_runtime_probe.NEED_BYTES`)
# TLS to a model hub and the lifetimes of jobs go wrong well before; ssh itself does not mind.
MOST_SKEW_S = 60.0


class ResourcesCheck:
    name = "resources"
    needs = ("project",)

    def look(self, site: CheckSite) -> CheckReport:
        profile = site.profile
        asked_at = time.time()
        outcome = site.host.run(
            HostCommand([profile.command, "doctor", "--json", "--skip-gpu"], timeout_s=LIMIT_S, directory=profile.root)
        )
        answered_at = time.time()
        gpus, gpus_raw = sample_once(site.host, find_kind(site))
        raw = {"doctor.json": outcome.stdout, "gpu_memory.jsonl": gpus_raw}
        if outcome.ending is Ending.TIMED_OUT:
            return CheckReport((hung(self.name, outcome),), raw)
        told = read_object(outcome.text)
        if not outcome.succeeded or told is None or "models" not in told:
            remedy = Remedy("Bring the project on the host to this version, then its environment", "pdm install")
            summary = "`convert-a-lot doctor` on the host says nothing readable"
            return CheckReport((unknown(self.name, "doctor_unreadable", summary, lines_of(outcome), remedy),), raw)
        evidence = [*_tell(told), *_tell_memory(gpus)]
        findings = [
            finding
            for finding in (
                self._judge_models(told, evidence),
                self._judge_storage(told, evidence),
                self._judge_memory(gpus, evidence),
                self._judge_clock(told, asked_at, answered_at, evidence),
            )
            if finding is not None
        ]
        return CheckReport(
            tuple(findings) or (passed(self.name, "weights, disk, memory and clock are in order", evidence),), raw
        )

    def _judge_models(self, told: dict[str, Any], evidence: list[str]) -> Finding | None:
        models = told["models"]
        if models.get("engine_installed") is False:
            remedy = Remedy("Install the engine that runs on the GPU", "pdm install -G docling")
            return failed(self.name, "engine_missing", "the engine docling is not installed", evidence, remedy)
        missing = models.get("missing") or []
        if not missing:
            return None
        remedy = Remedy("Fetch the models, once", "convert-a-lot models download")
        return failed(self.name, "model_weights_missing", f"not there: {_list(missing)}", evidence, remedy)

    def _judge_storage(self, told: dict[str, Any], evidence: list[str]) -> Finding | None:
        storage = told.get("storage") or {}
        place, free = storage.get("root"), storage.get("free_bytes")
        if storage.get("is_writable") is False:
            remedy = Remedy("Give the service's account the folder", f"chown -R $(id -u) {place}", needs_root=True)
            return failed(self.name, "storage_not_writable", f"{place} cannot be written", evidence, remedy)
        if not isinstance(free, int):
            told_why = f"the room under {place} could not be read"
            return unknown(self.name, "disk_unknown", told_why, evidence, Remedy("Look at the disk", f"df -h {place}"))
        if free < LEAST_FREE_BYTES:
            remedy = Remedy("Make room, or set CONVERTER_STORAGE_ROOT to a larger disk", f"df -h {place}")
            return failed(self.name, "disk_full", f"{free / GIB:.1f} GiB are free under {place}", evidence, remedy)
        return None

    def _judge_memory(self, gpus: GpuSeries, evidence: list[str]) -> Finding | None:
        """Whether enough of it is free is the probe's to say; what could not be read here, the probe has seen."""
        totals = [sample.total_bytes for sample in gpus.samples if sample.total_bytes is not None]
        if not totals or max(totals) >= LEAST_GPU_BYTES:
            return None
        summary = f"no GPU here has more than {max(totals) / GIB:.1f} GiB of memory"
        return failed(self.name, "vram_too_small", summary, evidence, Remedy("Use a GPU with more memory"))

    def _judge_clock(
        self, told: dict[str, Any], asked_at: float, answered_at: float, evidence: list[str]
    ) -> Finding | None:
        now = told.get("now")
        if not isinstance(now, int | float):
            return unknown(
                self.name, "clock_unknown", "the host's clock could not be read", evidence, Remedy("Look", "date")
            )
        if asked_at - MOST_SKEW_S <= now <= answered_at + MOST_SKEW_S:
            return None
        remedy = Remedy("Let the host keep its time by the network", "timedatectl set-ntp true", needs_root=True)
        summary = f"the host's clock is {now - answered_at:+.0f} s off this machine's"
        return failed(self.name, "clock_off", summary, evidence, remedy)


def _list(names: list[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _tell(told: dict[str, Any]) -> list[str]:
    return [f"{name}: {told[name]}" for name in ("models", "storage", "now") if name in told]


def _tell_memory(gpus: GpuSeries) -> list[str]:
    """One line a GPU, from the last look at it."""
    last = {sample.pci_id: sample for sample in gpus.samples}
    lines = [
        f"GPU {pci_id}: {sample.used_bytes} of {sample.total_bytes} bytes are in use" for pci_id, sample in last.items()
    ]
    return lines or ["memory of the GPU: not read", *gpus.unread]
