"""What the service costs around a conversion: start-up, idle memory, and time added to a conversion.

    pdm run bench:overhead [--json FILE] [--starts 5] [--rounds 30] [--pdf examples/digital.pdf]

Starts the real service on loopback, as `convert-a-lot serve` does, on a fresh storage root. Each round converts one
PDF twice, once through the service and once by calling the engine in this process, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sir_convert_a_lot.application.convert import ConversionOrder, convert_document
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.infrastructure.engines.installed import load_engine
from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = {"start_s": 2.5, "resident_mb": 150.0, "added_ms": 50.0}
SETTLE_S = 3.0  # after the first job, until memory is read
WARM_ROUNDS = 3


@dataclass
class Started:
    process: subprocess.Popen[str]
    client: httpx.Client
    began: float


def main() -> None:
    options = read_options()
    spec = write_spec(options.pdf)
    load = os.getloadavg()[0]  # before this benchmark adds to it
    starts = [measure_start(options.pdf, spec) for _ in range(options.starts)]
    with tempfile.TemporaryDirectory() as root, serving(Path(root)) as service:
        submit(service.client, options.pdf, spec)
        time.sleep(SETTLE_S)
        memory = measure_memory(service.process.pid)
        rounds = compare(service.client, options.pdf, spec, options.rounds)
    report = {
        "machine": {"cpus": os.cpu_count(), "load_1min": load, "python": platform.python_version()},
        "pdf": options.pdf.name,
        "start_s": summarise(starts),
        "idle_memory_mb": memory,
        "through_service_ms": summarise([service for service, _ in rounds]),
        "engine_directly_ms": summarise([direct for _, direct in rounds]),
        "added_ms": summarise([service - direct for service, direct in rounds]),
        "targets": TARGETS,
    }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure start-up, memory and what the service adds to a conversion.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--starts", type=int, default=5, help="how often the service is started")
    parser.add_argument("--rounds", type=int, default=30, help="conversions each way")
    parser.add_argument("--pdf", type=Path, default=REPOSITORY / "examples" / "digital.pdf")
    return parser.parse_args()


def write_spec(pdf: Path) -> dict[str, Any]:
    return {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": pdf.name},
        "conversion": {"backend_strategy": "builtin"},
        "execution": {"acceleration_policy": "cpu_only"},
    }


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Started]:
    """The service in a process of its own, from its start until it listens."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "sir_convert_a_lot", "serve", "--port", "0", "--insecure-local", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--storage-root", str(root), "--log-level", "error"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    url = next(told["url"] for line in process.stderr if (told := json.loads(line))["event"] == "listening")
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            yield Started(process, client, began)
    finally:
        process.terminate()
        process.wait()


def submit(client: httpx.Client, pdf: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Submit and wait for the end in the same request; the job."""
    answer = client.post(
        "/v1/convert/jobs",
        params={"wait_seconds": 20},
        headers={"Idempotency-Key": uuid.uuid4().hex},
        files={"file": (pdf.name, pdf.read_bytes(), "application/pdf")},
        data={"job_spec": json.dumps(spec)},
    )
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()["job"]
    assert job["status"] == "succeeded", job
    return job


def measure_start(pdf: Path, spec: dict[str, Any]) -> float:
    """Seconds from the start of the process to the first accepted submit."""
    with tempfile.TemporaryDirectory() as root, serving(Path(root)) as service:
        answer = service.client.post(
            "/v1/convert/jobs",
            headers={"Idempotency-Key": uuid.uuid4().hex},
            files={"file": (pdf.name, pdf.read_bytes(), "application/pdf")},
            data={"job_spec": json.dumps(spec)},
        )
        assert answer.status_code in {200, 202}, answer.text
        return time.perf_counter() - service.began


def measure_memory(pid: int) -> dict[str, float]:
    """MB of the API process and of all its processes. `pss` counts what processes share once."""
    tree = [pid, *list_children(pid)]
    return {
        "api_process_rss": read_memory(pid, "Rss"),
        "whole_tree_rss": sum(read_memory(member, "Rss") for member in tree),
        "whole_tree_pss": sum(read_memory(member, "Pss") for member in tree),
        "processes": len(tree),
    }


def list_children(pid: int) -> list[int]:
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listing.read_text().split()):
            found += [child, *list_children(child)]
    return found


def read_memory(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def compare(client: httpx.Client, pdf: Path, spec: dict[str, Any], rounds: int) -> list[tuple[float, float]]:
    """(through the service, engine directly) in milliseconds, a pair a round; the first rounds only warm both up."""
    engine = load_engine("builtin")
    order = ConversionOrder(JobSpec.model_validate(spec), "cpu", None, (), max_pages=10_000, max_page_pixels=40_000_000)
    pairs = []
    for _ in range(rounds + WARM_ROUNDS):
        began = time.perf_counter()
        convert_document(pdf, order, engine, normalise, lambda *_: None)
        converted = time.perf_counter()
        job = submit(client, pdf, spec)
        client.get(job["links"]["result"], params={"inline": "true"}).raise_for_status()
        pairs.append(((time.perf_counter() - converted) * 1000, (converted - began) * 1000))
    return pairs[WARM_ROUNDS:]


def summarise(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered),
        "min": ordered[0],
        "p95": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))],
    }


def show(report: dict[str, Any]) -> None:
    machine, memory = report["machine"], report["idle_memory_mb"]
    print(f"{machine['cpus']} CPUs, load {machine['load_1min']:.1f}, Python {machine['python']}, {report['pdf']}")
    if machine["load_1min"] > machine["cpus"]:
        print("The machine is busy with more than this: times are too high, compare them within this run only.")
    print()
    print(f"{'':46}{'p50':>8}{'min':>8}{'p95':>8}   aim")
    rows = [
        ("process start to first accepted submit, s", "start_s", f"<= {TARGETS['start_s']}"),
        ("submit to result through the service, ms", "through_service_ms", ""),
        ("engine called directly, ms", "engine_directly_ms", ""),
        ("added by the service, ms", "added_ms", f"<= {TARGETS['added_ms']:.0f}"),
    ]
    for label, key, aim in rows:
        p50, least, p95 = (report[key][name] for name in ("p50", "min", "p95"))
        print(f"{label:46}{p50:8.2f}{least:8.2f}{p95:8.2f}   {aim}")
    print(
        f"\nidle memory, MB: API process {memory['api_process_rss']:.0f} (aim < {TARGETS['resident_mb']:.0f}), ", end=""
    )
    print(f"all {memory['processes']} processes {memory['whole_tree_pss']:.0f} (PSS; sum of RSS ", end="")
    print(f"{memory['whole_tree_rss']:.0f})")


if __name__ == "__main__":
    main()
