"""The GPU's device nodes as one value that differs when any of them was made anew, taken away or given to others.

Owns that value; cheap enough to be asked with every request. Refuses to say what a change means.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

NODE = re.compile(r"kfd|dxg|nvidia(ctl|-uvm|-modeset|\d+)?", re.ASCII)
CAPABILITY = re.compile(r"nvidia-cap\d+", re.ASCII)  # one for each instance of a GPU that MIG divides
RENDER = re.compile(r"renderD\d+", re.ASCII)

Node = tuple[str, int, int, int, int, int, int]


def read_nodes(root: Path = Path("/")) -> tuple[Node, ...]:
    """Name, inode, device number, mode, owner, group and time of change of each node, sorted. What cannot be read
    is not among them, so it differs from when it could.
    """
    return (*_read(root / "dev", NODE), *_read(root / "dev/nvidia-caps", CAPABILITY), *_read(root / "dev/dri", RENDER))


def _read(directory: Path, pattern: re.Pattern[str]) -> list[Node]:
    try:
        names = sorted(name for name in os.listdir(directory) if pattern.fullmatch(name))  # noqa: PTH208 - read often
    except OSError:
        return []
    return [node for name in names if (node := _look(directory / name)) is not None]


def _look(path: Path) -> Node | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (
        path.name,
        found.st_ino,
        found.st_rdev,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_ctime_ns,
    )
