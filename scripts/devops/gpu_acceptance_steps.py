"""The checks of an acceptance run that need no fault: conversions on the GPU, one that must not touch it, refusals.

Owns which service each check talks to and what is kept of it. What a check may expect is `gpu_acceptance_judges`'
business; what goes wrong on the way is that check's outcome, told with its cause.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pypdfium2
from gpu_acceptance_evidence import Evidence, Outcome, Verdict
from gpu_acceptance_host import ProcessWatch, Unreadable
from gpu_acceptance_judges import (
    judge_activity,
    judge_conversion,
    judge_cpu_only,
    judge_overhead,
    judge_refusal,
    key_figures,
)
from gpu_acceptance_service import Service, own_environment, run_json, tell_command

PROMISED = {"SIR_CONVERT_A_LOT_PROMISED_DEVICE": "gpu"}
# Nowhere: bus ff is the last one, and a function 7 there belongs to no GPU.
ABSENT_PCI_ID = "0000:ff:1f.7"
LONG_PAGES, BUSY_PAGES = 160, 30
OVERHEAD_ROUNDS, OVERHEAD_LIMIT_S = 40, 240.0


@dataclass(slots=True)
class Run:
    """What the steps share. `folder` is the output directory; `scratch` is gone after the run."""

    evidence: Evidence
    repository: Path
    folder: Path
    scratch: Path
    models: Path | None
    models_are_tiny: bool
    pdfs: list[Path]
    snapshot: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)  # of gpu_required conversions that gave one

    @property
    def receipts(self) -> list[dict[str, Any]]:
        return [result["execution"] for result in self.results if result.get("execution")]

    def check(self, name: str, look: Callable[[], Verdict]) -> Verdict:
        """Run one planned check. The boundary of a check: an error in it is its outcome, and the others go on."""
        began = time.monotonic()
        try:
            verdict = look()
        except Exception as error:  # noqa: BLE001 - told as the failure of this check, with its kind
            details = dict(getattr(error, "details", None) or {})
            verdict = Verdict(Outcome.FAILED, f"{type(error).__name__}: {error}", details)
        return self.evidence.conclude(name, verdict, began)

    def service(self, name: str, settings: dict[str, str]) -> Service:
        told = " ".join(f"{variable}={value!r}" for variable, value in settings.items())
        self.evidence.tell(commands=f"{told} python -m sir_convert_a_lot serve".strip())
        return Service(name, self.scratch, self.models, settings)

    def ocr_mode(self, pdf: Path) -> str:
        """`auto`, as everyone gets it; untrained models read no text, so with those only a scan is given OCR."""
        return "off" if self.models_are_tiny and has_text(pdf) else "auto"


def has_text(pdf: Path) -> bool:
    """Whether any page carries text. Not so where it cannot be opened: its conversion tells that."""
    try:
        with pypdfium2.PdfDocument(pdf) as document:
            return any(page.get_textpage().count_chars() for page in document)
    except (pypdfium2.PdfiumError, OSError):
        return False


def join_pages(pdfs: list[Path], pages: int, target: Path) -> Path:
    """The pages of `pdfs`, over and over, as one PDF of so many pages."""
    with pypdfium2.PdfDocument.new() as joined:
        while len(joined) < pages:
            for pdf in pdfs:
                with pypdfium2.PdfDocument(pdf) as source:
                    wanted = range(min(len(source), pages - len(joined)))
                    if wanted:  # an empty list would mean all of them
                        joined.import_pages(source, list(wanted))
        joined.save(target)
    return target


def check_ready(run: Run, service: Service) -> bool:
    """`/readyz` under `promised_device=gpu`: 200, and the GPU proven."""

    def look() -> Verdict:
        status, body = service.readyz()
        gpu = body.get("gpu") or {}
        is_ready = (status, body.get("status"), gpu.get("state")) == (200, "ready", "proven")
        seen = f"/readyz answers {status} {body.get('status')}, the GPU is {gpu.get('state')}"
        return Verdict(Outcome.OK if is_ready else Outcome.FAILED, seen, {"body": body})

    return run.check("ready", look).outcome is Outcome.OK


def convert_one(run: Run, service: Service, pdf: Path) -> Verdict:
    """Convert it under `gpu_required`; the receipt is kept whole beside the evidence."""
    ocr_mode = run.ocr_mode(pdf)
    began = time.monotonic()
    result = service.convert(pdf, ocr_mode=ocr_mode)
    took_s = round(time.monotonic() - began, 3)
    verdict = judge_conversion(result, run.snapshot, needs_ocr=ocr_mode == "auto" and not has_text(pdf))
    receipts = run.folder / "receipts"
    receipts.mkdir(exist_ok=True)
    kept = receipts / f"{len(run.results):02}_{pdf.stem}.json"
    kept.write_text(json.dumps(result.get("execution"), indent=2) + "\n", encoding="utf-8")
    run.results.append(result)
    with pypdfium2.PdfDocument(pdf) as document:
        pages = len(document)
    run.evidence.tell(
        conversions={
            "pdf": pdf.name,
            "pdf_sha256": sha256(pdf.read_bytes()).hexdigest(),
            "pages": pages,
            "ocr_mode": ocr_mode,
            "took_s": took_s,
            "warnings": result.get("warnings", []),
            "markdown_bytes": result["artifact"]["size_bytes"],
            **key_figures(result),
        },
        machine={name: (result["execution"].get("device") or {}).get(name) for name in ("driver", "cuda", "hip")},
    )
    return verdict


def convert_all(run: Run, service: Service) -> None:
    for pdf in run.pdfs:
        run.check(f"conversion:{pdf.name}", partial(convert_one, run, service, pdf))


def check_activity(run: Run) -> None:
    run.check("activity", lambda: judge_activity(run.receipts))


def check_masked(run: Run) -> None:
    """A service whose environment hides the GPU refuses, and knows why. An empty value hides nothing from HIP."""
    is_rocm = run.snapshot["runtime_kind"] == "rocm"
    mask = {"HIP_VISIBLE_DEVICES": "-1"} if is_rocm else {"CUDA_VISIBLE_DEVICES": ""}
    check_refusal(run, "masked_by_env", "masked", mask)


def check_wrong_device(run: Run) -> None:
    """A service that was told to use a GPU which is not there does not use another one."""
    check_refusal(run, "wrong_device_selected", "wrong_device", {"SIR_CONVERT_A_LOT_GPU_PCI_ID": ABSENT_PCI_ID})


def check_refusal(run: Run, cause: str, name: str, settings: dict[str, str]) -> None:
    def look() -> Verdict:
        with run.service(name, settings | PROMISED) as service:
            return refuse(run, service, cause)

    run.check(cause, look)


def refuse(run: Run, service: Service, cause: str) -> Verdict:
    """A `gpu_required` conversion that must be refused at admission."""
    try:
        job = service.submit(run.pdfs[0])
    except Exception as error:  # noqa: BLE001 - whatever it refused with is what is judged
        status, body = service.readyz()
        verdict = judge_refusal(error, cause, service.list_stored())
        if verdict.outcome is Outcome.OK and (status != 503 or body["gpu"]["cause"] != cause):
            return Verdict(Outcome.FAILED, f"/readyz answers {status} with {body['gpu']}", verdict.details)
        return verdict
    return Verdict(Outcome.FAILED, f"the job was accepted as {job.status.value}", {"job": job.raw})


def convert_on_cpu(run: Run, watch: ProcessWatch) -> dict[str, Any]:
    """A `cpu_only` conversion by Docling in a service of its own, whose processes are followed meanwhile."""
    with run.service("cpu", {}) as service:
        watch.service_pid = service.pid
        try:
            pdf = next((pdf for pdf in run.pdfs if has_text(pdf)), run.pdfs[0])
            return service.convert(pdf, policy="cpu_only")
        finally:
            watch.service_pid = None


def check_cpu_only(run: Run, watch: ProcessWatch | Unreadable, convert: Callable[[], dict[str, Any]]) -> None:
    """Concluded once the GPU worker's conversions are over too: it is the control."""

    def look() -> Verdict:
        if isinstance(watch, Unreadable):
            return Verdict(Outcome.UNKNOWN, f"who holds the GPU could not be read: {watch}")
        result = convert()
        if watch.problem:
            return Verdict(Outcome.UNKNOWN, f"who holds the GPU could not be read: {watch.problem}")
        workers = [receipt["worker_pid"] for receipt in run.receipts]
        control = next((pid for pid in workers if pid in watch.on_gpu), None)
        verdict = judge_cpu_only(result, watch.of_service, watch.on_gpu, control)
        verdict.details["looks"] = watch.looks
        return verdict

    run.check("cpu_only", look)


def check_overhead(run: Run) -> None:
    """The project's own benchmark, alone on the machine."""
    script = Path("benchmarks") / "receipt_overhead.py"
    options = ["--device", "cuda:0", "--rounds", str(OVERHEAD_ROUNDS)]
    command = [sys.executable, str(run.repository / script), *options]
    run.evidence.tell(commands=tell_command([sys.executable, str(script), *options]))

    def look() -> Verdict:
        environ = own_environment(None if run.models_are_tiny else run.models)
        code, measured = run_json(command, environ, OVERHEAD_LIMIT_S)
        if code != 0:
            return Verdict(Outcome.FAILED, f"the benchmark exited {code}")
        run.evidence.tell(measured={"receipt_overhead": measured})
        return judge_overhead(measured, models_are_tiny=run.models_are_tiny)

    run.check("receipt_overhead", look)
