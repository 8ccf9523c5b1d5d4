"""Receive the multipart form of a submission: the PDF streamed to disk while it is hashed, the spec kept in memory.

Owns the form's shape (two parts, each once), sizes, and the media type as the bytes tell it. The file never stands in
memory as a whole, and is deleted on every way out but admission. Refuses to look into the PDF.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers

from sir_convert_a_lot.domain.errors import (
    PayloadTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
    ValidationError,
)
from sir_convert_a_lot.interfaces.http_api.spec import MAX_SPEC_BYTES

P = ParamSpec("P")
T = TypeVar("T")

FILE, SPEC = "file", "job_spec"
FORM_OVERHEAD_BYTES = MAX_SPEC_BYTES + 16 * 1024  # the spec, boundaries and part headers
WRITE_BYTES = 1024 * 1024  # handed to a thread at once: hashing and writing it take about 1 ms
# Readers accept junk before the header within the first 1024 bytes (ISO 32000-1, annex H.3, note 13).
MAGIC, MAGIC_WITHIN_BYTES = b"%PDF-", 1024
# What a client may declare; the last three mean that it did not say.
PDF_TYPES = frozenset({"application/pdf", "application/x-pdf", "application/octet-stream", "binary/octet-stream", ""})


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bytes of the PDF, and seconds that a client may stay silent in the middle of its form."""

    file_bytes: int
    idle_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """A whole form whose file is a PDF by its bytes. `upload` is valid inside `receive_form` only."""

    upload: Path
    pdf_sha256: str
    size_bytes: int
    spec_text: bytes


@asynccontextmanager
async def receive_form(
    request: Request, new_upload_path: Callable[[], Path], limits: UploadLimits
) -> AsyncIterator[ReceivedForm]:
    """Raises `ValidationError` (400), `PayloadTooLarge`, `UnsupportedMediaType`, or `ServiceUnavailable` when the disk
    refuses. A declared length over the limit is refused before a byte is read.
    """
    boundary = _read_boundary(request.headers)
    _check_declared_length(request.headers, limits.file_bytes)
    upload = await _on_disk(new_upload_path)
    try:
        sink = await _on_disk(_Sink, upload)
        try:
            form = await _receive(request, limits, _Form(boundary, limits.file_bytes), sink)
        finally:
            await _on_disk(sink.close)
        _check_media_type(form, sink)
        yield ReceivedForm(upload, sink.hash.hexdigest(), sink.size_bytes, bytes(form.spec))
    finally:
        upload.unlink(missing_ok=True)


class _Sink:
    """The file on disk, its hash and its first bytes. Blocking."""

    def __init__(self, path: Path) -> None:
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.head = b""
        self._file: BinaryIO = path.open("wb")

    def write(self, chunk: bytes) -> None:
        if len(self.head) < MAGIC_WITHIN_BYTES:
            self.head += chunk[: MAGIC_WITHIN_BYTES - len(self.head)]
        self.hash.update(chunk)
        self.size_bytes += len(chunk)
        self._file.write(chunk)

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class _Part:
    name: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)


class _Form:
    """The parser's callbacks and what they gathered. `pending` are file bytes that were not yet written."""

    def __init__(self, boundary: bytes, max_upload_bytes: int) -> None:
        self.pending = bytearray()
        self.spec = bytearray()
        self.declared_type = ""
        self.is_complete = False
        self._file_bytes = 0
        self._max_upload_bytes = max_upload_bytes
        self._seen: set[str] = set()
        self._part = _Part()
        self._header_name, self._header_value = b"", b""
        with _parsing():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": self._take_data,
                    "on_header_field": self._take_header_name,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_end": self._finish,
                },
            )

    def feed(self, chunk: bytes) -> None:
        with _parsing():
            self._parser.write(chunk)

    def take_pending(self) -> bytes:
        taken = bytes(self.pending)
        self.pending.clear()
        return taken

    def check_complete(self) -> None:
        if not self.is_complete:
            raise _malformed("the form ends before its last boundary", "malformed_form")
        for name in (FILE, SPEC):
            if name not in self._seen:
                raise _malformed(f"the form has no part `{name}`", "missing_part", name)

    def _begin_part(self) -> None:
        self._part = _Part()

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._part.headers[self._header_name.lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _open_part(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in {FILE, SPEC}:
            raise _malformed(f"the form has a part {name[:100]!r}; it takes `file` and `job_spec`", "unknown_part")
        if name in self._seen:
            raise _malformed(f"the form has two parts `{name}`", "duplicate_part", name)
        self._seen.add(name)
        self._part.name = name
        if name == FILE:
            declared, _ = parse_options_header(self._part.headers.get(b"content-type", b""))
            self.declared_type = declared.decode("latin-1").strip().lower()

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == FILE:
            self._file_bytes += end - start
            if self._file_bytes > self._max_upload_bytes:
                raise _too_large(self._max_upload_bytes)
            self.pending += data[start:end]
            return
        self.spec += data[start:end]
        if len(self.spec) > MAX_SPEC_BYTES:
            raise PayloadTooLarge(
                f"job_spec is larger than {MAX_SPEC_BYTES} bytes",
                details={"field": SPEC, "limit_bytes": MAX_SPEC_BYTES},
            )

    def _finish(self) -> None:
        self.is_complete = True


@contextmanager
def _parsing() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise _malformed(f"the form cannot be parsed: {error}", "malformed_form") from error


async def _receive(request: Request, limits: UploadLimits, form: _Form, sink: _Sink) -> _Form:
    stream, received_bytes = request.stream(), 0
    while (chunk := await _next_chunk(stream, limits.idle_s)) is not None:
        received_bytes += len(chunk)
        if received_bytes > limits.file_bytes + FORM_OVERHEAD_BYTES:  # also what comes after the last boundary
            raise _too_large(limits.file_bytes)
        form.feed(chunk)
        if len(form.pending) >= WRITE_BYTES:
            await _on_disk(sink.write, form.take_pending())
    form.check_complete()
    await _on_disk(sink.write, form.take_pending())
    return form


async def _next_chunk(stream: AsyncIterator[bytes], idle_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(idle_s):
            return await anext(stream, None)
    except TimeoutError as error:
        raise _malformed(f"no byte of the form came for {idle_s:g} s", "upload_stalled") from error


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`work` in a thread: the event loop must not wait for a disk."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise ServiceUnavailable(
            "the storage does not take the upload", details={"reason": "storage_broken"}
        ) from error


def _read_boundary(headers: Headers) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise _malformed("the body must be multipart/form-data with a boundary", "not_multipart")
    return boundary


def _check_declared_length(headers: Headers, max_upload_bytes: int) -> None:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_upload_bytes + FORM_OVERHEAD_BYTES:
        raise _too_large(max_upload_bytes)


def _check_media_type(form: _Form, sink: _Sink) -> None:
    if form.declared_type not in PDF_TYPES:
        raise UnsupportedMediaType(
            "the part `file` is declared as something other than application/pdf",
            details={"field": FILE, "reason": "declared_type", "declared": form.declared_type[:100]},
        )
    if MAGIC not in sink.head:
        raise UnsupportedMediaType(
            "the file is empty" if sink.size_bytes == 0 else "the file is no PDF: it does not begin with %PDF-",
            details={"field": FILE, "reason": "empty_file" if sink.size_bytes == 0 else "not_a_pdf"},
        )


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the PDF is larger than {limit_bytes} bytes", details={"field": FILE, "limit_bytes": limit_bytes}
    )


def _malformed(message: str, reason: str, name: str | None = None) -> ValidationError:
    details = {"reason": reason} | ({"field": name} if name else {})
    return ValidationError(message, details=details, http_status=400)
