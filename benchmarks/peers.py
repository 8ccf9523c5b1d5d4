"""The product and its peers behind one door: a folder of PDFs in, a folder of Markdown out, in a process of its own.

    PYTHON benchmarks/peers.py NAME FOLDER_OF_PDFS FOLDER_FOR_MARKDOWN [--cores N]

Owns one adapter a peer, each with the peer's default settings, and where a peer's environment lies (`build/peers/NAME`,
made by `install_peers.py`). Runs inside that environment, so it imports nothing but the standard library until the peer
is named. Refuses to measure: `process_costs.py` watches the process from outside, the same way for all.

For `x.pdf` an adapter leaves `x.md`, or `x.error` with the reason; it goes on with the next one. A PDF with neither
was lost with its process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENTS = REPOSITORY / "build" / "peers"
PRODUCT = "sir-convert-a-lot"
# No peer may fetch anything while it is measured.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

ConvertAll = Callable[[Sequence[Path], Path], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """`requirement` is what to install into its environment; None: it is part of the project's own."""

    name: str
    licence: str
    adapter: Callable[[], ConvertAll]
    requirement: str | None = None
    module: str | None = None  # what the project's own environment must have
    program: str | None = None  # what it calls and does not bring

    def python(self, environments: Path = ENVIRONMENTS) -> Path:
        """The interpreter to run the adapter with, whether it is there or not."""
        return environments / self.name / "bin" / "python" if self.requirement else Path(sys.executable)

    def missing(self, environments: Path = ENVIRONMENTS) -> str | None:
        """Why it cannot be run here; None when it can."""
        if self.requirement and not self.python(environments).is_file():
            failed = environments / f"{self.name}.failed"
            reason = failed.read_text("utf-8").strip() if failed.is_file() else "pdm run bench:peers installs it"
            return f"not installed: {reason}"
        if self.module and find_spec(self.module) is None:
            return f"not installed: no package {self.module} in this environment"
        if self.program and shutil.which(self.program) is None:
            return f"not installed: it needs the program {self.program}"
        return None


def one_by_one(convert: Callable[[Path], str]) -> ConvertAll:
    """An adapter from a function that gives the Markdown of one PDF."""

    def convert_all(pdfs: Sequence[Path], out: Path) -> None:
        for pdf in pdfs:
            try:
                markdown = convert(pdf)
            except Exception as error:  # noqa: BLE001  # whatever a foreign library raises is that document's failure
                (out / f"{pdf.stem}.error").write_text(f"{type(error).__name__}: {error}", "utf-8")
            else:
                (out / f"{pdf.stem}.md").write_text(markdown, "utf-8", errors="replace")

    return convert_all


def load_product() -> ConvertAll:
    product: Any = import_module("product")

    def convert(pdf: Path) -> str:
        converted = product.convert(pdf, "builtin")
        if converted.refusal:
            raise ValueError(converted.refusal)
        return str(converted.markdown)

    return one_by_one(convert)


def load_opendataloader() -> ConvertAll:
    """One JVM for all PDFs. It goes on after one that it cannot read, and fails at the end."""
    opendataloader: Any = import_module("opendataloader_pdf")

    def convert_all(pdfs: Sequence[Path], out: Path) -> None:
        reason = "no Markdown was written"
        try:
            opendataloader.convert([str(pdf) for pdf in pdfs], output_dir=str(out), format="markdown", quiet=True)
        except Exception as error:  # noqa: BLE001  # as in one_by_one
            reason = f"{type(error).__name__}"
        for pdf in pdfs:
            if not (out / f"{pdf.stem}.md").is_file():
                (out / f"{pdf.stem}.error").write_text(reason, "utf-8")

    return convert_all


def load_pymupdf4llm() -> ConvertAll:
    pymupdf4llm: Any = import_module("pymupdf4llm")
    return one_by_one(lambda pdf: str(pymupdf4llm.to_markdown(str(pdf))))


def load_pdf_oxide() -> ConvertAll:
    pdf_oxide: Any = import_module("pdf_oxide")
    return one_by_one(lambda pdf: str(pdf_oxide.PdfDocument(str(pdf)).to_markdown_all()))


def load_markitdown() -> ConvertAll:
    converter: Any = import_module("markitdown").MarkItDown()
    return one_by_one(lambda pdf: str(converter.convert(str(pdf)).markdown))


def load_kreuzberg() -> ConvertAll:
    kreuzberg: Any = import_module("kreuzberg")
    config = kreuzberg.ExtractionConfig(output_format="markdown")
    return one_by_one(lambda pdf: str(kreuzberg.extract_file_sync(str(pdf), config=config).content))


def load_docling_native() -> ConvertAll:
    """Docling's pipeline without models. The standard one needs models, which nothing here fetches."""
    converters: Any = import_module("docling.document_converter")
    options: Any = import_module("docling.datamodel.pipeline_options").NativePdfPipelineOptions()
    pdf_format: Any = import_module("docling.datamodel.base_models").InputFormat.PDF
    converter = converters.DocumentConverter(
        format_options={pdf_format: converters.NativePdfFormatOption(pipeline_options=options)}
    )
    return one_by_one(lambda pdf: str(converter.convert(pdf).document.export_to_markdown()))


PEERS = (
    Peer(PRODUCT, "Apache-2.0", load_product, module="sir_convert_a_lot"),
    Peer("opendataloader-pdf", "Apache-2.0", load_opendataloader, "opendataloader-pdf", program="java"),
    Peer("pymupdf4llm", "AGPL-3.0 or commercial", load_pymupdf4llm, "pymupdf4llm"),
    Peer("pdf-oxide", "MIT or Apache-2.0", load_pdf_oxide, "pdf-oxide"),
    Peer("markitdown", "MIT", load_markitdown, "markitdown[pdf]"),
    Peer("kreuzberg", "MIT", load_kreuzberg, "kreuzberg"),
    Peer("docling-native", "MIT", load_docling_native, module="docling"),
)
BY_NAME = {peer.name: peer for peer in PEERS}


def command_for(peer: Peer, pdfs: Path, out: Path, cores: int) -> list[str]:
    """What runs `peer` over the PDFs in `pdfs`; to be started with `OFFLINE` in its environment."""
    return [str(peer.python()), __file__, peer.name, str(pdfs), str(out), "--cores", str(cores)]


def keep_to_cores(count: int, first: int) -> None:
    """This process and its children run on `count` of the processors they may use, from the one numbered `first`."""
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[(first + offset) % len(usable)] for offset in range(min(count, len(usable)))})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Convert a folder of PDFs with one peer.")
    parser.add_argument("name", choices=BY_NAME)
    parser.add_argument("pdfs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--first-core", type=int, default=0)
    options = parser.parse_args(arguments)
    keep_to_cores(options.cores, options.first_core)
    BY_NAME[options.name].adapter()(sorted(options.pdfs.glob("*.pdf")), options.out)


if __name__ == "__main__":
    main()
