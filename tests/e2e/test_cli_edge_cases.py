"""What the command line does when a service is busy, slow, wrong or gone.

A stand-in (`tests/support/stand_in_service.py`) misbehaves as it is told. The ordinary way is tested against the real
service in `test_cli_service.py`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_service import StandIn, manifest_of, refusal, write_pdf

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli.app import run
from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME

COMMAND = [sys.executable, "-m", "sir_convert_a_lot"]
PEAK_OF_CHILD = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
GPU_DETAILS = {
    "reason": "backend_gpu_runtime_unavailable",
    "backend": "docling",
    "runtime_kind": "none",
    "hip_version": None,
    "cuda_version": None,
    "cause": "no_gpu_hardware",
    "rung": "hardware",
    "evidence": ["no display controller among 12 PCI devices", "/dev/kfd does not exist"],
    "remediation": ["Put a GPU into this machine", "Or ask for acceleration_policy cpu_only"],
    "probe_id": "probe_1",
}


def test_a_busy_service_is_waited_for_as_long_as_it_says(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    stand_in.refusals = [refusal(429, "rate_limited", retry_after_s=1), refusal(503, "service_unavailable")]
    began = time.monotonic()
    code = run(
        ["convert", str(write_pdf(papers, "a.pdf")), "--output-dir", str(tmp_path / "out"), "--service-url", url]
    )
    assert code == ExitCode.OK
    assert time.monotonic() - began >= 1
    assert stand_in.submits == 3


def test_a_gpu_refusal_is_told_line_by_line_and_not_tried_again(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        write_pdf(papers, name)
    stand_in.refusals = [refusal(503, "gpu_not_available", GPU_DETAILS, retry_after_s=60) for _ in range(3)]
    code = run(["convert", str(papers), "-o", str(tmp_path / "out"), "--service-url", url, "--concurrency", "1"])
    out, err = capsys.readouterr()
    assert code == ExitCode.GPU_NOT_AVAILABLE
    assert stand_in.submits == 1
    assert not out
    for line in ("no_gpu_hardware", *GPU_DETAILS["evidence"], *GPU_DETAILS["remediation"], "corr_7"):  # type: ignore[misc]
        assert err.count(line) == 1, line
    assert [entry["error_code"] for entry in manifest_of(tmp_path / "out")] == ["gpu_not_available"] * 3


def test_a_spec_that_no_document_can_have_is_sent_once(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        write_pdf(papers, name)
    details = {"field": "conversion.backend_strategy", "reason": "backend_incompatible_with_gpu_policy"}
    stand_in.refusals = [refusal(422, "validation_error", details)]
    code = run(["convert", str(papers), "-o", str(tmp_path / "out"), "--service-url", url, "--concurrency", "1"])
    assert code == ExitCode.BAD_INPUT
    assert stand_in.submits == 1
    assert {entry["error_code"] for entry in manifest_of(tmp_path / "out")} == {"validation_error"}


def test_a_markdown_that_cannot_be_written_fails_its_document_alone(url: str, papers: Path, tmp_path: Path) -> None:
    for name in ("a.pdf", "b/c.pdf"):
        write_pdf(papers, name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("a file where a folder is wanted")
    code = run(["convert", str(papers), "-r", "-o", str(tmp_path / "out"), "--service-url", url])
    assert code == ExitCode.FAILED
    assert [entry["error_code"] for entry in manifest_of(tmp_path / "out")] == [None, "output_not_written"]
    assert [entry["job_id"] for entry in manifest_of(tmp_path / "out")].count(None) == 0


def test_a_job_that_outlasts_the_poll_is_running_not_failed(url: str, papers: Path, tmp_path: Path) -> None:
    pdf = write_pdf(papers, "endless.pdf")
    code = run(["convert", str(pdf), "-o", str(tmp_path / "out"), "--service-url", url, "--max-poll-seconds", "0.5"])
    assert code == ExitCode.STILL_RUNNING
    assert manifest_of(tmp_path / "out") == [
        {
            "source_file_path": str(pdf),
            "job_id": f"job_{1:026d}",
            "status": "running",
            "output_path": None,
            "error_code": "job_timeout",
        }
    ]


def test_a_folder_converted_twice_makes_no_new_job_and_the_same_manifest(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    write_pdf(papers, "a.pdf")
    write_pdf(papers, "deep/er/b.PDF")
    command = ["convert", str(papers), "--recursive", "-o", str(tmp_path / "out"), "--service-url", url]
    assert run(command) == ExitCode.OK
    first = (tmp_path / "out" / MANIFEST_NAME).read_bytes()
    assert run(command) == ExitCode.OK
    assert (tmp_path / "out" / MANIFEST_NAME).read_bytes() == first
    assert len(stand_in.jobs) == 2
    assert (tmp_path / "out" / "deep" / "er" / "b.md").read_bytes().startswith(b"# ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.md", "deep", MANIFEST_NAME]


def test_a_failed_job_gets_a_fresh_key_when_it_is_tried_again(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    pdf = write_pdf(papers, "failing.pdf")
    command = ["convert", str(pdf), "-o", str(tmp_path / "out"), "--service-url", url]
    codes = [run(command) for _ in range(3)]
    assert codes == [ExitCode.BAD_INPUT] * 3
    assert len(stand_in.jobs) == 3
    assert manifest_of(tmp_path / "out")[0]["error_code"] == "pdf_unreadable"
    assert manifest_of(tmp_path / "out")[0]["job_id"] == f"job_{3:026d}"


def test_a_replayed_job_whose_files_are_gone_is_done_again(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    command = ["convert", str(write_pdf(papers, "a.pdf")), "-o", str(tmp_path / "out"), "--service-url", url]
    assert run(command) == ExitCode.OK
    stand_in.jobs[f"job_{1:026d}"]["is_expired"] = True
    assert run(command) == ExitCode.OK
    assert manifest_of(tmp_path / "out")[0]["job_id"] == f"job_{2:026d}"


def test_files_of_the_same_content_all_get_their_markdown(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    for name in ("a.pdf", "b.pdf", "deep/a.pdf"):
        write_pdf(papers, name, "the same words")
    assert run(["convert", str(papers), "-r", "-o", str(tmp_path / "out"), "--service-url", url]) == ExitCode.OK
    texts = {(tmp_path / "out" / name).read_bytes() for name in ("a.md", "b.md", "deep/a.md")}
    assert len(texts) == 1


def test_two_sources_for_one_output_are_refused_before_anything_is_sent(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = write_pdf(papers, "one/a.pdf"), write_pdf(papers, "other/a.pdf")
    code = run(["convert", str(one), str(other), "-o", str(tmp_path / "out"), "--service-url", url])
    assert code == ExitCode.USAGE
    assert stand_in.submits == 0
    assert not (tmp_path / "out").exists()
    assert str(other) in capsys.readouterr().err


def test_a_damaged_download_is_not_written(stand_in: StandIn, url: str, papers: Path, tmp_path: Path) -> None:
    stand_in.damages_markdown = True
    code = run(["convert", str(write_pdf(papers, "a.pdf")), "-o", str(tmp_path / "out"), "--service-url", url])
    assert code == ExitCode.UNKNOWN
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST_NAME]


def test_a_name_as_long_as_a_disk_takes_is_no_obstacle(url: str, papers: Path, tmp_path: Path) -> None:
    pdf = write_pdf(papers, "é" * 125 + ".pdf")
    command = ["-o", str(tmp_path / "out"), "--service-url", url]
    assert run(["convert", str(pdf), *command]) == ExitCode.OK
    assert (tmp_path / "out" / f"{pdf.stem}.md").read_bytes()
    assert run(["collect", manifest_of(tmp_path / "out")[0]["job_id"], *command]) == ExitCode.OK


def test_one_bad_document_does_not_keep_the_others_from_being_converted(
    url: str, papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.pdf", "failing.pdf", "z.pdf"):
        write_pdf(papers, name)
    code = run(["convert", str(papers), "-o", str(tmp_path / "out"), "--service-url", url])
    assert code == ExitCode.FAILED
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / "a.md"), str(tmp_path / "out" / "z.md")]
    assert [entry["status"] for entry in manifest_of(tmp_path / "out")] == ["succeeded", "failed", "succeeded"]


def test_json_puts_results_and_the_error_on_stdout(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.api_key = "right"
    command = ["convert", str(write_pdf(papers, "a.pdf")), "-o", str(tmp_path / "out"), "--service-url", url, "--json"]
    assert run([*command, "--api-key", "wrong"]) == ExitCode.AUTH
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["code"] == "auth_invalid_api_key"
    assert told["error"]["correlation_id"] == "corr_7"
    assert run([*command, "--api-key", "right"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert told["entries"][0]["acceleration_used"] == "cpu"
    assert told["entries"][0]["warnings"] == ["a page is empty"]
    assert told["manifest_path"] == str(tmp_path / "out" / MANIFEST_NAME)


def test_a_job_is_submitted_watched_collected_and_canceled_one_by_one(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--service-url", url]
    assert run(["submit", str(write_pdf(papers, "endless.pdf")), *at]) == ExitCode.OK
    job = capsys.readouterr().out.strip()
    assert run(["status", job, "--json", *at]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["job"]["status"] == "running"
    assert run(["collect", job, "-o", str(tmp_path), *at]) == ExitCode.STILL_RUNNING
    stand_in.jobs[job]["status"] = "succeeded"
    capsys.readouterr()
    assert run(["collect", job, "-o", str(tmp_path), *at]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == str(tmp_path / "endless.md")
    assert (tmp_path / "endless.md").read_bytes() == stand_in.jobs[job]["markdown"]
    assert run(["cancel", job, *at]) == ExitCode.OK
    assert stand_in.cancels == [job]
    assert run(["status", "job_unknown", *at]) == ExitCode.BAD_INPUT


def test_jobs_accepted_before_a_refusal_are_told_with_it(
    stand_in: StandIn, url: str, papers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        write_pdf(papers, name)
    stand_in.most_jobs = 1
    assert run(["submit", str(papers), "--service-url", url, "--json"]) == ExitCode.BAD_INPUT
    told = json.loads(capsys.readouterr().out)
    assert [job["job_id"] for job in told["jobs"]] == list(stand_in.jobs)
    assert told["error"]["code"] == "payload_too_large"
    assert stand_in.submits == 2
    assert run(["submit", str(papers), "--service-url", url]) == ExitCode.BAD_INPUT
    out, err = capsys.readouterr()
    assert out.split() == list(stand_in.jobs)
    assert "payload_too_large" in err


def test_no_service_is_told_at_once_with_the_command_that_starts_one(
    papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    began = time.monotonic()
    code = run(["list", "--service-url", f"http://127.0.0.1:{port}"])
    assert code == ExitCode.UNAVAILABLE
    assert time.monotonic() - began < 10
    assert "convert-a-lot serve" in capsys.readouterr().err


def test_a_server_that_is_no_such_service_is_could_not_tell(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert run(["list", "--service-url", f"{url}/elsewhere"]) == ExitCode.UNKNOWN
    assert "error object" in capsys.readouterr().err


def test_an_upload_is_streamed(url: str, papers: Path, tmp_path: Path) -> None:
    def peak_bytes(size_bytes: int) -> int:
        pdf = write_pdf(papers, f"{size_bytes}.pdf")
        os.truncate(pdf, size_bytes)
        command = [*COMMAND, "convert", str(pdf), "-o", str(tmp_path / "out"), "--service-url", url]
        told = subprocess.run(
            [sys.executable, "-c", PEAK_OF_CHILD, *command], check=True, capture_output=True, text=True
        )
        return int(told.stdout) * 1024

    assert peak_bytes(64 * 1024 * 1024) - peak_bytes(1024) < 24 * 1024 * 1024
