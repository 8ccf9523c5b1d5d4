"""What several tests of the probe say of a made GPU host: addresses, faults, devices.

Owns no host: `tests/unit/gpu_probe/conftest.py` builds the root, `shims/made_torch.py` obeys these words.
"""

from __future__ import annotations

from typing import Any

AMD, NVIDIA = "0000:03:00.0", "0000:65:00.0"
SITE = "usr/lib/python3.11/site-packages"
GIB = 1024**3

NO_DEVICES: dict[str, Any] = {"devices": [], "free_bytes": 0}


def fault(at: str, **how: Any) -> dict[str, Any]:
    """The made torch misbehaves at this step: raises, hangs, exits, or dies by a signal."""
    return {"faults": [{"at": at, **how}]}


def one_device(**changes: Any) -> list[dict[str, Any]]:
    """The devices of a host with one AMD GPU."""
    return [{"name": "a GPU", "pci_id": AMD, "arch": "gfx1100", "total_bytes": 24 * GIB} | changes]
