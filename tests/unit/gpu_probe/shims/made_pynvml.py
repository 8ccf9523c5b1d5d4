"""A stand-in for nvidia-ml-py's `pynvml`: what the probe's child asks of it, answered from `made_pynvml.json`.

Lives under tests/ alone, and is copied into a fake root's site-packages as `pynvml.py`.
"""

import json
import types
from pathlib import Path

CONFIG = json.loads((Path(__file__).parent / "made_pynvml.json").read_text())
XIDS = list(CONFIG.get("xids", []))
LATE_XIDS = list(CONFIG.get("late_xids", []))  # come once something was computed, so at the second reading

NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
NVML_VOLATILE_ECC = 0
NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 230
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_TIMEOUT = 10
nvmlEventTypeXidCriticalError = 8


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


def nvmlInit():
    if CONFIG.get("init"):
        raise NVMLError(CONFIG["init"])


def nvmlShutdown():
    pass


def nvmlDeviceGetHandleByPciBusId(address):
    return address


def tell(name):
    if CONFIG.get(name) is None:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return CONFIG[name]


def nvmlDeviceGetTotalEccErrors(handle, kind, counter):
    assert (kind, counter) == (1, 0)
    return tell("uncorrected_ecc")


def nvmlDeviceGetFieldValues(handle, fields):
    assert fields == [NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
    return [types.SimpleNamespace(nvmlReturn=0, value=types.SimpleNamespace(uiVal=tell("recovery_action")))]


def nvmlDeviceGetRemappedRows(handle):
    return (0, 0, 0, tell("row_remap_failed"))


def nvmlDeviceGetComputeMode(handle):
    return tell("compute_mode")


def nvmlEventSetCreate():
    return "events"


def nvmlDeviceRegisterEvents(handle, kinds, events):
    assert kinds == nvmlEventTypeXidCriticalError


def nvmlEventSetWait_v2(events, timeout_ms):
    assert timeout_ms == 0
    if not XIDS:
        XIDS.extend(LATE_XIDS)
        LATE_XIDS.clear()
        raise NVMLError(NVML_ERROR_TIMEOUT)
    return types.SimpleNamespace(eventData=XIDS.pop(0))
