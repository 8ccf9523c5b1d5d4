"""What the answers of the product must say for a check to hold. Pure: JSON and exceptions in, a verdict out.

Owns the expectations. An answer that lacks what is expected is a failed check, never a skipped one; what the machine
does not let be seen is unknown. Refuses to run anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpu_acceptance_evidence import Outcome, Verdict

Json = Mapping[str, Any]

PROVEN, CORROBORATED = "PROVEN", "CORROBORATED"
NO_DEVICE = "none"  # of a stage that had nothing to compute
CPU_BY_NATURE = frozenset({"page_parsing", "assembly"})  # design: the stages that are declared to run on the CPU
MAY_BE_IDLE = frozenset({"table_structure"})
MAX_OVERHEAD_PERCENT = 3.0
SHOWN_OF_ACTIVITY = frozenset(
    {"source", "process_bytes_peak", "busy_counter", "busy_counter_reason", "unavailable"}
    | {
        f"{figure}_{when}"
        for figure in ("busy_percent", "process_busy_percent", "power_w")
        for when in ("idle", "peak")
    }
)


def judge_probe(snapshot: Json) -> Verdict:
    """The whole ladder passed on this machine itself."""
    if snapshot["simulated"]:
        return Verdict(Outcome.FAILED, "the snapshot is simulated, so it says nothing of this machine")
    if snapshot["is_available"]:
        rungs = {rung["rung"]: rung["duration_ms"] for rung in snapshot["rungs"]}
        seen = f"{snapshot['device_name']} at {snapshot['pci_id']} ({snapshot['arch']}), all {len(rungs)} rungs passed"
        return Verdict(Outcome.OK, seen, {"rungs_ms": rungs, "probe_id": snapshot["probe_id"]})
    incomplete = snapshot["cause"] in {None, "probe_incomplete"}
    seen = f"{snapshot['cause'] or 'not proven'} at {snapshot['rung']}"
    details = {"evidence": list(snapshot["evidence"]), "remediation": list(snapshot["remediation"])}
    return Verdict(Outcome.UNKNOWN if incomplete else Outcome.FAILED, seen, details)


def judge_conversion(result: Json, snapshot: Json, *, needs_ocr: bool = False) -> Verdict:
    """A `gpu_required` result: on the GPU by its own receipt, every stage, and the GPU is the one the probe proved."""
    receipt, metadata = result.get("execution") or {}, result["conversion_metadata"]
    stages, grade = receipt.get("stages", ()), receipt.get("grade")
    problems = [*_stage_problems(stages, needs_ocr=needs_ocr), *_device_problems(receipt, snapshot)]
    if metadata["acceleration_used"] != "cuda" or receipt.get("acceleration_used") != "cuda":
        problems.insert(0, f"acceleration_used is {metadata['acceleration_used']}")
    if grade not in {PROVEN, CORROBORATED}:
        problems.insert(0, f"its grade is {grade}")
    if receipt.get("acceleration_policy") != "gpu_required" or not receipt.get("probe_id"):
        problems.append("the receipt names no gpu_required promise with its probe")
    shown = ("device_used", "device_ms", "operations", "kernels")
    details = {
        "grade": grade,
        "stages": [{"stage": stage["stage"]} | {name: stage[name] for name in shown} for stage in stages],
        "problems": problems,
    }
    if problems:
        return Verdict(Outcome.FAILED, "; ".join(problems), details)
    told = "" if grade == PROVEN else " (no record of operations or kernels for every stage)"
    spent = sum(stage["device_ms"] or 0.0 for stage in stages)
    seen = f"{grade}{told}: {spent:.0f} ms between device events, {receipt['wall_ms']:.0f} ms in all"
    return Verdict(Outcome.OK, seen, details)


def _stage_problems(stages: Sequence[Json], *, needs_ocr: bool) -> list[str]:
    problems = []
    if not any(stage["device_asked"] != "cpu" for stage in stages):
        problems.append("no stage was asked to use the GPU")
    if needs_ocr and not any(stage["stage"] == "ocr" for stage in stages):
        problems.append("it needs OCR and has no OCR stage")
    for stage in stages:
        name, asked, used = stage["stage"], stage["device_asked"], stage["device_used"]
        if asked == "cpu" and name not in CPU_BY_NATURE:
            problems.append(f"{name} was asked to run on the CPU")
        elif used != asked and not (used == NO_DEVICE and name in MAY_BE_IDLE):
            problems.append(f"{name} was asked to run on {asked} and ran on {used}")
    return problems


def _device_problems(receipt: Json, snapshot: Json) -> list[str]:
    """The receipt's own words on the device, held against the probe's."""
    device = receipt.get("device")
    if not device:
        return ["the receipt names no device"]
    return [
        f"the receipt's {ours} is {device.get(ours)}, and the probe saw {snapshot.get(theirs)}"
        for ours, theirs in (
            ("pci_id", "pci_id"),
            ("name", "device_name"),
            ("arch", "arch"),
            ("torch", "torch_version"),
        )
        if device.get(ours) != snapshot.get(theirs)
    ]


def judge_activity(receipts: Sequence[Json]) -> Verdict:
    """What was seen from beside the engine: its own memory in every job, and work above rest in at least one."""
    problems, figures, rose = [], [], False
    for receipt in receipts:
        activity = receipt.get("activity")
        if not activity or activity["source"] == "none":
            problems.append("a receipt has no GPU activity")
            continue
        figures.append({name: value for name, value in activity.items() if name in SHOWN_OF_ACTIVITY})
        if activity["simulated"]:
            problems.append("GPU activity is simulated")
        if not activity["process_bytes_peak"]:
            why = activity["unavailable"].get("process_bytes", "it was read as none")
            problems.append(f"the worker's own memory on the GPU was not seen: {why}")
        rose = rose or _rose(activity)
    details = {"activity": figures}
    if problems or not receipts:
        return Verdict(Outcome.FAILED, "; ".join(dict.fromkeys(problems)) or "there is no receipt", details)
    if not rose:
        reasons = "; ".join(dict.fromkeys(figure["busy_counter_reason"] for figure in figures))
        return Verdict(Outcome.UNKNOWN, f"own memory was seen, work above rest was not: {reasons}", details)
    peak = max(figure["process_bytes_peak"] for figure in figures)
    seen = f"own memory up to {peak >> 20} MiB in {len(figures)} jobs, and the GPU worked more than at rest"
    return Verdict(Outcome.OK, seen, details)


def _rose(activity: Json) -> bool:
    """The device's counter where it can be trusted, or the driver's own samples of this very process."""
    if activity["busy_counter"] == "usable" and _above(activity, "busy_percent"):
        return True
    return _above(activity, "process_busy_percent")


def _above(activity: Json, figure: str) -> bool:
    idle, peak = activity[f"{figure}_idle"], activity[f"{figure}_peak"]
    return idle is not None and peak is not None and peak > idle


def judge_refusal(error: Exception, cause: str, stored: Sequence[str]) -> Verdict:
    """503 `gpu_not_available` with this cause, and nothing stored."""
    details = dict(getattr(error, "details", {}))
    code, status, found = getattr(error, "code", None), getattr(error, "status", None), details.get("cause")
    details |= {"code": code, "http_status": status, "stored": list(stored)}
    problems = []
    if (code, status) != ("gpu_not_available", 503):
        problems.append(f"refused as {code} ({status}): {error}")
    if found != cause:
        problems.append(f"its cause is {found}, not {cause}")
    if details.get("reason") != "backend_gpu_runtime_unavailable" or not details.get("remediation"):
        problems.append("the refusal lacks its reason or a remedy")
    if stored:
        problems.append(f"{len(stored)} files were stored")
    if problems:
        return Verdict(Outcome.FAILED, "; ".join(problems), details)
    return Verdict(Outcome.OK, f"503 gpu_not_available, {cause} at {details['rung']}; nothing stored", details)


def judge_kill(job: Json, error: Exception | None) -> Verdict:
    """A worker killed in the middle fails its job as `worker_crashed`, retryable, by SIGKILL; never a result."""
    details = {"status": job["status"], "progress": job.get("progress")}
    if job["status"] == "succeeded" or error is None:
        return Verdict(Outcome.UNKNOWN, "the job was over before its worker was killed", details)
    told = dict(getattr(error, "details", {}))
    code = getattr(error, "code", None)
    details |= {"code": code, "retryable": getattr(error, "retryable", None), "signal": told.get("signal")}
    if job["status"] != "failed" or code != "worker_crashed" or told.get("signal") != "SIGKILL":
        return Verdict(Outcome.FAILED, f"the job is {job['status']} as {code} by {told.get('signal')}", details)
    return Verdict(Outcome.OK, "failed as worker_crashed by SIGKILL, retryable, its output withheld", details)


def judge_recovery(first: Json, after: Json, conversion: Verdict) -> Verdict:
    """The job after the kill: proven, in another process, on a look at the GPU that was taken anew."""
    problems = [] if conversion.outcome is Outcome.OK else [conversion.seen]
    if after.get("worker_pid") == first.get("worker_pid"):
        problems.append("it ran in the process that was killed")
    if after.get("probe_id") == first.get("probe_id"):
        problems.append("the GPU was not proven anew")
    if problems:
        return Verdict(Outcome.FAILED, "; ".join(problems), conversion.details)
    return Verdict(Outcome.OK, f"a fresh worker after a fresh probe: {conversion.seen}", conversion.details)


def judge_cpu_only(result: Json, own: set[int], on_gpu: set[int], control: int | None) -> Verdict:
    """The worker that converted was never on the driver's list, while the list is seen to know a worker that was.

    `own`: pids of the service that converted; `on_gpu`: all pids that the driver listed meanwhile; `control`: the pid
    of a worker that used the GPU. Other processes of that service may be listed: it looks at the GPU by itself, and
    loads models there ahead of jobs that ask for it.
    """
    receipt = result.get("execution") or {}
    used = sorted({stage["device_used"] for stage in receipt.get("stages", ())})
    worker = receipt.get("worker_pid")
    details = {
        "stage_devices": used,
        "processes_of_the_service": len(own),
        "of_them_on_the_gpu": len(own & on_gpu),
        "the_worker_was_on_the_gpu": worker in on_gpu,
        "the_list_knew_a_gpu_worker": control in on_gpu,
    }
    problems = ["the worker that converted was on the GPU"] if worker in on_gpu else []
    if receipt.get("acceleration_used") != "cpu" or set(used) - {"cpu", NO_DEVICE} or receipt.get("grade") is not None:
        problems.append(f"the receipt says {receipt.get('acceleration_used')}, stages on {', '.join(used)}")
    if problems:
        return Verdict(Outcome.FAILED, "; ".join(problems), details)
    if control not in on_gpu:
        return Verdict(Outcome.UNKNOWN, "the driver's list did not show the worker that did use the GPU", details)
    if worker not in own:
        return Verdict(Outcome.UNKNOWN, "the worker that converted was not seen among the service's processes", details)
    return Verdict(Outcome.OK, "the worker that converted was never on the driver's list; a GPU worker was", details)


def judge_overhead(measured: Json, *, models_are_tiny: bool) -> Verdict:
    """Under 3 % of the conversion, with 95 % confidence either way. With tiny models a larger share says little: their
    conversions are too short.
    """
    low, high = measured["overhead_percent_95"]
    seen = f"{measured['overhead_percent']} % ({low} to {high} %) of {measured['bare_ms']} ms"
    if high < MAX_OVERHEAD_PERCENT:
        return Verdict(Outcome.OK, seen, dict(measured))
    if low < MAX_OVERHEAD_PERCENT:
        return Verdict(Outcome.UNKNOWN, f"{seen}: the times scatter too much to tell", dict(measured))
    if models_are_tiny:
        return Verdict(Outcome.UNKNOWN, f"{seen}; tiny models are too short a measure", dict(measured))
    return Verdict(Outcome.FAILED, f"{seen}, and {MAX_OVERHEAD_PERCENT:g} % is the limit", dict(measured))


def key_figures(result: Json) -> dict[str, Any]:
    """What of a result stands in the evidence: all of the receipt but the single samples of its activity."""
    receipt = dict(result.get("execution") or {})
    activity = receipt.get("activity")
    if activity:
        receipt["activity"] = {name: value for name, value in activity.items() if name not in {"samples", "baseline"}}
    return {"conversion_metadata": dict(result["conversion_metadata"]), "receipt": receipt}
