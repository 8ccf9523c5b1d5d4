"""The evidence of a verification, as a folder that a person can read and a program can check.

`verdict.json`, `report.md` with its plot, `receipt.json`, and under `raw/` what every tool printed, as it was printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import Verdict
from sir_convert_a_lot.infrastructure.host_evidence.activity_plot import draw
from sir_convert_a_lot.infrastructure.host_evidence.page import write_page

VERDICT = "verdict.json"
RECEIPT = "receipt.json"
PLOT = "gpu_activity.svg"
PAGE = "report.md"
RAW = "raw"


def write_evidence(folder: Path, verdict: Verdict, reports: Mapping[str, CheckReport]) -> None:
    """Write all of it into `folder`, which is made. Files of an earlier verification there are replaced by their names.

    Raises `OSError` when the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (folder / RECEIPT, folder / PLOT):
        stale.unlink(missing_ok=True)
    for check, report in reports.items():
        place = folder / RAW / check
        for name, content in report.raw.items():
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        if report.receipt is not None:
            _write_json(folder / RECEIPT, dict(report.receipt))
        if report.activity is not None:
            (folder / PLOT).write_text(draw(report.activity), "utf-8")
    _write_json(folder / VERDICT, verdict.to_json())
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    (folder / PAGE).write_text(write_page(verdict, files, PLOT), "utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
