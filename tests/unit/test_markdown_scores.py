"""The scorer gives the values its measures are defined by, and agrees with the shared one where that is at hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
MEASURES = ("overall", "nid", "teds", "mhs")
TABLE = "| a | b |\n| --- | --- |\n| c | d |"


def load(path: Path) -> ModuleType:
    """A module outside the package, by its file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


scores = load(REPOSITORY / "benchmarks" / "markdown_scores.py")


def test_a_text_scores_one_against_itself() -> None:
    text = f"# Title\n\nSome words.\n\n{TABLE}"

    assert scores.score(text, text) == scores.Scores(1.0, 1.0, 1.0, 1.0)


def test_an_empty_text_scores_nothing() -> None:
    assert scores.score(f"# Title\n\n{TABLE}", "") == scores.Scores(0.0, 0.0, 0.0, 0.0)


def test_a_measure_that_the_truth_does_not_define_is_left_out() -> None:
    found = scores.score("only words", f"# only words\n\n{TABLE}")

    assert (found.teds, found.mhs) == (None, None)
    assert found.overall == found.nid


def test_text_likeness_counts_inserted_and_deleted_letters() -> None:
    # "abcd" to "abxd": one letter out, one in, of 8 letters in both texts; white space does not count.
    assert scores.measure_text("ab\n\ncd".replace("\n", ""), "abxd") == pytest.approx(1 - 2 / 8)
    assert scores.measure_text("two  words\n", "two words") == 1.0


def test_a_changed_cell_costs_its_share_of_the_table() -> None:
    # Nodes: 1 table, 2 rows, 4 cells. One cell of four letters has one letter changed: a quarter of a node of seven.
    truth = scores.tables_as_html("| abcd | b |\n| --- | --- |\n| c | d |")
    found = scores.tables_as_html("| abcx | b |\n| --- | --- |\n| c | d |")

    assert scores.measure_tables(truth, found) == pytest.approx(1 - 0.25 / 7)


def test_a_missing_row_costs_its_nodes() -> None:
    truth, found = scores.tables_as_html(TABLE + "\n| e | f |"), scores.tables_as_html(TABLE)

    assert scores.measure_tables(truth, found) == pytest.approx(1 - 3 / 10)


def test_a_lost_span_costs_a_node_and_more() -> None:
    truth = "<table><tr><td colspan=2>a</td></tr><tr><td>b</td><td>c</td></tr></table>"
    found = "<table><tr><td>a</td><td></td></tr><tr><td>b</td><td>c</td></tr></table>"

    # Cell `a` without its span is another node (1), and one empty cell is too many (1), of 7 nodes.
    assert scores.measure_tables(truth, found) == pytest.approx(1 - 2 / 7)


def test_header_cells_and_row_groups_make_no_difference() -> None:
    plain = "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>"
    grouped = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>"

    assert scores.measure_tables(plain, grouped) == 1.0


def test_a_pipe_table_without_head_begins_with_its_first_row() -> None:
    assert scores.tables_as_html("|  |  |\n|---|---|\n| a | b |") == "<table><tr><th>a</th><th>b</th></tr></table>"


def test_the_outline_ignores_levels_and_counts_lost_headings() -> None:
    truth = "# A\n\none\n\n## B\n\ntwo"

    assert scores.measure_outline(truth, "### A\n\none\n\n# B\n\ntwo") == 1.0
    # Nodes: document, A, one, B, two. The heading B is lost (1), and its text joins "one", which becomes "one B two"
    # (6 of 9 letters changed) while the node "two" is gone (1).
    assert scores.measure_outline(truth, "# A\n\none\n\nB\n\ntwo") == pytest.approx(1 - (1 + 1 + 6 / 9) / 5)


def test_means_leave_out_what_a_document_does_not_have() -> None:
    documents = [scores.Scores(0.5, 0.5, None, None), scores.Scores(0.7, 0.9, 0.4, None)]

    assert scores.mean_scores(documents) == scores.Scores(0.6, 0.7, 0.4, None)


SAMPLES = [
    "# Title\n\nSome *words* and a table.\n\n" + TABLE + "\n\nAfter it.\n\n## Second\n\nMore words, 3 < 4 & 5 > 2.",
    "Words only, no heading.\n\n<table><tr><td rowspan=2>x<br>y</td><td>1</td></tr><tr><td>2</td></tr></table>",
    "| wide | a | b | c |\n|---|:-:|---|---|\n| one | two | three |\n| 1 | 2 |\n\n# End",
    "### Only a heading",
    "| not a table |\n| still none |\n\n" + TABLE.replace("a", ""),
    "",
]


@pytest.mark.skipif(not (SHARED / "tools" / "score_markdown.py").is_file(), reason="needs ../shared/tools")
@pytest.mark.parametrize("truth", SAMPLES)
@pytest.mark.parametrize("found", SAMPLES)
def test_every_measure_agrees_with_the_shared_scorer(truth: str, found: str) -> None:
    expected = load(SHARED / "tools" / "score_markdown.py").measure(truth, found)
    ours = scores.score(truth, found)

    assert {name: getattr(ours, name) for name in MEASURES} == pytest.approx(
        {name: expected[name] for name in MEASURES}
    )


@pytest.mark.skipif(not (SHARED / "corpus" / "roundtrip").is_dir(), reason="needs ../shared/corpus")
@pytest.mark.parametrize("truth_folder", ["truth", "truth_volume"])
def test_means_over_a_corpus_agree_with_the_shared_scorer(tmp_path: Path, truth_folder: str) -> None:
    truths = sorted((SHARED / "corpus" / "roundtrip" / truth_folder).glob("*.md"))[::7]
    (tmp_path / "truth").mkdir()
    (tmp_path / "found").mkdir()
    ours = []
    for truth in truths:
        text = truth.read_text("utf-8")
        spoilt = text.replace("# ", "", 1).replace(" the ", " a ").replace("</tr>", "</tr><tr><td>x</td></tr>", 1)
        (tmp_path / "truth" / truth.name).write_text(text, "utf-8")
        (tmp_path / "found" / truth.name).write_text(spoilt, "utf-8")
        ours.append(scores.score(text, spoilt))

    _rows, means = load(SHARED / "tools" / "score_markdown.py").score(tmp_path / "found", tmp_path / "truth")

    found = scores.mean_scores(ours)
    assert {name: getattr(found, name) for name in MEASURES} == pytest.approx(
        {name: means[name] for name in MEASURES}, abs=0.01
    )
