"""The acceptance script where there is no GPU: it says so, exits as the probe does, and claims nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pypdfium2
import pytest
from gpu_acceptance import EXPECTATIONS, find_examples
from gpu_acceptance_host import ProcessWatch, Unreadable, describe_product, list_descendants
from gpu_acceptance_steps import has_text, join_pages

from sir_convert_a_lot.domain.gpu_facts import Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "devops" / "gpu-acceptance.sh"
HAS_GPU = probe(last_rung=Rung.HARDWARE).rungs[0].state is RungState.PASSED


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), *arguments], env=os.environ | environ, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU, and the script would use it")
def test_without_a_gpu_it_exits_as_the_probe_does_and_leaves_every_other_check_unknown(tmp_path: Path) -> None:
    done = run("--output-dir", str(tmp_path / "out"), PYTHON=sys.executable)
    assert done.returncode == 1, done.stderr
    assert "no_gpu_hardware at hardware" in done.stderr
    assert done.stdout.strip() == str(tmp_path / "out" / "evidence.json")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text(encoding="utf-8"))
    assert (evidence["outcome"], evidence["exit_code"], evidence["machine"]["device"]) == ("failed", 1, None)
    assert evidence["probe"]["cause"] == "no_gpu_hardware"
    assert evidence["conversions"] == []
    outcomes = {check["name"]: check["outcome"] for check in evidence["checks"]}
    assert set(EXPECTATIONS) <= set(outcomes)
    assert {name for name, outcome in outcomes.items() if outcome != "unknown"} == {"probe"}


def test_without_an_interpreter_it_could_not_tell_and_says_what_to_do() -> None:
    done = run(PYTHON="/nowhere/python")
    assert done.returncode == 2
    assert "PYTHON=python3" in done.stderr


def test_another_product_than_that_of_the_checkout_gives_no_evidence(tmp_path: Path) -> None:
    """A package put before it on the path, whatever it would claim."""
    made = tmp_path / "made" / "sir_convert_a_lot"
    made.mkdir(parents=True)
    real = SCRIPT.parents[2] / "src" / "sir_convert_a_lot"
    (made / "__init__.py").write_text(f"__path__ = [{str(made)!r}, {str(real)!r}]\n", encoding="utf-8")
    program = SCRIPT.with_name("gpu_acceptance.py")
    done = subprocess.run(
        [sys.executable, str(program), "--output-dir", str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(made.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "The product is imported from" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_default_corpus_is_five_convertible_pdfs_one_of_them_a_scan() -> None:
    pdfs = find_examples()
    assert len({pdf.read_bytes() for pdf in pdfs}) == 5
    assert [pdf.stem for pdf in pdfs if not has_text(pdf)] == ["scanned"]


def test_a_pdf_that_cannot_be_opened_has_no_text_to_speak_of(examples: Path, tmp_path: Path) -> None:
    assert not has_text(examples / "damaged.pdf")
    assert not has_text(tmp_path / "absent.pdf")


def test_two_pdfs_of_one_name_are_refused(tmp_path: Path) -> None:
    done = run("a/x.pdf", "b/x.pdf", "--output-dir", str(tmp_path / "out"), PYTHON=sys.executable)
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    assert "two PDFs have one name" in done.stderr


def test_pages_are_joined_over_and_over_to_the_number_asked_for(tmp_path: Path, examples: Path) -> None:
    joined = join_pages([examples / "digital.pdf", examples / "tagged.pdf"], 11, tmp_path / "joined.pdf")
    with pypdfium2.PdfDocument(joined) as document:
        assert len(document) == 11


def test_the_processes_of_a_service_are_found_down_to_the_last() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while len(found := list_descendants(parent.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        parent.communicate(b"\n")
    assert parent.pid in found
    assert len(found) == 2


def test_the_watch_keeps_who_was_on_the_gpu_and_tells_when_it_cannot_see() -> None:
    lists = iter([{7}, {8, 9}])

    def read() -> set[int]:
        try:
            return next(lists)
        except StopIteration:
            raise Unreadable("the driver is gone") from None

    watch = ProcessWatch(read)
    watch.service_pid = os.getpid()
    watch.start()
    deadline = time.monotonic() + 10
    while watch.problem is None and time.monotonic() < deadline:
        time.sleep(0.02)
    watch.stop()
    assert (watch.on_gpu, watch.problem, watch.looks) == ({7, 8, 9}, "the driver is gone", 2)
    assert os.getpid() in watch.of_service


def test_evidence_is_tied_to_the_sources_that_ran(tmp_path: Path) -> None:
    source = tmp_path / "src" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n", encoding="utf-8")
    first = describe_product(tmp_path, "abc")
    assert (first["revision"], first["revision_told_by"]) == ("abc", "--revision")
    source.write_text("x = 2\n", encoding="utf-8")
    assert describe_product(tmp_path, None)["source_sha256"] != first["source_sha256"]
