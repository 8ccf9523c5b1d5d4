"""The probe's child: a process that imports torch and touches the GPU, so that no other has to.

Run as `python -P -m sir_convert_a_lot.infrastructure.gpu_probe_child FD NEED_BYTES PARENT_PID TAKES_MEMORY`. It reads
the names of rungs from stdin, one a line, and does each: to FD it writes a JSON line before the rung and before each
step in it, flushed, and one with what it found or the error it met. So whoever reads knows what it was doing when it
hangs or dies.
Refuses to judge, and to go on unasked: the parent looks at one rung before it asks for the next.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.gpu_facts import Rung
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import describe_error
from sir_convert_a_lot.infrastructure.workers.process_group import die_with_parent

# The references are small, and the probe comes back every minute: one thread, on a machine with any number of cores.
# The libraries of numpy and torch read these names.
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

DEVICE_INDEX = 0  # the policy runs on cuda:0; masks choose which GPU that is

Say = Callable[[str], None]


class Child:
    """The rungs, in the order of the ladder; each uses what an earlier one left."""

    def __init__(self, need_bytes: int, leaving: ExitStack, *, takes_memory: bool) -> None:
        self._need_bytes = need_bytes
        self._takes_memory = takes_memory
        self._leaving = leaving
        self._torch: Any = None
        self._device: Any = None
        self._read_health: Callable[[], dict[str, Any]] = lambda: {"state": "absent", "code": None}
        self.rungs: dict[str, Callable[[Say], dict[str, Any]]] = {
            Rung.ENUMERATE: self.enumerate,
            Rung.ARCH: self.read_architectures,
            Rung.FIRST_KERNEL: self.run_first_kernel,
            Rung.RESULT: self.compute_known_answers,
            Rung.RESOURCE: self.take_memory,
        }

    def enumerate(self, say: Say) -> dict[str, Any]:
        say("importing torch")
        import torch  # type: ignore[import-not-found,unused-ignore]

        self._torch = torch
        from sir_convert_a_lot.infrastructure.gpu_probe_child import device_facts

        say("counting devices")
        facts = device_facts.count_devices(torch)
        say("describing devices")
        facts["devices"] = device_facts.describe_devices(torch, facts["device_count"])
        if torch.version.cuda and not torch.version.hip:
            say("asking NVML")
            address = facts["devices"][DEVICE_INDEX]["pci_id"] if facts["devices"] else None
            self._read_health = self._leaving.enter_context(device_facts.watch_health(address))
            facts["nvml"] = self._read_health()
        return facts

    def read_architectures(self, say: Say) -> dict[str, Any]:
        from sir_convert_a_lot.infrastructure.gpu_probe_child.device_facts import describe_architectures

        say("reading architectures")
        return describe_architectures(self._torch)

    def run_first_kernel(self, say: Say) -> dict[str, Any]:
        """One addition, and the wait for it."""
        torch = self._torch
        self._device = torch.device("cuda", DEVICE_INDEX)
        started = time.perf_counter()
        say("launching the first kernel")
        ones = torch.ones(257, device=self._device)
        total = ones + ones
        say("waiting for the first kernel")
        torch.cuda.synchronize(self._device)
        return {"cold_ms": round((time.perf_counter() - started) * 1_000, 3), "device": str(total.device)}

    def compute_known_answers(self, say: Say) -> dict[str, Any]:
        say("importing numpy")
        from sir_convert_a_lot.infrastructure.gpu_probe_child.known_answers import answer_all

        answers = answer_all(self._torch, self._device, say)
        return {"answers": answers, "unwritable_caches": list_unwritable_caches() if self._torch.version.hip else []}

    def take_memory(self, say: Say) -> dict[str, Any]:
        """Free memory as the driver tells it, and an allocation of what is needed where it should fit: unless a job
        computes beside, which it could starve.
        """
        torch = self._torch
        say("asking for free memory")
        free, total = torch.cuda.mem_get_info(self._device)
        if self._takes_memory and free >= self._need_bytes:
            say("allocating")
            block = torch.empty(self._need_bytes, dtype=torch.uint8, device=self._device)
            torch.cuda.synchronize(self._device)
            del block
        facts = {"free_bytes": int(free), "total_bytes": int(total), "health": self._read_health()}
        return facts | {"takes_memory": self._takes_memory}


def list_unwritable_caches() -> list[str]:
    """Where MIOpen would keep compiled kernels and may not."""
    home = Path.home()
    places = {
        "MIOPEN_CUSTOM_CACHE_DIR": home / ".cache" / "miopen",
        "MIOPEN_USER_DB_PATH": home / ".config" / "miopen",
    }
    named = {name: Path(os.environ.get(name) or default) for name, default in places.items()}
    return [name for name, place in named.items() if not can_be_made(place.absolute())]


def can_be_made(place: Path) -> bool:
    """Whether this account may write there, or make it."""
    existing = next(path for path in (place, *place.parents) if os.path.lexists(path))
    return existing.is_dir() and os.access(existing, os.W_OK)


def serve(child: Child, write: Callable[[dict[str, Any]], None]) -> None:
    """Do the rungs that stdin names, until it ends or one fails."""
    for line in sys.stdin:
        rung = line.strip()
        write({"event": "begin", "rung": rung})

        def say(step: str, rung: str = rung) -> None:
            write({"event": "step", "rung": rung, "step": step})

        try:
            facts = child.rungs[rung](say)
        except Exception as error:  # noqa: BLE001 - whatever torch raises is a finding, told by type, number and text
            write({"event": "error", "rung": rung, "error": asdict(describe_error(error))})
            return
        write({"event": "found", "rung": rung, "facts": facts})


def main(arguments: list[str]) -> int:
    descriptor, need_bytes, parent_pid, takes_memory = map(int, arguments)
    die_with_parent(parent_pid)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core of a process with a GPU context is many gigabytes
    os.set_inheritable(descriptor, False)
    os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))

    def write(event: dict[str, Any]) -> None:
        os.write(descriptor, json.dumps(event).encode() + b"\n")

    with ExitStack() as leaving:
        serve(Child(need_bytes, leaving, takes_memory=bool(takes_memory)), write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
