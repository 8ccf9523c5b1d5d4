"""What it means when this process cannot use the device it was given, or loses it midway.

Owns the checks before work begins and the refusals, each with the fault that the service explains by looking again
(`gpu_runtime_probe.worker_failures`); the causes named here are what this process alone can tell. Imports no Docling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sir_convert_a_lot.domain.acceleration_policy import ONLY_GPU
from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_failures import is_out_of_memory
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import describe_error
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import describe_worker_fault


def check_device(device: str) -> None:
    """Raise `GpuNotAvailable` when torch in this process cannot use `device` ("cuda:N"). "cpu" is always there."""
    if device == "cpu":
        return
    import torch

    index = int(device.partition(":")[2])
    if torch.cuda.is_available() and index < torch.cuda.device_count():
        return
    built = torch.version.hip or torch.version.cuda or "the CPU alone"
    seen = f"torch {torch.__version__} (built for {built}) counts {torch.cuda.device_count()} GPUs in this process"
    raise lost_device(device, seen, _try_to_start(torch))


def require_address(pci_id: str) -> None:
    """Raise `GpuNotAvailable` unless this process sees one GPU, and that is the one at `pci_id`: the one proven.

    The masks that its service gave this process should have seen to that; an index that meant another device, or masks
    that came too late, show here and nowhere else.
    """
    import torch

    from sir_convert_a_lot.infrastructure.gpu_probe_child.device_facts import describe_device

    check_device(ONLY_GPU)
    found = [describe_device(torch, index)["pci_id"] for index in range(torch.cuda.device_count())]
    if found == [pci_id]:
        return
    seen = f"the GPU meant is at {pci_id}, and this process sees {', '.join(map(str, found))}"
    raise refuse_device(Cause.WRONG_DEVICE_SELECTED, "its worker sees another one", seen)


def lost_device(device: str, seen: str, error: BaseException) -> GpuNotAvailable:
    """A device that was promised and that this process cannot use. `error` is what the runtime said."""
    return refuse_device(Cause.GPU_LOST_AFTER_START, f"{device} cannot be used", seen, error)


def failed_device(device: str, error: BaseException) -> GpuNotAvailable:
    """A device that failed while it worked."""
    facts = describe_error(error)
    cause = Cause.VRAM_EXHAUSTED if is_out_of_memory(facts) else Cause.GPU_FAULT_STICKY
    return refuse_device(cause, f"{device} failed at work", facts.line, error)


def refuse_device(cause: Cause, what: str, seen: str, error: BaseException | None = None) -> GpuNotAvailable:
    """With the fault that `error` is; without one, `cause` is certain and nothing has to be looked at for it."""
    raised = GpuNotAvailable(
        f"a GPU was promised to this conversion, and {what}",
        details={
            "reason": "backend_gpu_runtime_unavailable",
            "backend": "docling",
            "cause": cause.value,
            "evidence": [seen],
            "remediation": [remedy.sentence for remedy in CAUSES[cause].remedies],
        },
    )
    if error is not None:
        import torch

        raised.fault = describe_worker_fault(torch, error).to_json()
    return raised


def is_device_error(error: BaseException) -> bool:
    """Out of device memory, or a fault of the device: the work failed for the machine, not for the document."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, torch.AcceleratorError)):
        return True
    return isinstance(error, RuntimeError) and is_out_of_memory(describe_error(error))


def is_stage_error_of_device(error: BaseException) -> bool:
    """As `is_device_error`, for what was raised where a stage computes on the device: its libraries (cuBLAS, cuDNN,
    MIOpen) tell their failures as a plain `RuntimeError`. Docling would swallow that for each page. Those that name a
    mistake of the code are none.
    """
    if is_device_error(error):
        return True
    return isinstance(error, RuntimeError) and not isinstance(error, (NotImplementedError, RecursionError))


@contextmanager
def telling_failures_of(device: str) -> Iterator[None]:
    """What the block raises for the device's sake becomes `GpuNotAvailable`; everything else passes."""
    try:
        yield
    except Exception as error:
        if device != "cpu" and is_device_error(error):
            raise failed_device(device, error) from error
        raise


def _try_to_start(torch: Any) -> BaseException:
    """Starting the runtime says why there is no device; counting hides it."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return error
    return RuntimeError("the runtime started, and the device is not among its own")
