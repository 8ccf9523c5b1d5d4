"""What the probe's child saw, as lines for a person. The same facts give the same lines; times are not among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GIB = 1024**3

Facts = Mapping[str, Any]


def tell_versions(facts: Facts) -> tuple[str, ...]:
    runtime = f"HIP {facts['hip_version']}" if facts["hip_version"] else f"CUDA {facts['cuda_version']}"
    return (f"imported torch {facts['torch_version']} ({runtime}); it counts {facts['device_count']} device(s)",)


def tell_device(index: int, device: Facts) -> str:
    place = device["pci_id"] or "address not told"
    return f"cuda:{index}: {device['name']}, {place}, {device['arch']}, {device['total_bytes'] / GIB:.1f} GiB"


def tell_nvml(nvml: Facts) -> tuple[str, ...]:
    if not nvml:
        return ()
    return (f"NVML: {nvml['state']}" + (f" (code {nvml['code']})" if nvml.get("code") else ""),)


def tell_answer(answer: Facts) -> str:
    line = f"{answer['op']} in {answer['dtype']}: "
    if answer["wrong_elements"]:
        return f"{line}{answer['wrong_elements']} element(s) beyond the tolerance"
    if answer["scale"] > 1.0:
        return f"{line}the whole is off by a common factor"
    if answer["distinct_answers"] > 1:
        return f"{line}it differs from run to run"
    return f"{line}right"
