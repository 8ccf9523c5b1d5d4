"""What torch and the management library say of the devices, before anything is computed.

Runs in the probe's child alone, and is given torch. Owns which attributes are asked. Refuses to judge: every answer
goes to the parent as it is, a missing one as None.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sir_convert_a_lot.infrastructure.gpu_probe_child import runtime_library
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import describe_error, read_code, shorten

SMI_LIBRARY = re.compile(r"\S*/lib(?:amd_smi|rocm_smi64)\S*\.so\S*")

NVML_LIBRARY_NOT_FOUND = 12  # NVML_ERROR_LIBRARY_NOT_FOUND

# Where wheels and packages of ROCm keep rocBLAS's kernels, below torch's folder or the root.
TENSILE_BESIDE_TORCH = ("lib/rocblas/library", "../_rocm_sdk_libraries*/lib/rocblas/library")
TENSILE_OF_SYSTEM = "/opt/rocm/lib/rocblas/library"


def count_devices(torch: Any) -> dict[str, Any]:
    """The counts of torch and of the runtime, what was warned meanwhile, and why there is none where there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        facts: dict[str, Any] = {
            "torch_version": str(torch.__version__),
            "hip_version": torch.version.hip,
            "cuda_version": torch.version.cuda,
            "is_in_bad_fork": bool(torch.cuda._is_in_bad_fork()),  # noqa: SLF001 - torch has no public name for it
            "is_available": bool(torch.cuda.is_available()),
            "device_count": int(torch.cuda.device_count()),
            "runtime_count": ask(torch._C, "_cuda_getDeviceCount"),  # noqa: SLF001
        }
    texts = [str(warning.message) for warning in caught]
    facts["warnings"] = [shorten(text) for text in texts]
    facts["warning_code"] = next((code for code in map(read_code, texts) if code is not None), None)
    facts["init_error"] = None if facts["device_count"] else try_to_start(torch)
    facts["driver_version"] = None if torch.version.hip else runtime_library.read_cuda_driver_version()
    facts["start_code"] = None if facts["device_count"] else runtime_library.start(is_rocm=bool(torch.version.hip))
    facts["smi_libraries"] = runtime_library.list_mapped(SMI_LIBRARY)
    return facts


def ask(module: Any, name: str) -> Any:
    """A function of torch's own C part, which not every build has. None: no such function, or it failed."""
    function = getattr(module, name, None)
    if function is None:
        return None
    try:
        return function()
    except RuntimeError:
        return None


def try_to_start(torch: Any) -> dict[str, Any] | None:
    """What starting the runtime says; counting alone hides it."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return asdict(describe_error(error))
    return None


def describe_devices(torch: Any, count: int) -> list[dict[str, Any]]:
    """Name, PCI address, architecture and memory of each, in torch's order."""
    return [describe_device(torch, index) for index in range(count)]


def describe_device(torch: Any, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    major, minor = properties.major, properties.minor
    told = getattr(properties, "gcnArchName", "") if torch.version.hip else ""
    return {
        "name": str(properties.name),
        "pci_id": name_address(properties) or runtime_library.read_address(index),
        "uuid": None if torch.version.hip else name_uuid(properties),
        "arch": told.partition(":")[0] or f"sm_{major}{minor}",
        "features": told.partition(":")[2],
        "total_bytes": int(properties.total_memory),
    }


def name_address(properties: Any) -> str | None:
    """As the kernel writes it, 0000:03:00.0; None where this torch is too old to tell. GPUs are function 0."""
    numbers = [getattr(properties, name, None) for name in ("pci_domain_id", "pci_bus_id", "pci_device_id")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    domain, bus, device = numbers
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def name_uuid(properties: Any) -> str | None:
    """As CUDA's mask takes it; None where this torch does not tell, and for a slice of a GPU, whose name is another."""
    told = getattr(properties, "uuid", None)
    return None if told is None or "MIG" in str(properties.name).split() else f"GPU-{told}"


def describe_architectures(torch: Any) -> dict[str, Any]:
    """What the wheel has kernels for; read, not tried."""
    place = find_tensile(torch) if torch.version.hip else None
    names = sorted(entry.name for entry in place.iterdir()) if place else []
    return {
        "arch_list": [str(name).partition(":")[0] for name in torch.cuda.get_arch_list()],
        "tensile_place": place is not None,
        "tensile_archs": sorted({found for name in names for found in re.findall(r"gfx[0-9a-f]{3,5}", name)}),
    }


def find_tensile(torch: Any) -> Path | None:
    """The first folder of rocBLAS's kernels: the variable's, torch's own, the system's."""
    named = os.environ.get("ROCBLAS_TENSILE_LIBPATH")
    home = Path(torch.__file__).parent
    beside = [path for pattern in TENSILE_BESIDE_TORCH for path in sorted(home.glob(pattern))]
    places = [*([Path(named)] if named else []), *beside, Path(TENSILE_OF_SYSTEM)]
    return next((path for path in places if path.is_dir()), None)


@contextmanager
def watch_health(pci_id: str | None) -> Iterator[Callable[[], dict[str, Any]]]:
    """NVIDIA's management library on one device. What is yielded reads it; Xids are those since the beginning.

    Without the library, or without a driver for it, the reading says so in `state`; the rest is then not known.
    """
    try:
        import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]  # of nvidia-ml-py, optional
    except ImportError:
        yield lambda: {"state": "absent", "code": None}
        return
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_id.encode()) if pci_id else None
    except pynvml.NVMLError as error:
        code = int(error.value)
        state = "absent" if code == NVML_LIBRARY_NOT_FOUND else "failed"
        yield lambda: {"state": state, "code": code}
        return
    events = listen_for_xids(pynvml, handle)
    try:
        yield lambda: {"state": "present", "code": 0, **read_health(pynvml, handle, events)}
    finally:
        pynvml.nvmlShutdown()


def listen_for_xids(pynvml: Any, handle: Any) -> Any:
    """An event set, or None where the device has no events."""
    if handle is None:
        return None
    try:
        events = pynvml.nvmlEventSetCreate()
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
    except pynvml.NVMLError:
        return None
    return events


def read_health(pynvml: Any, handle: Any, events: Any) -> dict[str, Any]:
    """Each None where the device does not tell it: consumer GPUs have no ECC."""
    if handle is None:
        return {}

    def read(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(handle, *arguments)
        except pynvml.NVMLError:
            return None

    uncorrected = read(
        pynvml.nvmlDeviceGetTotalEccErrors, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    )
    fields = read(pynvml.nvmlDeviceGetFieldValues, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    rows = read(pynvml.nvmlDeviceGetRemappedRows)
    return {
        "uncorrected_ecc": uncorrected,
        "recovery_action": int(fields[0].value.uiVal) if fields and fields[0].nvmlReturn == 0 else None,
        "row_remap_failed": bool(rows[3]) if rows else None,
        "compute_mode": read(pynvml.nvmlDeviceGetComputeMode),
        "xids": read_xids(pynvml, events),
    }


def read_xids(pynvml: Any, events: Any) -> list[int]:
    """The numbers that have come; waits for none."""
    found: list[int] = []
    while events is not None and len(found) < 100:
        try:
            found.append(int(pynvml.nvmlEventSetWait_v2(events, 0).eventData))
        except pynvml.NVMLError:
            break
    return found
