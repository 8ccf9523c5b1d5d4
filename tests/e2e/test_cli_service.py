"""The installed command against a live service, both in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME

COMMAND = str(Path(sys.executable).with_name("convert-a-lot"))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KEY = "a key for tests only"


def environment(**more: str) -> dict[str, str]:
    """This process's, without any variable of ours that the machine may have set."""
    ours = ("SIR_CONVERT_A_LOT_", "CONVERTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


@dataclass(frozen=True)
class Cli:
    """The command with the address and the key of a service in its environment."""

    url: str
    key: str = KEY

    @property
    def environment(self) -> dict[str, str]:
        return environment(SIR_CONVERT_A_LOT_SERVICE_URL=self.url, SIR_CONVERT_A_LOT_API_KEY=self.key)

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    root = tmp_path_factory.mktemp("service")
    process = start_service(root)
    try:
        yield Cli(wait_for_address(process, root))
    finally:
        stop_service(process)


def start_service(root: Path, port: int = 0) -> subprocess.Popen[bytes]:
    with (root / "service.log").open("wb") as sink:
        return subprocess.Popen(
            [COMMAND, "serve", "--port", str(port)],
            env=environment(SIR_CONVERT_A_LOT_API_KEY=KEY, CONVERTER_STORAGE_ROOT=str(root / "storage")),
            stdout=sink,
            stderr=sink,
        )


def stop_service(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def wait_for_address(process: subprocess.Popen[bytes], root: Path) -> str:
    log, deadline = root / "service.log", time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if told := re.search(r'"url": "(\S+)", "event": "listening"', log.read_text()):
            return told[1]
        time.sleep(0.02)
    pytest.fail(f"the service did not start:\n{log.read_text()}")


def entries_of(folder: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((folder / MANIFEST_NAME).read_bytes())["entries"]
    return {Path(entry["source_file_path"]).name: entry for entry in entries}


def test_a_folder_becomes_markdown_and_a_second_run_reuses_every_job(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "in" / "deep"
    source.mkdir(parents=True)
    (source / "paper.pdf").write_bytes((EXAMPLES / "digital.pdf").read_bytes())
    (tmp_path / "in" / "columns.pdf").write_bytes((EXAMPLES / "two_column.pdf").read_bytes())
    out = tmp_path / "out"
    command = ("convert", tmp_path / "in", "--recursive", "-o", out, "--acceleration-policy", "cpu_only")
    first = cli(*command)
    assert first.returncode == ExitCode.OK, first.stderr
    assert first.stdout.split() == [str(out / "columns.md"), str(out / "deep" / "paper.md")]
    assert first.stderr.count("by builtin on cpu") == 2
    assert len((out / "deep" / "paper.md").read_text()) > 500
    manifest, listed = (out / MANIFEST_NAME).read_bytes(), cli("list", "--json").stdout
    second = cli(*command)
    assert second.returncode == ExitCode.OK
    assert second.stderr.count("reused") == 3  # each document, and the sum
    assert (out / MANIFEST_NAME).read_bytes() == manifest
    assert cli("list", "--json").stdout == listed


def test_without_a_server_the_markdown_is_the_same(cli: Cli, tmp_path: Path) -> None:
    pdf = EXAMPLES / "digital.pdf"
    for folder, how in (("local", ["--local"]), ("served", [])):
        done = cli("convert", pdf, "-o", tmp_path / folder, "--acceleration-policy", "cpu_only", *how)
        assert done.returncode == ExitCode.OK, done.stderr
    assert (tmp_path / "local" / "digital.md").read_bytes() == (tmp_path / "served" / "digital.md").read_bytes()
    assert entries_of(tmp_path / "local")["digital.pdf"]["job_id"] is None


@pytest.mark.parametrize("how", [[], ["--local"]])
def test_without_a_gpu_the_default_policy_is_refused_with_cause_and_remedy(
    cli: Cli, tmp_path: Path, how: list[str]
) -> None:
    probed = cli("gpu", "probe", "--json")
    told = json.loads(probed.stdout)
    if told["is_available"]:
        pytest.skip("this machine has a GPU that is proven")
    could_tell = told["cause"] != "probe_incomplete"
    assert probed.returncode == (ExitCode.FAILED if could_tell else ExitCode.UNKNOWN)
    done = cli("convert", EXAMPLES / "digital.pdf", "-o", tmp_path, *how)
    assert done.returncode == ExitCode.GPU_NOT_AVAILABLE
    assert not done.stdout
    for line in (told["cause"], *told["evidence"], *told["remediation"]):
        assert line in done.stderr
    assert entries_of(tmp_path)["digital.pdf"]["error_code"] == "gpu_not_available"
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_bad_documents_fail_by_name_and_the_good_ones_are_converted(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("damaged.pdf", "encrypted.pdf", "digital.pdf"):
        (folder / name).write_bytes((EXAMPLES / name).read_bytes())
    (folder / "text.pdf").write_text("this is no PDF")
    (folder / "empty.pdf").touch()
    done = cli("convert", folder, "-o", tmp_path / "out", "--acceleration-policy", "cpu_only")
    assert done.returncode == ExitCode.FAILED
    codes = {name: entry["error_code"] for name, entry in entries_of(tmp_path / "out").items()}
    assert codes == {
        "damaged.pdf": "pdf_unreadable",
        "digital.pdf": None,
        "empty.pdf": "unsupported_media_type",
        "encrypted.pdf": "pdf_unreadable",
        "text.pdf": "unsupported_media_type",
    }


def test_a_job_step_by_step(cli: Cli, tmp_path: Path) -> None:
    submitted = cli("submit", EXAMPLES / "tagged.pdf", "--acceleration-policy", "cpu_only")
    assert submitted.returncode == ExitCode.OK, submitted.stderr
    job = submitted.stdout.strip()
    collected = cli("collect", job, "-o", tmp_path, "--max-poll-seconds", "60")
    assert collected.returncode == ExitCode.OK, collected.stderr
    assert Path(collected.stdout.strip()).read_text()
    assert "succeeded" in cli("status", job).stdout
    assert job in cli("list", "--status", "succeeded").stdout
    receipt = json.loads(cli("receipt", job, "--json").stdout)
    assert receipt["engine"] == "builtin"
    assert receipt["acceleration_used"] == "cpu"
    assert receipt["stages"]
    assert "page_parsing" in cli("receipt", job).stdout
    assert cli("cancel", job).returncode == ExitCode.BAD_INPUT


def test_a_wrong_key_is_told_with_where_to_give_the_right_one(cli: Cli) -> None:
    done = Cli(cli.url, key="wrong")("list", "--json")
    assert done.returncode == ExitCode.AUTH
    assert json.loads(done.stdout)["error"]["code"] == "auth_invalid_api_key"


def test_a_service_without_a_key_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "serve", "--port", "0", "--storage-root", str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "--insecure-local" in done.stderr


def write_long_pdf(path: Path, pages: int) -> Path:
    """One page of an example many times over."""
    with pikepdf.open(EXAMPLES / "two_column.pdf") as source, pikepdf.new() as long:
        for _ in range(pages):
            long.pages.append(source.pages[0])
        long.save(path)
    return path


def start_converting(cli: Cli, pdf: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, "convert", str(pdf), "-o", str(out), "--acceleration-policy", "cpu_only"],
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_cancels_the_job_at_the_service(cli: Cli, tmp_path: Path) -> None:
    process = start_converting(cli, write_long_pdf(tmp_path / "long.pdf", pages=3000), tmp_path / "out")
    job = wait_until_running(cli, "long.pdf")
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, talk
    entry = entries_of(tmp_path / "out")["long.pdf"]
    assert (entry["job_id"], entry["status"]) == (job, "canceled")
    assert json.loads(cli("status", job, "--json").stdout)["job"]["status"] == "canceled"


def test_a_run_survives_the_sudden_death_of_the_service(tmp_path: Path) -> None:
    first = start_service(tmp_path)
    cli = Cli(wait_for_address(first, tmp_path))
    process = start_converting(cli, write_long_pdf(tmp_path / "long.pdf", pages=60), tmp_path / "out")
    job = wait_until_running(cli, "long.pdf")
    first.kill()
    first.wait(10)
    second = start_service(tmp_path, port=int(cli.url.rpartition(":")[2]))
    try:
        _, talk = process.communicate(timeout=60)
    finally:
        stop_service(second)
    assert process.returncode == ExitCode.OK, talk
    assert entries_of(tmp_path / "out")["long.pdf"]["job_id"] == job
    assert (tmp_path / "out" / "long.md").read_text()


def wait_until_running(cli: Cli, filename: str) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for job in json.loads(cli("list", "--json", "--status", "running").stdout)["jobs"]:
            if job["source_filename"] == filename:
                return str(job["job_id"])
    pytest.fail(f"no job for {filename} was seen running")
