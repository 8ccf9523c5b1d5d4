"""What an environment holds and what surrounds it, read from files and from systemd. Runs on the host (`agent`).

Owns the facts of `domain.repair_actions.Inventory`. Imports nothing of what it looks at and changes nothing.
"""

# ruff: noqa: UP006, UP022, UP035, UP045 - Python 3.8

from __future__ import annotations

import getpass
import os
import re
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

ASK_LIMIT_S = 20.0
DIST_INFO = re.compile(r"(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>[^-]+)\.dist-info")
OWN_VERSION = re.compile(r"^__version__[^=\n]*=\s*['\"]([!-~]{1,100})['\"]", re.MULTILINE)
REQUIREMENT = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9][\w.-]*)([^\n]*)$", re.MULTILINE)


def take_inventory(packages: Path, family: List[str], unit: Dict[str, Any]) -> Dict[str, Any]:
    """JSON-able. `family`: normalised names. `unit`: its `name`, and `is_users` where it is of `systemd --user`."""
    installed, torn = read_installed(packages, family)
    return {
        "installed": installed,
        "torn": torn,
        "leftovers": find_leftovers(packages, family, torn),
        "dependents": find_dependents(packages, family),
        "has_pip": (packages / "pip").is_dir(),
        "account": getpass.getuser(),
        "closed_nodes": find_closed_nodes(),
        "kinds": find_kinds(),
        "unit": find_unit(unit),
    }


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def list_distributions(packages: Path) -> List[Tuple[str, str, Path]]:
    found = []
    for path in sorted(packages.iterdir()):
        match = DIST_INFO.fullmatch(path.name)
        if match and path.is_dir():
            found.append((normalise(match["name"]), match["version"], path))
    return found


def read_installed(packages: Path, family: List[str]) -> Tuple[Dict[str, str], List[str]]:
    """Versions by name, and the names whose files and metadata contradict each other."""
    installed: Dict[str, str] = {}
    torn = set()
    for name, version, _ in list_distributions(packages):
        if name in installed:
            torn.add(name)
        installed[name] = version
    for name in family:
        own = read_own_version(packages / name.replace("-", "_") / "version.py")
        if own is None:
            continue
        told = installed.get(name)
        # The metadata may leave the local tag out, as the wheels of the ordinary index do; the files have it.
        if told is None or told not in {own, own.partition("+")[0]}:
            torn.add(name)
        installed[name] = own
    return installed, sorted(torn)


def find_leftovers(packages: Path, family: List[str], torn: List[str]) -> Dict[str, List[str]]:
    """What lies there of each package that pip cannot take away whole: it is torn, or has no record of its files."""
    found: Dict[str, List[str]] = {}
    listed = list_distributions(packages)
    for name in family:
        about = [path for known, _, path in listed if known == name]
        if name in torn or any(not (path / "RECORD").exists() for path in about):
            module = packages / name.replace("-", "_")
            found[name] = [str(path) for path in (module, *about) if path.exists()]
    return found


def read_own_version(path: Path) -> Optional[str]:
    try:
        found = OWN_VERSION.search(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return None
    return found.group(1) if found else None


def find_dependents(packages: Path, family: List[str]) -> List[str]:
    """Requirements of installed packages that ask for one of the family. A package from a folder has no index."""
    found = []
    for name, version, path in list_distributions(packages):
        if name in family or (path / "direct_url.json").exists():
            continue
        try:
            text = (path / "METADATA").read_text("utf-8", "replace").partition("\n\n")[0]
        except FileNotFoundError:
            continue
        asked = {normalise(match.group(1)) for match in REQUIREMENT.finditer(text) if "extra ==" not in match.group(2)}
        if asked & set(family):
            found.append(f"{name}=={version}")
    return found


def find_closed_nodes() -> List[int]:
    """Groups, by number, that would let this account open a GPU's node which it cannot open now."""
    nodes = [Path("/dev/kfd"), *Path("/dev/dri").glob("renderD*")]
    groups = set()
    for node in nodes:
        with suppress(FileNotFoundError):
            status = node.stat()
            by_group = status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP
            if by_group and not os.access(node, os.R_OK | os.W_OK):
                groups.add(status.st_gid)
    return sorted(groups)


def find_kinds() -> List[str]:
    """The kinds of runtime that the GPUs with a device node need."""
    nodes = {"rocm": Path("/dev/kfd"), "cuda": Path("/dev/nvidiactl")}
    return [kind for kind, node in nodes.items() if node.exists()]


def find_unit(wanted: Dict[str, Any]) -> Dict[str, Any]:
    """Whether systemd has the unit, and whether it runs. None: that could not be told."""
    scope = ["--user"] if wanted["is_users"] else []
    try:
        shown = subprocess.run(
            ["systemctl", *scope, "show", "--property=LoadState,ActiveState", wanted["name"]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=surroundings({}),
            timeout=ASK_LIMIT_S, check=False,
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return {"is_there": None, "is_active": None}
    fields = dict(line.split("=", 1) for line in shown.stdout.decode("utf-8", "replace").splitlines() if "=" in line)
    if shown.returncode != 0 or "LoadState" not in fields:
        return {"is_there": None, "is_active": None}
    return {"is_there": fields["LoadState"] == "loaded", "is_active": fields.get("ActiveState") == "active"}


def surroundings(more: Dict[str, Any]) -> Dict[str, str]:
    """The account's environment, with the way to its own systemd, which a login over SSH may lack.

    Whoever has pip read no configuration gets none of the account's variables for it either.
    """
    alone = more.get("PIP_CONFIG_FILE") == os.devnull
    own = {name: value for name, value in os.environ.items() if not (alone and name.startswith("PIP_"))}
    environment = {**own, **more}
    environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return environment
