"""The GPU runtime probe: looks at this machine and says what stands between a conversion and its GPU.

Owns gathering. Imports no torch here: what needs it runs in a child, and only where everything else is in order.
Changes nothing. Refuses to judge a request (`domain.acceleration_policy`).
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from sir_convert_a_lot.domain.gpu_facts import LADDER, Present, ProbeSnapshot, Rung
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import LIMITS_S, Order
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.ladder import Wish, climb

__all__ = ["NEED_BYTES", "probe"]

HERE = Path("/")
SOURCE = Path(__file__).resolve().parents[3]  # where the child finds this package

# Free memory to begin with: a number that a GPU with 4 GiB still has beside a desktop. What a job needs with real
# models is not measured. A worker with tiny made ones held 1.1 GiB on an H200 and 2.1 GiB with OCR, context included
# (`process_bytes_peak` in docs/evidence/recorded_2026-11-26_nvidia_h200.json): `gpu_need_bytes` may ask for more.
NEED_BYTES = 2 * 1024**3

# What a stand-in's child must not inherit: it would say of this machine's GPU what the stand-in should say of its own.
ABOUT_GPUS = (
    "CUDA_",
    "HIP_",
    "ROCR_",
    "HSA_",
    "GPU_",
    "AMD_",
    "NVIDIA_",
    "MIOPEN_",
    "ROCBLAS_",
    "PYTORCH_",
    "PYTHONPATH",
)


def probe(
    root: Path = HERE,
    site_packages: Sequence[Path] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    last_rung: Rung = LADDER[-1],
    need_bytes: int = NEED_BYTES,
    limits_s: Mapping[Rung, float] = LIMITS_S,
    wanted_pci_id: str | None = None,
    takes_memory: bool = True,
) -> ProbeSnapshot:
    """Look at the host whose `/` is `root`. Raises nothing; safe in any thread.

    Takes milliseconds where hardware, driver, permission or package stop it; where they pass, as long as torch takes to
    start and compute, at most the sum of `limits_s` and some seconds. Left out, `site_packages` are those of this
    interpreter and `environ` is this process's; under another root, the usual places below it and nothing. Whatever is
    given rather than found makes the snapshot `simulated`, and what was not climbed makes it `probe_incomplete`.
    Without `takes_memory`, what the driver tells of free memory is trusted: taking it could starve a job beside.
    """
    root = Path(os.fspath(root))  # a plain path: one of a class of its own could call itself `/` and read elsewhere
    simulated = root != HERE or site_packages is not None or environ is not None
    if site_packages is None:
        site_packages = find_own_site_packages() if not simulated else find_site_packages(root)
    order = Order(
        python_path=list_python_path(site_packages, simulated=simulated),
        environ=choose_environment(environ, simulated=simulated),
        need_bytes=need_bytes,
        limits_s=limits_s,
        takes_memory=takes_memory,
    )
    return climb(HostRoot(root), site_packages, order, Wish(last_rung, wanted_pci_id), simulated=simulated)


def list_python_path(site_packages: Sequence[Path], *, simulated: bool) -> tuple[str, ...]:
    """Where the child imports from: as this process does, so that it gets the torch that a worker would get."""
    own = (os.fspath(SOURCE), *(entry for entry in sys.path if entry))
    return tuple(dict.fromkeys([*(map(os.fspath, site_packages) if simulated else ()), *own]))


def choose_environment(environ: Mapping[str, str] | None, *, simulated: bool) -> dict[str, str]:
    """The child's environment: this process's, or for a stand-in what is given, over what does not concern GPUs."""
    if not simulated:
        return dict(os.environ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ABOUT_GPUS)}
    return kept | dict(environ or {})


def find_own_site_packages() -> tuple[Path, ...]:
    """Where this interpreter imports packages from, in its order."""
    known = sysconfig.get_paths()
    named = [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    return tuple(Path(entry) for entry in dict.fromkeys([*named, known["purelib"], known["platlib"]]))


def find_site_packages(root: Path) -> tuple[Path, ...]:
    """The usual places under another root, sorted; those that cannot be listed are not among them."""
    host = HostRoot(root)
    found: list[Path] = []
    for place in ("opt/venv/lib", "usr/lib", "usr/local/lib"):
        pythons = host.list_names(place)
        for python in pythons.value if isinstance(pythons, Present) else ():
            if python.startswith("python3"):
                found += [root / place / python / name for name in ("dist-packages", "site-packages")]
    return tuple(found)
