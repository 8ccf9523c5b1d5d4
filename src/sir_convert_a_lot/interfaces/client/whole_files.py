"""Files that are there whole or not at all.

Owns the part file beside the target. Its name is short whatever the target's is: a name may have as many bytes as the
file system allows, and nothing can be added to such a one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """The path to write to; it becomes `target` at the end. After an error nothing of it is left, and `target` is as
    it was.
    """
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
