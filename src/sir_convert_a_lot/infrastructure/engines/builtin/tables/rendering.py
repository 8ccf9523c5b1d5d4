"""A table as Markdown: a pipe table, or HTML where cells span.

Owns the escaping of cells. Refuses to change what the cells say.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Cell, Table

# What would begin markup inside a cell: an HTML tag or comment, a code span, a link.
MARKUP = re.compile(r"[\\|`\[\]]|<(?=[a-zA-Z/!?])|&(?=#?\w+;)")


def render_table(table: Table) -> str:
    """The table as Markdown without a line break at its end. HTML when a cell spans, since pipe tables cannot."""
    has_spans = any(cell.row_span > 1 or cell.column_span > 1 for cell in table.cells)
    return _render_html(table) if has_spans else _render_pipes(table)


def _rows_of(table: Table) -> list[list[Cell]]:
    by_row: defaultdict[int, list[Cell]] = defaultdict(list)
    for cell in sorted(table.cells, key=lambda cell: (cell.row, cell.column)):
        by_row[cell.row].append(cell)
    return [by_row[row] for row in range(table.rows)]


def _render_pipes(table: Table) -> str:
    rows = [[_escape(cell.text) for cell in row] for row in _rows_of(table)]
    if not table.has_header:
        rows.insert(0, [""] * table.columns)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * table.columns)
    return "\n".join(lines)


def _escape(text: str) -> str:
    escaped = MARKUP.sub(r"\\\g<0>", text)
    for mark in "*_~":
        if _could_emphasise(text, mark):
            escaped = escaped.replace(mark, "\\" + mark)
    return escaped


def _could_emphasise(text: str, mark: str) -> bool:
    """One mark alone, or underscores inside words, change nothing."""
    outside_words = re.findall(rf"(?<!\w){re.escape(mark)}+|{re.escape(mark)}+(?!\w)", text)
    return len(outside_words if mark == "_" else re.findall(re.escape(mark), text)) > 1


def _render_html(table: Table) -> str:
    lines = ["<table>"]
    for row, cells in enumerate(_rows_of(table)):
        tag = "th" if row == 0 and table.has_header else "td"
        lines += ["<tr>", *(_render_html_cell(cell, tag) for cell in cells), "</tr>"]
    return "\n".join([*lines, "</table>"])


def _render_html_cell(cell: Cell, tag: str) -> str:
    spans = f' rowspan="{cell.row_span}"' if cell.row_span > 1 else ""
    spans += f' colspan="{cell.column_span}"' if cell.column_span > 1 else ""
    return f"<{tag}{spans}>{html.escape(cell.text, quote=False)}</{tag}>"
