"""Reads the words off a rendered page: RapidOCR on ONNX Runtime, on the CPU, with the models its wheel carries.

Owns rendering for OCR, the way from image boxes back to page points, and the look at which device the ONNX sessions
run on. Refuses to download: every model is named by its file, and a missing file is an error. Refuses to decide when a
page needs OCR (`application.convert`) and to lay words out (the built-in engine's other steps).

The models are PP-OCRv6 small (detection, recognition) and the PP-OCR mobile v2.0 angle classifier, copyright Baidu and
the PaddleOCR authors, Apache-2.0 (`MODEL_LICENSES.md` in the rapidocr wheel, 3.10.0).
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sir_convert_a_lot.domain.errors import OcrModelsMissing
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Word

if TYPE_CHECKING:
    import pypdfium2

# The resolution PP-OCR's authors scan documents at; above it RapidOCR scales a page down again (longest side 2,000 px).
RENDER_DPI = 200
POINTS_PER_INCH = 72
MODEL_FILES = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
FONT_NAME = "ocr"
# Sizes are told by how wide a text is, in these shares of its size (Helvetica's, rounded); a box is padded by about 0.3
# of its height. Heights alone differ with the letters of a line: on examples/scanned.pdf lines of one size are 12.7 to
# 17 pt high, but 10.8 to 11.4 pt by their width.
LETTER_EM = {
    **dict.fromkeys("ijl.,:;'|!I ", 0.25),
    **dict.fromkeys('ftr()[]-/"', 0.32),
    **dict.fromkeys("mwMW@%", 0.85),
}
CAPITAL_EM, OTHER_EM, CJK_EM = 0.68, 0.54, 1.0
BOX_PADDING = 0.3
# Lines whose sizes differ by less are set in one size.
SAME_SIZE = 0.15
MIN_LETTERS, SAME_HEIGHT = 4, 0.4  # a shorter text tells no size; near the usual height it has the usual one
# "4Next": the space after the number of a section is often lost.
LOST_SPACE = re.compile(r"(\d{1,2}\.?)([A-Z][a-z]{3,}.*)")
# RapidOCR's word boxes touch each other; words without a gap would read as one.
WORD_GAP_EM = 0.25
# Kana, CJK ideographs and Hangul are written without spaces between words.
FIRST_CJK = "\u3040"
LAST_CJK = "\ud7a3"

CPU_PROVIDER = "CPUExecutionProvider"
GPU_PROVIDERS = frozenset(
    {"CUDAExecutionProvider", "TensorrtExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"}
)
# One session: its providers in their order, each with the device it was opened on ("" where it has none).
SessionProviders = Sequence[tuple[str, str]]


class PageOcr:
    """Reads pages one after the other; the models are loaded at the first page. Not thread-safe."""

    def __init__(self, max_page_pixels: int, threads: int = 2, models_folder: Path | None = None) -> None:
        """`threads` bounds ONNX Runtime's pool; `models_folder` None means the folder inside the rapidocr package."""
        self._max_page_pixels = max_page_pixels
        self._threads = threads
        self._models_folder = models_folder
        self._reader: Any = None

    def read_page(self, page: pypdfium2.PdfPage, page_index: int) -> tuple[Word, ...]:
        """The words of the page as a reader sees it (rotation applied), in the order lines were detected.

        Raises `OcrModelsMissing` when a model file is missing. `page_index` is 0-based and only named in errors.
        """
        scale = render_scale(page.get_width(), page.get_height(), self._max_page_pixels)
        image = page.render(scale=scale, rev_byteorder=False).to_numpy()
        if self._reader is None:
            self._reader = _open_reader(self._threads, self._models_folder, page_index)
        found = self._reader(image)
        if found.txts is None or found.boxes is None:
            return ()
        lines = [_Line(_box_of(box, scale), text) for box, text in zip(found.boxes, found.txts, strict=True)]
        words: list[Word] = []
        for line, parts, size_pt in zip(lines, found.word_results, _sizes_of(lines), strict=True):
            pieces = [(text, _box_of(box, scale)) for text, _score, box in parts or ()]
            words += _words_of(line, pieces, size_pt)
        return tuple(words)

    def measured_device(self) -> tuple[str, str]:
        """(device_used, measured_by), read from the loaded sessions; `unknown` while none is loaded."""
        parts = [getattr(self._reader, name, None) for name in ("text_det", "text_cls", "text_rec")]
        sessions = [part.session.session for part in parts if part is not None]
        return device_of([_providers_of(session) for session in sessions])


class _Line:
    __slots__ = ("box", "text")

    def __init__(self, box: Box, text: str) -> None:
        self.box = box
        self.text = text


def render_scale(width_pt: float, height_pt: float, max_page_pixels: int) -> float:
    """Pixels a point, so that the image has `RENDER_DPI`, or less when it would have more than `max_page_pixels`."""
    wanted = RENDER_DPI / POINTS_PER_INCH
    return min(wanted, math.sqrt(max_page_pixels / (width_pt * height_pt)))


def device_of(sessions: Sequence[SessionProviders]) -> tuple[str, str]:
    """(device_used, measured_by) of these sessions; one provider beside the CPU's is enough not to be told as "cpu"."""
    if not sessions:
        return "unknown", "onnx_session_providers: no session was loaded"
    counted = Counter("+".join(name for name, _device in session) or "none" for session in sessions)
    measured_by = "onnx_session_providers: " + ", ".join(f"{names} x{count}" for names, count in counted.items())
    providers = [provider for session in sessions for provider in session]
    others = [(name, device) for name, device in providers if name != CPU_PROVIDER]
    if not others and all(sessions):
        return "cpu", measured_by
    gpus = {device for name, device in others if name in GPU_PROVIDERS}
    if len(gpus) == 1 and all(name in GPU_PROVIDERS for name, _device in others):
        return f"cuda:{gpus.pop() or 0}", measured_by
    return "unknown", measured_by


def _providers_of(session: Any) -> SessionProviders:
    options = session.get_provider_options()
    return [(name, str(options.get(name, {}).get("device_id", ""))) for name in session.get_providers()]


def _open_reader(threads: int, models_folder: Path | None, page_index: int) -> Any:
    """A RapidOCR whose models are named by file, so that it has nothing to fetch."""
    import rapidocr

    folder = models_folder or Path(rapidocr.__file__).parent / "models"
    missing = [name for name in MODEL_FILES.values() if not (folder / name).is_file()]
    if missing:
        raise OcrModelsMissing(
            f"page {page_index + 1} needs OCR, and the rapidocr package lacks its models {', '.join(missing)}",
            details={
                "missing": missing,
                "remediation": ["Install the package again: pip install --force-reinstall rapidocr==3.10.0"],
            },
        )
    params: dict[str, Any] = {f"{part}.model_path": str(folder / name) for part, name in MODEL_FILES.items()}
    params |= {
        "Global.log_level": "error",
        "Global.return_word_box": True,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return rapidocr.RapidOCR(params=params)


def _box_of(corners: Any, scale: float) -> Box:
    """The upright box around four (x, y) corners in pixels, in points."""
    xs = [float(corner[0]) / scale for corner in corners]
    ys = [float(corner[1]) / scale for corner in corners]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _sizes_of(lines: Sequence[_Line]) -> list[float]:
    """A font size for each line, in points; lines of about one size get the same."""
    if not lines:
        return []
    measured = [_measure_size(line) for line in lines]
    usual_height = statistics.median(line.box.height for line in lines)
    body = statistics.median(size for size, line in zip(measured, lines, strict=True) for _letter in line.text)
    sizes = []
    for size, line in zip(measured, lines, strict=True):
        is_short = len(line.text) < MIN_LETTERS and abs(line.box.height - usual_height) <= SAME_HEIGHT * usual_height
        sizes.append(body if is_short or abs(size - body) <= SAME_SIZE * body else size)
    groups: list[list[float]] = []
    for size in sorted(set(sizes)):
        if groups and size <= groups[-1][0] * (1 + SAME_SIZE):
            groups[-1].append(size)
        else:
            groups.append([size])
    usual = {size: round(statistics.fmean(group), 1) for group in groups for size in group}
    return [usual[size] for size in sizes]


def _measure_size(line: _Line) -> float:
    """By the width of the text; by the height where the text is short or does not run from left to right."""
    height, text = line.box.height, line.text
    by_width = (line.box.width - BOX_PADDING * height) / max(0.1, sum(map(_width_em, text)))
    is_plausible = 0.5 * height <= by_width <= 1.3 * height
    return by_width if len(text) >= MIN_LETTERS and is_plausible else min(height, line.box.width) * (1 - BOX_PADDING)


def _width_em(letter: str) -> float:
    if letter in LETTER_EM:
        return LETTER_EM[letter]
    if FIRST_CJK <= letter <= LAST_CJK:
        return CJK_EM
    return CAPITAL_EM if letter.isupper() else OTHER_EM


def _words_of(line: _Line, pieces: list[tuple[str, Box]], size_pt: float) -> list[Word]:
    """The words of one detected line, with a gap between any two."""
    font = Font(FONT_NAME, size_pt)
    is_cjk = any(FIRST_CJK <= character <= LAST_CJK for character in line.text)
    if is_cjk or "".join(text for text, _box in pieces).replace(" ", "") != line.text.replace(" ", ""):
        pieces = _spread(line, is_cjk=is_cjk)
    if pieces and (number := LOST_SPACE.fullmatch(pieces[0][0])):
        pieces = [*_spread(_Line(pieces[0][1], f"{number[1]} {number[2]}"), is_cjk=False), *pieces[1:]]
    words: list[Word] = []
    for index, (text, box) in enumerate(pieces):
        next_x0 = pieces[index + 1][1].x0 if index + 1 < len(pieces) else math.inf
        x1 = max(box.x0 + 0.1, min(box.x1, next_x0 - WORD_GAP_EM * size_pt))
        if text.strip():
            words.append(Word(text.strip(), Box(box.x0, line.box.y0, x1, line.box.y1), font))
    return words


def _spread(line: _Line, *, is_cjk: bool) -> list[tuple[str, Box]]:
    """Words without boxes of their own get shares of the line's width, by their letters."""
    texts = [line.text] if is_cjk else line.text.split()
    width_of_letter = line.box.width / max(1, len(" ".join(texts)))
    pieces, x0 = [], line.box.x0
    for text in texts:
        x1 = x0 + len(text) * width_of_letter
        pieces.append((text, Box(x0, line.box.y0, x1, line.box.y1)))
        x0 = x1 + width_of_letter
    return pieces
