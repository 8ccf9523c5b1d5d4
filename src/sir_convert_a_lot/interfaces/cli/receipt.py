"""`convert-a-lot receipt JOB`: which device did each stage of a job, and how that was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json, answer_table, say

MIB = 1 << 20
HEAD = ("engine", "engine_version", "acceleration_policy", "acceleration_used", "grade", "wall_ms", "probe_id")
COLUMNS = ("stage", "device_asked", "device_used", "wall_ms", "device_ms", "operations", "kernels")


def receipt(
    job: options.JobId,
    *,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Show which device did each stage of a job.

    That is the execution receipt; only a job that succeeded has one.
    """
    from sir_convert_a_lot.interfaces.client.answers import ResultView

    with connect(service_url, api_key) as client:
        result = client.result(job)
    if not isinstance(result, ResultView):
        if as_json:
            answer_json({"job_id": job, "status": result.status.value, "execution": None})
        say(f"{job} is still {result.status.value}; a receipt is written when it has succeeded")
        return ExitCode.STILL_RUNNING
    if result.execution is None:
        say(f"this service tells no receipt for {job}")
        return ExitCode.UNKNOWN
    if as_json:
        answer_json(result.execution)
    else:
        _show(result.execution)
    return ExitCode.OK


def _show(execution: dict[str, Any]) -> None:
    """For people. `-` stands for what was not measured or does not apply, which is not zero."""
    for name in HEAD:
        answer(_line(name, _cell(execution.get(name))))
    for line in (*_tell_device(execution.get("device")), *_tell_activity(execution.get("activity"))):
        answer(line)
    stages = execution.get("stages") or ()
    answer_table(COLUMNS, [tuple(_cell(stage.get(column)) for column in COLUMNS) for stage in stages])
    for line in _tell_how(stages):
        answer(line)


def _tell_device(device: dict[str, Any] | None) -> list[str]:
    if not device:
        return []
    told = [device.get(key) for key in ("device", "name", "arch", "pci_id")]
    told.append(_bytes(device["vram_bytes"]) if device.get("vram_bytes") is not None else None)
    told += [f"{key} {device[key]}" for key in ("driver", "torch", "hip", "cuda") if device.get(key)]
    return [_line("device", ", ".join(word for word in told if word))]


def _tell_activity(activity: dict[str, Any] | None) -> list[str]:
    """What was seen of the device in four lines, each against the same device at rest."""
    if not activity:
        return []
    age_ms = activity.get("baseline_age_ms")
    idle_samples = len(activity.get("baseline") or ())
    rest = "none at rest" if age_ms is None else f"{idle_samples} at rest, {age_ms / 1000:.1f} s before"
    missing = activity.get("unavailable") or {}

    def against(figure: str, write: Callable[[Any], str]) -> str:
        idle, peak = activity.get(f"{figure}_idle"), activity.get(f"{figure}_peak")
        if peak is None:
            return f"- ({missing.get(figure, 'not told')})"
        return f"{write(peak)} at most, {'-' if idle is None else write(idle)} at rest"

    counter = f"{activity.get('busy_counter')}: {activity.get('busy_counter_reason')}"
    return [
        _line("activity", f"{activity.get('source')}; samples: {activity.get('samples_taken')} in the job, {rest}"),
        _line("  busy counter", counter),
        _line("  process memory", against("process_bytes", _bytes)),
        _line("  process busy", against("process_busy_percent", lambda value: f"{value:g} %")),
        _line("  power", against("power_w", lambda value: f"{value:.0f} W")),
    ]


def _tell_how(stages: Sequence[dict[str, Any]]) -> list[str]:
    """How each device was seen, once for all stages that say the same, one look a line."""
    by_text: dict[str, list[str]] = {}
    for stage in stages:
        names = by_text.setdefault(str(stage.get("measured_by")), [])
        if str(stage.get("stage")) not in names:
            names.append(str(stage.get("stage")))
    lines = []
    for text, names in by_text.items():
        lines.append(f"seen of {', '.join(names)}:")
        lines += [f"  {look}" for look in text.split("; ")]
    return lines


def _line(name: str, value: str) -> str:
    return f"{name + ':':<21}{value}"


def _bytes(size: int) -> str:
    return f"{size / MIB:.0f} MiB"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
