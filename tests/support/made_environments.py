"""Projects with an environment of their own, and the wheels to bring them from one state to another."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from made_index import MadeIndex, MadeWheel, made_sibling, made_torch, made_triton

from sir_convert_a_lot.application.host_ports import CheckSite, LiveService
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.host_checks.torch_builds import TorchBuildsCheck
from sir_convert_a_lot.infrastructure.host_repair.site import EnvironmentSite
from sir_convert_a_lot.infrastructure.hosts.local import LocalHost

ROCM = "2.10.0+rocm7.1"
CUDA = "2.10.0+cu128"
CPU = "2.10.0+cpu"

ROCM_WHEELS = (
    made_torch(ROCM, ["filelock", "triton-rocm==3.6.0"]),
    made_sibling("torchvision", "0.25.0+rocm7.1", ROCM),
    made_sibling("torchaudio", ROCM, ROCM),
    made_triton("triton-rocm", "3.6.0"),
)
CUDA_WHEELS = (
    made_torch(CUDA, ["filelock", "triton==3.6.0"]),
    made_sibling("torchvision", "0.25.0+cu128", CUDA),
    made_sibling("torchaudio", CUDA, CUDA),
    made_triton("triton", "3.6.0"),
)
CPU_WHEELS = (made_torch(CPU), made_sibling("torchvision", "0.25.0+cpu", CPU), made_sibling("torchaudio", CPU, CPU))
NEWER = "2.15.0+cu130"
NEWER_WHEELS = (
    made_torch(NEWER, ["filelock", "triton==3.7.0"]),
    made_sibling("torchvision", "0.30.0+cu130", NEWER),
    made_sibling("torchaudio", NEWER, NEWER),
    made_triton("triton", "3.7.0"),
)
FILELOCK = MadeWheel("filelock", "3.20.0")
READER = MadeWheel("paper-reader", "1.4", ["torch>=2,<3"])  # stands for what uses torch, as Docling does
PIN_ROWS = {wheel.name: wheel.version for wheel in ROCM_WHEELS}


def fill(index: MadeIndex) -> None:
    """The indexes of both vendors, and the ordinary one, which has a newer torch for everyone who asks it."""
    index.add("rocm", *ROCM_WHEELS)
    index.add("cuda", *CUDA_WHEELS)
    index.add("ordinary", FILELOCK, READER, *CPU_WHEELS, *NEWER_WHEELS)


@dataclass(frozen=True)
class Project:
    """A checkout on this machine, as a host: a pyproject that pins, and an environment."""

    root: Path
    profile: HostProfile

    @property
    def environment(self) -> Path:
        return self.root / ".venv"

    @property
    def packages(self) -> Path:
        (found,) = self.environment.glob("lib/python3*/site-packages")
        return found

    @property
    def journal(self) -> Path:
        return self.environment / ".sir-convert-a-lot" / "journal.json"

    def site(self) -> EnvironmentSite:
        return EnvironmentSite(LocalHost(), self.profile)

    def install(self, *wheels: MadeWheel) -> None:
        """As pip would, without asking what the wheels ask for, so that any state can be made."""
        for wheel in wheels:
            for old in self.packages.glob(f"{wheel.name.replace('-', '_')}-*.dist-info"):
                shutil.rmtree(old)
            with zipfile.ZipFile(wheel.write(self.root / "wheels")) as archive:
                archive.extractall(self.packages)

    def check(self) -> Finding:
        """Check 3 of a verification, as it is."""
        (finding,) = TorchBuildsCheck().look(CheckSite(LocalHost(), self.profile, no_service)).findings
        return finding

    def snapshot(self) -> dict[str, bytes | str]:
        """Every file of the environment but the repairs' own, and what Python compiles by itself."""
        files: dict[str, bytes | str] = {}
        for path in sorted(self.environment.rglob("*")):
            inner = path.relative_to(self.environment)
            if ".sir-convert-a-lot" in inner.parts or "__pycache__" in inner.parts or path.is_dir():
                continue
            files[str(inner)] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
        return files


@contextmanager
def no_service(url: str) -> Iterator[LiveService]:
    raise AssertionError(f"check 3 asks no service, and this one was: {url}")
    yield


def pip(project: Project, *arguments: str) -> str:
    python = project.environment / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def make_template(folder: Path) -> Path:
    """An environment with pip alone; it may be copied, since nothing in it is started by its own name."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


def make_project(root: Path, template: Path, index: MadeIndex, kind: RuntimeKind | None = RuntimeKind.ROCM) -> Project:
    root.mkdir(parents=True)
    shutil.copytree(template, root / ".venv", symlinks=True)
    rows = "\n".join(f'{name} = "{version}"' for name, version in PIN_ROWS.items())
    (root / "pyproject.toml").write_text(
        f'[tool.sir_convert_a_lot.rocm_runtime]\nfamily = "rocm7.1"\nindex = "{index.url("rocm")}"\n'
        f"[tool.sir_convert_a_lot.rocm_runtime.packages]\n{rows}\n"
    )
    return Project(root, HostProfile("made", str(root), runtime_kind=kind))
