"""Where the parts that look at hosts meet: profiles, the way to a host, its checks, and the evidence.

Apart from `bootstrap`, which is the service and the work without one: nothing here is part of either.
"""

from __future__ import annotations

import getpass
import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sir_convert_a_lot.domain.host_profile import DEFAULT_PORT, HostProfile

if TYPE_CHECKING:
    from sir_convert_a_lot.application.host_ports import Host, LiveService, RepairSite
    from sir_convert_a_lot.application.verify import Verification
    from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
    from sir_convert_a_lot.domain.host_findings import Finding
    from sir_convert_a_lot.domain.redaction import PrivateWords
    from sir_convert_a_lot.infrastructure.installation import Installation
    from sir_convert_a_lot.settings import Settings

LOOK_AGAIN_S = 0.5


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
    from sir_convert_a_lot.application.host_ports import CheckSite
    from sir_convert_a_lot.application.verify import verify
    from sir_convert_a_lot.infrastructure.host_checks import CHECKS
    from sir_convert_a_lot.infrastructure.host_evidence import write_evidence

    verification = verify(CHECKS, CheckSite(reach_host(profile), profile, connect, pdf), tell)
    if evidence is not None:
        write_evidence(evidence, verification.verdict, verification.reports)
    return verification


def build_repair_site(profile: HostProfile) -> RepairSite:
    """The environment of a profile's host as a place to repair; one repair each."""
    from sir_convert_a_lot.infrastructure.host_repair.site import EnvironmentSite

    return EnvironmentSite(reach_host(profile), profile)


def wait_for_service(
    profile: HostProfile, connect: Callable[[str], AbstractContextManager[LiveService]], limit_s: float
) -> None:
    """Until the host's service answers, or the limit; which of them is for a verification to say. Blocking."""
    from sir_convert_a_lot.application.host_ports import CheckSite
    from sir_convert_a_lot.domain.errors import ServiceUnavailable
    from sir_convert_a_lot.infrastructure.host_checks.service import open_service

    site = CheckSite(reach_host(profile), profile, connect)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            with open_service(site) as service:
                service.health()
        except ServiceUnavailable:
            time.sleep(LOOK_AGAIN_S)
        else:
            return


def guard_torch_set() -> None:
    """Raise `ServiceCannotStart` where this environment is expected to hold builds that it does not hold any more.

    Reads files, imports nothing of torch; milliseconds. Where nothing is expected, as in an installation for the CPU,
    nothing is looked at.
    """
    from sir_convert_a_lot.domain.errors import ServiceCannotStart
    from sir_convert_a_lot.infrastructure.torch_guard import find_undone

    undone = find_undone(Path(sys.prefix), os.environ)
    if undone:
        raise ServiceCannotStart(
            "the torch builds of this environment are not those that are expected of it; mostly a sync has undone them",
            details={
                "reason": "torch_set_undone",
                "evidence": undone,
                "remediation": ["Put them back: convert-a-lot host repair --apply"],
            },
        )


def expect_torch_set(kind: RuntimeKind, pyproject: Path) -> None:
    """Write down in this environment that it is to hold what this project pins for `kind`. Raises
    `HostProfileMissing`.
    """
    from sir_convert_a_lot.infrastructure.torch_guard import expect

    expect(Path(sys.prefix), kind, pyproject)


def find_private_words() -> PrivateWords:
    """Who and where this process is, and the secrets in its environment."""
    from sir_convert_a_lot.domain.redaction import PrivateWords, read_secrets

    hosts = {platform.node(), socket.gethostname(), socket.getfqdn()}
    home = str(Path("~").expanduser())
    return PrivateWords(frozenset({getpass.getuser()}), frozenset({home}), frozenset(hosts), read_secrets(os.environ))


def look_at_installation(settings: Settings) -> Installation:
    """What this very installation has. Blocking: milliseconds."""
    from sir_convert_a_lot.infrastructure import installation

    stages = [] if settings.allow_cpu_stages == "none" else [settings.allow_cpu_stages]
    return installation.look_at_installation(settings.storage_root, settings.docling_artifacts_path, stages)


def read_own_revision() -> str | None:
    """The commit of the checkout that this code lies in; None outside one."""
    from sir_convert_a_lot.infrastructure.revision import read_revision

    return read_revision()
