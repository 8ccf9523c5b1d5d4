"""A host that looks like one with a working AMD GPU to whoever comes by SSH: tools, project, environment, torch builds.

Built file by file in a folder of the account's, and then damaged by a test. What its tools and its `convert-a-lot`
print is made by hand; the commands that read it are the real ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from loopback_sshd import ALIAS, Sshd
from made_v1_service import AMD, GIB, WORKER_PID

from sir_convert_a_lot.domain.gpu_facts import LADDER

NAME = "made"
REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"  # the account may not be allowed to use the one that runs the tests
PINNED = {
    "torch": "2.10.0+rocm7.1",
    "torchvision": "0.25.0+rocm7.1",
    "torchaudio": "2.10.0+rocm7.1",
    "triton-rocm": "3.6.0",
}


def made_probe(**changes: Any) -> dict[str, Any]:
    """What `gpu probe --json` prints on a host whose GPU is proven."""
    return {
        "reason": None,
        "is_available": True,
        "simulated": False,
        "runtime_kind": "rocm",
        "device_name": "a made GPU",
        "arch": "gfx1100",
        "cause": None,
        "rung": LADDER[-1].value,
        "rungs": [{"rung": rung.value, "state": "passed", "seen": "made by hand"} for rung in LADDER],
        "evidence": [],
        "remediation": [],
    } | changes


def made_doctor(**changes: Any) -> dict[str, Any]:
    """What `doctor --json --skip-gpu` prints there, but for the time."""
    return {
        "models": {"engine_installed": True, "missing": []},
        "storage": {"root": "/srv/made", "is_writable": True, "free_bytes": 100 * GIB},
    } | changes


class MadeHost:
    """A healthy host behind `sshd`. Its folder is the account's."""

    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd
        self.root = sshd.folder / "project"
        self.busy_file = sshd.folder / "busy"
        self.set_busy(2)
        self._add_tools()
        self._make_project()
        for name, version in PINNED.items():
            self.install(name, version)
        self.tell_probe(made_probe())
        self.tell_doctor(made_doctor())
        sshd.give(self.root)

    # --- what it shows ---------------------------------------------------------------------------------------------

    def set_busy(self, percent: int) -> None:
        self.busy_file.write_text(str(percent))

    def _add_tools(self) -> None:
        memory = f'"VRAM Total Memory (B)": "{24 * GIB}", "VRAM Total Used Memory (B)": "{3 * GIB}"'
        power = '"Average Graphics Package Power (W)": "41.0"'
        bus = f'"Card Series": "a made GPU", "PCI Bus": "{AMD}"'
        self.sshd.add_tool(
            "rocm-smi",
            f"""busy=$(cat {self.busy_file})
echo 'WARNING: AMD GPU device(s) is/are in a low-power state'
echo '{{"card0": {{{bus}, {memory}, {power}, "GPU use (%)": "'"$busy"'"}}}}'""",
        )

    def add_nvidia_smi(self) -> None:
        """NVIDIA's tool, and a worker that holds memory of the GPU."""
        self.sshd.add_tool(
            "nvidia-smi",
            f"""case "$1" in
--query-gpu=pci.bus_id,name*) echo "00000000:65:00.0, a made GPU, 570.86.15" ;;
--query-gpu=*) echo "00000000:65:00.0, $(cat {self.busy_file}), 65.20, 3072, 81559" ;;
--query-compute-apps=*) echo "{WORKER_PID}, 2048" ;;
esac""",
        )

    def tell_probe(self, told: dict[str, Any]) -> None:
        (self.sshd.folder / "probe.json").write_text(json.dumps(told))
        self._write_command()

    def tell_doctor(self, told: dict[str, Any]) -> None:
        """The clock is the host's own unless `now` is told."""
        (self.sshd.folder / "doctor.json").write_text(json.dumps(told))

    def _write_command(self) -> None:
        folder = self.sshd.folder
        self.write_command(
            f"""case "$1 $2" in
"gpu probe") cat {folder}/probe.json ;;
"doctor --json")
  exec {SYSTEM_PYTHON} -c 'import json, time; told = json.load(open("{folder}/doctor.json"))
print(json.dumps({{"now": time.time(), **told}}))' ;;
*) echo "not made for: $*" >&2; exit 64 ;;
esac"""
        )

    def write_command(self, script: str) -> None:
        """`convert-a-lot` of the project's environment."""
        command = self.root / ".venv" / "bin" / "convert-a-lot"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)

    # --- what lies there -------------------------------------------------------------------------------------------

    def _make_project(self) -> None:
        (self.root / "examples").mkdir(parents=True)
        shutil.copy(REPOSITORY / "pyproject.toml", self.root)
        shutil.copy(REPOSITORY / "examples" / "digital.pdf", self.root / "examples")
        (self.root / ".gitignore").write_text(".venv/\n")
        subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(self.root / ".venv")], check=True)
        self.git("init", "-q")
        self.commit("made")

    def commit(self, message: str) -> None:
        self.git("add", ".")
        who = ("-c", "user.name=made", "-c", "user.email=made@example.org")
        self.git(*who, "commit", "-q", "--allow-empty", "-m", message)

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def revision(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def site_packages(self) -> Path:
        (place,) = (self.root / ".venv" / "lib").glob("python3*/site-packages")
        return place

    def install(self, name: str, version: str, *, hip: str | None = None, cuda: str | None = None) -> None:
        """Metadata as a wheel of that version leaves it, and torch's `version.py`, which says what it was built for."""
        self.uninstall(name)
        module = name.replace("-", "_")
        metadata = self.site_packages / f"{module}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if name == "torch":
            (self.site_packages / name).mkdir()
            (self.site_packages / name / "__init__.py").write_text(
                "raise ImportError('files alone, made for a test')\n"
            )
            hip = "7.1.25424" if "+rocm" in version else hip
            lines = f"__version__ = {version!r}\ncuda = {cuda!r}\nhip = {hip!r}\n"
            (self.site_packages / name / "version.py").write_text(lines)

    def uninstall(self, name: str) -> None:
        for path in self.site_packages.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(path)
        shutil.rmtree(self.site_packages / name, ignore_errors=True)

    # --- how one gets there ----------------------------------------------------------------------------------------

    def write_hosts(self, path: Path, service_port: int, **more: str) -> Path:
        """A hosts file that knows this host."""
        table = {
            "ssh": ALIAS,
            "ssh_config": str(self.sshd.ssh_config),
            "root": str(self.root),
            "runtime_kind": "rocm",
        } | more
        lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
        path.write_text("\n".join([f"[hosts.{NAME}]", *lines, f"service_port = {service_port}"]) + "\n")
        return path
