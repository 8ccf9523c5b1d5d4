"""What is known of a host beforehand: how it is reached, where the project lies there, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sir_convert_a_lot.domain.gpu_facts import RuntimeKind

DEFAULT_PORT = 18085


@dataclass(frozen=True, slots=True)
class TorchPins:
    """One family of builds that work together. `packages`: name to exact version, torch first, which is the order in
    which they are installed.

    `family`: what every local tag says (`rocm7.1`; `cu` means any CUDA). `index`: where its wheels are, None for the
    index of the environment.
    """

    family: str
    packages: Mapping[str, str]
    index: str | None = None


@dataclass(frozen=True, slots=True)
class HostProfile:
    """One host. `root` and `python` may begin with `~`, the account's home on the host; `python` may be relative to
    `root`.
    """

    name: str
    root: str
    ssh: str | None = None  # what one types after `ssh`; None: this machine
    ssh_config: str | None = None  # a file for `ssh -F`; None: the user's own
    python: str = ".venv/bin/python"
    runtime_kind: RuntimeKind | None = None  # None: whichever the installed torch is built for
    service_port: int = DEFAULT_PORT  # on the host's loopback
    evaluation_port: int | None = None
    service_url: str | None = None  # None: the service is reached through the same way as the host
    unit: str = "sir-convert-a-lot.service"
    unit_is_users: bool = True  # of `systemd --user`
    torch: TorchPins | None = None  # None: what the project on the host pins

    @property
    def command(self) -> str:
        """`convert-a-lot` of the project's environment, beside its Python."""
        return self.python.rpartition("/")[0] + "/convert-a-lot"
