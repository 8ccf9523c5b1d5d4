"""Why a GPU is unusable: the closed list of causes, and what to do about each.

Owns the stable codes, their meaning and their remedies; docs/runbooks/gpu-causes.md is made from the table below
(scripts/make_cause_runbook.py). Refuses to detect: the component that sees a cause names it. Long for one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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

    @property
    def runbook(self) -> str:
        """Where the runbook speaks of it."""
        return f"docs/runbooks/gpu-causes.md#{self.value}"


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


@dataclass(frozen=True, slots=True)
class CauseEntry:
    """What one cause means, how it is told from its neighbours, and what to do, best remedy first.

    `is_told_without_torch`: the torch-free rungs of the probe can name it. `teller`: who names it where that is not one
    climb of the probe's ladder, as the subject of a sentence.
    """

    meaning: str
    discriminator: str
    remedies: tuple[Remedy, ...]
    is_told_without_torch: bool = False
    is_warning_only: bool = False
    teller: str | None = None


REINSTALL = Remedy("Reinstall torch for this GPU from the index of its vendor, with the constraints of the lock")
RECREATE_CONTAINER = Remedy("Recreate the container, so that it gets its devices anew")
REBOOT = Remedy("Reboot the host", "reboot", needs_root=True, is_reversible=False)
KILL_HOLDERS = Remedy("See who holds the GPU, and stop them or queue behind them", "fuser -v /dev/kfd /dev/nvidia0")

CAUSES: Mapping[Cause, CauseEntry] = MappingProxyType(
    {
        Cause.TORCH_MISSING: CauseEntry(
            "A GPU and its driver are there, but torch is not installed where the service runs.",
            "No directory `torch` and no `torch-*.dist-info` in the interpreter's site-packages.",
            (Remedy("Install torch for this GPU from the index of its vendor, with the constraints of the lock"),),
            is_told_without_torch=True,
        ),
        Cause.TORCH_IMPORT_BROKEN: CauseEntry(
            "torch is installed and cannot be imported.",
            "The package is there, and a fresh child that imports it exits with an error or dies by a signal.",
            (
                REINSTALL,
                Remedy("Remove the amdsmi of PyPI, which can shadow the driver's library", "pip uninstall amdsmi"),
            ),
        ),
        Cause.WHEEL_CPU_ONLY: CauseEntry(
            "The installed torch was built without any GPU support.",
            "`torch/version.py` names neither HIP nor CUDA, or the version carries the local tag `+cpu`.",
            (REINSTALL,),
            is_told_without_torch=True,
        ),
        Cause.WHEEL_WRONG_VENDOR: CauseEntry(
            "The installed torch was built for GPUs of another vendor.",
            "The wheel's kind (HIP or CUDA) fits no vendor whose driver and device nodes work here.",
            (REINSTALL,),
            is_told_without_torch=True,
        ),
        Cause.TORCH_FAMILY_MISMATCH: CauseEntry(
            "torch, torchvision, torchaudio and triton come from different builds, so operators are missing.",
            "The local tags (`+rocm7.2`, `+cu130`) of the installed packages differ.",
            (Remedy("Install all of them again from one index, pinned together"),),
            is_told_without_torch=True,
        ),
        Cause.NO_GPU_HARDWARE: CauseEntry(
            "This machine has no AMD or NVIDIA GPU that the operating system can see.",
            "No PCI function of either vendor with a display or accelerator class, no GPU device node.",
            (
                Remedy("Send the job to a service on a machine with a GPU"),
                Remedy("Or ask for `acceleration_policy: cpu_only`"),
                Remedy("In a virtual machine: pass the GPU through to it"),
            ),
            is_told_without_torch=True,
        ),
        Cause.KERNEL_DRIVER_MISSING: CauseEntry(
            "The GPU is on the bus, and no compute driver of the kernel serves it.",
            "PCI shows the GPU; the module `amdgpu` with KFD, or `nvidia`, is not loaded. Secure boot is evidence.",
            (
                Remedy("Load the driver of an AMD GPU", "modprobe amdgpu", needs_root=True),
                Remedy("Load the driver of an NVIDIA GPU", "modprobe nvidia", needs_root=True),
                Remedy("After a new kernel: build the modules again", "dkms autoinstall", needs_root=True),
                Remedy(
                    "Under secure boot: sign the module and enrol its key", "mokutil --import KEY.der", needs_root=True
                ),
            ),
            is_told_without_torch=True,
        ),
        Cause.KFD_REJECTS_DEVICE: CauseEntry(
            "The AMD driver drives the GPU as a display, and its compute part (KFD) leaves it out.",
            "amdgpu is bound to the GPU, and the KFD topology lists no node with compute units.",
            (
                Remedy("Read why the kernel skipped it", "dmesg | grep -i kfd", needs_root=True),
                Remedy("Use a slot with PCIe atomics: one wired to the CPU itself"),
            ),
            is_told_without_torch=True,
        ),
        Cause.NODE_NOT_PASSED_THROUGH: CauseEntry(
            "The kernel serves the GPU, and its device nodes are missing here; mostly a container lacks them.",
            "The kernel lists the GPU, while `/dev/kfd` and `/dev/dri/renderD*`, or `/dev/nvidia*`, are absent.",
            (
                Remedy(
                    "AMD: start the container with its nodes", "docker run --device /dev/kfd --device /dev/dri IMAGE"
                ),
                Remedy("NVIDIA: start the container with the toolkit", "docker run --gpus all IMAGE"),
                Remedy("Outside a container, NVIDIA: make the nodes", "nvidia-modprobe -c0 -u", needs_root=True),
            ),
            is_told_without_torch=True,
        ),
        Cause.DEVICE_PERMISSION_DENIED: CauseEntry(
            "The account of the service may not open the device node. Tools that only read /sys still look healthy.",
            "Opening the node for reading and writing fails with EACCES.",
            (
                Remedy(
                    "Join the groups of the node, then log in anew", "usermod -aG render,video USER", needs_root=True
                ),
                Remedy("Container: add the group by its number (in the evidence)", "docker run --group-add GID IMAGE"),
            ),
            is_told_without_torch=True,
        ),
        Cause.DEVICE_CGROUP_DENIED: CauseEntry(
            "The mode of the node allows it, and a device rule, a security module or a seccomp filter forbids it.",
            "Opening the node fails with EPERM, not with EACCES.",
            (
                Remedy(
                    "Let the container use the device: `--device`, a CDI name, or a device rule of the orchestrator"
                ),
                Remedy("SELinux: allow it", "setsebool -P container_use_devices 1", needs_root=True),
            ),
            is_told_without_torch=True,
        ),
        Cause.KFD_OPEN_FAILED_OTHER: CauseEntry(
            "The device node is there and cannot be opened, for a reason that is not a permission.",
            "Opening the node fails with another errno than EACCES and EPERM; the evidence has it by name.",
            (Remedy("Read what the driver says", "dmesg | tail -n 50", needs_root=True), RECREATE_CONTAINER, REBOOT),
            is_told_without_torch=True,
        ),
        Cause.GPU_LOST_AFTER_START: CauseEntry(
            "The GPU worked when the service started and is gone now, while the host still has it.",
            "The probe at start passed, a fresh child fails now; often after `systemctl daemon-reload` on the host.",
            (RECREATE_CONTAINER, Remedy("Use CDI or the cgroupfs driver, so that a reload keeps the devices")),
            teller="The cached probe, which remembers the last climb that passed",
        ),
        Cause.MASKED_BY_ENV: CauseEntry(
            "Environment variables hide the GPU from torch: empty, -1, invalid, or contradicting each other.",
            "A child with every `*_VISIBLE_DEVICES` unset finds the GPU.",
            (
                Remedy("Unset the masks", "unset HIP_VISIBLE_DEVICES CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES"),
                Remedy("To choose one of several GPUs, set one mask alone, by UUID"),
            ),
        ),
        Cause.WRONG_DEVICE_SELECTED: CauseEntry(
            "torch would use another GPU than the one meant, such as the one inside the CPU.",
            "The PCI address and architecture that torch reports differ from those of the chosen device.",
            (Remedy("Choose the GPU by its PCI address or UUID, never by a number"),),
        ),
        Cause.ENV_CHANGED_AFTER_INIT: CauseEntry(
            "A mask was changed in a process that had already started the GPU runtime.",
            "The process fails, and a fresh child with the same environment succeeds.",
            (Remedy("Restart the service with the masks set before it starts"),),
            teller="The cached probe, when it looks again after a worker failed",
        ),
        Cause.UVM_BROKEN_AFTER_SUSPEND: CauseEntry(
            "After the machine slept, NVIDIA's memory module is broken until it is loaded again.",
            "A fresh child fails with an unknown CUDA error (999), and NVML does not.",
            (Remedy("Load the module anew", "rmmod nvidia_uvm && modprobe nvidia_uvm", needs_root=True),),
        ),
        Cause.SMI_LIBRARY_CLASH: CauseEntry(
            "Two copies of AMD's management library are loaded, and torch counts no GPU where HIP counts one.",
            "`torch.cuda.device_count()` is 0 while the runtime's own count is not.",
            (Remedy("Remove the amdsmi of PyPI", "pip uninstall amdsmi"),),
        ),
        Cause.DRIVER_TOO_OLD: CauseEntry(
            "The driver of the kernel is older than the runtime in the wheel needs.",
            "CUDA says so; ROCm hangs while it counts devices, and the module's version is not as new as the wheel's.",
            (Remedy("Upgrade the driver"), REBOOT, Remedy("Or install the wheel of an older runtime")),
        ),
        Cause.DRIVER_LIB_MISMATCH: CauseEntry(
            "The NVIDIA module in the kernel and the library beside it have different versions.",
            "NVML answers 18, or CUDA 803 or 804; `/proc/driver/nvidia/version` differs from the library.",
            (REBOOT, Remedy("Remove the compatibility libraries from the image")),
        ),
        Cause.FABRIC_NOT_READY: CauseEntry(
            "The GPUs are joined by NVSwitch, and its fabric has not been set up.",
            "CUDA answers 802, while nvidia-smi is content.",
            (Remedy("Start the fabric manager", "systemctl start nvidia-fabricmanager", needs_root=True),),
        ),
        Cause.ARCH_NOT_IN_WHEEL: CauseEntry(
            "The wheel has no kernels for this GPU's architecture.",
            "The architecture is not in torch's own list. Read before any kernel runs: running one can crash or hang.",
            (Remedy("Install the wheel made for this architecture"),),
        ),
        Cause.BLAS_TARGET_MISSING: CauseEntry(
            "torch knows the GPU, and its matrix library has no kernels for it.",
            "The architecture is in torch's list, and the rocBLAS directory has no Tensile file for it.",
            (REINSTALL,),
        ),
        Cause.GFX_OVERRIDE_IN_EFFECT: CauseEntry(
            "HSA_OVERRIDE_GFX_VERSION makes the GPU pass for another one: it may hang, or compute wrong numbers.",
            "The architecture in the KFD topology differs from the one the runtime reports.",
            (
                Remedy("Unset the override", "unset HSA_OVERRIDE_GFX_VERSION"),
                Remedy("Install a wheel that knows this architecture"),
            ),
        ),
        Cause.FIRST_KERNEL_CRASH: CauseEntry(
            "The first computation on the GPU kills its process.",
            "The probe's child died by SIGSEGV or SIGABRT after it wrote that it would launch a kernel.",
            (REINSTALL, Remedy("Compare the architecture with the wheel's list", "convert-a-lot gpu probe --json")),
        ),
        Cause.FIRST_KERNEL_HANG: CauseEntry(
            "The first computation on the GPU never returns.",
            "The probe's child passed its time limit after it wrote that it would launch a kernel.",
            (Remedy("Read what the driver says", "dmesg | tail -n 50", needs_root=True), REBOOT),
        ),
        Cause.GPU_FAULT_STICKY: CauseEntry(
            "A computation faulted, and this process can use the GPU no more.",
            "The process fails at every call, and a fresh child succeeds.",
            (Remedy("Restart the worker; the service does so by itself"),),
            teller="The cached probe, when it looks again after a worker failed",
        ),
        Cause.RESULT_MISMATCH: CauseEntry(
            "The GPU computes, and its results are wrong or change from run to run.",
            "Copy, matrix product, convolution or reduction differ from a float64 reference of the CPU, repeatedly.",
            (
                Remedy("Take this GPU out of service"),
                REINSTALL,
                Remedy("Report the architecture and the version of the wheel to torch"),
            ),
        ),
        Cause.VRAM_EXHAUSTED: CauseEntry(
            "The GPU has too little free memory for the models.",
            "The free memory that the driver tells is below what is needed, or an allocation failed.",
            (KILL_HOLDERS,),
        ),
        Cause.EXCLUSIVE_OR_BUSY: CauseEntry(
            "Another process holds the GPU for itself.",
            "CUDA answers 46: the compute mode is exclusive or prohibited.",
            (KILL_HOLDERS, Remedy("Allow sharing", "nvidia-smi -c DEFAULT", needs_root=True)),
        ),
        Cause.BAD_FORK: CauseEntry(
            "A process that used the GPU was forked, and the child cannot use it.",
            "torch says that it runs in a bad fork.",
            (Remedy("Report it as a bug: every worker of this service is spawned, never forked"),),
        ),
        Cause.GPU_UNHEALTHY_HW: CauseEntry(
            "The GPU reports hardware faults.",
            "A serious Xid, uncorrected ECC or RAS errors, a row that cannot be replaced, or NVML asks for a recovery.",
            (Remedy("Take it out of service, reset it, and have it replaced if the fault returns"), REBOOT),
        ),
        Cause.SLOW_FIRST_RUN: CauseEntry(
            "The first run of each shape compiles kernels, for minutes. A warning; nothing is refused.",
            "Cold time is far above warm time, or the kernel cache cannot be written.",
            (Remedy("Keep MIOPEN_CUSTOM_CACHE_DIR and MIOPEN_USER_DB_PATH on a disk that lasts"),),
            is_warning_only=True,
        ),
        Cause.STAGE_FELL_BACK: CauseEntry(
            "The GPU is healthy, and a stage of the conversion ran on the CPU all the same.",
            "The session's providers, the devices of the parameters or the operation counts of the stage say CPU.",
            (
                Remedy("Read the stages of the receipt, `result.execution`"),
                Remedy("If that stage may run on the CPU, name it in the setting `allow_cpu_stages`"),
            ),
            teller="The receipt of the job",
        ),
        Cause.WSL_NO_KFD: CauseEntry(
            "Windows Subsystem for Linux: the GPU is behind /dev/dxg, without the AMD driver's own node.",
            "`/dev/dxg` is there, `/dev/kfd` is not, and no CUDA library of Windows is mounted.",
            (
                Remedy("Run the service on Linux itself"),
                Remedy("NVIDIA: install the Windows driver with WSL support, which mounts /usr/lib/wsl/lib"),
            ),
            is_told_without_torch=True,
        ),
        Cause.GPU_FELL_OFF_BUS: CauseEntry(
            "The GPU was there and answers on the bus no more: power, heat, riser or defect.",
            "Its PCI configuration reads as all ones.",
            (
                Remedy("Switch the machine off and on; a warm reboot may not do", "poweroff", True, False),
                Remedy("If it returns: check power, temperature and slot, and have the GPU replaced"),
            ),
            is_told_without_torch=True,
        ),
        Cause.PROBE_INCOMPLETE: CauseEntry(
            "The probe could not tell. What is not known is refused, never taken for a yes.",
            "A rung could not read what it needs, was not asked for, or its child ended for a reason not of the GPU.",
            (
                Remedy("Read which rung could not tell, and why", "convert-a-lot gpu probe --json"),
                Remedy("Mend what could not be read"),
            ),
            is_told_without_torch=True,
        ),
        Cause.GPU_FORBIDDEN_BY_SETTING: CauseEntry(
            "A setting of this server forbids the GPU. The machine was not judged.",
            "The acceleration policy names it; the probe never does.",
            (
                Remedy("Switch that setting off, then restart the service"),
                Remedy("Or ask for `acceleration_policy: cpu_only`"),
            ),
            teller="The acceleration policy",
        ),
    }
)
