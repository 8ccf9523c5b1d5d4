"""What `make convert` does, through the script that it calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import convert_one


def run(repository: Path, pdf: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/convert_one.py"],
        cwd=repository,
        env=os.environ | {"PDF": str(pdf)},
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


def services_of(folder: Path) -> list[str]:
    """Command lines of the service's processes: their environment names a storage root under `folder`.

    Without Python's own resource tracker, which ends a moment after whom it served.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"CONVERTER_STORAGE_ROOT={folder}/".encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_text()
                if "resource_tracker" not in command:
                    found.append(command)
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found


def test_stdout_is_the_path_alone_and_stderr_names_engine_and_device(repository: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "a name with spaces.pdf"
    pdf.write_bytes((repository / "examples" / "digital.pdf").read_bytes())
    done = run(repository, pdf)
    assert done.returncode == 0, done.stderr
    path = repository / "build" / "converted" / "a name with spaces.md"
    assert done.stdout == f"{path}\n"
    assert path.read_text(encoding="utf-8").startswith("# Counting Swifts with a Cheap Microphone\n")
    path.unlink()
    assert "Converted by the engine builtin on the device cpu." in done.stderr
    assert "3 pages" in done.stderr


def test_the_service_is_gone_afterwards(tmp_path: Path) -> None:
    with convert_one.running_service(tmp_path) as service:
        assert convert_one.answers_at(service.port)
        assert services_of(tmp_path)
    assert not convert_one.answers_at(service.port)
    assert services_of(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.pdf", None, "there is no such file"),
        ("text.pdf", b"Dear reader,\nthis is no PDF.\n", "text.pdf was not converted"),
        ("empty.pdf", b"", "empty.pdf was not converted"),
    ],
)
def test_what_is_no_pdf_is_refused_in_words(
    repository: Path, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    pdf = tmp_path / name
    if content is not None:
        pdf.write_bytes(content)
    done = run(repository, pdf)
    assert done.returncode == 65
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interrupted_run_cancels_its_job_and_leaves_no_service(
    repository: Path, tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "scripts/convert_one.py"],
        cwd=repository,
        env=os.environ | {"PDF": "examples/scanned.pdf", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as script:
        wait_for_a_job(tmp_path)
        if whole_group:
            os.killpg(script.pid, number)
        else:
            script.send_signal(number)
        out, err = script.communicate(timeout=60)
    assert script.returncode == 130
    assert out == ""
    assert "scanned.pdf: canceled" in err
    assert "Traceback" not in err
    assert services_of(tmp_path) == []


def wait_for_a_job(folder: Path) -> None:
    """Until the service under `folder` has taken an upload in."""
    limit = time.monotonic() + 60
    while not list(folder.glob("convert-a-lot-*/storage/**/input.pdf")):
        assert time.monotonic() < limit, "no job was made"
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["damaged", "encrypted"])
def test_a_pdf_that_does_not_open_is_refused_with_the_reason(repository: Path, name: str) -> None:
    done = run(repository, f"examples/{name}.pdf")
    assert done.returncode == 65
    assert done.stdout == ""
    assert name in done.stderr
    assert "pdf_unreadable" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_is_refused(repository: Path) -> None:
    done = run(repository, "examples")
    assert (done.returncode, done.stdout) == (65, "")
    assert "is not a file" in done.stderr


def test_the_process_that_serves_has_no_pdf_library_and_no_torch_loaded(repository: Path, tmp_path: Path) -> None:
    with convert_one.running_service(tmp_path) as service:
        convert_one.convert(service, repository / "examples" / "scanned.pdf", tmp_path / "output")
        maps = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
    assert "libpython" in maps or "python3" in maps
    for library in ("pdfium", "onnxruntime", "numpy", "cv2", "torch", "PIL"):
        assert f"/{library}" not in maps, library
