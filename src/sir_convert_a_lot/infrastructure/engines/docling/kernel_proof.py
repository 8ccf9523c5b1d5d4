"""Records, once a pipeline is loaded on a GPU, the kernels that each stage's models launch: the profiler's own look.

Owns the warm-up input of each stage: an empty page, a table without words, an image with one dark bar. Every loaded
model runs once, so the first job does not pay for that either. Refuses to run during a job: the profiler is costly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.infrastructure.engines.docling.loading import LoadedPipeline
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import WatchedStage

WIDTH_PX, HEIGHT_PX = 612, 792  # a letter page at 72 dpi


def record_kernels(loaded: LoadedPipeline) -> None:
    """Fill `kernels` of every stage that was asked to use the GPU."""
    exercises: dict[JobStage, Callable[[Any], None]] = {
        JobStage.LAYOUT_ANALYSIS: exercise_layout,
        JobStage.TABLE_STRUCTURE: exercise_tables,
        JobStage.OCR: exercise_ocr,
    }
    for stage in loaded.stages:
        if stage.device_asked != "cpu":
            stage.kernels = count_kernels(stage, exercises[stage.stage])


def count_kernels(stage: WatchedStage, exercise: Callable[[Any], None]) -> int:
    """How many kernels the profiler saw on a device while the stage's models ran once, after one run to warm up."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    exercise(stage.model)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        exercise(stage.model)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return sum(_is_kernel(event) for event in profiler.events() or ())


def _is_kernel(event: Any) -> bool:
    """A record of the device itself; copies and fills are left out, they compute nothing."""
    from torch.autograd import DeviceType

    on_device = event.device_type in {DeviceType.CUDA, DeviceType.HIP}
    return on_device and not event.name.startswith(("Memcpy", "Memset"))


def exercise_layout(model: Any) -> None:
    from docling.models.inference_engines.object_detection import ObjectDetectionEngineInput
    from PIL import Image

    page = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), "white")
    model.engine.predict_batch([ObjectDetectionEngineInput(image=page, metadata={"page_no": 1})])


def exercise_tables(model: Any) -> None:
    import numpy as np

    image = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, dtype=np.uint8)
    page = {"width": WIDTH_PX, "height": HEIGHT_PX, "image": image, "tokens": []}
    model.tf_predictor.multi_table_predict(page, [[50.0, 50.0, 550.0, 400.0]], do_matching=model.do_cell_matching)


def exercise_ocr(model: Any) -> None:
    """The recogniser only runs on what the detector found, so it is called by itself too.

    RapidOCR keeps the steps of a call for the calls after it, which name none: they are put back.
    """
    import numpy as np

    image = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, dtype=np.uint8)
    image[100:124, 60:400] = 0
    reader = model.reader
    steps = reader.use_det, reader.use_cls, reader.use_rec
    try:
        reader(image, use_det=True, use_cls=False, use_rec=False)
        reader(image[96:128, 40:420], use_det=False, use_cls=True, use_rec=True)
    finally:
        reader.use_det, reader.use_cls, reader.use_rec = steps
