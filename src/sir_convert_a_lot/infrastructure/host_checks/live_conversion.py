"""Check 5: a real PDF, converted by the service under `gpu_required`, with proof that the GPU did it.

Owns what counts as proof here: the result's own word, its receipt's grade, and no stage that ran on the CPU. The GPU's
busy counter is watched on the host meanwhile and told with its peak, and passes nothing by itself: on healthy chips it
may be stuck. Where it is, the verdict rests on a PROVEN receipt and on the memory that the very process held.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.domain.errors import RetryLaterError, SirConvertError
from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import Present
from sir_convert_a_lot.domain.host_access import HostNotReached
from sir_convert_a_lot.domain.host_check import CheckReport, HostActivity, LiveResult
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.domain.receipt import Grade
from sir_convert_a_lot.infrastructure.host_checks.busy_counter import judge_activity
from sir_convert_a_lot.infrastructure.host_checks.findings import failed, passed, remedies_of_cause, unknown
from sir_convert_a_lot.infrastructure.host_checks.gpu_sampling import REST_S, find_kind, sample_rest, sample_while
from sir_convert_a_lot.infrastructure.host_checks.service import open_service

# The first conversion loads the models, and the first convolutions of a new shape may be compiled for minutes.
CONVERSION_LIMIT_S = 900.0
EXAMPLE = "examples/digital.pdf"
GOOD_GRADES = {Grade.PROVEN.value, Grade.CORROBORATED.value}
CPU = "cpu"
SAYS_CPU = re.compile(r"\bcpu\b", re.IGNORECASE)  # warnings are sentences; one that speaks of the CPU is read as one

READ_SERVICE_LOG = Remedy("Read the service's log of this job", "journalctl --user -u sir-convert-a-lot.service -n 100")


class LiveConversionCheck:
    """`rest_s`: how long the GPU is watched at rest before."""

    name = "live_conversion"
    needs = ("gpu_probe", "torch_builds", "service")

    def __init__(self, rest_s: float = REST_S) -> None:
        self._rest_s = rest_s

    def look(self, site: CheckSite) -> CheckReport:
        with _find_pdf(site) as pdf:
            if pdf is None:
                remedy = Remedy("Name a PDF to convert", "convert-a-lot host verify --pdf paper.pdf")
                told = f"there is no {EXAMPLE} in {site.profile.root} to convert"
                return CheckReport((unknown(self.name, "pdf_missing", told, [], remedy),))
            return self._convert(site, pdf)

    def _convert(self, site: CheckSite, pdf: Path) -> CheckReport:
        kind = find_kind(site)
        idle, idle_raw = sample_rest(site.host, kind, self._rest_s)
        with open_service(site) as service:
            try:
                result, working, working_raw = sample_while(
                    site.host, kind, CONVERSION_LIMIT_S, lambda: service.convert(pdf, CONVERSION_LIMIT_S)
                )
            except HostNotReached:
                raise  # the sampler lost the host: that is the finding
            except SirConvertError as error:
                return CheckReport((self._tell_error(error),), {"gpu_idle.jsonl": idle_raw})
        raw = {"gpu_idle.jsonl": idle_raw, "gpu_working.jsonl": working_raw}
        if result is None:
            told = f"the conversion did not end within {CONVERSION_LIMIT_S:.0f} s and was canceled"
            return CheckReport((unknown(self.name, "conversion_hung", told, [], READ_SERVICE_LOG),), raw)
        finding = self._judge(result)
        pci_id = _find_device(result, working.samples[0].pci_id if working.samples else "unknown")
        activity = HostActivity(pci_id, idle, working)
        findings = (finding, judge_activity(self.name, activity, result.receipt or {}))
        return CheckReport(findings, raw, result.receipt, activity)

    def _tell_error(self, error: SirConvertError) -> Finding:
        details = error.details
        evidence = [error.message, *(str(line) for line in details.get("evidence") or ())]
        remedies = remedies_of_cause(details.get("cause"), details.get("remediation") or [READ_SERVICE_LOG.sentence])
        if isinstance(error, RetryLaterError):
            return unknown(
                self.name, error.code, f"the service did not take the job: {error.message}", evidence, *remedies
            )
        told = f"the conversion was refused or failed: {details.get('cause') or error.code}"
        return failed(self.name, error.code, told, evidence, *remedies)

    def _judge(self, result: LiveResult) -> Finding:
        receipt = result.receipt
        evidence = [f"job {result.job_id}: acceleration_used {result.acceleration_used}", *result.warnings]
        if result.acceleration_used != "cuda":
            told = f"the conversion ran on {result.acceleration_used}, and gpu_required was asked for"
            return failed(self.name, "ran_on_cpu", told, evidence, *remedies_of_cause(Cause.STAGE_FELL_BACK.value))
        if receipt is None:
            told = "the service tells no receipt, so nothing is proven"
            remedy = Remedy("Bring the project on the host to this version, and restart the service")
            return failed(self.name, "receipt_missing", told, evidence, remedy)
        evidence += [_tell_stage(stage) for stage in _stages(receipt)]
        on_cpu = [str(stage.get("stage")) for stage in _stages(receipt) if _fell_back(stage)]
        warnings = [warning for warning in result.warnings if SAYS_CPU.search(warning)]
        if on_cpu or warnings:
            told = f"part of the conversion ran on the CPU: {', '.join(on_cpu) or warnings[0]}"
            return failed(self.name, "stage_on_cpu", told, evidence, *remedies_of_cause(Cause.STAGE_FELL_BACK.value))
        grade = receipt.get("grade")
        if grade not in GOOD_GRADES:
            told = f"the receipt's grade is {grade}: it does not prove the GPU"
            return failed(self.name, "receipt_not_proven", told, evidence, READ_SERVICE_LOG)
        return passed(self.name, f"converted on the GPU, receipt {grade}, in {result.elapsed_s:.1f} s", evidence)


@contextmanager
def _find_pdf(site: CheckSite) -> Iterator[Path | None]:
    """The PDF that was asked for, else the project's example, fetched from the host."""
    if site.pdf is not None:
        yield site.pdf
        return
    content = site.host.read_file(f"{site.profile.root}/{EXAMPLE}")
    if not isinstance(content, Present):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder) / Path(EXAMPLE).name
        pdf.write_bytes(content.value)
        yield pdf


def _stages(receipt: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [stage for stage in receipt.get("stages") or () if isinstance(stage, dict)]


def _fell_back(stage: Mapping[str, Any]) -> bool:
    """A GPU was asked for, and the CPU did it."""
    return stage.get("device_asked") != CPU and stage.get("device_used") == CPU


def _tell_stage(stage: Mapping[str, Any]) -> str:
    return f"{stage.get('stage')}: {stage.get('device_used')} ({stage.get('measured_by')})"


def _find_device(result: LiveResult, otherwise: str) -> str:
    """The PCI id of the device in the receipt; a host with one GPU needs none."""
    device = (result.receipt or {}).get("device")
    told = device.get("pci_id") if isinstance(device, dict) else None
    return str(told).lower() if told else otherwise
