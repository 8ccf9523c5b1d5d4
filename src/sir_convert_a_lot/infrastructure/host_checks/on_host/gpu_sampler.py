"""Sent to the host's `python3`: looks at its GPUs again and again, until it is told to end (SIGTERM) or for some time.

Arguments: `amd` or `nvidia`; seconds, 0 for until told; then optionally another root than `/` for the kernel's files.
Prints a line of JSON a look: `at_s`, `source`, `gpus` (PCI id to `busy_percent`, `power_w`, `used_bytes`,
`total_bytes`; null: could not be read), `processes` (pid to bytes of GPU memory), `unread` (why something could not be
read).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple  # noqa: UP035 - Python 3.8

Look = Dict[str, Any]  # noqa: UP006 - Python 3.8

PAUSE_S = 0.1
TOOL_LIMIT_S = 10
MIB = 1024 * 1024
AMD = "0x1002"
NVIDIA_FIGURES = "pci.bus_id,utilization.gpu,power.draw,memory.used,memory.total"
ROCM_SMI = ("rocm-smi", "--showuse", "--showbus", "--showpower", "--showmeminfo", "vram", "--json")


def look_amd(root: Path) -> Look:
    cards = [card for card in sorted(root.glob("sys/class/drm/card[0-9]*/device")) if read(card / "vendor") == AMD]
    if not cards:
        return look_rocm_smi()
    gpus = {}
    unread = []
    for card in cards:
        power = next(iter(sorted(card.glob("hwmon/hwmon*/power1_average"))), None)
        watts = number(read(power)) if power else None
        gpus[card.resolve().name] = {
            "busy_percent": number(read(card / "gpu_busy_percent")),
            "power_w": None if watts is None else watts / 1e6,
            "used_bytes": number(read(card / "mem_info_vram_used")),
            "total_bytes": number(read(card / "mem_info_vram_total")),
        }
    processes: Dict[str, int] = {}  # noqa: UP006 - Python 3.8
    for file in root.glob("sys/class/kfd/kfd/proc/[0-9]*/vram_*"):
        held = number(read(file))
        if held is None:
            unread.append(f"{file} cannot be read")
        else:
            processes[file.parent.name] = processes.get(file.parent.name, 0) + int(held)
    return {"source": "amdgpu sysfs", "gpus": gpus, "processes": processes, "unread": unread}


def look_rocm_smi() -> Look:
    printed, why = ask(ROCM_SMI)
    cards = json.loads(printed[printed.find("{") :]) if "{" in printed else {}
    gpus = {}
    for name, card in cards.items():
        if name.startswith("card"):
            gpus[str(card.get("PCI Bus", name)).lower()] = {
                "busy_percent": number(card.get("GPU use (%)")),
                "power_w": number(first(card, "Power (W)")),
                "used_bytes": number(first(card, "Total Used Memory (B)")),
                "total_bytes": number(first(card, "Total Memory (B)")),
            }
    return {"source": "rocm-smi", "gpus": gpus, "processes": {}, "unread": [why] if why else []}


def look_nvidia(root: Path) -> Look:
    del root
    printed, why = ask(("nvidia-smi", "--query-gpu=" + NVIDIA_FIGURES, "--format=csv,noheader,nounits"))
    gpus = {}
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 5:
            busy, power, used, total = (number(cell) for cell in cells[1:])
            gpus[short(cells[0])] = {
                "busy_percent": busy,
                "power_w": power,
                "used_bytes": None if used is None else int(used * MIB),
                "total_bytes": None if total is None else int(total * MIB),
            }
    held, why_not = ask(("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"))
    processes = {}
    for line in held.splitlines():
        pid, _, memory = line.partition(",")
        mib = number(memory)
        if pid.strip().isdigit() and mib is not None:
            processes[pid.strip()] = int(mib * MIB)
    return {"source": "nvidia-smi", "gpus": gpus, "processes": processes, "unread": [w for w in (why, why_not) if w]}


def short(bus_id: str) -> str:
    """nvidia-smi writes the domain with eight digits, the kernel with four."""
    domain, _, rest = bus_id.lower().partition(":")
    return domain[-4:] + ":" + rest


def ask(command: Sequence[str]) -> Tuple[str, Optional[str]]:  # noqa: UP006, UP045 - Python 3.8
    """What it printed, and why that is not to be trusted, or None."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TOOL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    printed = done.stdout.decode("utf-8", "replace")
    return (printed, None) if done.returncode == 0 else ("", f"{command[0]}: exit code {done.returncode}")


def first(card: Dict[str, Any], ending: str) -> Any:  # noqa: UP006 - Python 3.8
    return next((value for name, value in card.items() if name.endswith(ending)), None)


def read(path: Path) -> Optional[str]:  # noqa: UP045 - Python 3.8
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def number(text: Any) -> Optional[float]:  # noqa: UP045 - Python 3.8
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def main() -> None:
    vendor, seconds = sys.argv[1], float(sys.argv[2])
    root = Path(sys.argv[3] if len(sys.argv) > 3 else "/")
    look: Callable[[Path], Look] = {"amd": look_amd, "nvidia": look_nvidia}[vendor]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    while True:
        at_s = time.monotonic() - began
        sys.stdout.write(json.dumps({"at_s": round(at_s, 3), **look(root)}) + "\n")
        sys.stdout.flush()
        if seconds and time.monotonic() - began >= seconds:
            return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
