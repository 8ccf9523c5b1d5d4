"""The scripts for operators: clean shell, and a way into the project's environment from anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

FOREIGN = {"VIRTUAL_ENV": "/elsewhere", "PYTHONPATH": "/elsewhere", "PYTHONHOME": "/elsewhere"}


@pytest.mark.system("shellcheck")
def test_every_shell_script_passes_shellcheck(repository: Path) -> None:
    scripts = sorted((repository / "scripts").rglob("*.sh"))
    assert {"run-hemma.sh", "run-local-pdm.sh", "verify-hemma-gpu-runtime.sh"} <= {script.name for script in scripts}
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def made_pdm(tmp_path: Path) -> Path:
    """Stands for pdm on the PATH: tells what it was given, and ends as it is told."""
    pdm = tmp_path / "bin" / "pdm"
    pdm.parent.mkdir()
    pdm.write_text(
        '#!/bin/sh\nfor word in "$@"; do printf "<%s>" "$word"; done\n'
        'printf "[%s][%s]" "$PDM_PYTHON" "${VIRTUAL_ENV:-}${PYTHONPATH:-}${PYTHONHOME:-}"\nexit "${MADE_CODE:-0}"\n'
    )
    pdm.chmod(0o755)
    return pdm.parent


def run_local_pdm(repository: Path, path: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    script = repository / "scripts" / "devops" / "run-local-pdm.sh"
    environment = os.environ | FOREIGN | {"PATH": path, "MADE_CODE": str(code)}
    return subprocess.run(
        ["/bin/sh", str(script), *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False
    )


def test_a_pdm_script_runs_in_the_project_from_any_directory(repository: Path, made_pdm: Path) -> None:
    done = run_local_pdm(repository, f"{made_pdm}:/usr/bin:/bin", "check", "two words", code=7)
    assert done.returncode == 7
    python = repository / ".venv" / "bin" / "python"
    assert done.stdout == f"<run><--project><{repository}><check><two words>[{python}][]"


def test_without_pdm_or_without_a_script_it_says_what_is_missing(repository: Path, made_pdm: Path) -> None:
    assert run_local_pdm(repository, "/usr/bin:/bin", "check").returncode == 127
    assert run_local_pdm(repository, f"{made_pdm}:/usr/bin:/bin").returncode == 64
