"""The checks of a host, one a file, in the order in which they are looked at.

Each works from what commands on the host print, through `application.host_ports.Host`, so the same check serves this
machine and one over SSH. Nothing here changes a host. Scripts under `on_host` are sent there as text.
"""

from __future__ import annotations

from sir_convert_a_lot.application.host_ports import HostCheck
from sir_convert_a_lot.infrastructure.host_checks.gpu_probe import GpuProbeCheck
from sir_convert_a_lot.infrastructure.host_checks.gpu_tools import GpuToolsCheck
from sir_convert_a_lot.infrastructure.host_checks.live_conversion import LiveConversionCheck
from sir_convert_a_lot.infrastructure.host_checks.project import ProjectCheck
from sir_convert_a_lot.infrastructure.host_checks.resources import ResourcesCheck
from sir_convert_a_lot.infrastructure.host_checks.service import ServiceCheck
from sir_convert_a_lot.infrastructure.host_checks.torch_builds import TorchBuildsCheck

CHECKS: tuple[HostCheck, ...] = (
    ProjectCheck(),
    GpuToolsCheck(),
    GpuProbeCheck(),
    TorchBuildsCheck(),
    ServiceCheck(),
    LiveConversionCheck(),
    ResourcesCheck(),
)
