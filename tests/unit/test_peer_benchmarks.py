"""The product and its peers are run through one door, measured alike, and set side by side without flattery."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pypdfium2

from markdown_scores import Scores
from peer_quality import Corpus, Standing, judge, pick, write_score
from peer_quality import write_table as write_quality_table
from peer_runs import Pace, Run, count_pages, pace_of, read_back, run_peer
from peers import BY_NAME, PEERS, PRODUCT, Peer, load_product, one_by_one
from process_costs import Cost, list_tree, read_status, run_measured, run_side_by_side
from speed import Timing, choose_pdfs, make_long
from speed import write_table as write_speed_table


def a_cost(wall_s: float, processor_s: float = 0.0, peak_mb: float = 0.0, exit_code: int = 0, said: str = "") -> Cost:
    return Cost(wall_s, processor_s, peak_mb, exit_code, said)


def a_peer(*, requirement: str | None = "made", module: str | None = None, program: str | None = None) -> Peer:
    return Peer("made", "MIT", load_product, requirement, module, program)


# --- the door ---------------------------------------------------------------------------------------------------------


def test_an_adapter_leaves_markdown_or_a_reason_and_goes_on(tmp_path: Path) -> None:
    def convert(pdf: Path) -> str:
        if pdf.stem == "b":
            raise RuntimeError("a broken font")
        return f"# {pdf.stem} \ud800"  # half a surrogate pair, as a broken font gives it

    one_by_one(convert)([Path("a.pdf"), Path("b.pdf"), Path("c.pdf")], tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.error", "c.md"]
    assert (tmp_path / "b.error").read_text("utf-8") == "RuntimeError: a broken font"
    assert (tmp_path / "c.md").read_text("utf-8") == "# c ?"


def test_the_product_goes_through_the_door(examples: Path) -> None:
    run = run_peer(BY_NAME[PRODUCT], [examples / "encrypted.pdf", examples / "two_column.pdf"], processes=2)

    assert run.texts[0] is None
    assert run.texts[1] is not None
    assert "#" in run.texts[1]
    assert len(run.failures) == 1
    assert run.failures[0].startswith("encrypted.pdf: ValueError: pdf_unreadable encrypted")
    assert [cost.exit_code for cost in run.costs] == [0, 0]
    assert all(cost.processor_s > 0 and cost.peak_mb > 10 for cost in run.costs)


def test_a_pdf_lost_with_its_process_has_the_last_words_of_it(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("text", "utf-8")
    killed = a_cost(1.0, exit_code=-11, said="reading\nSegmentation fault\n")

    assert read_back(tmp_path, "there", killed) == ("text", None)
    assert read_back(tmp_path, "lost", killed) == (None, "exit -11: Segmentation fault")
    assert read_back(tmp_path, "lost", a_cost(1.0)) == (None, "its process left nothing")


def test_a_peer_that_is_not_there_says_why(tmp_path: Path) -> None:
    assert a_peer().missing(tmp_path) == "not installed: pdm run bench:peers installs it"
    (tmp_path / "made.failed").write_text("ERROR: No matching distribution\n", "utf-8")
    assert a_peer().missing(tmp_path) == "not installed: ERROR: No matching distribution"
    assert "no package nonesuch" in str(a_peer(requirement=None, module="nonesuch").missing())
    assert "the program nonesuch" in str(a_peer(requirement=None, program="nonesuch").missing())


def test_a_peer_whose_environment_is_there_is_not_missing(tmp_path: Path) -> None:
    python = tmp_path / "made" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()

    assert a_peer().missing(tmp_path) is None


def test_every_peer_with_an_environment_has_an_exact_version(repository: Path) -> None:
    lines = (repository / "benchmarks" / "peers.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if not line.startswith("#")}

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))
    assert {peer.requirement.split("[")[0] for peer in PEERS if peer.requirement} <= pinned


# --- what a process costs ---------------------------------------------------------------------------------------------


def test_memory_and_processor_time_of_children_count() -> None:
    work = (
        "x = bytearray(120 << 20)\nimport time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"]

    cost = run_measured(command, limit_s=30)

    assert cost.failure is None
    assert 120 < cost.peak_mb < 250
    assert 0.3 <= cost.processor_s < 5
    assert cost.wall_s >= 0.3


def test_a_process_over_its_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(late)!r}).touch()"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]

    cost = run_measured(command, limit_s=0.5)
    time.sleep(1.5)  # the child's own time would be up

    assert cost.exit_code == -9
    assert cost.failure == "exit -9: nothing was said"
    assert not late.exists()


def test_a_process_that_has_ended_meanwhile_has_no_memory() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()

    assert list_tree(gone.pid) == [gone.pid]
    assert read_status(gone.pid) == (0, 0)


def test_processes_side_by_side_are_told_apart() -> None:
    costs = run_side_by_side(
        [[sys.executable, "-c", "pass"], [sys.executable, "-c", "raise SystemExit('no such thing')"]], limit_s=30
    )

    assert [cost.failure for cost in costs] == [None, "exit 1: no such thing"]


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_a_run_takes_as_long_as_its_longest_process_and_the_memory_of_all() -> None:
    run = Run((), (), (a_cost(3.0, 2.0, 100.0), a_cost(4.0, 1.5, 80.0)))

    assert (run.wall_s, run.processor_s, run.peak_mb) == (4.0, 3.5, 180.0)


def test_a_page_costs_the_best_run_less_the_best_start() -> None:
    starts = [Run((), (), (a_cost(2.0, 1.0, 50.0),)), Run((), (), (a_cost(1.0, 1.5, 50.0),))]
    runs = [Run((), (), (a_cost(11.0, 9.0, 90.0),)), Run((), (), (a_cost(12.0, 6.0, 70.0),))]

    assert pace_of(starts, runs, pages=10) == Pace(1.0, 1.0, 1.0, 0.5, 70.0)
    assert pace_of(runs, starts, pages=10).page_wall_s == 0.0


def test_a_sample_is_spread_over_the_corpus_and_the_same_each_time() -> None:
    pdfs = [Path(f"{number}.pdf") for number in range(10)]

    assert [pdf.stem for pdf in pick(pdfs, 4)] == ["0", "2", "5", "7"]
    assert pick(pdfs, 10) == pick(pdfs, None) == pdfs


def test_a_pdf_without_a_text_counts_as_empty(tmp_path: Path) -> None:
    truth = tmp_path / "a.md"
    truth.write_text("# A\n\nwords", "utf-8")
    good, bad = Path("a.pdf"), Path("b.pdf")

    scores = judge(Corpus("made", {good: truth, bad: truth}), {good: "# A\n\nwords", bad: None})

    assert scores == Scores(overall=0.5, nid=0.5, teds=None, mhs=0.5)


def test_a_score_is_not_rounded_up() -> None:
    written = [write_score(value) for value in (None, 0.0, 0.29, 0.94999, 0.9999, 1.0)]

    assert written == ["n/a", ".000", ".290", ".949", ".999", "1.000"]


def test_the_quality_table_has_a_row_for_each_engine_installed_or_not() -> None:
    one = Scores(0.5, 0.6, None, 0.7)
    measured = Standing(
        BY_NAME[PRODUCT], scores={"x": one, "y": one}, failures=["a"], pace=Pace(1.0, 1.0, 0.2, 0.25, 80.4)
    )
    rows = write_quality_table([measured, Standing(a_peer(), missing="not installed: no")], ["x", "y"]).splitlines()

    assert rows[2] == (
        "| sir-convert-a-lot | .500 / .500 | .600 / .600 | n/a / n/a | .700 / .700 | 0.250 | 80 | 1 | Apache-2.0 |"
    )
    assert rows[3].startswith("| made | not installed: no |")
    assert rows[3].endswith("| MIT |")
    assert len({row.count("|") for row in rows}) == 1


def test_the_speed_table_tells_processor_time_in_those_of_the_product() -> None:
    def timing(peer: Peer, page_s: float, missing: str | None = None, long: Run | None = None) -> Timing:
        start, run = Run((), (), (a_cost(1.0, 1.0, 50.0),)), Run((), (), (a_cost(1 + page_s, 1 + page_s, 60.0),))
        return Timing(peer, missing, {1: [start], 2: [start]}, {1: [run], 2: [run]}, long)

    long = Run((None,), ("book.pdf: no",), (a_cost(100.0, peak_mb=390.0),))
    rows = write_speed_table(
        [timing(BY_NAME[PRODUCT], 0.5, long=long), timing(a_peer(), 2.0), timing(a_peer(), 0.0, "not installed: no")],
        pages=1,
    ).splitlines()

    assert rows[2].split(" | ")[3:] == ["0.5000", "1.00", "60", "0.5000", "60", "failed", "390 |"]
    assert rows[3].split(" | ")[3:5] == ["2.0000", "4.00"]
    assert "not installed: no" in rows[4]
    assert len({row.count("|") for row in rows}) == 1


def test_a_long_document_has_the_pages_over_and_over(examples: Path, tmp_path: Path) -> None:
    sources = [examples / "digital.pdf", examples / "two_column.pdf"]
    once = count_pages(sources)
    make_long(sources, once * 2 + 1, tmp_path / "long.pdf")

    book = pypdfium2.PdfDocument(tmp_path / "long.pdf")
    texts = [book[index].get_textpage().get_text_bounded() for index in range(len(book))]
    book.close()

    assert len(texts) == once * 2 + 1
    assert texts[:once] == texts[once : 2 * once]
    assert texts[-1] == texts[0] != texts[1]


def test_folders_stand_for_the_pdfs_in_them(examples: Path) -> None:
    chosen = choose_pdfs([examples, Path("other.pdf")])

    assert chosen[-1] == Path("other.pdf")
    assert examples / "digital.pdf" in chosen
    assert all(pdf.suffix == ".pdf" for pdf in chosen)
