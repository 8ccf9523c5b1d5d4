"""Idempotency keys made from content and spec, so that the same conversion asked twice is one job.

Owns the form of the key and of the keys of later attempts. Refuses to decide when an attempt is due.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sir_convert_a_lot.domain.job_spec import JobSpec, request_fingerprint

CHUNK_BYTES = 1024 * 1024


def sha256_of_file(path: Path) -> str:
    """Hex; the file is read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def key_of(spec: JobSpec, pdf_sha256: str, attempt: int = 1) -> str:
    """The key of the `attempt`-th try (1-based): of the same spec and content always the same.

    The service binds a key to the spec with the file name in it, so the name is part of the key: one content under two
    names is two jobs, under one name in two folders it is one.
    """
    key = hashlib.sha256(request_fingerprint(spec, pdf_sha256).encode()).hexdigest()
    return key if attempt == 1 else f"{key}-{attempt}"
