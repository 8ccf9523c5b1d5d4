"""The files of jobs under the storage root.

    uploads/<random>.pdf                incoming, until a job owns it
    staging/<job id>.<random>/          what one attempt writes
    jobs/<job id>/raw/input.pdf
                  artifacts/output.md, execution.json
                  logs/run.log
                  manifest.json
                  pinned                there while the job is pinned
                  unpinned              left by the last unpin; its time is that moment

Owns names, moves and deletions; every move is a rename on one filesystem, so a reader sees a file whole or not at all.
Refuses to know job state: the manifest is a copy for people, written from the engine's record and read back only to see
whether it is out of date.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sir_convert_a_lot.domain.errors import ServiceCannotStart, ServiceUnavailable

# Documents are private: nobody but the account that runs the service may read them, or even list their names.
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


class StoredFiles:
    """`application.ports.JobFiles` on a local folder. Blocking; safe from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs = root / "jobs"
        self._uploads = root / "uploads"
        self._staging = root / "staging"
        self._in_use: set[str] = set()  # staging folders of attempts that run

    def prepare(self) -> None:
        """Make the folders, for this account alone, and see that they can be written to. Raises `ServiceCannotStart`
        when not. A root that was there keeps its mode: that is its owner's choice, and it may hold other things.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            for folder in (self._jobs, self._uploads, self._staging):
                folder.mkdir(exist_ok=True)
                folder.chmod(PRIVATE_FOLDER)
            for file in (*self._root.glob("*.sqlite*"), *self._root.glob("*.lock")):
                file.chmod(PRIVATE_FILE)
            trial = self._staging / f".writable-{uuid4().hex}"
            trial.write_bytes(b"0" * 4096)
            trial.unlink()
        except OSError as error:
            raise ServiceCannotStart(
                f"cannot write to the storage root {self._root}: {error.strerror}",
                details={
                    "reason": "storage",
                    "remediation": [
                        "Name another root with CONVERTER_STORAGE_ROOT, or mend its permissions or free space."
                    ],
                },
            ) from error

    def clear_staging(self) -> None:
        """Delete what attempts of an earlier run left. Only for who holds the root's lock, before any job runs."""
        for left in self._staging.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def new_upload_path(self) -> Path:
        return self._uploads / f"{uuid4().hex}.pdf"

    def keep_upload(self, job_id: str, upload: Path) -> None:
        target = self.input_path(job_id)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            upload.rename(target)
        except OSError as error:
            raise _unavailable(error) from error

    def input_path(self, job_id: str) -> Path:
        return self._jobs / job_id / "raw" / "input.pdf"

    def require_input(self, job_id: str) -> None:
        """Raises `ServiceUnavailable` when the upload is gone: its submission was refused while it became durable."""
        if not self.input_path(job_id).is_file():
            raise ServiceUnavailable("the upload of this job is not in the storage", details={"reason": "storage"})

    def markdown_path(self, job_id: str) -> Path:
        return self._jobs / job_id / "artifacts" / "output.md"

    def is_pinned(self, job_id: str) -> bool:
        return (self._jobs / job_id / "pinned").exists()

    def unpinned_at(self, job_id: str) -> datetime | None:
        try:
            return datetime.fromtimestamp((self._jobs / job_id / "unpinned").stat().st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def set_pinned(self, job_id: str, pinned: bool) -> None:
        mark = self._jobs / job_id / "pinned"
        try:
            if pinned:
                mark.touch()
            elif mark.exists():
                os.utime(mark)
                mark.replace(mark.with_name("unpinned"))
        except OSError as error:
            raise _unavailable(error) from error

    def name_staging(self, job_id: str) -> Path:
        """The folder of one attempt, to be made with `make_staging` and ended with `drop_staging`."""
        return self._staging / f"{job_id}.{uuid4().hex}"

    def make_staging(self, staging: Path) -> None:
        self._in_use.add(staging.name)
        try:
            staging.mkdir()
        except OSError as error:
            raise _unavailable(error) from error

    def publish_artifacts(self, job_id: str, staging: Path) -> None:
        """Make what this attempt wrote the job's. What an earlier attempt published before it died is replaced."""
        try:
            _replace_folder(staging / "artifacts", self._jobs / job_id / "artifacts", self._staging)
        except OSError as error:
            raise _unavailable(error) from error

    def publish_log(self, job_id: str, staging: Path) -> None:
        """Keep this attempt's log, however the attempt ended; without one nothing happens."""
        with suppress(OSError):  # a log that cannot be kept must not change how the job ends
            if (staging / "logs").is_dir() and (self._jobs / job_id).is_dir():
                _replace_folder(staging / "logs", self._jobs / job_id / "logs", self._staging)

    def drop_staging(self, staging: Path) -> None:
        self._in_use.discard(staging.name)
        shutil.rmtree(staging, ignore_errors=True)

    def drop_artifacts(self, job_id: str) -> None:
        """Delete what was published of a job that was canceled meanwhile."""
        shutil.rmtree(self._jobs / job_id / "artifacts", ignore_errors=True)

    def manifest_status(self, job_id: str) -> str | None:
        """The state that the job's manifest tells, to see whether it is out of date; None where none can be read."""
        try:
            status = json.loads((self._jobs / job_id / "manifest.json").read_text("utf-8")).get("status")
        except (OSError, ValueError, AttributeError):
            return None
        return status if isinstance(status, str) else None

    def write_manifest(self, job_id: str, manifest: dict[str, Any]) -> None:
        """Whole or not at all. Nothing happens when the job's folder is gone."""
        folder = self._jobs / job_id
        if not folder.is_dir():
            return
        fresh = folder / f".manifest-{uuid4().hex}.json"
        try:
            fresh.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
            fresh.replace(folder / "manifest.json")
        except OSError as error:
            raise _unavailable(error) from error

    def drop_raw(self, job_id: str) -> None:
        shutil.rmtree(self._jobs / job_id / "raw", ignore_errors=True)

    def drop_job(self, job_id: str) -> None:
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)

    def list_raw_before(self, moment: datetime) -> list[str]:
        return [folder.name for folder in self._jobs.iterdir() if _was_before(folder / "raw" / "input.pdf", moment)]

    def list_jobs_before(self, moment: datetime) -> list[str]:
        return [folder.name for folder in self._jobs.iterdir() if _was_before(folder, moment)]

    def drop_abandoned(self, moment: datetime) -> int:
        dropped = 0
        for left in [*self._uploads.iterdir(), *self._staging.iterdir()]:
            if left.name in self._in_use or not _was_before(left, moment):
                continue
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
            dropped += 1
        return dropped


def _replace_folder(source: Path, target: Path, trash: Path) -> None:
    """Rename `source` to `target`; a folder cannot be renamed over a full one, so an old one steps aside first."""
    if target.exists():
        aside = trash / f".old-{uuid4().hex}"
        target.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _was_before(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except (FileNotFoundError, NotADirectoryError):
        return False


def _unavailable(error: OSError) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the storage cannot be written: {error.strerror}", details={"reason": "storage"}, retry_after_s=30
    )
