"""The environment variables that hide a GPU or make it pass for another one.

Owns their names, how they are told, and which of them leave a process one GPU or none. Found set, they are evidence
only: whether a mask hides every GPU shows when a child without masks finds one, so no cause is named from them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
HIDING = {"", "-1", "void", "none", "NoDevFiles"}
OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"

# For a process that must not touch a GPU. Each runtime counts only up to a number that is no device's; an empty value
# would hide all from CUDA, and nothing from HIP.
HIDE_EVERY_GPU: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"), "-1")
)


def show_only(index: int, environ: Mapping[str, str], *, uuid: str | None, is_rocm: bool) -> dict[str, str]:
    """What to set beside `environ` so that torch sees only the device that is number `index` under `environ`.

    One mask is narrowed, the one that the runtime reads last, to one of its own entries: so nothing becomes visible
    that `environ` hides, and no order of devices is assumed but the runtime's own under `environ`. Where that mask is
    not set, the device goes by its UUID, or by its number where the runtime takes no UUID there: HIP's mask does not.
    """
    name = "CUDA_VISIBLE_DEVICES"
    if is_rocm and (environ.get("HIP_VISIBLE_DEVICES") or not environ.get(name)):
        name = "HIP_VISIBLE_DEVICES"  # HIP reads CUDA's only where its own is not set
    entries = [entry.strip() for entry in environ.get(name, "").split(",") if entry.strip()]
    if index < len(entries):
        return {name: entries[index]}
    return {name: uuid if uuid and not is_rocm else str(index)}


def describe_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """One line a variable that is set, in a fixed order."""
    lines = [describe_mask(name, environ[name]) for name in MASKS if name in environ]
    if len({environ[name] for name in MASKS if name in environ}) > 1:
        lines.append("environment: the masks differ, and together they can hide every GPU")
    if OVERRIDE in environ:
        lines.append(f"environment: {OVERRIDE}={environ[OVERRIDE]!r} makes the GPU pass for another one")
    return tuple(lines)


def describe_mask(name: str, value: str) -> str:
    hides = " hides every GPU" if value.strip() in HIDING else " may hide a GPU"
    return f"environment: {name}={value!r}{hides}"
