"""Makes the PDFs under examples/ and the Markdown they should become: `pdm run examples`.

Owns the look of the corpus: one block model, written out twice, as PDF and as truth, so that the two cannot drift.
The words are in `example_texts.py` and `example_report.py`. The bytes are the same on every run (fixed dates and ids).
Needs the dependency group `examples`; nothing of the product is imported.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
from PIL import Image
from reportlab import rl_config
from reportlab.lib.colors import black
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    KeepTogether,
    ListFlowable,
    ListItem,
    NextPageTemplate,
    PageTemplate,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus import Paragraph as Text

import example_texts as texts
from example_report import REPORT
from example_texts import Block, Bullets, Caption, Heading, Numbered, Paragraph, Rows, Title

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SOFT_HYPHEN = "\u00ad"  # example_texts.py writes ~ for it
WIDTH_PT, HEIGHT_PT = A4
SCAN_DPI = 200  # what office scanners call "fine"; RapidOCR's models want about this
TRUNCATED_AT_BYTES = 600  # within the first objects, before any page

rl_config.invariant = 1  # no dates, no random ids


# --- looks ---------------------------------------------------------------------------------------------------------


def style(name: str, font: str, size_pt: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(name, fontName=font, fontSize=size_pt, leading=size_pt * 1.22, **more)


def styles(body_pt: float) -> dict[str, ParagraphStyle]:
    """One family of sizes around the body's."""
    return {
        "title": style("title", "Times-Bold", body_pt * 1.8, alignment=TA_CENTER, spaceAfter=body_pt * 0.8),
        "by": style("by", "Times-Italic", body_pt, alignment=TA_CENTER, spaceAfter=body_pt * 1.2),
        "h2": style("h2", "Times-Bold", body_pt * 1.3, spaceBefore=body_pt, spaceAfter=body_pt * 0.5, keepWithNext=1),
        "h3": style(
            "h3", "Times-BoldItalic", body_pt * 1.1, spaceBefore=body_pt * 0.7, spaceAfter=body_pt * 0.3, keepWithNext=1
        ),
        "body": style(
            "body", "Times-Roman", body_pt, alignment=TA_JUSTIFY, spaceAfter=body_pt * 0.55, embeddedHyphenation=1
        ),
        "item": style("item", "Times-Roman", body_pt, spaceAfter=body_pt * 0.2, embeddedHyphenation=1),
        "caption": style(
            "caption",
            "Times-Italic",
            body_pt * 0.9,
            spaceBefore=body_pt * 0.4,
            spaceAfter=body_pt * 0.4,
            keepWithNext=1,
        ),
        "cell": style("cell", "Times-Roman", body_pt * 0.92),
        "head": style("head", "Times-Bold", body_pt * 0.92),
    }


def ruled(looks: dict[str, ParagraphStyle], block: Rows) -> Table:
    """A table with a full grid, or with the three rules of a book."""
    cells = [
        [Text(cell, looks["head" if not number else "cell"]) for cell in row] for number, row in enumerate(block.rows)
    ]
    rules: list[tuple[Any, ...]] = [("VALIGN", (0, 0), (-1, -1), "MIDDLE")]
    if block.grid:
        rules.append(("GRID", (0, 0), (-1, -1), 0.6, black))
    else:
        rules += [
            ("LINEABOVE", (0, 0), (-1, 0), 1, black),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, black),
            ("LINEBELOW", (0, -1), (-1, -1), 1, black),
        ]
    return Table(cells, colWidths=list(block.widths_pt), style=TableStyle(rules), spaceAfter=8, hAlign="CENTER")


def breakable(text: str, look: ParagraphStyle) -> Text:
    """Text that may break at its tildes, with a hyphen."""
    return Text(text.replace("~", SOFT_HYPHEN), look)


def listed(looks: dict[str, ParagraphStyle], items: Sequence[str], kind: str) -> ListFlowable:
    return ListFlowable(
        [ListItem(breakable(item, looks["item"])) for item in items],
        bulletType="bullet" if kind == "bullet" else "1",
        start="\u2022" if kind == "bullet" else None,
        bulletFormat=None if kind == "bullet" else "%s.",
        bulletFontName="Times-Roman",
        leftIndent=30,
        bulletDedent=16,  # the label stands right of the margin, as LaTeX sets it
    )


def flow(looks: dict[str, ParagraphStyle], block: Block) -> list[Flowable]:
    """One block as reportlab draws it."""
    match block:
        case Title(text, by):
            return [Text(text, looks["title"]), Text(by, looks["by"])]
        case Heading(text, level):
            return [Text(text, looks[f"h{level}"])]
        case Paragraph(text):
            return [breakable(text, looks["body"])]
        case Bullets(items):
            return [listed(looks, items, "bullet"), Spacer(1, 5)]
        case Numbered(items):
            return [listed(looks, items, "number"), Spacer(1, 5)]
        case Caption(text):
            return [Text(text, looks["caption"])]
        case Rows():
            return [ruled(looks, block)]
    raise TypeError(block)


# --- truth ---------------------------------------------------------------------------------------------------------


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


def markdown(block: Block) -> str:
    """One block as Markdown."""
    match block:
        case Title(text, by):
            return f"# {text}\n\n{by}"
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Numbered(items):
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, start=1))
        case Rows(rows):
            return markdown_table(rows)
        case Paragraph(text) | Caption(text):
            return text
    raise TypeError(block)


def truth(blocks: Iterable[Block]) -> str:
    return "\n\n".join(markdown(block) for block in blocks).replace("~", "") + "\n"


# --- documents -----------------------------------------------------------------------------------------------------


def document(title: str, templates: list[PageTemplate], story: list[Flowable]) -> bytes:
    target = io.BytesIO()
    made = BaseDocTemplate(target, pagesize=A4, pageTemplates=templates, title=title, author=texts.AUTHOR, invariant=1)
    made.build(story)
    return target.getvalue()


def running_lines(header: str, left_pt: float, right_pt: float) -> Any:
    """A running header over a hairline from page 2 on, and the page number at the foot of every page."""

    def draw(canvas: Canvas, made: BaseDocTemplate) -> None:
        canvas.setFont("Times-Italic", 9)
        if made.page > 1:
            canvas.drawString(left_pt, HEIGHT_PT - 45, header)
            canvas.setLineWidth(0.4)
            canvas.line(left_pt, HEIGHT_PT - 49, right_pt, HEIGHT_PT - 49)
        canvas.setFont("Times-Roman", 9)
        canvas.drawCentredString(WIDTH_PT / 2, 34, str(made.page))

    return draw


def one_column(blocks: Sequence[Block], header: str, body_pt: float = 12) -> bytes:
    margin = 72
    frame = Frame(margin, 60, WIDTH_PT - 2 * margin, HEIGHT_PT - 130, 0, 0, 0, 0)
    pages = PageTemplate("page", [frame], onPage=running_lines(header, margin, WIDTH_PT - margin))
    looks = styles(body_pt)
    story: list[Flowable] = []
    for before, block in zip([None, *blocks], blocks, strict=False):
        if isinstance(block, Rows) and isinstance(before, Caption):
            story[-1:] = [KeepTogether([story[-1], *flow(looks, block)])]
        else:
            story += flow(looks, block)
    return document(header, [pages], story)


def two_column(blocks: Sequence[Block], header: str) -> bytes:
    """The title and its byline span the page; everything else runs in two columns."""
    margin, gutter = 54, 20
    column = (WIDTH_PT - 2 * margin - gutter) / 2
    top, low = HEIGHT_PT - 62, 56
    title_height = 80

    def columns(height_pt: float) -> list[Frame]:
        return [Frame(margin + n * (column + gutter), low, column, height_pt, 0, 0, 0, 0) for n in (0, 1)]

    lines = running_lines(header, margin, WIDTH_PT - margin)
    first = [
        Frame(margin, top - title_height, WIDTH_PT - 2 * margin, title_height, 0, 0, 0, 0),
        *columns(top - title_height - low),
    ]
    templates = [PageTemplate("first", first, onPage=lines), PageTemplate("rest", columns(top - low), onPage=lines)]
    looks = styles(10.5)
    story = [*flow(looks, blocks[0]), FrameBreak(), NextPageTemplate("rest")]
    for block in blocks[1:]:
        story += flow(looks, block)
    return document(header, templates, story)


def scanned(blocks: Sequence[Block], header: str) -> bytes:
    """Pages that are pictures and nothing else: made, rendered in black and white, and put into a new PDF."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    canvas.setTitle(header)
    for page in pypdfium2.PdfDocument(one_column(blocks, header)):
        picture = page.render(scale=SCAN_DPI / 72, grayscale=True).to_pil()
        bitonal = picture.point(lambda level: 255 * (level > 140)).convert("1", dither=Image.Dither.NONE)
        canvas.drawImage(ImageReader(bitonal), 0, 0, WIDTH_PT, HEIGHT_PT)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


class TaggedPage:
    """One page drawn line by line, each block between its marks, and the structure tree that names them."""

    def __init__(self, title: str) -> None:
        self.target = io.BytesIO()
        self.canvas = Canvas(self.target, pagesize=A4, invariant=1)
        self.canvas.setTitle(title)
        self.y_pt = HEIGHT_PT - 90
        self.marks: list[tuple[str, list[int]]] = []
        self.last_mark = -1

    def mark(self, tag: str, draw: Any) -> int:
        self.last_mark += 1
        self.canvas._code.append(f"/{tag} <</MCID {self.last_mark}>> BDC")  # noqa: SLF001 (reportlab has no door for it)
        draw()
        self.canvas._code.append("EMC")  # noqa: SLF001
        return self.last_mark

    def lines(self, tag: str, text: str, look: ParagraphStyle, indent_pt: float = 0) -> int:
        """Text broken to the page's width, as one marked sequence."""
        drawn = Text(text.replace("~", ""), look)
        _, height = drawn.wrap(WIDTH_PT - 144 - indent_pt, HEIGHT_PT)
        self.y_pt -= height
        mark = self.mark(tag, lambda: drawn.drawOn(self.canvas, 72 + indent_pt, self.y_pt))
        self.y_pt -= 6
        return mark

    def row(self, tag: str, cells: Sequence[str], look: ParagraphStyle) -> list[int]:
        self.y_pt -= 20
        return [
            self.mark(tag, lambda n=n, cell=cell: self.canvas_cell(80 + n * 150, cell, look))
            for n, cell in enumerate(cells)
        ]

    def canvas_cell(self, x_pt: float, text: str, look: ParagraphStyle) -> None:
        self.canvas.setFont(look.fontName, look.fontSize)
        self.canvas.drawString(x_pt, self.y_pt + 6, text)

    def grid(self, rows: int, columns: int) -> None:
        """The rules of a table, marked as decoration."""
        low, high = self.y_pt, self.y_pt + 20 * rows
        self.canvas._code.append("/Artifact BMC")  # noqa: SLF001
        self.canvas.setLineWidth(0.6)
        self.canvas.grid([72 + n * 150 for n in range(columns + 1)], [high - n * 20 for n in range(rows + 1)])
        self.canvas._code.append("EMC")  # noqa: SLF001
        self.y_pt = low - 12

    def finish(self) -> bytes:
        self.canvas.showPage()
        self.canvas.save()
        return self.target.getvalue()


def tagged(blocks: Sequence[Block], title: str) -> bytes:
    """A tagged PDF (ISO 32000-1, 14.8): headings, paragraphs, a list and a table with their structure types."""
    page, looks = TaggedPage(title), styles(11)
    tree: list[Any] = []  # (type, mark) or (type, [children])
    for block in blocks:
        match block:
            case Title(text, by):
                tree += [("H1", page.lines("H1", text, looks["title"])), ("P", page.lines("P", by, looks["by"]))]
            case Heading(text, level):
                tree.append((f"H{level}", page.lines(f"H{level}", text, looks[f"h{level}"])))
            case Paragraph(text):
                tree.append(("P", page.lines("P", text, looks["body"])))
            case Bullets(items):
                marks = [page.lines("LBody", f"\u2022 {item}", looks["item"], indent_pt=12) for item in items]
                tree.append(("L", [("LI", [("LBody", mark)]) for mark in marks]))
            case Rows(rows):
                body = []
                for number, row in enumerate(rows):
                    tag, look = ("TD", looks["cell"]) if number else ("TH", looks["head"])
                    body.append(("TR", [(tag, mark) for mark in page.row(tag, row, look)]))
                page.grid(len(rows), len(rows[0]))
                tree.append(("Table", body))
            case _:
                raise TypeError(block)
    return with_structure(page.finish(), tree, page.last_mark + 1)


def with_structure(content: bytes, tree: list[Any], marks: int) -> bytes:
    """Add the structure tree and its parent tree to a one-page PDF."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        page = pdf.pages[0].obj
        root = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.StructTreeRoot))
        owners: list[pikepdf.Object] = [root] * marks

        def element(kind: str, kids: Any, parent: pikepdf.Object) -> pikepdf.Object:
            made = pdf.make_indirect(
                pikepdf.Dictionary(Type=pikepdf.Name.StructElem, S=pikepdf.Name(f"/{kind}"), P=parent, Pg=page)
            )
            if isinstance(kids, int):
                owners[kids] = made
                made.K = kids
            else:
                made.K = pikepdf.Array([element(kid[0], kid[1], made) for kid in kids])
            return made

        whole = element("Document", tree, root)
        root.K = whole
        root.ParentTree = pdf.make_indirect(pikepdf.Dictionary(Nums=pikepdf.Array([0, pikepdf.Array(owners)])))
        page.StructParents = 0
        pdf.Root.StructTreeRoot = root
        pdf.Root.MarkInfo = pikepdf.Dictionary(Marked=True)
        pdf.Root.Lang = pikepdf.String("en")
        target = io.BytesIO()
        pdf.save(target, deterministic_id=True)
        return target.getvalue()


def encrypted(content: bytes) -> bytes:
    """The same pages behind a user password. RC4, since AES takes random bytes and no run would equal the last."""
    target = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        lock = pikepdf.Encryption(user=texts.PASSWORD, owner=texts.PASSWORD, R=3, aes=False, metadata=False)
        pdf.save(target, encryption=lock, static_id=True)
    return target.getvalue()


def make_all() -> dict[str, bytes]:
    """Every file of the corpus by its name under examples/. A PDF without a truth beside it must be refused."""
    paper = one_column(texts.DIGITAL, "Counting Swifts with a Cheap Microphone")
    return {
        "digital.pdf": paper,
        "truth/digital.md": truth(texts.DIGITAL).encode(),
        "two_column.pdf": two_column(texts.TWO_COLUMN, "Drying Apples with the Heat of a Bakery"),
        "truth/two_column.md": truth(texts.TWO_COLUMN).encode(),
        "scanned.pdf": scanned(texts.SCANNED, "Minutes of the Allotment Society"),
        "truth/scanned.md": truth(texts.SCANNED).encode(),
        "tagged.pdf": tagged(texts.TAGGED, "How to Lend a Tool"),
        "truth/tagged.md": truth(texts.TAGGED).encode(),
        "report.pdf": one_column(REPORT, "The Ferry in Figures"),
        "truth/report.md": truth(REPORT).encode(),
        "encrypted.pdf": encrypted(one_column(texts.SCANNED, "Minutes of the Allotment Society")),
        "damaged.pdf": paper[:TRUNCATED_AT_BYTES],
    }


def main() -> int:
    (EXAMPLES / "truth").mkdir(parents=True, exist_ok=True)
    for name, content in make_all().items():
        (EXAMPLES / name).write_bytes(content)
        print(f"{len(content):8,} bytes  examples/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
