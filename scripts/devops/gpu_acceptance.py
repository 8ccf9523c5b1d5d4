"""An acceptance run on this machine's GPU: the ladder, real conversions with their receipts, then faults.

Owns the order of the checks and which run beside each other. Started by gpu-acceptance.sh; writes DIR/evidence.json
from the first second on. Exit code: 0 every check is ok, 1 one failed, 2 it could not be told; without a proven GPU,
what `gpu probe` exits with.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gpu_acceptance_evidence import Evidence, Outcome, Verdict, private_words
from gpu_acceptance_faults import check_exhausted_memory, check_killed_worker
from gpu_acceptance_host import (
    ProcessWatch,
    Unreadable,
    describe_product,
    describe_python,
    find_foreign_package,
    open_process_list,
)
from gpu_acceptance_judges import judge_probe
from gpu_acceptance_service import own_environment, run_json, tell_command
from gpu_acceptance_steps import (
    PROMISED,
    Run,
    check_activity,
    check_cpu_only,
    check_masked,
    check_overhead,
    check_ready,
    check_wrong_device,
    convert_all,
    convert_on_cpu,
)

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.infrastructure.engines.docling import weights
from sir_convert_a_lot.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PDFS_WANTED = 5
PROBE_LIMIT_S = 300.0
MODELS_LIMIT_S = 120.0
COULD_NOT_TELL = 2
MAKE_TINY_MODELS = (
    "import sys; from pathlib import Path; import tiny_docling_models as tiny; "
    "tiny.make_models(Path(sys.argv[1])); tiny.make_torch_ocr_models(Path(sys.argv[1]))"
)
EXPECTATIONS = {
    "probe": "the probe climbs to its last rung on this machine",
    "corpus": f"at least {PDFS_WANTED} PDFs are converted",
    "ready": "a service that promises the GPU is ready, and says that the GPU is proven",
    "activity": "the receipts show the worker's own memory on the GPU, and work above rest",
    "worker_killed": "a worker killed in the middle of a gpu_required job fails that job as worker_crashed",
    "after_worker_killed": "the next job is proven, in another worker, on a fresh probe",
    "masked_by_env": "a service whose GPU is masked refuses with 503 and that cause, and stores nothing",
    "wrong_device_selected": "a service told to use a GPU that is not there refuses with 503, and stores nothing",
    "vram_exhausted": "while another process holds the memory, a gpu_required job is refused with that cause",
    "vram_recovered": "once the memory is free, the service is ready again by itself",
    "cpu_only": "the worker of a conversion under cpu_only is never on the GPU",
    "receipt_overhead": "the receipt costs less than 3 % of a conversion",
}


def main() -> int:
    asked = read_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # services and the filler end with it
    if (place := find_foreign_package(ROOT)) is not None:
        print(f"The product is imported from {place}, not from {ROOT / 'src'}.", file=sys.stderr)
        return COULD_NOT_TELL
    folder = asked.output_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-acceptance-") as scratch:
        private = private_words(ROOT, (Path(scratch), "SCRATCH"), (folder, "OUTPUT"))
        evidence = Evidence(folder, tell_own_command(asked), private)
        pdfs = asked.pdfs or find_examples()
        plan(evidence, pdfs)
        evidence.tell(machine=describe_python(), product=describe_product(ROOT, asked.revision))
        run = Run(evidence, ROOT, folder, Path(scratch), asked.models, asked.tiny_models, pdfs)
        code = accept(run)
    evidence.say(f"exit {code}, written to {evidence.path}")
    print(evidence.path)
    return code


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu-acceptance.sh", description=__doc__.partition("\n")[0])
    parser.add_argument("pdfs", type=Path, nargs="*", metavar="PDF", help="what to convert; default: the examples")
    parser.add_argument("--output-dir", type=Path, default=Path("build/gpu-acceptance"), metavar="DIR")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--models", type=Path, metavar="DIR", help="Docling's models; default: where Docling looks")
    models.add_argument(
        "--tiny-models", action="store_true", help="make small untrained ones; their text means nothing"
    )
    parser.add_argument("--revision", help="of the code, where git cannot tell")
    asked = parser.parse_args()
    if len({pdf.name for pdf in asked.pdfs}) < len(asked.pdfs):
        parser.error("two PDFs have one name, and the evidence tells them by it")
    return asked


def tell_own_command(asked: argparse.Namespace) -> str:
    """As it can be typed elsewhere: folders of this machine are left out."""
    words = ["scripts/devops/gpu-acceptance.sh"]
    words += ["--tiny-models"] if asked.tiny_models else []
    words += ["--models", "DIR"] if asked.models else []
    return shlex.join([*words, *(pdf.name for pdf in asked.pdfs)])


def find_examples() -> list[Path]:
    """The repository's own PDFs that can be converted: those with a truth beside them."""
    folder = ROOT / "examples"
    return [folder / f"{truth.stem}.pdf" for truth in sorted((folder / "truth").glob("*.md"))]


def plan(evidence: Evidence, pdfs: list[Path]) -> None:
    for name, expects in EXPECTATIONS.items():
        if name == "wrong_device_selected" and "gpu_pci_id" not in Settings.model_fields:
            continue
        evidence.plan(name, expects)
        if name == "ready":
            for pdf in pdfs:
                evidence.plan(f"conversion:{pdf.name}", "gpu_required, acceleration_used cuda, proven by its receipt")


def accept(run: Run) -> int:
    """Every check that the machine lets be made; the exit code."""
    with ExitStack() as stack:
        making = start_tiny_models(run, stack) if run.models_are_tiny else None
        code = probe(run)
        if code != 0:
            return run.evidence.finish(code)
        problem = prepare_models(run, making)
    if problem:
        run.evidence.say(problem)
        run.evidence.tell(models={"kind": "missing", "problem": problem})
        return run.evidence.finish(COULD_NOT_TELL)
    enough = Outcome.OK if len(run.pdfs) >= PDFS_WANTED else Outcome.UNKNOWN
    run.check("corpus", lambda: Verdict(enough, f"{len(run.pdfs)} PDFs: {', '.join(pdf.name for pdf in run.pdfs)}"))
    use_the_gpu(run)
    guard(run, "vram_exhausted", lambda: check_exhausted_memory(run))
    check_overhead(run)
    return run.evidence.finish()


def probe(run: Run) -> int:
    """Exit code of the probe; what it saw is kept."""
    command = [sys.executable, "-m", "sir_convert_a_lot", "gpu", "probe", "--json"]
    run.evidence.tell(commands=tell_command(command))
    codes: list[int] = []

    def look() -> Verdict:
        code, snapshot = run_json(command, own_environment(None), PROBE_LIMIT_S)
        codes.append(code)
        run.snapshot = snapshot
        run.evidence.tell(probe=snapshot, machine=describe_device(snapshot))
        verdict = judge_probe(snapshot)
        if (code == 0) is not (verdict.outcome is Outcome.OK):
            return Verdict(Outcome.FAILED, f"it exited {code} and says: {verdict.seen}", verdict.details)
        return verdict

    verdict = run.check("probe", look)
    return 0 if verdict.outcome is Outcome.OK else (codes[0] if codes and codes[0] else 1)


def describe_device(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The machine in the probe's words; receipts tell the driver's version alone."""
    driver = next((r["seen"] for r in snapshot["rungs"] if (r["rung"], r["state"]) == ("driver", "passed")), None)
    return {
        "device": snapshot["device_name"],
        "pci_id": snapshot["pci_id"],
        "arch": snapshot["arch"],
        "vram_bytes": snapshot["vram_bytes"],
        "runtime_kind": snapshot["runtime_kind"],
        "driver": driver,
        "torch": snapshot["torch_version"],
        "cuda": snapshot["cuda_version"],
        "hip": snapshot["hip_version"],
    }


def start_tiny_models(run: Run, stack: ExitStack) -> subprocess.Popen[bytes]:
    """In a process of its own, beside the probe: it imports torch, and this process must not."""
    run.models = run.scratch / "models"
    environ = own_environment(None)
    path = [str(ROOT / "tests" / "support"), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
    with (run.scratch / "models.log").open("wb") as sink:
        making = subprocess.Popen(
            [sys.executable, "-c", MAKE_TINY_MODELS, str(run.models)], env=environ, stdout=sink, stderr=sink
        )
    stack.callback(making.wait)
    stack.callback(making.kill)
    return making


def prepare_models(run: Run, making: subprocess.Popen[bytes] | None) -> str | None:
    """Have every model that the conversions need, or say what is missing."""
    if making is not None and making.wait(MODELS_LIMIT_S) != 0:
        words = (run.scratch / "models.log").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        return f"the tiny models could not be made: {' | '.join(words)}"
    options = EngineOptions(device="cuda:0", ocr=OcrPass.FULL_PAGE)
    missing = weights.missing_weights(weights.find_artifacts(run.models), options, ocr_on_cpu=False)
    if missing:
        remedy = f"`{weights.DOWNLOAD_COMMAND}`, or --tiny-models"
        return f"models are missing ({', '.join(missing)}): {remedy}"
    run.evidence.tell(models=describe_models(run))
    return None


def describe_models(run: Run) -> dict[str, str]:
    if run.models_are_tiny:
        told = "made by tests/support/tiny_docling_models.py; untrained: the text of scans and the tables mean nothing"
        return {"kind": "tiny, made", "told": told}
    return {"kind": "the ones that were given" if run.models else "the engine's own", "told": "not made by this run"}


def use_the_gpu(run: Run) -> None:
    """Conversions, with the services that must refuse or keep off the GPU beside them: they do not wait for it."""
    watch = watch_processes(run)
    with ThreadPoolExecutor(max_workers=4) as pool:
        pool.submit(guard, run, "masked_by_env", lambda: check_masked(run))
        if "gpu_pci_id" in Settings.model_fields:
            pool.submit(guard, run, "wrong_device_selected", lambda: check_wrong_device(run))
        on_cpu = pool.submit(convert_on_cpu, run, watch) if isinstance(watch, ProcessWatch) else None
        guard(run, "ready", lambda: convert_and_break(run))
        check_cpu_only(run, watch, lambda: on_cpu.result() if on_cpu else {})
    if isinstance(watch, ProcessWatch):
        watch.stop()


def convert_and_break(run: Run) -> None:
    with run.service("gpu", PROMISED) as service:
        if check_ready(run, service):
            convert_all(run, service)
            check_killed_worker(run, service)
            check_activity(run)


def watch_processes(run: Run) -> ProcessWatch | Unreadable:
    try:
        watch = ProcessWatch(open_process_list(run.snapshot["runtime_kind"], run.snapshot["pci_id"]))
    except Unreadable as error:
        return error
    watch.start()
    return watch


def guard(run: Run, name: str, step: Any) -> None:
    """A step that breaks around its checks (a service that does not start) is the failure of its first one."""
    began = time.monotonic()
    try:
        step()
    except Exception as error:  # noqa: BLE001 - told as that failure; the other steps go on
        run.evidence.conclude(name, Verdict(Outcome.FAILED, f"{type(error).__name__}: {error}"), began)


if __name__ == "__main__":
    sys.exit(main())
