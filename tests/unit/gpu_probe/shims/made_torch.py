"""A stand-in for torch on a machine with a GPU: as much of its surface as the probe's child touches, computed by numpy.

Copied into a fake root's site-packages as `torch/__init__.py`, beside `shim.json`, which says what it is and what is
wrong with it. Lives under tests/ alone: a root that holds it is never the real one, so a snapshot of it is simulated.

`faults` in shim.json is a list of {"at": PLACE, ...} with one of
    "hang": true            never come back
    "signal": N             die by it
    "exit": N               leave the interpreter
    "error": TEXT           raise, with "type" (default RuntimeError) and "code" (as torch's own error_code)
and PLACE one of import, count, init, properties, allocate, synchronise, gemm, memory, event. With "only_in" or
"not_in" a fault is met only, or not, by processes whose command line holds that text; with `hidden_in` they see no
device.
"""

import contextlib
import ctypes
import json
import os
import signal
import time
import types
import warnings
from pathlib import Path

CONFIG = json.loads((Path(__file__).parent / "shim.json").read_text())
HIDING = {"", "-1"}
MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")


class AcceleratorError(RuntimeError):
    """torch's own, with the runtime's number."""


class OutOfMemoryError(RuntimeError):
    """torch's own."""


COMMAND = Path("/proc/self/cmdline").read_bytes().decode("utf-8", "replace")


def meet(place):
    for fault in CONFIG["faults"]:
        if fault["at"] == place and fault.get("only_in", "") in COMMAND and not is_spared(fault):
            suffer(fault)


def is_spared(fault):
    return "not_in" in fault and fault["not_in"] in COMMAND


def suffer(fault):
    if fault.get("hang"):
        time.sleep(600)
    if "signal" in fault:
        signal.signal(fault["signal"], signal.SIG_DFL) if fault["signal"] != signal.SIGKILL else None
        print(fault.get("print", ""), flush=True)
        os.kill(os.getpid(), fault["signal"])
    if "exit" in fault:
        os._exit(fault["exit"])
    if "error" in fault:
        kinds = {"AcceleratorError": AcceleratorError, "OutOfMemoryError": OutOfMemoryError, "ImportError": ImportError}
        error = kinds.get(fault.get("type"), RuntimeError)(fault["error"])
        if "code" in fault:
            error.error_code = fault["code"]
        raise error


class Driver:
    """Stands for libcuda, which a machine without an NVIDIA driver has not."""

    def __init__(self, name):
        if not CONFIG.get("has_libcuda", True):
            raise OSError(name)

    def cuDriverGetVersion(self, version):
        version._obj.value = CONFIG.get("driver_version", 13000)
        return 0

    def cuInit(self, flags):
        return CONFIG.get("start_code", 0)


if CONFIG["cuda"]:
    ctypes.CDLL = lambda name, real=ctypes.CDLL: Driver(name) if name == "libcuda.so.1" else real(name)

meet("import")

import numpy as np

__version__ = CONFIG["version"]
version = types.SimpleNamespace(hip=CONFIG["hip"], cuda=CONFIG["cuda"])
float32, float16, bfloat16, float64, uint8 = "float32", "float16", "bfloat16", "float64", "uint8"


def round_to(values, dtype):
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return values.astype(np.float64 if dtype == "float64" else np.float32)


class Device:
    def __init__(self, type, index=None):
        self.type, self.index = type, index

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"


def device(name, index=None):
    return name if isinstance(name, Device) else Device(name, index)


class Tensor:
    def __init__(self, values, dtype, place):
        self.values, self.dtype, self.device = values, dtype, place

    def to(self, what):
        if isinstance(what, Device):
            return Tensor(self.values, self.dtype, what)
        return Tensor(round_to(self.values, what), what, self.device)

    def clone(self):
        return spoil("copy", Tensor(self.values.copy(), self.dtype, self.device))

    def sum(self, dim):
        total = self.values.sum(axis=dim, dtype=np.float32)
        return spoil("reduction", Tensor(round_to(total, self.dtype), self.dtype, self.device))

    def __add__(self, other):
        return Tensor(self.values + other.values, self.dtype, self.device)

    def cpu(self):
        return Tensor(self.values, self.dtype, Device("cpu"))

    def double(self):
        return self.to("float64")

    def numpy(self):
        return self.values


def spoil(op, tensor):
    """Make one operation wrong in one type, as `wrong` in shim.json asks."""
    wrong = CONFIG.get("wrong") or {}
    if (wrong.get("op"), wrong.get("dtype")) != (op, tensor.dtype):
        return tensor
    values = tensor.values.copy()
    spoil.times += 1
    if wrong["how"] == "element":
        values.flat[values.size // 3] += np.float32(wrong.get("by", 0.5))
    elif wrong["how"] == "not a number":
        values.flat[values.size // 3] = np.nan
    elif wrong["how"] == "scale":
        values *= np.float32(wrong["by"])
    elif wrong["how"] == "flaky":
        values.flat[spoil.times] = np.nextafter(values.flat[spoil.times], np.float32(10))
    return Tensor(values, tensor.dtype, tensor.device)


spoil.times = 0


def from_numpy(values):
    return Tensor(values, "float32", Device("cpu"))


started = []  # not empty once something was allocated on a device


def ones(size, device):
    meet("allocate")
    started.append(device)
    hold_memory()
    return Tensor(np.ones(size, np.float32), "float32", Device("cpu") if CONFIG.get("stays_on_cpu") else device)


def empty(size, dtype, device):
    meet("memory")
    return Tensor(np.empty(0, np.uint8), dtype, device)


HOLDERS = Path(__file__).parent / "holders"


def hold_memory():
    """A worker holds `worker_holds` bytes of the GPU until it is gone; the probe's child is no worker."""
    if "worker_holds" in CONFIG and "spawn_main" in COMMAND:
        HOLDERS.mkdir(exist_ok=True)
        (HOLDERS / str(os.getpid())).touch()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def count_free():
    holders = [path.name for path in HOLDERS.iterdir()] if HOLDERS.exists() else []
    return CONFIG["free_bytes"] - CONFIG.get("worker_holds", 0) * sum(map(is_alive, holders))


def matmul(left, right):
    meet("gemm")
    return spoil("gemm", Tensor(round_to(left.values @ right.values, left.dtype), left.dtype, left.device))


def conv2d(images, weights, stride, padding):
    padded = np.pad(images.values, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.values.shape[2:], axis=(2, 3))
    found = np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], weights.values, optimize=True)
    return spoil("convolution", Tensor(round_to(found, images.dtype), images.dtype, images.device))


def is_masked():
    return any(os.environ.get(name, "0").strip() in HIDING for name in MASKS)


def list_visible():
    """The devices that the masks leave, in their order: ROCR's first, then HIP's, or CUDA's where HIP's is not set."""
    if is_masked():
        return []
    found = CONFIG["devices"]
    names = ["CUDA_VISIBLE_DEVICES"]
    if CONFIG["hip"]:
        own = "HIP_VISIBLE_DEVICES"
        names = ["ROCR_VISIBLE_DEVICES", own if os.environ.get(own) else "CUDA_VISIBLE_DEVICES"]
    for name in names:
        if os.environ.get(name):
            found = list(pick(found, os.environ[name].split(",")))
    return found


def pick(devices, entries):
    """Those that the entries name, up to the first that names none."""
    for entry in map(str.strip, entries):
        by_name = {str(index): device for index, device in enumerate(devices)}
        by_name |= {f"GPU-{device['uuid']}": device for device in devices if "uuid" in device}
        if entry not in by_name:
            return
        yield by_name[entry]


def count_devices():
    meet("count")
    for text in CONFIG.get("warnings", ()):
        warnings.warn(text, stacklevel=2)
    if "hidden_in" in CONFIG and CONFIG["hidden_in"] in COMMAND:
        return 0
    return len(list_visible())


def get_device_properties(index):
    meet("properties")
    found = list_visible()[index]
    if "pci_id" not in found:
        return types.SimpleNamespace(
            **{"name": "", "gcnArchName": "", "major": 11, "minor": 0, **found, "total_memory": 2**34}
        )
    domain, bus, rest = found["pci_id"].split(":")
    return types.SimpleNamespace(
        name=found["name"],
        major=found.get("major", 11),
        minor=found.get("minor", 0),
        gcnArchName=found.get("arch", ""),
        total_memory=found["total_bytes"],
        uuid=found.get("uuid"),
        pci_domain_id=int(domain, 16),
        pci_bus_id=int(bus, 16),
        pci_device_id=int(rest.split(".")[0], 16),
    )


def init():
    meet("init")
    if not count_devices():
        raise RuntimeError("No HIP GPUs are available" if CONFIG["hip"] else "No CUDA GPUs are available")


class Event:
    def __init__(self, enable_timing):
        meet("event")

    def record(self):
        pass


emptied = []

cuda = types.SimpleNamespace(
    device=lambda device: contextlib.nullcontext(),
    Event=Event,
    memory_allocated=lambda device: CONFIG.get("allocated_bytes", 0),
    memory_reserved=lambda device: CONFIG.get("reserved_bytes", 0),
    empty_cache=lambda: emptied.append(1),
    _is_in_bad_fork=lambda: CONFIG.get("is_in_bad_fork", False),
    is_initialized=lambda: bool(started),
    is_available=lambda: count_devices() > 0 and not CONFIG.get("is_unavailable"),
    device_count=lambda: CONFIG.get("device_count", count_devices()),
    init=init,
    get_device_properties=get_device_properties,
    get_arch_list=lambda: CONFIG["arch_list"],
    synchronize=lambda device: meet("synchronise"),
    mem_get_info=lambda device: (count_free(), list_visible()[0]["total_bytes"]),
)
_C = types.SimpleNamespace(_cuda_getDeviceCount=count_devices)
backends = types.SimpleNamespace(
    cudnn=types.SimpleNamespace(), cuda=types.SimpleNamespace(matmul=types.SimpleNamespace(allow_tf32=True))
)
nn = types.SimpleNamespace(functional=types.SimpleNamespace(conv2d=conv2d))
