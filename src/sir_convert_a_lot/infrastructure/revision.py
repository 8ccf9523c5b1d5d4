"""Which revision of the project this process runs: read from git's own files, without git.

Owns the reading. Only of a checkout that the code itself lies in: a package that was installed elsewhere may be older
than the checkout around it.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]  # .../src/sir_convert_a_lot
REFERENCE = "ref: "
COMMIT_LENGTHS = (40, 64)  # SHA-1, SHA-256


def read_revision(source: Path = SOURCE) -> str | None:
    """The full commit id, lower case; None outside a checkout, or where git's files say something else."""
    try:
        folder = _find_git(source.parents[1] / ".git")
        head = (folder / "HEAD").read_text("utf-8").strip()
        commit = _resolve(folder, head.removeprefix(REFERENCE)) if head.startswith(REFERENCE) else head
    except (OSError, UnicodeDecodeError, IndexError):
        return None  # no checkout, or one that this account may not read: nothing is known
    return commit if commit is not None and _is_commit(commit) else None


def _find_git(place: Path) -> Path:
    """A worktree has a file there that names the folder."""
    if place.is_file():
        return place.parent / place.read_text("utf-8").strip().removeprefix("gitdir: ")
    return place


def _resolve(folder: Path, reference: str) -> str | None:
    shared = folder / "commondir"
    common = folder / shared.read_text("utf-8").strip() if shared.is_file() else folder
    for loose in (folder / reference, common / reference):
        if loose.is_file():
            return loose.read_text("utf-8").strip()
    packed = common / "packed-refs"
    lines = packed.read_text("utf-8").splitlines() if packed.is_file() else []
    return next((commit for commit, _, name in (line.partition(" ") for line in lines) if name == reference), None)


def _is_commit(text: str) -> bool:
    return len(text) in COMMIT_LENGTHS and all(digit in "0123456789abcdef" for digit in text)
