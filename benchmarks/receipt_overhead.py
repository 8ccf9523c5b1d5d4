"""What measuring costs a Docling conversion: the same document with every stage watched and with none, in turns.

Run `python benchmarks/receipt_overhead.py [PDF] [--rounds N] [--device cuda:0]`. Uses the models that the engine finds
(`convert-a-lot models download`); without any, tiny made ones, whose conversions are so short that the share says
little and the milliseconds count. On the CPU, models have one thread and processor time is compared, so that a busy
machine does not decide (set OMP_NUM_THREADS=1 as well); on a GPU wall time is, and the GPU's activity is sampled. The
share is the median of the differences within a round; the interval beside it says how far that can be believed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine
from sir_convert_a_lot.infrastructure.engines.docling.loading import LoadedPipeline
from sir_convert_a_lot.infrastructure.gpu_activity.witness import GpuWitness

ROOT = Path(__file__).resolve().parent.parent
RESAMPLES = 2000
STAGES = (
    "preprocessing_model",
    "layout_model",
    "table_model",
    "layout_postprocessing_model",
    "assemble_model",
    "reading_order_model",
    "heading_hierarchy_model",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdf", type=Path, nargs="?", default=ROOT / "examples" / "digital.pdf")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine, models = find_engine(Path(folder), asked.device)
        print(json.dumps({"models": models} | compare(engine, asked.pdf, asked.rounds, asked.device), indent=2))


def find_engine(folder: Path, device: str) -> tuple[DoclingEngine, str]:
    engine = DoclingEngine(threads=1)
    if not engine.missing_weights(EngineOptions(device=device)):
        return engine, "the engine's own"
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from tiny_docling_models import make_models

    return DoclingEngine(artifacts_path=make_models(folder), threads=1), "tiny, made"


def compare(engine: DoclingEngine, pdf: Path, rounds: int, device: str) -> dict[str, object]:
    options = EngineOptions(device=device)
    loaded = engine.load(options)
    clock = time.process_time if device == "cpu" else time.perf_counter
    witness = GpuWitness()

    def convert() -> None:
        with nullcontext() if device == "cpu" else witness.watch(device):
            engine.convert(pdf, options, lambda *_: None)

    convert()
    watched_s: list[float] = []
    bare_s: list[float] = []
    for turn in range(rounds):
        if turn % 2:  # who goes first alternates, so that neither always follows the other
            watched_s.append(timed(convert, clock))
            bare_s.append(timed_bare(loaded, pdf, clock))
        else:
            bare_s.append(timed_bare(loaded, pdf, clock))
            watched_s.append(timed(convert, clock))
    watched, bare = statistics.median(watched_s), statistics.median(bare_s)
    added_s = [with_receipt - without for with_receipt, without in zip(watched_s, bare_s, strict=True)]
    low, high = bound_median(added_s)
    return {
        "pdf": pdf.name,
        "device": device,
        "clock": "processor" if device == "cpu" else "wall",
        "rounds": rounds,
        "watched_ms": round(watched * 1000, 1),
        "bare_ms": round(bare * 1000, 1),
        "overhead_ms": round(statistics.median(added_s) * 1000, 1),
        "overhead_percent": round(statistics.median(added_s) / bare * 100, 2),
        "overhead_percent_95": [round(low / bare * 100, 2), round(high / bare * 100, 2)],
    }


def bound_median(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by resampling (percentile bootstrap); the same in every run of these values."""
    random = Random(0)  # noqa: S311 - resampling, not secrets
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]


def timed_bare(loaded: LoadedPipeline, pdf: Path, clock: Callable[[], float]) -> float:
    """Docling's own models in their places, as Docling's converter would run them."""
    watched = {name: getattr(loaded.pipeline, name) for name in STAGES}
    for name, stage in watched.items():
        setattr(loaded.pipeline, name, stage.model)
    try:
        return timed(lambda: export(loaded, pdf), clock)
    finally:
        for name, stage in watched.items():
            setattr(loaded.pipeline, name, stage)


def export(loaded: LoadedPipeline, pdf: Path) -> str:
    markdown: str = loaded.converter.convert(pdf).document.export_to_markdown()
    return markdown


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


if __name__ == "__main__":
    main()
