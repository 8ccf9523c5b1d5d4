"""The GPU runtime probe: looks at this machine and says what stands between a conversion and its GPU.

Owns gathering. Imports no torch and changes nothing. Refuses to judge a request (`domain.acceleration_policy`).
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from sir_convert_a_lot.domain.gpu_facts import Present, ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.ladder import climb

__all__ = ["probe"]

HERE = Path("/")


def probe(
    root: Path = HERE,
    site_packages: Sequence[Path] | None = None,
    environ: Mapping[str, str] | None = None,
) -> ProbeSnapshot:
    """Look at the host whose `/` is `root`. Takes milliseconds, raises nothing; safe in any thread.

    Left out, `site_packages` are those of this interpreter and `environ` is this process's; under another root, the
    usual places below it and nothing. Whatever is given rather than found makes the snapshot `simulated`.
    """
    simulated = os.fspath(root) != os.fspath(HERE) or site_packages is not None or environ is not None
    if site_packages is None:
        site_packages = find_own_site_packages() if not simulated else find_site_packages(root)
    if environ is None:
        environ = {} if simulated else os.environ
    return climb(HostRoot(root), site_packages, environ, simulated=simulated)


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
