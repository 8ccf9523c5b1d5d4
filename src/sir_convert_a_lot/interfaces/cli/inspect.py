"""`convert-a-lot inspect PDF --page N --out PNG`: a picture of how the built-in engine reads one page.

Needs no service and no GPU: it converts nothing, it shows. The PDF is opened in this process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.interfaces.cli.outcome import OutputNotWritten
from sir_convert_a_lot.interfaces.cli.sources import absolute
from sir_convert_a_lot.interfaces.cli.talk import answer_path


def inspect(
    pdf: Annotated[
        Path, typer.Argument(metavar="PDF", help="A PDF file.", exists=True, dir_okay=False, show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="The PNG to write.", show_default=False)],
    page: Annotated[int, typer.Option("--page", min=1, help="Which page; the first is 1.")] = 1,
) -> None:
    """Draw how the built-in engine reads a page of a PDF.

    Words, lines, columns, blocks, tables and their order are drawn over the page; without OCR, so a scanned page shows
    none. Prints the path of the picture.
    """
    from sir_convert_a_lot.bootstrap import draw_page
    from sir_convert_a_lot.interfaces.cli.convert import load_local_settings
    from sir_convert_a_lot.interfaces.client.whole_files import written_whole

    picture = draw_page(pdf, page, load_local_settings())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out) as part:
            part.write_bytes(picture)
    except OSError as error:
        raise OutputNotWritten(f"cannot write {out}: {error.strerror}") from error
    answer_path(absolute(out))
