"""Parsers a layout engine could stand on, side by side: pypdfium2, docling-parse, pdf-oxide.

    python benchmarks/parsers.py [PDF_OR_FOLDER …]        (default: examples/)

For each parser and each PDF a process of its own reads every character with its box, font and size, and every drawn
line, as the layout steps of the built-in engine need them; so a crash or a hang is an outcome, not the end of the run.
Printed: seconds a page (reading alone, after import; the fastest of three readings of a file), what the parser tells,
its installed size with and without the packages it needs, its licence, what becomes of the first PDF cut in half, and
over all files how many were read, refused, crashed or ran longer than 30 s. A parser that is not installed is left
out: `pip install docling-parse pdf-oxide` into an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_S = 30.0
READINGS = 3


class Reading(NamedTuple):
    """What one parser saw in one PDF. The flags say whether it told a figure that is not a constant."""

    pages: int
    characters: int
    boxes: bool
    font_names: bool
    sizes: bool
    lines: int


def read_pypdfium2(path: str) -> Reading:
    """Every character through pdfium's text page, every path object through its page objects."""
    from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Word
    from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile, parse_page

    words: list[Word] = []
    lines = 0
    with PdfFile(Path(path), max_pages=100_000) as document:
        pages = document.page_count
        for index in range(pages):
            raw = document.load_page(index)
            page = parse_page(raw, index)
            raw.close()
            words += page.words
            lines += len(page.rulings)
    return Reading(
        pages,
        sum(len(word.text) for word in words),
        boxes=any(word.box.width > 0.0 for word in words),
        font_names=any(word.font.name for word in words),
        sizes=any(word.font.size_pt > 0 for word in words),
        lines=lines,
    )


def read_docling_parse(path: str) -> Reading:
    """Character cells and shapes of its page model."""
    from docling_parse.pdf_parser import DoclingPdfParser  # type: ignore[import-not-found,unused-ignore]

    document: Any = DoclingPdfParser(loglevel="fatal").load(Path(path))
    cells, pages, lines = [], 0, 0
    for _number, page in document.iterate_pages():
        pages += 1
        cells += page.char_cells
        lines += len(page.shapes)
    return Reading(
        pages,
        len(cells),
        boxes=any(cell.rect.r_x1 > cell.rect.r_x0 for cell in cells),
        font_names=any(cell.font_name for cell in cells),
        sizes=any(getattr(cell, "font_size", 0) for cell in cells),
        lines=lines,
    )


def read_pdf_oxide(path: str) -> Reading:
    """Characters and paths of each page."""
    import pdf_oxide  # type: ignore[import-not-found,unused-ignore]

    document: Any = pdf_oxide.PdfDocument(path)
    characters, lines = [], 0
    pages = document.page_count()
    for index in range(pages):
        characters += document.extract_chars(index)
        lines += len(document.extract_paths(index))
    return Reading(
        pages,
        len(characters),
        boxes=any(character.advance_width for character in characters),
        font_names=any(character.font_name for character in characters),
        sizes=any(character.font_size > 0 for character in characters),
        lines=lines,
    )


PARSERS = {
    "pypdfium2": ("pypdfium2", read_pypdfium2),
    "docling-parse": ("docling_parse", read_docling_parse),
    "pdf-oxide": ("pdf_oxide", read_pdf_oxide),
}


def read_here(parser: str, path: str) -> None:
    """The child's side: reads the PDF three times and prints the fastest as JSON."""
    read = PARSERS[parser][1]
    best, reading = float("inf"), None
    for _ in range(READINGS):
        start = time.perf_counter()
        reading = read(path)
        best = min(best, time.perf_counter() - start)
    assert reading is not None
    print("\n" + json.dumps({"seconds": best, **reading._asdict()}))


def read_apart(parser: str, path: Path) -> dict[str, Any]:
    """The parent's side: `outcome` is read, refused (an exception), crashed (a signal) or hung."""
    command = [sys.executable, __file__, "--read", parser, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * READINGS, check=False)
    except subprocess.TimeoutExpired:
        return {"outcome": "hung"}
    if done.returncode < 0:
        return {"outcome": "crashed", "detail": f"signal {-done.returncode}"}
    if done.returncode:
        last = done.stderr.strip().splitlines()
        return {"outcome": "refused", "detail": last[-1][:100] if last else ""}
    return {"outcome": "read", **json.loads(done.stdout.strip().splitlines()[-1])}


def installed_size(distribution: str, *, with_needs: bool) -> int:
    """Bytes on disk of a distribution, with what it needs to be installed when `with_needs`."""
    pending, seen, total = [distribution], set(), 0
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
        total += sum(path.stat().st_size for path in paths if path.is_file())
        if with_needs:
            needs = (need for need in found.requires or () if "extra ==" not in need)
            pending += [match.group() for need in needs if (match := re.match(r"[\w.-]+", need))]
    return total


def licence_of(distribution: str) -> str:
    """What the package says its licence is, as it says it."""
    about = metadata.metadata(distribution)
    said = about["License-Expression"] if "License-Expression" in about else about["License"]
    text = str(said or "not said").strip().splitlines()[0]
    return text[:40]


def collect(sources: list[Path]) -> list[Path]:
    """The PDFs named, folders replaced by the PDFs in them."""
    found: list[Path] = []
    for source in sources:
        found += sorted(source.glob("*.pdf")) if source.is_dir() else [source]
    return found


def measure(parser: str, pdfs: list[Path], cut: Path) -> list[str]:
    """One column of the table."""
    results = [read_apart(parser, pdf) for pdf in pdfs]
    read = [result for result in results if result["outcome"] == "read"]
    pages = sum(result["pages"] for result in read)
    outcomes = Counter(result["outcome"] for result in results)
    half = read_apart(parser, cut)
    told = half.get("characters", re.sub(r"^[\w.]*\.(?=\w+:)", "", half.get("detail", "")))
    tells = [name for name in ("boxes", "font_names", "sizes", "lines") if any(result[name] for result in read)]
    return [
        metadata.version(parser),
        f"{sum(result['seconds'] for result in read) / max(pages, 1):.4f}",
        str(pages),
        str(sum(result["characters"] for result in read)),
        ", ".join(tells),
        f"{installed_size(parser, with_needs=False) / 1e6:.0f} / {installed_size(parser, with_needs=True) / 1e6:.0f}",
        licence_of(parser),
        f"{half['outcome']} ({told})"[:60],
        ", ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items())),
    ]


ROWS = (
    "version",
    "seconds a page",
    "pages read",
    "characters read",
    "tells",
    "MB installed: itself / with needs",
    "licence",
    "first PDF cut in half (characters)",
    "outcomes over all files",
)


def main() -> None:
    """Prints the table, one parser a column."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sources", nargs="*", type=Path, default=[REPOSITORY / "examples"])
    arguments.add_argument("--read", nargs=2, metavar=("PARSER", "PDF"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.read:
        read_here(*options.read)
        return
    pdfs = collect(options.sources)
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder, "cut.pdf")
        whole = pdfs[0].read_bytes()
        cut.write_bytes(whole[: len(whole) // 2])
        columns = {name: measure(name, pdfs, cut) for name, (module, _) in PARSERS.items() if find_spec(module)}
    print(f"{len(pdfs)} PDFs")
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for index, row in enumerate(ROWS):
        print(f"| {row} | " + " | ".join(column[index] for column in columns.values()) + " |")


if __name__ == "__main__":
    main()
