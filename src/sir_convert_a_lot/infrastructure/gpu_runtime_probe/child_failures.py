"""From how the probe's child failed to a finding: an error that torch raised, or the death of the process.

Owns which number of the runtime and which way to die means which cause. Pure; refuses to go by the words of a
message, except where a library's own name of its status is all that there is.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from types import MappingProxyType

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Rung
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import Death, Died, Raised
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import ErrorFacts
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, fail, give_up

UNKNOWN_ERROR = 999

# Numbers of cudaError_t (driver_types.h); hipError_t has the same ones (hip_runtime_api.h) except where noted.
CAUSE_OF_CODE: Mapping[int, Cause] = MappingProxyType(
    {
        2: Cause.VRAM_EXHAUSTED,  # memory allocation
        35: Cause.DRIVER_TOO_OLD,  # insufficient driver
        46: Cause.EXCLUSIVE_OR_BUSY,  # devices unavailable; CUDA alone
        98: Cause.ARCH_NOT_IN_WHEEL,  # invalid device function
        209: Cause.ARCH_NOT_IN_WHEEL,  # no kernel image for the device
        214: Cause.GPU_UNHEALTHY_HW,  # uncorrectable ECC error; CUDA alone
        222: Cause.DRIVER_TOO_OLD,  # PTX newer than the driver; CUDA alone
        802: Cause.FABRIC_NOT_READY,  # system not ready; CUDA alone
        803: Cause.DRIVER_LIB_MISMATCH,  # system driver mismatch; CUDA alone
        804: Cause.DRIVER_LIB_MISMATCH,  # compatibility not supported on device; CUDA alone
    }
)
LAUNCH_TIMED_OUT = 702
# After these the process can do no more on the GPU: illegal address, assertion, misaligned address and their kin.
POISONING_CODES = frozenset({700, 710, 714, 715, 716, 717, 718, 719, 720})

OUT_OF_MEMORY_TYPES = frozenset({"OutOfMemoryError"})

# cuBLAS, cuDNN, rocBLAS and MIOpen name their status in the text of a plain RuntimeError, which has no number.
OUT_OF_MEMORY_STATUS = re.compile(
    r"(?:CU|HIP)BLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC\w*_FAILED|rocblas_status_memory_error"
    r"|miopenStatusAllocFailed"
)

COMPUTING = frozenset({Rung.FIRST_KERNEL, Rung.RESULT, Rung.RESOURCE})
IMPORTING = "importing torch"
COUNTING = "counting devices"
PREPARING = frozenset({"", "importing numpy"})  # nothing is on the GPU yet

# A process that dies so has itself to blame, or a library in it; SIGKILL and SIGTERM come from outside.
CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})


def cause_of_code(code: int | None) -> Cause | None:
    return None if code is None else CAUSE_OF_CODE.get(code)


def is_out_of_memory(error: ErrorFacts) -> bool:
    """By its type, its number, or the status that a library named."""
    if error.kind in OUT_OF_MEMORY_TYPES or cause_of_code(error.code) is Cause.VRAM_EXHAUSTED:
        return True
    return OUT_OF_MEMORY_STATUS.search(error.text) is not None


def judge_error(rung: Rung, raised: Raised, *, is_rocm: bool) -> Finding:
    """By where it was raised, its type, and its number."""
    error = raised.error
    seen = f"torch failed while {raised.step or 'beginning'}: {error.line}"
    if raised.step == IMPORTING:
        return fail(Cause.TORCH_IMPORT_BROKEN, f"torch cannot be imported: {error.line}")
    if error.kind in OUT_OF_MEMORY_TYPES:
        return fail(Cause.VRAM_EXHAUSTED, seen)
    if error.kind == "AttributeError" and rung is Rung.ENUMERATE:
        return fail(Cause.TORCH_IMPORT_BROKEN, f"torch was imported, and parts of it are missing: {error.line}")
    if (cause := cause_of_code(error.code)) is not None:
        return fail(cause, seen)
    if error.code == UNKNOWN_ERROR and not is_rocm:
        return fail(Cause.UVM_BROKEN_AFTER_SUSPEND, seen)
    if error.code == LAUNCH_TIMED_OUT:
        return fail(Cause.FIRST_KERNEL_HANG, seen)
    if error.code in POISONING_CODES:
        return fail(Cause.FIRST_KERNEL_CRASH, seen)
    return give_up(seen)


def judge_death(rung: Rung, died: Died, hip_version: str | None, amdgpu_version: str | None) -> Finding:
    """By how and during which step. A kill from outside, and a hang of anything but the GPU, tell nothing of it."""
    words = tuple(f"it printed: {line}" for line in died.last_words)
    is_computing = rung in COMPUTING and died.step not in PREPARING
    if died.how is Death.HUNG:
        if is_computing:
            return fail(Cause.FIRST_KERNEL_HANG, died.line, words)
        if died.step == COUNTING and hip_version and may_be_older(amdgpu_version, hip_version):
            told = f"the wheel is for HIP {hip_version}, the module amdgpu of version {amdgpu_version or '(not told)'}"
            return fail(Cause.DRIVER_TOO_OLD, died.line, (told, *words))
    elif died.how is Death.SIGNAL and died.number in CRASHES:
        if died.step == IMPORTING:
            return fail(Cause.TORCH_IMPORT_BROKEN, died.line, words)
        if is_computing:
            return fail(Cause.FIRST_KERNEL_CRASH, died.line, words)
    elif died.how is Death.EXIT and died.step == IMPORTING:
        return fail(Cause.TORCH_IMPORT_BROKEN, died.line, words)
    return give_up(died.line, words)


def may_be_older(amdgpu_version: str | None, hip_version: str) -> bool:
    """Whether the kernel's module may be older than the wheel's runtime. A kernel's own module tells no version."""
    module, runtime = (re.match(r"\d+", version or "", re.ASCII) for version in (amdgpu_version, hip_version))
    return module is None or runtime is None or int(module[0]) < int(runtime[0])
