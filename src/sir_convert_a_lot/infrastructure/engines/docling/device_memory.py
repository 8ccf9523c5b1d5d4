"""What of a device's memory torch keeps between jobs.

Owns when it is given back. Refuses to touch what the models hold.
"""

from __future__ import annotations

from sir_convert_a_lot.infrastructure.engines.docling.device_failures import telling_failures_of

SPARE_BYTES = 1024**3  # less is not worth the allocations of the next job


def give_back_spare(device: str) -> None:
    """After a job. Raises `GpuNotAvailable` where that shows that the device failed.

    torch keeps what a job freed, for the next one; the driver counts it as taken, so a large document would leave too
    little for the probe, and for everybody else, until the process ends. What is still allocated between jobs are the
    models. Where more than they and a gigabyte lies spare, the next job had better ask anew: that takes milliseconds.
    """
    if device == "cpu":
        return
    import torch

    held = torch.cuda.memory_allocated(device)
    if torch.cuda.memory_reserved(device) - held > max(held, SPARE_BYTES):
        with telling_failures_of(device):
            torch.cuda.empty_cache()
