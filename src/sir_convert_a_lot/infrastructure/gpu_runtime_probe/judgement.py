"""From what the probe's child saw to findings: one pure judge a rung.

Owns the discriminators of the causes that need torch. Reads nothing: the facts of the host and of the child are
arguments. What a rung's facts do not hold is unknown, and unknown refuses. How a child fails is in `child_failures`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_failures import (
    UNKNOWN_ERROR,
    cause_of_code,
    judge_death,
    judge_error,
)
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_lines import (
    GIB,
    tell_answer,
    tell_device,
    tell_nvml,
    tell_versions,
)
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import Found, Observation, Raised
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import KfdNode
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import MASKS, OVERRIDE
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, fail, give_up

DTYPES = ("float32", "float16", "bfloat16")
# Every question of `numerics`, said here again because the parent does not import numpy; a test holds them together.
ANSWERS_NEEDED = frozenset(
    {(op, dtype) for op in ("copy", "gemm", "convolution", "reduction") for dtype in DTYPES}
    | {("gemm_tall", "float32")}
)

NOTHING_TELLS_WHY = "torch finds no GPU, and nothing tells why"

NVML_VERSION_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH

# Xids that a program causes, not the hardware: as NVIDIA's k8s-device-plugin skips them (internal/rm/health.go).
XIDS_OF_PROGRAMS = frozenset({13, 31, 43, 45, 68, 109})

# A first run this slow, and this many times a warm one, was compiling; both are our own choice.
SLOW_FIRST_MS, SLOW_FIRST_RATIO = 5_000.0, 20.0

SM = re.compile(r"(sm|compute)_(\d+)(\d)[af]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the torch-free rungs saw, as far as the judges need it."""

    addresses: tuple[str, ...] = ()  # PCI addresses of the GPUs on open routes; empty where PCI shows none (WSL)
    kfd_nodes: tuple[KfdNode, ...] = ()
    hip_version: str | None = None  # of the installed wheel, as its files say
    amdgpu_version: str | None = None
    ras_lines: tuple[str, ...] = ()  # uncorrected errors that amdgpu counts
    environ: Mapping[str, str] = field(default_factory=dict)  # of the child
    wanted_pci_id: str | None = None
    need_bytes: int = 0
    unmasked_count: int | None = None  # devices that a child without masks found; None: not asked

    @property
    def masks(self) -> tuple[str, ...]:
        return tuple(name for name in MASKS if name in self.environ)


Facts = Mapping[str, Any]
Seen = Mapping[Rung, Facts]


def judge(rung: Rung, observation: Observation, seen: Seen, host: HostFacts) -> Finding:
    """One finding. `seen` are the facts of the rungs before, all of which passed."""
    if isinstance(observation, Raised):
        return judge_error(rung, observation, is_rocm=bool(host.hip_version))
    if not isinstance(observation, Found):
        return judge_death(rung, observation, host.hip_version, host.amdgpu_version)
    try:
        return JUDGES[rung](observation.facts, seen, host)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        return give_up(f"what the probe's child told cannot be read: {type(error).__name__}")


def is_rocm(seen: Seen) -> bool:
    """Which runtime the child's torch has."""
    return bool(seen[Rung.ENUMERATE]["hip_version"])


def judge_enumerate(facts: Facts, _seen: Seen, host: HostFacts) -> Finding:
    """Does torch find the GPU, and is it the one that is here?"""
    evidence = tell_versions(facts)
    if facts["is_in_bad_fork"]:
        return fail(Cause.BAD_FORK, "torch says that it runs in a bad fork", evidence)
    if not facts["hip_version"] and not facts["cuda_version"]:
        return fail(Cause.WHEEL_CPU_ONLY, "the torch that was imported was built for the CPU alone", evidence)
    if facts["device_count"] == 0:
        return judge_no_device(facts, host, evidence)
    if facts["device_count"] < 0 or not facts["is_available"]:
        return give_up(f"torch counts {facts['device_count']} device(s), and says that none is available", evidence)
    devices = facts["devices"]
    lines = (*evidence, *(tell_device(index, device) for index, device in enumerate(devices)))
    wrong = find_wrong_device(devices[0], host)
    if wrong is not None:
        return fail(Cause.WRONG_DEVICE_SELECTED, wrong, lines)
    sick = find_sickness(facts.get("nvml") or {}, host)
    if sick is not None:
        return fail(Cause.GPU_UNHEALTHY_HW, sick, lines)
    return Finding(RungState.PASSED, tell_device(0, devices[0]), lines)


def judge_no_device(facts: Facts, host: HostFacts, evidence: tuple[str, ...]) -> Finding:
    """Why torch finds nothing where the kernel has a GPU. What is certain comes first, what a number says after it."""
    nvml = facts.get("nvml") or {}
    error = facts["init_error"] or {}
    told = tuple(f"torch says: {text}" for text in (*facts["warnings"], error.get("text")) if text)
    lines = (*evidence, *told, *tell_nvml(nvml))
    if (facts["runtime_count"] or 0) > 0:
        copies = tuple(f"mapped: {name}" for name in facts["smi_libraries"])
        seen = f"torch counts no device, and the runtime {facts['runtime_count']}"
        return fail(Cause.SMI_LIBRARY_CLASH, seen, (*lines, *copies))
    if facts["cuda_version"] and not facts["driver_version"]:
        return give_up("the driver's own library, libcuda, cannot be loaded here", lines)
    if facts["cuda_version"] and is_too_old(facts["driver_version"], facts["cuda_version"]):
        seen = f"the driver is for CUDA {facts['driver_version']}, and the wheel for CUDA {facts['cuda_version']}"
        return fail(Cause.DRIVER_TOO_OLD, seen, lines)
    if (host.unmasked_count or 0) > 0:
        seen = f"without {', '.join(host.masks)}, torch finds {host.unmasked_count} device(s)"
        return fail(Cause.MASKED_BY_ENV, seen, lines)
    if nvml.get("code") == NVML_VERSION_MISMATCH:
        return fail(Cause.DRIVER_LIB_MISMATCH, "NVML says that its version is not the driver's (18)", lines)
    code = facts["start_code"] or error.get("code") or facts["warning_code"]
    if code == UNKNOWN_ERROR and facts["cuda_version"] and nvml.get("state") != "failed":
        seen = "a fresh process gets an unknown CUDA error (999), while the driver serves others"
        return fail(Cause.UVM_BROKEN_AFTER_SUSPEND, seen, lines)
    cause = cause_of_code(code)
    if cause is not None:
        return fail(cause, f"starting the runtime gives error {code}", lines)
    return give_up(NOTHING_TELLS_WHY, lines)


def is_too_old(driver_version: int, cuda_version: str) -> bool:
    """A driver serves runtimes of its own major release and of earlier ones: CUDA's minor version compatibility."""
    return driver_version // 1_000 < int(cuda_version.partition(".")[0])


def find_wrong_device(device: Facts, host: HostFacts) -> str | None:
    """Why torch's first device is not the one meant, or None."""
    address, arch = device["pci_id"], device["arch"]
    if host.wanted_pci_id and address != host.wanted_pci_id:
        return f"the GPU meant is at {host.wanted_pci_id}, and torch's first is at {address or 'no known address'}"
    if address and host.addresses and address not in host.addresses:
        return f"torch's first GPU is at {address}, and the kernel has its GPUs at {', '.join(host.addresses)}"
    physical = {node.arch for node in host.kfd_nodes if node.arch}
    if physical and arch not in physical and OVERRIDE not in host.environ:
        return f"torch's first GPU is a {arch}, and the kernel has {', '.join(sorted(physical))}"
    return None


def find_sickness(nvml: Facts, host: HostFacts) -> str | None:
    """A fault of the hardware that its driver reports, or None. What is not told is not a fault."""
    xids = [xid for xid in nvml.get("xids") or () if xid not in XIDS_OF_PROGRAMS]
    if xids:
        return f"the driver reported Xid {', '.join(map(str, xids))}"
    if nvml.get("recovery_action"):
        return f"NVML asks for a recovery of the GPU (action {nvml['recovery_action']})"
    if nvml.get("uncorrected_ecc"):
        return f"{nvml['uncorrected_ecc']} uncorrected memory error(s) since the driver was loaded"
    if nvml.get("row_remap_failed"):
        return "the GPU could not replace a broken row of its memory"
    return host.ras_lines[0] if host.ras_lines else None


def judge_arch(facts: Facts, seen: Seen, host: HostFacts) -> Finding:
    """Has the wheel kernels for this GPU? Asked before one runs, since running a wrong one can hang the machine."""
    device = seen[Rung.ENUMERATE]["devices"][0]
    arch, known = device["arch"], facts["arch_list"]
    lines: tuple[str, ...] = (
        f"{arch} is what the runtime reports",
        f"torch has kernels for {', '.join(known) or 'nothing'}",
    )
    physical = find_physical_arch(device["pci_id"], host.kfd_nodes)
    if is_rocm(seen) and physical and arch not in physical:
        told = f"the kernel has {', '.join(sorted(physical))}, and the runtime reports {arch}"
        return fail(Cause.GFX_OVERRIDE_IN_EFFECT, told, lines)
    if not (arch in known if is_rocm(seen) else runs_on(arch, known)):
        return fail(Cause.ARCH_NOT_IN_WHEEL, f"torch has no kernels for {arch}", lines)
    if is_rocm(seen) and facts["tensile_place"] and arch not in facts["tensile_archs"]:
        told = f"rocBLAS has no kernels for {arch}, only for {', '.join(facts['tensile_archs']) or 'nothing'}"
        return fail(Cause.BLAS_TARGET_MISSING, told, lines)
    if is_rocm(seen) and not facts["tensile_place"]:
        lines = (*lines, "rocBLAS's kernels were not found as files; the result rung will need them")
    return Finding(RungState.PASSED, f"torch has kernels for {arch}", lines)


def find_physical_arch(address: str | None, nodes: tuple[KfdNode, ...]) -> set[str]:
    """What the kernel says the GPU at this address is; of all its GPUs, where it does not say which is where."""
    there = [node for node in nodes if address and node.address == address]
    return {node.arch for node in there or nodes if node.arch}


def runs_on(arch: str, known: list[str]) -> bool:
    """NVIDIA: machine code runs on its own major architecture from its minor one up; PTX on every later one."""
    device = SM.fullmatch(arch)
    if device is None:
        return False
    mine = (int(device[2]), int(device[3]))
    for name in known:
        found = SM.fullmatch(name)
        if found is None:
            continue
        built = (int(found[2]), int(found[3]))
        is_special = name[-1] in "af"  # code for one architecture (or family) alone
        if built == mine or (not is_special and built <= mine and (found[1] == "compute" or built[0] == mine[0])):
            return True
    return False


def judge_first_kernel(facts: Facts, _seen: Seen, _host: HostFacts) -> Finding:
    """It came back; what remains is that it was the GPU that did it."""
    if not str(facts["device"]).startswith("cuda"):
        return give_up(f"the first kernel's result lies on {facts['device']}, not on the GPU")
    seen = f"an addition on {facts['device']} came back"
    return Finding(RungState.PASSED, seen, (seen,))


def judge_result(facts: Facts, _seen: Seen, _host: HostFacts) -> Finding:
    """Every answer within its tolerance, every time, and the same each time."""
    answers = facts["answers"]
    missing = ANSWERS_NEEDED - {(answer["op"], answer["dtype"]) for answer in answers}
    lines = tuple(tell_answer(answer) for answer in answers)
    wrong = [line for line, answer in zip(lines, answers, strict=True) if not is_right(answer)]
    if wrong:
        return fail(Cause.RESULT_MISMATCH, f"{len(wrong)} of {len(answers)} answers are wrong: {wrong[0]}", lines)
    if missing:
        return give_up(f"{len(missing)} answers are missing", lines)
    return Finding(RungState.PASSED, f"{len(answers)} answers are right, each three times and the same", lines)


def is_right(answer: Facts) -> bool:
    is_within = answer["wrong_elements"] == 0 and answer["worst"] <= 1.0 and answer["scale"] <= 1.0
    return bool(is_within and answer["distinct_answers"] == 1)


def judge_resource(facts: Facts, seen: Seen, host: HostFacts) -> Finding:
    """Is there room for the models, and did the GPU stay well while it computed?"""
    free, total = int(facts["free_bytes"]), int(facts["total_bytes"])
    line = f"{free / GIB:.1f} of {total / GIB:.1f} GiB are free, {host.need_bytes / GIB:.1f} are needed"
    if not facts["takes_memory"]:
        line += "; a job of this service was on the GPU, so none was taken to see that it can be"
    sick = find_sickness(facts["health"], host)
    if sick is not None:
        return fail(Cause.GPU_UNHEALTHY_HW, sick, (line,))
    if free >= host.need_bytes:
        return Finding(RungState.PASSED, line, (line,))
    others = seen[Rung.ENUMERATE]["devices"][1:]
    larger = next((device for device in others if device["total_bytes"] >= host.need_bytes), None)
    if total < host.need_bytes and larger is not None:
        told = f"torch's first GPU is too small, and {larger['name']} at {larger['pci_id']} is not"
        return fail(Cause.WRONG_DEVICE_SELECTED, told, (line,))
    return fail(Cause.VRAM_EXHAUSTED, line)


def find_slowness(seen: Seen) -> tuple[str, ...]:
    """Warnings of `slow_first_run`; never a refusal."""
    facts = seen.get(Rung.RESULT, {})
    slow = [
        f"{Cause.SLOW_FIRST_RUN.value}: {answer['op']} in {answer['dtype']} took seconds at first, as when compiled"
        for answer in facts.get("answers", ())
        if answer["cold_ms"] >= max(SLOW_FIRST_MS, SLOW_FIRST_RATIO * answer["warm_ms"])
    ]
    unwritable = facts.get("unwritable_caches", ())
    lines = [
        f"{Cause.SLOW_FIRST_RUN.value}: {name} cannot be written, so kernels are compiled anew" for name in unwritable
    ]
    return tuple(slow + lines)


JUDGES: Mapping[Rung, Callable[[Facts, Seen, HostFacts], Finding]] = MappingProxyType(
    {
        Rung.ENUMERATE: judge_enumerate,
        Rung.ARCH: judge_arch,
        Rung.FIRST_KERNEL: judge_first_kernel,
        Rung.RESULT: judge_result,
        Rung.RESOURCE: judge_resource,
    }
)
