"""Makes an environment for every peer of the benchmarks under `build/peers`: `pdm run bench:peers`.

    python benchmarks/install_peers.py [NAME …]

Versions are those of `peers.txt`. An environment is made anew each time. One that cannot be made leaves its reason in
`build/peers/NAME.failed`, which the tables then show; the others go on. Where packages come from is pip's own matter.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from peers import BY_NAME, ENVIRONMENTS, PEERS, Peer

VERSIONS = Path(__file__).resolve().parent / "peers.txt"


def install(peer: Peer, environments: Path = ENVIRONMENTS) -> str | None:
    """Makes the environment of `peer`; gives the reason when that failed."""
    assert peer.requirement is not None
    folder = environments / peer.name
    failed = environments / f"{peer.name}.failed"
    failed.unlink(missing_ok=True)
    venv.create(folder, clear=True, with_pip=True)
    command = [str(peer.python(environments)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", str(VERSIONS), peer.requirement], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    shutil.rmtree(folder)
    reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"pip ended with {done.returncode}"
    failed.write_text(reason + "\n", "utf-8")
    return reason


def main() -> int:
    separate = [peer.name for peer in PEERS if peer.requirement]
    parser = argparse.ArgumentParser(description="Install the peers, each into an environment of its own.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(separate)}; all unless named")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(separate))
    if unknown:
        parser.error(f"no environment is made for {', '.join(unknown)}")
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    for name in options.names or separate:
        reason = install(BY_NAME[name])
        print(f"{name}: {reason or 'installed'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
