"""What an acceptance run needs to know of the machine and the checkout, read without touching the GPU's runtime.

Owns versions, the fingerprint of the code that ran, and the driver's list of the processes on the GPU. What cannot be
read is None or raises `Unreadable` with the reason, never an empty list.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

KFD_PROCESSES = Path("/sys/class/kfd/kfd/proc")
LOOK_EVERY_S = 0.1


class Unreadable(Exception):
    """The driver's list of processes cannot be read; the text says why."""


def describe_python() -> dict[str, Any]:
    return {"python": platform.python_version(), "kernel": platform.release(), "architecture": platform.machine()}


def find_foreign_package(repository: Path) -> str | None:
    """Where the product is imported from, unless it is this checkout: evidence must be of the code that it names."""
    import sir_convert_a_lot

    places = [Path(place).resolve() for place in sir_convert_a_lot.__path__]
    if places == [(repository / "src" / "sir_convert_a_lot").resolve()]:
        return None
    return ", ".join(str(place) for place in places)


def describe_product(repository: Path, revision: str | None) -> dict[str, Any]:
    """Version, git revision, and a hash of the sources, which ties evidence to code also where git is not.

    `source_sha256` is of the names and contents of src/**/*.py, in the order of their names.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed: str | None = version("sir-convert-a-lot")
    except PackageNotFoundError:
        installed = None
    digest = hashlib.sha256()
    for path in sorted((repository / "src").rglob("*.py")):
        digest.update(f"{path.relative_to(repository).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    told = _git(repository, "rev-parse", "HEAD")
    changed = _git(repository, "status", "--porcelain", "--untracked-files=no")
    return {
        "installed_version": installed,
        "revision": told or revision,
        "revision_told_by": "git" if told else ("--revision" if revision else None),
        "is_changed_since": None if changed is None else bool(changed),
        "source_sha256": digest.hexdigest(),
    }


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def list_descendants(pid: int) -> set[int]:
    """The process and all it started that still live, by /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent_of(int(folder.name))) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found, waiting = set(), [pid]
    while waiting:
        found.add(one := waiting.pop())
        waiting += children.get(one, [])
    return found


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it ended meanwhile
    return int(stat.rpartition(")")[2].split()[1])


def open_process_list(runtime_kind: str, pci_id: str) -> Callable[[], set[int]]:
    """A function that reads the pids which hold the GPU now, as the driver counts them. Raises `Unreadable`."""
    if runtime_kind == "rocm":
        return _list_kfd_processes
    try:
        import pynvml  # of nvidia-ml-py
    except ImportError as error:
        raise Unreadable("nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_id.encode())
    except pynvml.NVMLError as error:
        raise Unreadable(f"NVML: {error}") from error

    def read() -> set[int]:
        try:
            return {int(process.pid) for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        except pynvml.NVMLError as error:
            raise Unreadable(f"NVML: {error}") from error

    return read


def _list_kfd_processes() -> set[int]:
    try:
        return {int(folder.name) for folder in KFD_PROCESSES.iterdir() if folder.name.isdigit()}
    except OSError as error:
        raise Unreadable(f"{KFD_PROCESSES}: {error.strerror}") from error


class ProcessWatch:
    """Collects, in a thread, who was on the GPU and which processes one service had meanwhile."""

    def __init__(self, read: Callable[[], set[int]]) -> None:
        self._read = read
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)
        self.service_pid: int | None = None  # of the service whose processes are followed, while it lives
        self.on_gpu: set[int] = set()
        self.of_service: set[int] = set()
        self.looks = 0
        self.problem: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            if self.service_pid is not None:
                self.of_service |= list_descendants(self.service_pid)
            try:
                self.on_gpu |= self._read()
            except Unreadable as error:
                self.problem = str(error)
                return
            self.looks += 1
