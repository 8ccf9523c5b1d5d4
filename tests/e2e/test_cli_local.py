"""Conversions without a service: the worker's limits hold, Ctrl-C ends it, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from sir_convert_a_lot.bootstrap import LocalResult, build_local
from sir_convert_a_lot.domain.errors import (
    DocumentTimeout,
    ExitCode,
    InternalError,
    ServiceUnavailable,
    SirConvertError,
    WorkerCrashed,
    WorkerOutOfMemory,
)
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import Execution, JobSpec
from sir_convert_a_lot.infrastructure.workers.process_group import find_family
from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME
from sir_convert_a_lot.interfaces.cli.talk import explain
from sir_convert_a_lot.settings import MIB, Settings

COMMAND = [sys.executable, "-m", "sir_convert_a_lot", "convert", "--local", "--acceleration-policy", "cpu_only"]
PDF = Path(__file__).resolve().parents[2] / "examples" / "digital.pdf"
# Work for the worker process that goes wrong as the stem of the file name says; anything else is the product's own.
FAULTS = """
import os, time
from pathlib import Path
from sir_convert_a_lot.worker import convert_in_worker

def convert(order, staging, report):
    fault = Path(order["spec"]["source"]["filename"]).stem
    report("layout_analysis", 1, 9)
    if fault == "hang":
        time.sleep(60)
    if fault == "hog":
        kept = [bytearray(os.urandom(1 << 20)) for _ in range(600)]
        time.sleep(60)
    if fault == "exit":
        os._exit(3)
    if fault == "bug":
        raise KeyError("a page without a box")
    return convert_in_worker(order, staging, report)
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, by this process and by those it starts."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of `FAULTS.convert`; spawned workers get the same path."""
    (tmp_path / "local_faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "local_faults:convert"


def make_spec(fault: str, timeout_s: int = 1800) -> JobSpec:
    spec = {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": f"{fault}.pdf"},
        "execution": {"acceleration_policy": "cpu_only"},
    }
    valid = JobSpec.model_validate(spec)
    # Less than a spec may ask for: nobody wants to wait for 30 s here.
    execution = Execution.model_construct(
        **dict(valid.execution) | {"document_timeout_seconds": timeout_s},
    )
    return valid.model_copy(update={"execution": execution})


def convert(work: str, *specs: JobSpec, **settings: Any) -> list[LocalResult | SirConvertError]:
    """What became of an example under each spec, one after the other in one run."""

    async def convert_all() -> list[LocalResult | SirConvertError]:
        ends: list[LocalResult | SirConvertError] = []
        async with build_local(Settings(**settings), work=work) as convert_one:
            for spec in specs:
                try:
                    ends.append(await convert_one(PDF, spec, lambda *_: None))
                except SirConvertError as error:
                    ends.append(error)
        return ends

    return asyncio.run(convert_all())


def test_a_document_past_its_time_is_stopped_and_the_next_is_converted(work: str, scratch: Path) -> None:
    late, fine = convert(work, make_spec("hang", timeout_s=1), make_spec("fine"))
    assert isinstance(late, DocumentTimeout)
    assert isinstance(fine, LocalResult)
    assert not list(scratch.iterdir())


def test_a_worker_past_its_memory_is_stopped(work: str) -> None:
    (end,) = convert(work, make_spec("hog"), worker_memory_limit_bytes=256 * MIB)
    assert isinstance(end, WorkerOutOfMemory)
    assert end.details["limit_bytes"] == 256 * MIB


def test_a_crash_of_the_worker_costs_one_document(work: str) -> None:
    crashed, fine = convert(work, make_spec("exit"), make_spec("fine"))
    assert isinstance(crashed, WorkerCrashed)
    assert isinstance(fine, LocalResult)


def test_a_bug_in_the_worker_is_told_with_its_trace(work: str) -> None:
    (end,) = convert(work, make_spec("bug"))
    assert isinstance(end, InternalError)
    assert any("a page without a box" in line for line in explain(end))


def test_a_disk_without_room_is_no_bug(work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ServiceUnavailable) as refused:
        convert(work, make_spec("fine"))
    assert any("room on the disk" in line for line in explain(refused.value))


def test_progress_is_told_while_it_converts(work: str) -> None:
    told: list[tuple[JobStage, int, int]] = []

    async def convert_one() -> None:
        async with build_local(Settings(), work=work) as convert:
            with pytest.raises(DocumentTimeout):
                await convert(PDF, make_spec("hang", timeout_s=1), lambda *now: told.append(now))

    asyncio.run(convert_one())
    assert told == [(JobStage.LAYOUT_ANALYSIS, 1, 9)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_local_run_and_record_it(
    scratch: Path, tmp_path: Path, examples: Path, number: signal.Signals
) -> None:
    pdf, out = tmp_path / "long.pdf", tmp_path / "out"
    with pikepdf.open(examples / "two_column.pdf") as source, pikepdf.new() as long:
        for _ in range(3000):
            long.pages.append(source.pages[0])
        long.save(pdf)
    process = subprocess.Popen([*COMMAND, str(pdf), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not list(scratch.glob("*/*/progress.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    family = find_family(process.pid)
    process.send_signal(number)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, talk
    assert b"Traceback" not in talk
    entry = json.loads((out / MANIFEST_NAME).read_bytes())["entries"][0]
    assert (entry["status"], entry["output_path"]) == ("canceled", None)
    assert len(family) > 1
    assert not [pid for pid in family if os.path.exists(f"/proc/{pid}/exe")]  # noqa: PTH110 - a zombie has none
    assert not list(scratch.iterdir())


def is_importing(worker_pid: int) -> bool:
    """A spawned worker has begun to unpickle what it shall run, and has no session of its own yet."""
    line, maps = (Path(f"/proc/{worker_pid}/{name}").read_text() for name in ("cmdline", "maps"))
    return "spawn_main" in line and "_pickle" in maps


def test_ctrl_c_in_a_terminal_spares_the_worker_that_is_just_starting(tmp_path: Path, examples: Path) -> None:
    """A terminal sends it to every process of the foreground group."""
    process = subprocess.Popen(
        [*COMMAND, str(examples / "digital.pdf"), "-o", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not is_importing(max(find_family(process.pid))) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, talk
    assert b"Traceback" not in talk


def test_ctrl_c_before_the_command_has_begun_is_told_by_the_exit_code_alone(tmp_path: Path, examples: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(examples / "digital.pdf"), "-o", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while "pydantic" not in Path(f"/proc/{process.pid}/maps").read_text() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, talk
    assert not talk


def test_a_local_run_needs_no_key_not_even_an_empty_one(tmp_path: Path, examples: Path) -> None:
    done = subprocess.run(
        [*COMMAND, str(examples / "digital.pdf"), "-o", str(tmp_path)],
        env=os.environ | {"SIR_CONVERT_A_LOT_API_KEY": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    assert (tmp_path / "digital.md").read_text()
