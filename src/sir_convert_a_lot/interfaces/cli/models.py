"""`convert-a-lot models download`: fetch the models of the Docling engine, once, before the service needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.interfaces.cli.talk import answer_path, say

app = typer.Typer(help="The models of the Docling engine.", no_args_is_help=True)


@app.callback()
def models() -> None:
    """The models of the Docling engine."""


@app.command()
def download(
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", help="Where they go; without it, where Docling looks by itself.")
    ] = None,
) -> None:
    """Fetch the layout, table and OCR models from their hubs. Prints the folder, alone, on stdout."""
    from sir_convert_a_lot.bootstrap import download_models

    folder = download_models(output_dir)
    if output_dir is not None:
        say(f"Tell the service: DOCLING_ARTIFACTS_PATH={folder.resolve()}")
    answer_path(folder)
