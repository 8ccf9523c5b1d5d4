"""Tables: found by their rules on a page of words, and written as Markdown.

Owns `find_tables` and `render_table`. Refuses to place a table among the other blocks of a page.
"""

from sir_convert_a_lot.infrastructure.engines.builtin.tables.finding import find_tables
from sir_convert_a_lot.infrastructure.engines.builtin.tables.rendering import render_table

__all__ = ["find_tables", "render_table"]
