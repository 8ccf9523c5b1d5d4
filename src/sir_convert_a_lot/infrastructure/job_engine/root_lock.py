"""One service a storage root: a lock that the kernel lets go of when its holder dies.

A second service on the same root would take the first one's running jobs for abandoned and start them again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sir_convert_a_lot.domain.errors import ServiceCannotStart


class RootLock:
    """Held from `take` until `release`, or until the process ends, however it ends."""

    def __init__(self, root: Path) -> None:
        self._path = root / "service.lock"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises `ServiceCannotStart` when another process holds it, or the file cannot be had."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceCannotStart(
                f"cannot open {self._path}: {error.strerror}",
                details={
                    "reason": "storage",
                    "remediation": [f"Let the account that runs the service own {self._path}, or delete it."],
                },
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ServiceCannotStart(
                f"another service (process {holder or 'unknown'}) uses this storage root: {self._path.parent}",
                details={
                    "reason": "root_in_use",
                    "remediation": ["Stop the other service, or name another root with CONVERTER_STORAGE_ROOT."],
                },
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
