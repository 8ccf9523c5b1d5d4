"""Why a GPU is unusable: the closed list of causes, and what to do about each.

Owns the stable codes and their remedies. Refuses to detect: the component that sees a cause names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Stable codes; they stand in HTTP answers, metrics and the runbook. Only ever add to them."""

    TORCH_MISSING = "torch_missing"
    TORCH_IMPORT_BROKEN = "torch_import_broken"
    WHEEL_CPU_ONLY = "wheel_cpu_only"
    WHEEL_WRONG_VENDOR = "wheel_wrong_vendor"
    TORCH_FAMILY_MISMATCH = "torch_family_mismatch"
    NO_GPU_HARDWARE = "no_gpu_hardware"
    KERNEL_DRIVER_MISSING = "kernel_driver_missing"
    KFD_REJECTS_DEVICE = "kfd_rejects_device"
    NODE_NOT_PASSED_THROUGH = "node_not_passed_through"
    DEVICE_PERMISSION_DENIED = "device_permission_denied"
    DEVICE_CGROUP_DENIED = "device_cgroup_denied"
    KFD_OPEN_FAILED_OTHER = "kfd_open_failed_other"
    GPU_LOST_AFTER_START = "gpu_lost_after_start"
    MASKED_BY_ENV = "masked_by_env"
    WRONG_DEVICE_SELECTED = "wrong_device_selected"
    ENV_CHANGED_AFTER_INIT = "env_changed_after_init"
    UVM_BROKEN_AFTER_SUSPEND = "uvm_broken_after_suspend"
    SMI_LIBRARY_CLASH = "smi_library_clash"
    DRIVER_TOO_OLD = "driver_too_old"
    DRIVER_LIB_MISMATCH = "driver_lib_mismatch"
    FABRIC_NOT_READY = "fabric_not_ready"
    ARCH_NOT_IN_WHEEL = "arch_not_in_wheel"
    BLAS_TARGET_MISSING = "blas_target_missing"
    GFX_OVERRIDE_IN_EFFECT = "gfx_override_in_effect"
    FIRST_KERNEL_CRASH = "first_kernel_crash"
    FIRST_KERNEL_HANG = "first_kernel_hang"
    GPU_FAULT_STICKY = "gpu_fault_sticky"
    RESULT_MISMATCH = "result_mismatch"
    VRAM_EXHAUSTED = "vram_exhausted"
    EXCLUSIVE_OR_BUSY = "exclusive_or_busy"
    BAD_FORK = "bad_fork"
    GPU_UNHEALTHY_HW = "gpu_unhealthy_hw"
    SLOW_FIRST_RUN = "slow_first_run"
    STAGE_FELL_BACK = "stage_fell_back"
    WSL_NO_KFD = "wsl_no_kfd"
    GPU_FELL_OFF_BUS = "gpu_fell_off_bus"
    PROBE_INCOMPLETE = "probe_incomplete"
    GPU_FORBIDDEN_BY_SETTING = "gpu_forbidden_by_setting"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do. `command` is what to type, or None when nothing can be typed."""

    text: str
    command: str | None = None
    needs_root: bool = False
    is_reversible: bool = True

    @property
    def sentence(self) -> str:
        """The remedy as one line for `details.remediation`."""
        if self.command is None:
            return self.text
        return f"{self.text}: {self.command}" + (" (needs root)" if self.needs_root else "")
