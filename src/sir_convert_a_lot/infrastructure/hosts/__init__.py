"""Hosts: this machine and those over SSH, behind one port, `application.host_ports.Host`.

Both run the same `launcher` and speak to it by the same `conversation`; only the way there differs, so what holds for
one holds for the other.
"""

from __future__ import annotations

from pathlib import Path

from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.hosts.launched import LaunchedHost
from sir_convert_a_lot.infrastructure.hosts.local import LocalHost
from sir_convert_a_lot.infrastructure.hosts.openssh import OpenSshHost

__all__ = ["reach"]


def reach(profile: HostProfile) -> LaunchedHost:
    """The host of a profile. Connects only when first asked something."""
    if profile.ssh is None:
        return LocalHost(profile.name)
    config_file = Path(profile.ssh_config).expanduser() if profile.ssh_config else None
    return OpenSshHost(profile.ssh, name=profile.name, config_file=config_file)
