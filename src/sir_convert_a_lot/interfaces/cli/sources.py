"""Which PDFs a command line means, and where the Markdown of each goes.

Owns the walk and the mapping: a file given by name lands at `DIR/name.md`, the file `a/b.pdf` under a given folder at
`DIR/a/b.md`. Refuses, before anything is sent, whatever would make two documents meet in one place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NoReturn

from sir_convert_a_lot.interfaces.cli.talk import UsageMistake


@dataclass(frozen=True, slots=True)
class Document:
    """One PDF to convert. Both paths are absolute; `shown` is short, for people."""

    pdf: Path
    output: Path
    shown: str


def find_documents(sources: Sequence[Path], output_dir: Path, *, recursive: bool) -> tuple[Document, ...]:
    """Every PDF of `sources`, sorted by path, each once. Raises `UsageMistake` when one is missing or two collide."""
    root = absolute(output_dir)
    documents: dict[Path, Document] = {}
    for source in sources:
        for pdf, relative in _expand(source, recursive=recursive):
            document = Document(absolute(pdf), root / relative, str(relative.with_name(pdf.name)))
            known = documents.get(document.output)
            if known is not None and known.pdf != document.pdf:
                raise UsageMistake(
                    f"{known.pdf} and {document.pdf} would both be written to {document.output}",
                    details={"field": "SOURCE", "reason": "output_collision"},
                )
            documents[document.output] = document
    _refuse_nesting(documents)
    return tuple(sorted(documents.values(), key=lambda document: document.pdf))


def find_pdfs(sources: Sequence[Path], *, recursive: bool) -> tuple[Path, ...]:
    """The same PDFs where nothing is written: absolute, sorted, each once."""
    return tuple(sorted({absolute(pdf) for source in sources for pdf, _ in _expand(source, recursive=recursive)}))


def absolute(path: Path) -> Path:
    """Absolute and without `..`, links kept: people know a file by the name they gave it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _expand(source: Path, *, recursive: bool) -> Iterator[tuple[Path, PurePath]]:
    """(PDF, its Markdown below the output folder). Under a folder, hidden files and hidden folders are left out."""
    if source.is_dir():
        found = sorted(_walk(source, recursive=recursive))
        if not found:
            hint = "" if recursive else " (folders in it are only looked into with --recursive)"
            raise UsageMistake(f"no PDF in {source}{hint}", details={"field": "SOURCE", "reason": "no_pdf"})
        for pdf in found:
            yield pdf, _markdown_name(pdf.relative_to(source))
    elif source.exists():
        yield source, _markdown_name(PurePath(source.name))
    else:
        raise UsageMistake(f"{source} does not exist", details={"field": "SOURCE", "reason": "missing"})


def _walk(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for here, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield from (Path(here, name) for name in files if name.lower().endswith(".pdf") and not name.startswith("."))


def _refuse_unreadable(error: OSError) -> NoReturn:
    """A folder that cannot be read must not pass for an empty one."""
    raise UsageMistake(
        f"cannot read the folder {error.filename}: {error.strerror}",
        details={"field": "SOURCE", "reason": "unreadable"},
    ) from error


def _markdown_name(path: PurePath) -> PurePath:
    """`b.pdf` becomes `b.md`; a file without that suffix keeps its whole name: `b.bin.md`."""
    return path.with_suffix(".md") if path.suffix.lower() == ".pdf" else path.with_name(f"{path.name}.md")


def _refuse_nesting(documents: dict[Path, Document]) -> None:
    """One document's Markdown cannot be a folder that another's lies in: `a.pdf` beside `a.md/b.pdf`."""
    for output, document in documents.items():
        for parent in output.parents:
            if parent in documents:
                raise UsageMistake(
                    f"{documents[parent].pdf} would be written to {parent}, which is a folder for {document.pdf}",
                    details={"field": "SOURCE", "reason": "output_collision"},
                )
