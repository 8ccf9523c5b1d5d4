"""Roots that look like machines: a healthy AMD or NVIDIA host, built file by file, and then damaged by a test.

They live under tests/ alone. A snapshot of one says `simulated`, so it never makes a GPU available.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHIMS = Path(__file__).parent / "shims"
SITE = "usr/lib/python3.11/site-packages"
AMD, NVIDIA = "0000:03:00.0", "0000:65:00.0"

# Takes the probe in a process of its own: optionally as `nobody`, optionally with a kernel that answers every opening
# for reading and writing with one errno (a seccomp filter, as containers have), which no file of a test can do.
CHILD = """
import ctypes, json, os, struct, sys
from pathlib import Path
from sir_convert_a_lot.domain.gpu_facts import snapshot_to_json
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

root, user, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
if number:
    openat = {"x86_64": 257, "aarch64": 56}[os.uname().machine]
    steps = [(0x20, 0, 0, 0), (0x15, 0, 4, openat), (0x20, 0, 0, 32), (0x54, 0, 0, 3), (0x15, 0, 1, os.O_RDWR),
             (0x06, 0, 0, 0x00050000 | number), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        sys.exit(f"no seccomp filter here: {os.strerror(ctypes.get_errno())}")
print(json.dumps(snapshot_to_json(probe(Path(root)))))
"""


class FakeHost:
    """A root to build on. Names are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("sys/module/.keep", "")
        self.write("proc/self/cgroup", "0::/user.slice\n")
        (root / "sys/bus/pci/devices").mkdir(parents=True)
        self.add_function("0000:00:00.0", vendor="0x8086", kind="0x060000")

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def remove(self, name: str) -> None:
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def add_function(
        self,
        address: str,
        *,
        vendor: str,
        device: str = "0x744c",
        kind: str = "0x030000",
        driver: str | None = None,
        answers: bool = True,
    ) -> None:
        place = f"sys/bus/pci/devices/{address}"
        for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
            self.write(f"{place}/{name}", value + "\n")
        ids = int(vendor, 16).to_bytes(2, "little") + int(device, 16).to_bytes(2, "little")
        self.write(f"{place}/config", (ids if answers else b"\xff" * 4) + bytes(60))
        if driver and not (self.root / place / "driver").is_symlink():
            (self.root / place / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")

    def add_amd(self) -> FakeHost:
        """A host with a Radeon RX 7900 XTX, its driver and its nodes."""
        self.add_function(AMD, vendor="0x1002", driver="amdgpu")
        self.write(f"sys/bus/pci/devices/{AMD}/mem_info_vram_total", "25753026560\n")
        self.write("sys/module/amdgpu/version", "6.12.12\n")
        nodes = "sys/class/kfd/kfd/topology/nodes"
        self.write(f"{nodes}/0/properties", "cpu_cores_count 16\nsimd_count 0\ngfx_target_version 0\n")
        self.write(
            f"{nodes}/1/properties",
            "simd_count 192\ngfx_target_version 110000\ndrm_render_minor 128\nlocation_id 768\ndomain 0\n",
        )
        self.write("dev/kfd", "")
        self.write("dev/dri/renderD128", "")
        return self

    def add_nvidia(self) -> FakeHost:
        """A host with an H100, its driver and its nodes."""
        self.add_function(NVIDIA, vendor="0x10de", device="0x2330", kind="0x030200", driver="nvidia")
        self.write("sys/module/nvidia/version", "570.86.15\n")
        self.write(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 13\n",
        )
        self.write("dev/nvidiactl", "")
        self.write("dev/nvidia0", "")
        return self

    def add_torch(self, version: str, *, hip: str | None = None, cuda: str | None = None) -> FakeHost:
        self.add_package("torch", version)
        lines = [
            f"__version__ = {version!r}",
            "debug = False",
            f"cuda: Optional[str] = {cuda!r}",
            f"hip: Optional[str] = {hip!r}",
        ]
        self.write(f"{SITE}/torch/version.py", "from typing import Optional\n" + "\n".join(lines) + "\n")
        self.write(f"{SITE}/torch/__init__.py", "raise ImportError('files alone, made for a test')\n")
        return self

    def add_working_amd(self, **changes: Any) -> FakeHost:
        """An AMD host whose torch computes; `changes` go over what its shim.json says."""
        self.add_amd().add_rocm_torch()
        self.write(f"{SITE}/torch/lib/rocblas/library/TensileLibrary_lazy_gfx1100.dat", "")
        device = {"name": "Radeon RX 7900 XTX", "pci_id": AMD, "arch": "gfx1100", "total_bytes": 25_753_026_560}
        return self._add_shim(
            {"version": "2.14.1+rocm7.2", "hip": "7.2.26015", "cuda": None, "arch_list": ["gfx90a", "gfx1100"]},
            device,
            changes,
        )

    def add_working_nvidia(self, **changes: Any) -> FakeHost:
        """An NVIDIA host whose torch computes."""
        self.add_nvidia().add_cuda_torch()
        device = {
            "name": "NVIDIA H100",
            "pci_id": NVIDIA,
            "major": 9,
            "minor": 0,
            "total_bytes": 85_017_755_648,
        }
        return self._add_shim(
            {"version": "2.15.0+cu130", "hip": None, "cuda": "13.0", "arch_list": ["sm_80", "sm_90", "compute_120"]},
            device,
            changes,
        )

    def _add_shim(self, config: dict[str, Any], device: dict[str, Any], changes: dict[str, Any]) -> FakeHost:
        config = config | {"devices": [device], "free_bytes": device["total_bytes"] - 2**30, "faults": []} | changes
        self.write(f"{SITE}/torch/__init__.py", (SHIMS / "made_torch.py").read_bytes())
        self.write(f"{SITE}/torch/shim.json", json.dumps(config))
        return self

    def add_nvml(self, **answers: Any) -> FakeHost:
        """NVIDIA's management library; what is not answered is not supported."""
        self.write(f"{SITE}/pynvml.py", (SHIMS / "made_pynvml.py").read_bytes())
        self.write(f"{SITE}/made_pynvml.json", json.dumps(answers))
        return self

    def add_package(self, name: str, version: str) -> FakeHost:
        self.write(f"{SITE}/{name.replace('-', '_')}-{version}.dist-info/METADATA", f"Name: {name}\n")
        return self

    def add_rocm_torch(self) -> FakeHost:
        return self.add_torch("2.14.1+rocm7.2", hip="7.2.26015").add_package("torchvision", "0.29.1+rocm7.2")

    def add_cuda_torch(self) -> FakeHost:
        return self.add_torch("2.15.0+cu130", cuda="13.0").add_package("torchvision", "0.30.0+cu130")

    def probe_in_child(self, *, user: int = 0, errno_of_opening: int = 0) -> dict[str, Any]:
        """The snapshot as JSON, taken by another process; a skip where the kernel has no seccomp filters."""
        command = [sys.executable, "-c", CHILD, str(self.root), str(user), str(errno_of_opening)]
        child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if child.returncode and "no seccomp filter here" in child.stderr:
            pytest.skip(child.stderr.strip())
        assert child.returncode == 0, child.stderr
        found: dict[str, Any] = json.loads(child.stdout)
        return found


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """An empty machine, in a place that any account may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield FakeHost(Path(os.path.realpath(name)))
