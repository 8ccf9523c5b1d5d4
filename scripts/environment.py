"""Makes `.venv` from `pdm.lock`: `python3 scripts/environment.py base|test`, called by the Makefile.

Owns the one place where the environment is set up: PDM in its own `.tools/pdm`, the project's `.venv`, and stamp files
that let a second call do nothing and need no network. Uses the standard library alone, since nothing is installed yet.
Talks on stderr; what PDM and pip say goes to `.tools/environment.log`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
PDM_VENV = TOOLS / "pdm"
VENV = ROOT / ".venv"
LOG = TOOLS / "environment.log"

# What `pip install pdm` takes today does not work together; this set does (docs/decisions/0005).
PDM_REQUIREMENTS = ("pdm==2.29.3", "unearth<0.19", "hishel==1.4.0")

# What each environment installs beside the base. `--prod` leaves the dependency groups out.
INSTALL_ARGUMENTS = {
    "base": ("--prod",),
    "test": ("-G", "docling", "-G", "pymupdf", "-G", "test", "-G", "lint", "-G", "examples"),
}


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def require_venv_module() -> None:
    """Debian ships Python without the parts that make virtual environments."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} cannot make virtual environments ({error}).\n"
            f"On Debian and Ubuntu: apt-get install python{version}-venv"
        ) from error


def run_logged(command: list[str]) -> None:
    """Run a command with its words in the log; on failure show the log's end."""
    environment = os.environ | {
        "PDM_IGNORE_ACTIVE_VENV": "1",
        "PDM_CHECK_UPDATE": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    environment.pop("VIRTUAL_ENV", None)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, check=False
        )
    if done.returncode != 0:
        tail = "\n".join(LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
        raise SetupError(f"{tail}\n\nThis command failed: {' '.join(command)}\nThe whole log: {LOG}")


def python_of(folder: Path) -> str | None:
    """The version that a virtual environment was made with, or None where there is none."""
    try:
        lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    fields = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return ".".join(fields.get("version", "").split(".")[:2])


def make_venv(folder: Path) -> None:
    """A virtual environment with this very Python; one made with another version is replaced."""
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python_of(folder) == wanted and (folder / "bin" / "python").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    run_logged([sys.executable, "-m", "venv", str(folder)])


def drop_moved_venv() -> None:
    """Scripts in a virtual environment name the place it was made in; after a move they lead nowhere."""
    made_in = VENV / "made-in"
    if made_in.exists() and made_in.read_text(encoding="utf-8").strip() != str(ROOT):
        shutil.rmtree(VENV)


def ensure_pdm() -> None:
    """PDM in its own environment, so that it never mixes with what it installs."""
    stamp = PDM_VENV / "stamp.json"
    content = json.dumps({"requirements": PDM_REQUIREMENTS, "made_in": str(ROOT), "python": sys.version_info[:2]})
    if stamp.exists() and stamp.read_text(encoding="utf-8") == content:
        return
    say("Installing PDM in .tools/pdm ...")
    shutil.rmtree(PDM_VENV, ignore_errors=True)
    make_venv(PDM_VENV)
    run_logged([str(PDM_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", *PDM_REQUIREMENTS])
    stamp.write_text(content, encoding="utf-8")


def wanted_content(kind: str) -> str:
    """All that the environment depends on, as one digest: lock, dependencies, scripts, place, Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = {
        "kind": kind,
        "arguments": INSTALL_ARGUMENTS[kind],
        "lock": hashlib.sha256((ROOT / "pdm.lock").read_bytes()).hexdigest(),
        "project": {key: project.get(key) for key in ("project", "dependency-groups", "build-system")},
        "made_in": str(ROOT),
        "python": sys.version_info[:2],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest() + "\n"


def is_current(kind: str) -> bool:
    stamp = VENV / f"{kind}.stamp"
    return (
        python_of(VENV) == f"{sys.version_info.major}.{sys.version_info.minor}"
        and stamp.exists()
        and stamp.read_text(encoding="utf-8") == wanted_content(kind)
    )


def write_stamps(kind: str) -> None:
    """The test environment holds the base, so its stamp is good for both."""
    for name in {"base", kind}:
        (VENV / f"{name}.stamp").write_text(wanted_content(name), encoding="utf-8")
    (VENV / "made-in").write_text(f"{ROOT}\n", encoding="utf-8")


def make_environment(kind: str) -> None:
    """Bring `.venv` to what the lock says. A second call with nothing changed touches the stamps and is done."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if is_current(kind):
            write_stamps(kind)
            return
        require_venv_module()
        started = time.monotonic()
        LOG.write_text("", encoding="utf-8")
        ensure_pdm()
        say(f"Making .venv from pdm.lock ({kind}; log in .tools/environment.log) ...")
        drop_moved_venv()
        make_venv(VENV)
        (ROOT / ".pdm-python").write_text(str(VENV / "bin" / "python"), encoding="utf-8")
        run_logged([str(PDM_VENV / "bin" / "pdm"), "install", "--frozen-lockfile", *INSTALL_ARGUMENTS[kind]])
        write_stamps(kind)
        say(f"The environment is ready ({time.monotonic() - started:.0f} s).")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in INSTALL_ARGUMENTS:
        say(f"usage: environment.py {'|'.join(INSTALL_ARGUMENTS)}")
        return 64
    try:
        make_environment(arguments[0])
    except SetupError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
