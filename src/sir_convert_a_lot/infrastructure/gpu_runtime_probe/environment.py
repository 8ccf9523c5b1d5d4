"""The environment variables that hide a GPU or make it pass for another one.

Owns their names and how they are told. They are evidence only: whether a mask hides every GPU shows when a
child without masks finds one, so no cause is named from them alone.
"""

from __future__ import annotations

from collections.abc import Mapping

MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
HIDING = {"", "-1", "void", "none", "NoDevFiles"}
OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"


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
