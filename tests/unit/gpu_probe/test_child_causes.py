"""Each cause that needs torch, told by the probe of a machine that has it: a fake root with a torch that fails so.

The torch is `shims/made_torch.py`, imported by a real child; the hangs, signals and exits are real ones.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from made_gpus import AMD, GIB, NO_DEVICES, SITE, fault, one_device

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

Build = Callable[[Any], Any]


def amd(**changes: Any) -> Build:
    return lambda host: host.add_working_amd(**changes)


def nvidia(**changes: Any) -> Build:
    return lambda host: host.add_working_nvidia(**changes)


def with_nvml(build: Build, **answers: Any) -> Build:
    return lambda host: build(host).add_nvml(**answers)


def with_file(build: Build, name: str, content: str) -> Build:
    return lambda host: build(host).write(name, content)


def with_small_gpu_first(host: Any) -> None:
    """A GPU inside the CPU comes first in torch's order, as on many desktops."""
    host.add_function("0000:0c:00.0", vendor="0x1002", driver="amdgpu")
    inside = {"name": "Radeon Graphics", "pci_id": "0000:0c:00.0", "arch": "gfx1100", "total_bytes": GIB // 2}
    card = {"name": "Radeon RX 7900 XTX", "pci_id": AMD, "arch": "gfx1100", "total_bytes": 24 * GIB}
    host.add_working_amd(devices=[inside, card], free_bytes=GIB // 4)


def without_tensile_file(host: Any) -> None:
    host.add_working_amd()
    library = host.root / SITE / "torch/lib/rocblas/library"
    (library / "TensileLibrary_lazy_gfx1100.dat").rename(library / "TensileLibrary_lazy_gfx90a.dat")


# (cause, rung, the machine, a part of the evidence)
CASES: dict[str, tuple[Cause, Rung, Build, str]] = {
    "a missing library": (
        Cause.TORCH_IMPORT_BROKEN,
        Rung.ENUMERATE,
        amd(**fault("import", error="libamd_smi.so: cannot open shared object file", type="ImportError")),
        "torch cannot be imported: ImportError: libamd_smi.so",
    ),
    "an import that aborts": (
        Cause.TORCH_IMPORT_BROKEN,
        Rung.ENUMERATE,
        amd(**fault("import", signal=signal.SIGABRT, print="terminate called at 0x7f00dead")),
        "it printed: terminate called at 0x…",
    ),
    "an import that leaves": (
        Cause.TORCH_IMPORT_BROKEN,
        Rung.ENUMERATE,
        amd(**fault("import", exit=3)),
        "ended with exit code 3 while importing torch",
    ),
    "a torch without its parts": (
        Cause.TORCH_IMPORT_BROKEN,
        Rung.ENUMERATE,
        lambda host: host.add_amd().add_rocm_torch().write(f"{SITE}/torch/__init__.py", "__version__ = '2'\n"),
        "parts of it are missing",
    ),
    "a CPU build under another's version file": (
        Cause.WHEEL_CPU_ONLY,
        Rung.ENUMERATE,
        amd(hip=None, cuda=None),
        "the torch that was imported was built for the CPU alone",
    ),
    "a bad fork": (Cause.BAD_FORK, Rung.ENUMERATE, nvidia(is_in_bad_fork=True), "runs in a bad fork"),
    "two management libraries": (
        Cause.SMI_LIBRARY_CLASH,
        Rung.ENUMERATE,
        amd(device_count=0),
        "torch counts no device, and the runtime 1",
    ),
    "discovery hangs on an old ROCm driver": (
        Cause.DRIVER_TOO_OLD,
        Rung.ENUMERATE,
        with_file(amd(**fault("count", hang=True)), "sys/module/amdgpu/version", "6.12.12\n"),
        "the wheel is for HIP 7.2.26015, the module amdgpu of version 6.12.12",
    ),
    "discovery hangs on a driver as new": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        with_file(amd(**fault("count", hang=True)), "sys/module/amdgpu/version", "7.2.0\n"),
        "did not come back within 5 s while counting devices",
    ),
    "discovery hangs on CUDA": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        nvidia(**fault("count", hang=True)),
        "did not come back within 5 s while counting devices",
    ),
    "an insufficient CUDA driver": (
        Cause.DRIVER_TOO_OLD,
        Rung.ENUMERATE,
        nvidia(driver_version=12_040, **NO_DEVICES),
        "the driver is for CUDA 12040, and the wheel for CUDA 13.0",
    ),
    "no libcuda": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        nvidia(has_libcuda=False, **NO_DEVICES),
        "libcuda, cannot be loaded",
    ),
    "CUDA 802": (
        Cause.FABRIC_NOT_READY,
        Rung.ENUMERATE,
        nvidia(warnings=["CUDA initialization: Unexpected error. Error 802: system not yet initialized"], **NO_DEVICES),
        "starting the runtime gives error 802",
    ),
    "CUDA 803": (
        Cause.DRIVER_LIB_MISMATCH,
        Rung.ENUMERATE,
        nvidia(**fault("init", error="Error 803: unsupported display driver / cuda driver combination"), **NO_DEVICES),
        "starting the runtime gives error 803",
    ),
    "CUDA 804": (
        Cause.DRIVER_LIB_MISMATCH,
        Rung.ENUMERATE,
        nvidia(**fault("init", error="forward compatibility", type="AcceleratorError", code=804), **NO_DEVICES),
        "starting the runtime gives error 804",
    ),
    "CUDA 802 of the driver itself": (
        Cause.FABRIC_NOT_READY,
        Rung.ENUMERATE,
        nvidia(start_code=802, **NO_DEVICES),
        "starting the runtime gives error 802",
    ),
    "NVML 18": (
        Cause.DRIVER_LIB_MISMATCH,
        Rung.ENUMERATE,
        with_nvml(nvidia(**NO_DEVICES), init=18),
        "NVML: failed (code 18)",
    ),
    "CUDA 46": (
        Cause.EXCLUSIVE_OR_BUSY,
        Rung.FIRST_KERNEL,
        nvidia(**fault("allocate", error="all CUDA-capable devices are busy", type="AcceleratorError", code=46)),
        "AcceleratorError (code 46)",
    ),
    "an unknown error in a fresh process": (
        Cause.UVM_BROKEN_AFTER_SUSPEND,
        Rung.ENUMERATE,
        with_nvml(nvidia(**fault("init", error="CUDA unknown error"), start_code=999, **NO_DEVICES)),
        "a fresh process gets an unknown CUDA error (999)",
    ),
    "an unknown error that NVML has too": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        with_nvml(nvidia(start_code=999, **NO_DEVICES), init=999),
        "NVML: failed (code 999)",
    ),
    "nothing and no reason": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        nvidia(**NO_DEVICES),
        "torch finds no GPU, and nothing tells why",
    ),
    "counted and not available": (
        Cause.PROBE_INCOMPLETE,
        Rung.ENUMERATE,
        amd(is_unavailable=True),
        "says that none is available",
    ),
    "another card than the kernel's": (
        Cause.WRONG_DEVICE_SELECTED,
        Rung.ENUMERATE,
        amd(devices=one_device(pci_id="0000:44:00.0")),
        "torch's first GPU is at 0000:44:00.0",
    ),
    "another architecture than the kernel's": (
        Cause.WRONG_DEVICE_SELECTED,
        Rung.ENUMERATE,
        amd(devices=one_device(arch="gfx1036")),
        "torch's first GPU is a gfx1036, and the kernel has gfx1100",
    ),
    "the small GPU comes first": (
        Cause.WRONG_DEVICE_SELECTED,
        Rung.RESOURCE,
        with_small_gpu_first,
        "torch's first GPU is too small",
    ),
    "a serious Xid": (Cause.GPU_UNHEALTHY_HW, Rung.ENUMERATE, with_nvml(nvidia(), xids=[13, 79]), "Xid 79"),
    "a serious Xid while computing": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.RESOURCE,
        with_nvml(nvidia(), late_xids=[31, 48]),
        "Xid 48",
    ),
    "uncorrected ECC": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.ENUMERATE,
        with_nvml(nvidia(), uncorrected_ecc=2),
        "2 uncorrected",
    ),
    "a recovery is asked for": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.ENUMERATE,
        with_nvml(nvidia(), recovery_action=2),
        "NVML asks for a recovery of the GPU (action 2)",
    ),
    "a row that cannot be replaced": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.ENUMERATE,
        with_nvml(nvidia(), row_remap_failed=1),
        "could not replace a broken row",
    ),
    "RAS errors of amdgpu": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.ENUMERATE,
        with_file(amd(), f"sys/bus/pci/devices/{AMD}/ras/umc_err_count", "ue: 3\nce: 12\n"),
        f"umc of {AMD}: 3 uncorrected error(s)",
    ),
    "an ECC error in the first kernel": (
        Cause.GPU_UNHEALTHY_HW,
        Rung.FIRST_KERNEL,
        nvidia(**fault("synchronise", error="uncorrectable ECC error", type="AcceleratorError", code=214)),
        "(code 214)",
    ),
    "no kernels for this AMD GPU": (
        Cause.ARCH_NOT_IN_WHEEL,
        Rung.ARCH,
        amd(arch_list=["gfx90a", "gfx942"]),
        "torch has no kernels for gfx1100",
    ),
    "no kernels for this NVIDIA GPU": (
        Cause.ARCH_NOT_IN_WHEEL,
        Rung.ARCH,
        nvidia(arch_list=["sm_80", "sm_100", "compute_100"]),
        "torch has no kernels for sm_90",
    ),
    "no kernel image after all": (
        Cause.ARCH_NOT_IN_WHEEL,
        Rung.FIRST_KERNEL,
        nvidia(**fault("allocate", error="no kernel image is available", type="AcceleratorError", code=209)),
        "(code 209)",
    ),
    "no kernels in rocBLAS": (
        Cause.BLAS_TARGET_MISSING,
        Rung.ARCH,
        without_tensile_file,
        "rocBLAS has no kernels for gfx1100, only for gfx90a",
    ),
    "the first kernel hangs": (
        Cause.FIRST_KERNEL_HANG,
        Rung.FIRST_KERNEL,
        amd(**fault("synchronise", hang=True)),
        "did not come back within 1 s while waiting for the first kernel",
    ),
    "a matrix product hangs": (
        Cause.FIRST_KERNEL_HANG,
        Rung.RESULT,
        amd(**fault("gemm", hang=True)),
        "while launching gemm in float32",
    ),
    "a watchdog ends the first kernel": (
        Cause.FIRST_KERNEL_HANG,
        Rung.FIRST_KERNEL,
        nvidia(**fault("synchronise", error="the launch timed out", type="AcceleratorError", code=702)),
        "(code 702)",
    ),
    "the first kernel segfaults": (
        Cause.FIRST_KERNEL_CRASH,
        Rung.FIRST_KERNEL,
        amd(**fault("allocate", signal=signal.SIGSEGV)),
        "died by SIGSEGV while launching the first kernel",
    ),
    "the first kernel aborts": (
        Cause.FIRST_KERNEL_CRASH,
        Rung.FIRST_KERNEL,
        amd(**fault("synchronise", signal=signal.SIGABRT)),
        "died by SIGABRT while waiting for the first kernel",
    ),
    "a matrix product poisons the process": (
        Cause.FIRST_KERNEL_CRASH,
        Rung.RESULT,
        nvidia(**fault("gemm", error="an illegal memory access", type="AcceleratorError", code=700)),
        "(code 700)",
    ),
    "killed from outside": (
        Cause.PROBE_INCOMPLETE,
        Rung.FIRST_KERNEL,
        amd(**fault("synchronise", signal=signal.SIGKILL)),
        "died by SIGKILL",
    ),
    "computed on the CPU": (
        Cause.PROBE_INCOMPLETE,
        Rung.FIRST_KERNEL,
        amd(stays_on_cpu=True),
        "lies on cpu, not on the GPU",
    ),
    "one wrong element of a copy": (
        Cause.RESULT_MISMATCH,
        Rung.RESULT,
        amd(wrong={"op": "copy", "dtype": "float16", "how": "element", "by": 0.001}),
        "copy in float16: 1 element(s) beyond the tolerance",
    ),
    "a convolution that is no number": (
        Cause.RESULT_MISMATCH,
        Rung.RESULT,
        amd(wrong={"op": "convolution", "dtype": "bfloat16", "how": "not a number"}),
        "convolution in bfloat16: 1 element(s)",
    ),
    "a convolution a few units in the last place too large": (
        Cause.RESULT_MISMATCH,
        Rung.RESULT,
        amd(wrong={"op": "convolution", "dtype": "float32", "how": "scale", "by": 1 + 4 * 2.0**-23}),
        "convolution in float32: the whole is off by a common factor",
    ),
    "a sum that differs from run to run": (
        Cause.RESULT_MISMATCH,
        Rung.RESULT,
        amd(wrong={"op": "reduction", "dtype": "float32", "how": "flaky"}),
        "reduction in float32: it differs from run to run",
    ),
    "too little is free": (
        Cause.VRAM_EXHAUSTED,
        Rung.RESOURCE,
        amd(free_bytes=GIB),
        "1.0 of 24.0 GiB are free, 2.0 are needed",
    ),
    "an allocation fails": (
        Cause.VRAM_EXHAUSTED,
        Rung.RESOURCE,
        amd(**fault("memory", error="HIP out of memory", type="OutOfMemoryError")),
        "OutOfMemoryError",
    ),
}

# Where a rung hangs, its limit, long enough to come that far on a busy machine; else the limits of the product.
HANGING = {"discovery": {Rung.ENUMERATE: 5.0}, "first kernel": {Rung.FIRST_KERNEL: 1.0}, "product": {Rung.RESULT: 5.0}}


def choose_limits(name: str) -> dict[Rung, float]:
    return next((limits for part, limits in HANGING.items() if "hangs" in name and part in name), {})


@pytest.mark.parametrize("name", CASES)
def test_the_probe_names_the_cause_and_the_rung(name: str, host: Any) -> None:
    cause, rung, build, words = CASES[name]
    build(host)
    snapshot = probe(host.root, limits_s=choose_limits(name))
    assert (snapshot.cause, snapshot.rung) == (cause, rung), snapshot.evidence
    assert words in "\n".join(snapshot.evidence)
    assert snapshot.remediation == CAUSES[cause].remedies
    assert [report.state for report in snapshot.rungs[LADDER.index(rung) + 1 :]].count(RungState.NOT_RUN) == len(
        LADDER
    ) - 1 - LADDER.index(rung)
    assert not snapshot.is_available
