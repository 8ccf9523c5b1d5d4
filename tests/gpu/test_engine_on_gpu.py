"""Docling on a real GPU with tiny models: receipts that prove it, and a fall-back that is seen and refused.

`convert_document` is the product's: the same code that a worker runs for a job.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sir_convert_a_lot.application.convert import Conversion, ConversionOrder, convert_document
from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.domain.receipt import NO_DEVICE, Grade
from sir_convert_a_lot.infrastructure.gpu_activity.witness import GpuWitness
from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

pytestmark = pytest.mark.gpu

DEVICE = "cuda:0"
Convert = Callable[..., Conversion]


def order_for(pdf: Path, snapshot: ProbeSnapshot, ocr_mode: str = "off") -> ConversionOrder:
    spec = {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": pdf.name},
        "conversion": {"backend_strategy": "docling", "ocr_mode": ocr_mode},
        "execution": {"acceleration_policy": "gpu_required"},
    }
    return ConversionOrder(
        spec=JobSpec.model_validate(spec),
        device=DEVICE,
        probe_id=snapshot.probe_id,
        warnings=(),
        max_pages=100,
        max_page_pixels=40_000_000,
    )


def convert(
    engine: DoclingEngine, pdf: Path, snapshot: ProbeSnapshot, witness: GpuWitness | None = None, ocr_mode: str = "off"
) -> Conversion:
    order = order_for(pdf, snapshot, ocr_mode)
    return convert_document(pdf, order, engine, normalise, lambda *_: None, witness=witness)


def gpu_stages(conversion: Conversion) -> dict[str, dict[str, Any]]:
    stages = conversion.metadata.execution["stages"]
    return {stage["stage"]: stage for stage in stages if stage["device_asked"] != "cpu"}


@pytest.fixture(scope="module")
def digital(engine: DoclingEngine, snapshot: ProbeSnapshot, examples: Path) -> Conversion:
    return convert(engine, examples / "digital.pdf", snapshot, GpuWitness())


def test_a_conversion_is_proven_and_every_gpu_stage_says_how(digital: Conversion) -> None:
    receipt = digital.metadata.execution
    assert (receipt["grade"], receipt["acceleration_used"]) == (Grade.PROVEN, "cuda")
    stages = gpu_stages(digital)
    assert set(stages) == {"layout_analysis", "table_structure"}
    for stage in stages.values():
        assert (stage["device_used"], stage["model_devices"]) == (DEVICE, (DEVICE,))
        assert min(stage["device_ms"], stage["operations"], stage["kernels"], stage["peak_vram_bytes"]) > 0
        assert stage["operations_elsewhere"] < stage["operations"]
    others = {stage["stage"]: stage["device_used"] for stage in receipt["stages"] if stage["device_asked"] == "cpu"}
    assert others == {"page_parsing": "cpu", "assembly": "cpu"}


def test_the_text_of_the_pdf_arrives(digital: Conversion) -> None:
    assert "A microphone has no such preferences." in digital.markdown


def test_the_receipt_names_the_device_that_the_probe_proved(digital: Conversion, snapshot: ProbeSnapshot) -> None:
    device = digital.metadata.execution["device"]
    told = (device["device"], device["pci_id"], device["name"], device["arch"], device["vram_bytes"], device["torch"])
    assert told == (
        DEVICE,
        snapshot.pci_id,
        snapshot.device_name,
        snapshot.arch,
        snapshot.vram_bytes,
        snapshot.torch_version,
    )
    assert (device["cuda"], device["hip"]) == (snapshot.cuda_version, snapshot.hip_version)
    assert device["driver"]


def test_what_was_seen_from_beside_the_engine_stands_in_the_receipt(digital: Conversion) -> None:
    activity = digital.metadata.execution["activity"]
    assert activity["source"] in {"nvml", "amdgpu"}
    assert activity["simulated"] is False
    assert len(activity["baseline"]) > 0
    peaks = [stage["peak_vram_bytes"] for stage in gpu_stages(digital).values()]
    assert activity["process_bytes_peak"] >= max(peaks), activity["unavailable"]


def test_a_scan_is_read_by_ocr_on_the_gpu(engine: DoclingEngine, snapshot: ProbeSnapshot, examples: Path) -> None:
    scanned = convert(engine, examples / "scanned.pdf", snapshot, ocr_mode="force")
    receipt, ocr = scanned.metadata.execution, gpu_stages(scanned)["ocr"]
    assert (receipt["grade"], scanned.metadata.ocr_enabled) == (Grade.PROVEN, True)
    assert (ocr["device_used"], ocr["model_devices"]) == (DEVICE, (DEVICE,))
    assert min(ocr["device_ms"], ocr["operations"], ocr["kernels"]) > 0
    assert gpu_stages(scanned)["table_structure"]["device_used"] in {DEVICE, NO_DEVICE}


def test_the_same_document_gives_the_same_markdown(
    engine: DoclingEngine, snapshot: ProbeSnapshot, examples: Path, digital: Conversion
) -> None:
    assert convert(engine, examples / "digital.pdf", snapshot).markdown == digital.markdown


def move_layout(pipeline: Any) -> None:
    """What a library does that finds no room or no kernel: it moves the model, and feeds it from there."""
    import torch

    detector = pipeline.layout_model.model.engine
    detector._model.to("cpu")
    detector._device = torch.device("cpu")


def move_tables(pipeline: Any) -> None:
    predictor = pipeline.table_model.model.tf_predictor
    predictor._model.to("cpu")
    predictor._device = "cpu"
    for part in predictor._model.modules():
        if hasattr(part, "_device"):
            part._device = "cpu"


@pytest.mark.parametrize(("stage", "move"), [("layout_analysis", move_layout), ("table_structure", move_tables)])
def test_a_stage_that_moved_to_the_cpu_behind_the_engine_is_seen_and_its_output_withheld(
    artifacts: Path, snapshot: ProbeSnapshot, examples: Path, stage: str, move: Callable[[Any], None]
) -> None:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    fresh = DoclingEngine(artifacts_path=artifacts)
    move(fresh.load(EngineOptions(device=DEVICE)).pipeline)
    with pytest.raises(GpuNotAvailable) as refused:
        convert(fresh, examples / "digital.pdf", snapshot)
    assert refused.value.details["cause"] == Cause.STAGE_FELL_BACK
    told = [line for line in refused.value.details["evidence"] if line.startswith(f"{stage}: asked {DEVICE}, ")]
    assert told
    assert "cpu" in told[0]
