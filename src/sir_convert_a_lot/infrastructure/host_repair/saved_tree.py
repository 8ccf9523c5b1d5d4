"""An environment saved as a tree of hard links beside it, and put back from there. Runs on the host (`agent`).

pip replaces files, it does not write into them, so a link keeps what was there, at no cost in space. Putting back
compares file by file; it can be cut off at any point and done again.
"""

# ruff: noqa: UP006, UP035 - Python 3.8

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import List, Sequence, Set


class SavedIncomplete(Exception):
    """What was saved does not hold what it must: putting it back would take away what it does not hold."""


def save(source: Path, target: Path, left_out: str) -> None:
    """Make `target`, which is not there, a tree of links to all of `source` but `left_out`."""
    for folder, names, files in os.walk(source):
        leave_out(left_out, source, folder, names)
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True, exist_ok=True)
        for name in files + [name for name in names if (Path(folder) / name).is_symlink()]:
            link(Path(folder) / name, there / name)


def leave_out(name: str, root: Path, folder: str, names: List[str]) -> None:
    if Path(folder) == root and name in names:
        names.remove(name)


def link(source: Path, target: Path) -> None:
    """`target`, which is not there, becomes a link to `source`, or a copy of it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # no links on this file system, too many to one file, or a file of another account
        shutil.copy2(source, target, follow_symlinks=False)


def put(source: Path, target: Path) -> None:
    """`target` becomes `source`, at once."""
    part = target.with_name(f".{os.getpid()}.part")
    with suppress(FileNotFoundError):
        part.unlink()
    link(source, part)
    part.replace(target)
    # Renaming a link over another link to the same file does nothing, by POSIX: the part is still there.
    with suppress(FileNotFoundError):
        part.unlink()


def restore(source: Path, target: Path, left_out: str, must_hold: Sequence[str]) -> List[str]:
    """Make `target` what `source` is. May be cut off and run again; gives back what could not be made the same.

    `must_hold`: relative paths. Raises `SavedIncomplete`, with `target` untouched, where `source` lacks one of them.
    """
    hold(source, must_hold)
    kept: Set[Path] = set()
    for folder, names, files in os.walk(source):
        inner = Path(folder).relative_to(source)
        kept.add(inner)
        there = target / inner
        if there.is_symlink() or (there.exists() and not there.is_dir()):
            there.unlink()
        there.mkdir(parents=True, exist_ok=True)
        for name in files + [name for name in names if (Path(folder) / name).is_symlink()]:
            kept.add(inner / name)
            restore_file(Path(folder) / name, there / name)
    remove_all_but(kept, target, left_out)
    return [
        str(inner) for inner in sorted(kept) if not (source / inner).is_dir() and differ(source / inner, target / inner)
    ]


def hold(source: Path, must_hold: Sequence[str]) -> None:
    """Before anything is removed: a source that is not there, or is half of one, would remove all or half of it."""
    if source.is_symlink() or not source.is_dir():
        raise SavedIncomplete(f"{source} is not there")
    missing = [inner for inner in must_hold if not os.path.lexists(source / inner)]
    if missing:
        raise SavedIncomplete(f"{source} does not hold {', '.join(missing[:5])}")


def restore_file(source: Path, target: Path) -> None:
    if not target.is_symlink() and target.is_dir():
        shutil.rmtree(target)
    if differ(source, target):
        put(source, target)


def differ(one: Path, other: Path) -> bool:
    """The same file, or a copy of it: then size and time are the same."""
    try:
        mine, theirs = one.lstat(), other.lstat()
    except FileNotFoundError:
        return True
    if (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino):
        return False
    if stat.S_ISLNK(mine.st_mode) and stat.S_ISLNK(theirs.st_mode):
        return os.readlink(one) != os.readlink(other)  # noqa: PTH115 - Python 3.8
    return (mine.st_mode, mine.st_size, mine.st_mtime_ns) != (theirs.st_mode, theirs.st_size, theirs.st_mtime_ns)


def remove_all_but(kept: Set[Path], target: Path, left_out: str) -> None:
    """Whatever is not among the relative paths `kept` goes, but for `left_out`."""
    for folder, names, files in os.walk(target):
        leave_out(left_out, target, folder, names)
        for name in list(names):
            path = Path(folder) / name
            if path.relative_to(target) not in kept:
                names.remove(name)
                path.unlink() if path.is_symlink() else shutil.rmtree(path)
        for name in files:
            path = Path(folder) / name
            if path.relative_to(target) not in kept:
                path.unlink()
