"""Where the parts that look at hosts meet: profiles, the way to a host, its checks, and the evidence.

Apart from `bootstrap`, which is the service and the work without one: nothing here is part of either.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sir_convert_a_lot.domain.host_profile import DEFAULT_PORT, HostProfile

if TYPE_CHECKING:
    from sir_convert_a_lot.application.ports import Host, LiveService
    from sir_convert_a_lot.application.verify import Verification
    from sir_convert_a_lot.domain.host_findings import Finding
    from sir_convert_a_lot.infrastructure.installation import Installation
    from sir_convert_a_lot.settings import Settings


def find_profile(name: str | None, hosts_file: Path | None = None) -> HostProfile:
    """The profile of that name; None is this machine. Raises `HostProfileMissing`."""
    from sir_convert_a_lot.infrastructure.hosts.profiles import load_profile, this_machine

    return this_machine(DEFAULT_PORT) if name is None else load_profile(name, hosts_file)


def reach_host(profile: HostProfile) -> Host:
    """The host of a profile. Connects only when first asked something."""
    from sir_convert_a_lot.infrastructure.hosts import reach

    return reach(profile)


def verify_host(
    profile: HostProfile,
    connect: Callable[[str], AbstractContextManager[LiveService]],
    *,
    pdf: Path | None = None,
    evidence: Path | None = None,
    tell: Callable[[Finding], None] | None = None,
) -> Verification:
    """Look at everything that must hold on the host, and keep the evidence where a folder is named for it. Blocking:
    seconds to minutes.
    """
    from sir_convert_a_lot.application.ports import CheckSite
    from sir_convert_a_lot.application.verify import verify
    from sir_convert_a_lot.infrastructure.host_checks import CHECKS
    from sir_convert_a_lot.infrastructure.host_evidence import write_evidence

    verification = verify(CHECKS, CheckSite(reach_host(profile), profile, connect, pdf), tell)
    if evidence is not None:
        write_evidence(evidence, verification.verdict, verification.reports)
    return verification


def look_at_installation(settings: Settings) -> Installation:
    """What this very installation has. Blocking: milliseconds."""
    from sir_convert_a_lot.infrastructure import installation

    stages = [] if settings.allow_cpu_stages == "none" else [settings.allow_cpu_stages]
    return installation.look_at_installation(settings.storage_root, settings.docling_artifacts_path, stages)


def read_own_revision() -> str | None:
    """The commit of the checkout that this code lies in; None outside one."""
    from sir_convert_a_lot.infrastructure.revision import read_revision

    return read_revision()
