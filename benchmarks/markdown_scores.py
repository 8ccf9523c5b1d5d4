"""How close a Markdown text is to the text it should be: NID, TEDS and MHS, the measures of opendataloader-bench.

Owns the three measures and their mean, each between 0 (nothing alike) and 1 (the same). Refuses to convert anything: it
compares two texts. Needs rapidfuzz, apted and lxml (dependency group `test`).

- NID: likeness of the running texts, white space collapsed: 1 - insertions and deletions / length of both.
- TEDS: likeness of the tables as trees of rows and cells, where a changed cell costs by how much its text changed.
- MHS: likeness of the outline: headings in their order, each with the text that follows it. Levels do not count.
- Overall: the mean of those that the true text defines. A text without tables has no TEDS, one without headings no MHS.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import Any

import lxml.html
from apted import APTED, Config
from rapidfuzz.distance import Indel, Levenshtein

DELIMITER_CELL = re.compile(r"[-: ]*[-:][-: ]*")
TABLE = re.compile(r"<table[^>]*>.*?</table>", re.DOTALL | re.IGNORECASE)
HEADING = re.compile(r"#{1,6}\s+(.*)")
LINE_BREAK = re.compile(r"<br\s*/?>")
CELL_TAGS = ("td", "th")
ROW_GROUP_TAGS = ("thead", "tbody")


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one document, or the means of many. None: the true text has nothing to compare."""

    overall: float | None
    nid: float | None
    teds: float | None
    mhs: float | None


@dataclass(slots=True)
class Node:
    """One node of a table or an outline. Nodes of different kind or shape never match; texts may differ by degrees."""

    kind: str
    text: str = ""
    shape: tuple[int, int] | None = None  # columns and rows a cell spans
    children: list[Node] = field(default_factory=list)

    def count(self) -> int:
        return 1 + sum(child.count() for child in self.children)


class _EditCosts(Config):  # type: ignore[misc]  # apted has no types
    """Inserting or deleting a node costs 1 (apted's default), changing one what its text changed."""

    def rename(self, one: Node, other: Node) -> float:
        if (one.kind, one.shape) != (other.kind, other.shape):
            return 1.0
        return float(Levenshtein.normalized_distance(one.text, other.text))

    def children(self, node: Node) -> list[Node]:
        return node.children


def score(truth: str, produced: str) -> Scores:
    """The scores of `produced` against `truth`."""
    truth, produced = tables_as_html(truth), tables_as_html(produced)
    parts = {"nid": measure_text(truth, produced), "teds": measure_tables(truth, produced)}
    parts["mhs"] = measure_outline(truth, produced)
    defined = [value for value in parts.values() if value is not None]
    return Scores(overall=fmean(defined) if defined else None, **parts)


def mean_scores(scores: Iterable[Scores]) -> Scores:
    """The mean of each measure over the documents that have it."""
    found = list(scores)
    means = {}
    for name in (measure.name for measure in fields(Scores)):
        values = [value for one in found if (value := getattr(one, name)) is not None]
        means[name] = fmean(values) if values else None
    return Scores(**means)


def measure_text(truth: str, produced: str) -> float | None:
    """NID, or None when the true text is empty."""
    truth, produced = _collapse(truth), _collapse(produced)
    return Indel.normalized_similarity(truth, produced) if truth else None


def measure_tables(truth: str, produced: str) -> float | None:
    """TEDS over all tables of the documents, given as HTML; None when the true text has none."""
    expected, found = _tables_of(truth), _tables_of(produced)
    if expected is None:
        return None
    if found is None:
        return 0.0
    return 1 - _edit_distance(expected.tree, found.tree) / max(expected.elements, found.elements)


def measure_outline(truth: str, produced: str) -> float | None:
    """MHS; None when the true text has no heading."""
    expected, found = _outline_of(truth), _outline_of(produced)
    if not _has_heading(expected):
        return None
    if not _has_heading(found):
        return 0.0
    likeness = 1 - _edit_distance(expected, found) / max(expected.count(), found.count())
    return min(1.0, max(0.0, likeness))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _edit_distance(one: Node, other: Node) -> float:
    return float(APTED(one, other, _EditCosts()).compute_edit_distance())


# --- pipe tables ------------------------------------------------------------------------------------------------------


def tables_as_html(markdown: str) -> str:
    """The text with its pipe tables written as HTML tables; everything else as it was."""
    return "\n".join(_blocks_as_html(markdown.splitlines()))


def _blocks_as_html(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        head = _split_row(lines[at])
        delimiters = _split_row(lines[at + 1]) if head and at + 1 < len(lines) else None
        if not head or not delimiters or not all(map(DELIMITER_CELL.fullmatch, delimiters)):
            yield lines[at]
            at += 1
            continue
        at += 2
        rows = []
        while at < len(lines) and (row := _split_row(lines[at])):
            rows.append(row)
            at += 1
        yield _as_html(head, rows, width=max(len(head), len(delimiters)))


def _split_row(line: str) -> list[str] | None:
    """The cells of a line with a pipe in it; None for any other line."""
    text = line.strip()
    if "|" not in text:
        return None
    cells = text.removeprefix("|").split("|")
    if text.endswith("|"):
        cells.pop()
    return [cell.strip() for cell in cells] or None


def _as_html(head: list[str], rows: list[list[str]], width: int) -> str:
    head = _fit(head, width)
    body = [_fit(row, width) for row in rows]
    if not any(head) and body:
        head = body.pop(0)
    return f"<table>{_row_as_html(head, 'th')}{''.join(_row_as_html(row, 'td') for row in body)}</table>"


def _fit(row: list[str], width: int) -> list[str]:
    """The row with as many cells as the table has; of three in a wider table, the middle one stands for all between."""
    if len(row) == 3 < width:
        return [row[0], *[row[1]] * (width - 2), row[2]]
    return (row + [""] * width)[:width]


def _row_as_html(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


# --- table trees ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tables:
    """All tables of a document under one root, which does not count as an element."""

    tree: Node
    elements: int = 0

    def read(self, element: Any) -> Node:
        self.elements += 1
        if element.tag in CELL_TAGS:
            self.elements += sum(1 for _ in element.iterdescendants())
            return Node("cell", _cell_text(element), (_span(element, "colspan"), _span(element, "rowspan")))
        node = Node(element.tag)
        for child in element:
            if child.tag in ROW_GROUP_TAGS:
                node.children += [self.read(row) for row in child]
            elif isinstance(child.tag, str):
                node.children.append(self.read(child))
        return node


def _tables_of(markdown: str) -> _Tables | None:
    if "<table" not in markdown.lower():
        return None
    document = lxml.html.fromstring(f"<div>{markdown.replace(chr(13), '')}</div>")
    outer = [table for table in document.iter("table") if table.getparent().tag not in CELL_TAGS]
    if not outer:
        return None
    tables = _Tables(Node("table"))
    tables.tree.children = [tables.read(table) for table in outer]
    return tables


def _span(cell: Any, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return int(value) if value.isdigit() else 1


def _cell_text(cell: Any) -> str:
    """The cell's content with its markup, line breaks as spaces."""
    inner = (cell.text or "") + "".join(lxml.html.tostring(child, encoding="unicode") for child in cell)
    return _collapse(html.unescape(LINE_BREAK.sub(" ", inner)))


# --- outlines ---------------------------------------------------------------------------------------------------------


def _outline_of(markdown: str) -> Node:
    """The document with its headings as children, and under each (or the document itself) the text that follows."""
    root = Node("document")
    parent, text = root, list[str]()
    for line in [*markdown.splitlines(), None]:
        heading = HEADING.match(line) if line is not None else None
        if line is not None and not heading:
            text.append(line)
            continue
        if content := _collapse(" ".join(text)):
            parent.children.append(Node("content", content))
        text = []
        if heading:
            parent = Node("heading", _collapse(heading[1]))
            root.children.append(parent)
    return root


def _has_heading(outline: Node) -> bool:
    return any(child.kind == "heading" for child in outline.children)
