"""`convert-a-lot receipt JOB`: which device did each stage of a job, and how that was seen."""

from __future__ import annotations

from typing import Any

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json, answer_table, say


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
    for name in (
        "engine",
        "engine_version",
        "acceleration_policy",
        "acceleration_used",
        "grade",
        "wall_ms",
        "probe_id",
    ):
        answer(f"{name + ':':<21}{_cell(execution.get(name))}")
    columns = ("stage", "device_asked", "device_used", "wall_ms", "device_ms", "operations", "measured_by")
    stages = execution.get("stages") or ()
    answer_table(columns, [tuple(_cell(stage.get(column)) for column in columns) for stage in stages])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
