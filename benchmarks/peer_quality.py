"""The Markdown of the product and of its peers against the truth, side by side: `quality.py --peers`.

Owns the comparison and its table. All engines convert the same PDFs through the same door (`peers.py`), one process and
one core each, default settings. A PDF that an engine failed on counts as an empty text and is printed. A peer that is
not installed is a row with the reason and no failure of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown_scores import Scores, mean_scores, score
from peer_runs import Pace, count_pages, measure_start, pace_of, run_peer
from peers import Peer

MEASURES = ("overall", "nid", "teds", "mhs")
HEADINGS = ("engine", "Overall", "NID", "TEDS", "MHS", "processor s/page", "peak MB", "failed", "licence")


@dataclass(frozen=True, slots=True)
class Corpus:
    """The PDFs of one corpus that have a truth, each with the file of its truth."""

    name: str
    truths: Mapping[Path, Path]


@dataclass(slots=True)
class Standing:
    """One engine. `scores` by corpus, means over its PDFs; None: no such figure, `missing` says why."""

    peer: Peer
    missing: str | None = None
    scores: dict[str, Scores] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    pace: Pace | None = None


def pick(pdfs: Sequence[Path], sample: int | None) -> list[Path]:
    """At most `sample` of the PDFs, evenly spread over them; the same ones each time."""
    if sample is None or len(pdfs) <= sample:
        return list(pdfs)
    return [pdfs[index * len(pdfs) // sample] for index in range(sample)]


def compare(peers: Sequence[Peer], corpora: Sequence[Corpus]) -> Iterator[Standing]:
    """One engine after the other, so that none has the other's company on the machine."""
    pages = count_pages(pdf for corpus in corpora for pdf in corpus.truths)
    for peer in peers:
        standing = Standing(peer, peer.missing())
        if standing.missing is None:
            pdfs = [pdf for corpus in corpora for pdf in corpus.truths]
            starts, run = measure_start(peer), run_peer(peer, pdfs)
            standing.pace = pace_of(starts, [run], pages)
            standing.failures = list(run.failures)
            texts = dict(zip(pdfs, run.texts, strict=True))
            standing.scores = {corpus.name: judge(corpus, texts) for corpus in corpora}
        yield standing


def judge(corpus: Corpus, texts: Mapping[Path, str | None]) -> Scores:
    """The means over a corpus; a PDF without a text scores as an empty one."""
    return mean_scores(score(truth.read_text("utf-8"), texts[pdf] or "") for pdf, truth in corpus.truths.items())


def write_table(standings: Sequence[Standing], corpora: Sequence[str]) -> str:
    """A pipe table, one row an engine; each cell of a measure has the corpora in their order."""
    lines = [_row(HEADINGS), _row(["---"] * len(HEADINGS))]
    for standing in standings:
        if standing.pace is None:
            lines.append(_row([standing.peer.name, standing.missing or "", *[""] * 6, standing.peer.licence]))
            continue
        cells = [
            " / ".join(write_score(getattr(standing.scores[name], measure)) for name in corpora) for measure in MEASURES
        ]
        pace = [f"{standing.pace.page_processor_s:.3f}", f"{standing.pace.peak_mb:.0f}", str(len(standing.failures))]
        lines.append(_row([standing.peer.name, *cells, *pace, standing.peer.licence]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_score(value: float | None) -> str:
    """Three places, rounded down: what is printed was reached. `n/a` where the truth has nothing to compare."""
    if value is None:
        return "n/a"
    thousandths = int(value * 1000 + 1e-9)
    return "1.000" if thousandths >= 1000 else f".{thousandths:03}"
