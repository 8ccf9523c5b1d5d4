"""Each cause that can be told without torch, told by the probe of a machine that has it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, TORCH_FREE_RUNGS, Rung, RungState, snapshot_to_json
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

AMD, NVIDIA = "0000:03:00.0", "0000:65:00.0"
TOPOLOGY = "sys/class/kfd/kfd/topology/nodes"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

Damage = Callable[[Any], Any]


def remove(*names: str) -> Damage:
    return lambda host: [host.remove(name) for name in names]


def amd_without(*names: str) -> Damage:
    return lambda host: remove(*names)(host.add_amd().add_rocm_torch())


def nvidia_without(*names: str) -> Damage:
    return lambda host: remove(*names)(host.add_nvidia().add_cuda_torch())


def lose_amd_driver(host: Any) -> None:
    host.add_function(AMD, vendor="0x1002")
    host.write(SECURE_BOOT, b"\x06\x00\x00\x00\x01")


def leave_amdgpu_unbound(host: Any) -> None:
    amd_without(f"{TOPOLOGY}/1", f"sys/bus/pci/devices/{AMD}/driver")(host)


def drop_off_bus(host: Any) -> None:
    amd_without()(host)
    host.add_function(AMD, vendor="0x1002", answers=False)


def make_wsl(host: Any) -> None:
    host.write("dev/dxg", "")
    host.add_rocm_torch()


def hide_sys(host: Any) -> None:
    host.remove("sys")


def garble_vendor(host: Any) -> None:
    host.add_amd().write(f"sys/bus/pci/devices/{AMD}/vendor", "what?\n")


def garble_topology(host: Any) -> None:
    host.add_amd().write(f"{TOPOLOGY}/1/properties", b"\xff\xfe")


def garble_version(host: Any) -> None:
    host.add_nvidia().write("proc/driver/nvidia/version", "nothing to see")


def garble_torch(host: Any) -> None:
    host.add_amd().add_rocm_torch().write("usr/lib/python3.11/site-packages/torch/version.py", "def (:")


# (cause, rung, how the machine came to it, a part of what the evidence says)
CASES: list[tuple[Cause, str, Damage, str]] = [
    (Cause.NO_GPU_HARDWARE, "hardware", remove(), "no AMD or NVIDIA GPU on the PCI bus"),
    (Cause.NO_GPU_HARDWARE, "hardware", remove("sys/bus/pci"), "no PCI bus"),
    (
        Cause.NO_GPU_HARDWARE,
        "hardware",
        lambda host: host.add_function("0000:03:00.1", vendor="0x1002", kind="0x040300"),  # a sound function
        "no AMD or NVIDIA GPU",
    ),
    (Cause.GPU_FELL_OFF_BUS, "hardware", drop_off_bus, "its PCI configuration reads as all ones"),
    (Cause.KERNEL_DRIVER_MISSING, "driver", lose_amd_driver, "secure boot is on"),
    (Cause.KERNEL_DRIVER_MISSING, "driver", amd_without("sys/class/kfd", "dev/kfd"), "without its compute part"),
    (Cause.KERNEL_DRIVER_MISSING, "driver", leave_amdgpu_unbound, "no GPU is bound to it"),
    (
        Cause.KERNEL_DRIVER_MISSING,
        "driver",
        nvidia_without("sys/module/nvidia", "proc/driver", "dev/nvidiactl", "dev/nvidia0"),
        "the kernel module nvidia is not loaded",
    ),
    (Cause.KFD_REJECTS_DEVICE, "driver", amd_without(f"{TOPOLOGY}/1"), "1 GPU(s) bound to amdgpu"),
    (Cause.NODE_NOT_PASSED_THROUGH, "driver", amd_without("dev/kfd"), "/dev/kfd is not here"),
    (Cause.NODE_NOT_PASSED_THROUGH, "driver", amd_without("dev/dri"), "/dev/dri/renderD* is not here"),
    (Cause.NODE_NOT_PASSED_THROUGH, "driver", amd_without("dev"), "/dev/kfd and /dev/dri/renderD* are not here"),
    (Cause.NODE_NOT_PASSED_THROUGH, "driver", nvidia_without("dev/nvidiactl"), "/dev/nvidiactl is not here"),
    (Cause.NODE_NOT_PASSED_THROUGH, "driver", nvidia_without("dev/nvidia0"), "/dev/nvidia0 is not here"),
    (Cause.WSL_NO_KFD, "driver", make_wsl, "/dev/dxg is there"),
    (Cause.TORCH_MISSING, "package", lambda host: host.add_amd(), "torch is not installed"),
    (Cause.TORCH_MISSING, "package", lambda host: host.add_nvidia(), "torch is not installed"),
    (Cause.WHEEL_CPU_ONLY, "package", lambda host: host.add_amd().add_torch("2.15.0+cpu"), "torch 2.15.0+cpu"),
    (Cause.WHEEL_CPU_ONLY, "package", lambda host: host.add_nvidia().add_torch("2.15.0"), "for the CPU alone"),
    (
        Cause.WHEEL_WRONG_VENDOR,
        "package",
        lambda host: host.add_amd().add_cuda_torch(),
        "built for cuda, and the GPU here is reached by kfd",
    ),
    (Cause.WHEEL_WRONG_VENDOR, "package", lambda host: host.add_nvidia().add_rocm_torch(), "built for rocm"),
    (
        Cause.TORCH_FAMILY_MISMATCH,
        "package",
        lambda host: host.add_amd().add_torch("2.14.1+rocm7.2", hip="7.2").add_package("torchvision", "0.29.1+cu130"),
        "not of one build with torch: torchvision",
    ),
    (
        Cause.TORCH_FAMILY_MISMATCH,
        "package",
        lambda host: host.add_amd().add_torch("2.14.1+rocm7.2", hip="7.2").add_package("torchaudio", "2.9+rocm7.1"),
        "not of one build with torch: torchaudio",
    ),
    (
        Cause.TORCH_FAMILY_MISMATCH,
        "package",
        lambda host: host.add_nvidia().add_cuda_torch().add_package("triton-rocm", "3.6.0"),
        "not of one build with torch: triton-rocm",
    ),
    (Cause.PROBE_INCOMPLETE, "hardware", hide_sys, "/sys is not mounted or is empty"),
    (Cause.PROBE_INCOMPLETE, "hardware", garble_vendor, "vendor is no hexadecimal number"),
    (Cause.PROBE_INCOMPLETE, "hardware", amd_without(f"sys/bus/pci/devices/{AMD}/config"), "config"),
    (Cause.PROBE_INCOMPLETE, "driver", garble_topology, "properties is no text"),
    (Cause.PROBE_INCOMPLETE, "driver", amd_without("sys/class/kfd"), "/dev/kfd is there, and"),
    (Cause.PROBE_INCOMPLETE, "driver", garble_version, "names no version"),
    (Cause.PROBE_INCOMPLETE, "package", garble_torch, "torch/version.py is no Python"),
]

# (cause, what the kernel answers when the node is opened): not told by files, so a child is made to see it.
OPENING_CASES = [
    (Cause.DEVICE_PERMISSION_DENIED, errno.EACCES),
    (Cause.DEVICE_CGROUP_DENIED, errno.EPERM),
    (Cause.KFD_OPEN_FAILED_OTHER, errno.EINVAL),
    (Cause.KFD_OPEN_FAILED_OTHER, errno.ENOMEM),
]


@pytest.mark.parametrize(("cause", "rung", "damage", "words"), CASES)
def test_the_probe_names_the_cause_and_the_rung(cause: Cause, rung: str, damage: Damage, words: str, host: Any) -> None:
    damage(host)
    snapshot = probe(host.root)
    assert (snapshot.cause, snapshot.rung) == (cause, rung)
    assert words in "\n".join(snapshot.evidence)
    assert snapshot.remediation == CAUSES[cause].remedies
    assert not snapshot.is_available
    assert snapshot.simulated


@pytest.mark.parametrize(("cause", "number"), OPENING_CASES)
@pytest.mark.parametrize("vendor", ["amd", "nvidia"])
def test_what_the_kernel_says_to_an_opening_names_the_cause(cause: Cause, number: int, vendor: str, host: Any) -> None:
    node = "/dev/kfd" if vendor == "amd" else "/dev/nvidiactl"
    if vendor == "amd":
        host.add_amd().add_rocm_torch()
    else:
        host.add_nvidia().add_cuda_torch()
    found = host.probe_in_child(errno_of_opening=number)
    assert (found["cause"], found["rung"]) == (cause, "permission")
    assert any(f"open {node}: {errno.errorcode[number]}; mode 0" in line for line in found["evidence"])


def test_a_node_of_another_group_is_denied_and_its_number_is_told(host: Any) -> None:
    host.add_amd().add_rocm_torch()
    (host.root / "dev/kfd").chmod(0o060)
    user = 0
    if os.geteuid() == 0:  # root may open anything, so the child becomes nobody
        os.chown(host.root / "dev/kfd", 0, 4711)
        user = 65_534
    found = host.probe_in_child(user=user)
    gid = (host.root / "dev/kfd").stat().st_gid
    assert found["cause"] == Cause.DEVICE_PERMISSION_DENIED
    assert any("open /dev/kfd: EACCES; mode 0060" in line and f"gid {gid};" in line for line in found["evidence"])


def test_a_file_of_sys_that_may_not_be_read_refuses(host: Any) -> None:
    host.add_amd().add_rocm_torch()
    vendor = host.root / f"sys/bus/pci/devices/{AMD}/vendor"
    vendor.chmod(0)
    found = host.probe_in_child(user=65_534 if os.geteuid() == 0 else 0)
    assert (found["cause"], found["rung"]) == (Cause.PROBE_INCOMPLETE, "hardware")
    assert found["evidence"][0].endswith("vendor cannot be read: EACCES")
    assert found["rungs"][0]["state"] == RungState.UNKNOWN


def test_every_cause_that_can_be_told_without_torch_was_told_here() -> None:
    told = {case[0] for case in CASES} | {case[0] for case in OPENING_CASES}
    assert told == {cause for cause, entry in CAUSES.items() if entry.is_told_without_torch}


def test_a_climb_that_ends_below_the_top_proves_nothing(host: Any) -> None:
    host.add_working_amd()
    snapshot = probe(host.root, last_rung=Rung.PACKAGE)
    assert (snapshot.cause, snapshot.rung) == (Cause.PROBE_INCOMPLETE, "enumerate")
    assert snapshot.evidence[-1] == "enumerate: not run: it was not asked for"
    states = {report.rung: report.state for report in snapshot.rungs}
    assert tuple(states) == LADDER
    assert all((state is RungState.PASSED) is (rung in TORCH_FREE_RUNGS) for rung, state in states.items())
    assert all(states[rung] is RungState.NOT_RUN for rung in LADDER[4:])
    assert not snapshot.is_available
    found = snapshot_to_json(snapshot)
    assert {name: found[name] for name in ("arch", "pci_id", "vram_bytes", "device_count", "runtime_kind")} == {
        "arch": "gfx1100",
        "pci_id": AMD,
        "vram_bytes": 25_753_026_560,
        "device_count": 1,
        "runtime_kind": "rocm",
    }
    assert found["torch_version"] == "2.14.1+rocm7.2"
    assert found["hip_version"] == "7.2.26015"
    assert any("gpu probe" in line for line in found["remediation"])


def test_one_usable_gpu_is_enough(host: Any) -> None:
    """A desktop has a GPU inside its CPU, which no one loaded a driver for, beside the one that computes."""
    host.add_function(AMD, vendor="0x1002")
    host.add_nvidia().add_cuda_torch()
    snapshot = probe(host.root, last_rung=Rung.PACKAGE)
    assert (snapshot.cause, snapshot.rung) == (Cause.PROBE_INCOMPLETE, "enumerate")
    assert snapshot.pci_id == NVIDIA
    assert "driver: the kernel module amdgpu is not loaded, and no GPU is bound to it" in snapshot.evidence


def test_what_is_not_known_counts_before_what_failed(host: Any) -> None:
    host.add_function(AMD, vendor="0x1002")  # no driver, for certain
    garble_version(host)
    assert probe(host.root).cause is Cause.PROBE_INCOMPLETE


def test_a_lost_gpu_beside_a_living_one_is_told(host: Any) -> None:
    host.add_amd().add_rocm_torch()
    host.add_function("0000:04:00.0", vendor="0x1002", answers=False)
    snapshot = probe(host.root)
    assert snapshot.rung == "enumerate"
    assert snapshot.device_count == 1
    assert any("0000:04:00.0" in line and "all ones" in line for line in snapshot.evidence)


def test_the_nodes_of_a_lost_gpu_stand_for_nothing(host: Any) -> None:
    drop_off_bus(host)  # its driver and nodes are still there
    host.add_function(NVIDIA, vendor="0x10de")
    assert probe(host.root).cause is Cause.KERNEL_DRIVER_MISSING


def test_nvidia_under_wsl_is_reached_through_the_library_of_windows(host: Any) -> None:
    host.write("dev/dxg", "")
    host.write("usr/lib/wsl/lib/libcuda.so.1", "")
    host.add_cuda_torch()
    assert probe(host.root).rung == "enumerate"


def test_without_hardware_the_installed_torch_is_evidence_and_not_the_cause(host: Any) -> None:
    host.add_torch("2.15.0+cpu")
    snapshot = probe(host.root)
    assert snapshot.cause is Cause.NO_GPU_HARDWARE
    assert "package: torch 2.15.0+cpu (built for cpu)" in snapshot.evidence
    assert snapshot.rungs[3].state is RungState.NOT_RUN


@pytest.mark.parametrize(
    ("name", "content"), [(".dockerenv", ""), ("proc/self/cgroup", "0::/kubepods/pod1\n"), ("run/.containerenv", "")]
)
def test_a_container_is_hinted_at_where_nodes_are_missing(name: str, content: str, host: Any) -> None:
    amd_without("dev/kfd")(host)
    host.write(name, content)
    assert f"driver: this looks like a container: /{name}" in probe(host.root).evidence


def test_masks_in_the_environment_are_evidence_in_a_fixed_order(host: Any) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "1", "HSA_OVERRIDE_GFX_VERSION": "11.0.0"}
    snapshot = probe(host.add_amd().add_rocm_torch().root, environ=environ)
    assert snapshot.evidence[-4:] == (
        "environment: ROCR_VISIBLE_DEVICES='1' may hide a GPU",
        "environment: CUDA_VISIBLE_DEVICES='-1' hides every GPU",
        "environment: the masks differ, and together they can hide every GPU",
        "environment: HSA_OVERRIDE_GFX_VERSION='11.0.0' makes the GPU pass for another one",
    )
