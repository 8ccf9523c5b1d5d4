"""A machine's files under a root, read so that nothing can raise or block.

Owns the difference between "not there" and "could not look": every answer is a fact. Refuses to know what a file means.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, Unknown

# What the probe reads is far smaller; the bound keeps a hostile or broken file from filling memory.
MAX_READ_BYTES = 1_048_576

NOT_THERE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class HostRoot:
    """The host whose `/` is `path`. Names are given from its root, as in `dev/kfd`."""

    path: Path

    def read_bytes(self, name: str | Path, size_bytes: int = MAX_READ_BYTES) -> Fact[bytes]:
        """At most `size_bytes` of a regular file; anything else, such as a pipe, is unknown rather than waited for."""
        try:
            handle = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return Unknown(f"/{name} is no regular file")
                return Present(os.read(handle, size_bytes))
            finally:
                os.close(handle)
        except NOT_THERE:
            return Absent(f"/{name} is not there")
        except OSError as error:
            return Unknown(f"/{name} cannot be read: {name_errno(error)}")

    def read_text(self, name: str | Path) -> Fact[str]:
        """The file as UTF-8, without white space around it."""
        content = self.read_bytes(name)
        if not isinstance(content, Present):
            return content
        try:
            return Present(content.value.decode().strip())
        except UnicodeDecodeError:
            return Unknown(f"/{name} is no text")

    def list_names(self, name: str | Path) -> Fact[tuple[str, ...]]:
        """The names in a directory, sorted."""
        try:
            return Present(tuple(sorted(entry.name for entry in (self.path / name).iterdir())))
        except NOT_THERE:
            return Absent(f"/{name} is not there")
        except OSError as error:
            return Unknown(f"/{name} cannot be listed: {name_errno(error)}")

    def look_for(self, name: str | Path) -> Fact[os.stat_result]:
        """Whether something is there, links followed."""
        try:
            return Present((self.path / name).stat())
        except NOT_THERE:
            return Absent(f"/{name} is not there")
        except OSError as error:
            return Unknown(f"/{name} cannot be looked at: {name_errno(error)}")

    def look_for_node(self, name: str | Path, major: int | None = None) -> Fact[os.stat_result]:
        """Whether a device node is there; of the driver with this major number, where it has a fixed one.

        Below another root than `/`, which proves nothing anyway, any file stands for a node.
        """
        found = self.look_for(name)
        if not isinstance(found, Present) or os.fspath(self.path) != "/":
            return found
        if not stat.S_ISCHR(found.value.st_mode):
            return Absent(f"/{name} is no device node")
        if major is not None and os.major(found.value.st_rdev) != major:
            return Absent(f"/{name} is a node of another driver")
        return found

    def read_link_name(self, name: str | Path) -> Fact[str]:
        """The last part of where a symbolic link points to."""
        try:
            return Present((self.path / name).readlink().name)
        except NOT_THERE:
            return Absent(f"/{name} is not there")
        except OSError as error:
            return Unknown(f"/{name} cannot be followed: {name_errno(error)}")

    def try_open(self, name: str | Path) -> str | None:
        """Open a device node for reading and writing, and close it: None, or the name of the errno."""
        try:
            os.close(os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return name_errno(error)
        return None


def name_errno(error: OSError) -> str:
    """EACCES rather than 13, and rather than a sentence that follows the language of the machine."""
    return errno.errorcode.get(error.errno or 0, f"errno {error.errno}")


def tell_unknown(*facts: Fact[Any]) -> str | None:
    """The reason of the first unknown fact, or None when all could be read."""
    return next((fact.reason for fact in facts if isinstance(fact, Unknown)), None)
