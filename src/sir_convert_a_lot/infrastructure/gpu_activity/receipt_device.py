"""The device of a job as its receipt names it: what torch and the kernel's driver say of it.

Owns where each word comes from. Imports torch, so it belongs into a worker alone. What is not told is None.
"""

from __future__ import annotations

from typing import Any

from sir_convert_a_lot.domain.gpu_activity import ReceiptDevice
from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present
from sir_convert_a_lot.infrastructure.gpu_probe_child.device_facts import describe_device
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import read_nvidia_version
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot

AMDGPU_VERSION = "sys/module/amdgpu/version"  # of the module that AMD ships; the kernel's own has none
KERNEL_VERSION = "proc/sys/kernel/osrelease"


def read_receipt_device(torch: Any, device: str, host: HostRoot) -> ReceiptDevice:
    """Ask for `device` ("cuda:N"). Raises what torch raises for a device that it does not have."""
    facts = describe_device(torch, int(device.partition(":")[2]))
    driver = read_amdgpu_version(host) if torch.version.hip else read_nvidia_version(host)
    return ReceiptDevice(
        device=device,
        pci_id=facts["pci_id"],
        name=facts["name"],
        arch=facts["arch"],
        vram_bytes=facts["total_bytes"],
        driver=driver.value if isinstance(driver, Present) else None,
        torch=str(torch.__version__),
        hip=torch.version.hip,
        cuda=torch.version.cuda,
    )


def read_amdgpu_version(host: HostRoot) -> Fact[str]:
    """The module's version, or the kernel's where the module is the kernel's own."""
    own = host.read_text(AMDGPU_VERSION)
    if not isinstance(own, Absent):
        return own
    kernel = host.read_text(KERNEL_VERSION)
    return Present(f"amdgpu of Linux {kernel.value}") if isinstance(kernel, Present) else kernel
