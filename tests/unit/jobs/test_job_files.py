"""Files of jobs: moved whole, replaced by a later attempt, and left nowhere."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.job_files import StoredFiles

JOB = "job_01K2S8CXH3BWV7S6E5B7P4Y2ZR"


@pytest.fixture
def files(tmp_path: Path) -> StoredFiles:
    stored = StoredFiles(tmp_path)
    stored.prepare()
    return stored


def keep(files: StoredFiles, job_id: str = JOB) -> None:
    upload = files.new_upload_path()
    upload.write_bytes(b"%PDF")
    files.keep_upload(job_id, upload)
    assert not upload.exists()


def attempt(files: StoredFiles, text: str) -> Path:
    staging = files.name_staging(JOB)
    files.make_staging(staging)
    for name in ("artifacts", "logs"):
        (staging / name).mkdir()
    (staging / "artifacts" / "output.md").write_text(text)
    (staging / "logs" / "run.log").write_text(text)
    return staging


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 7200, time.time() - 7200))


AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def test_a_later_attempt_replaces_what_an_earlier_one_published(files: StoredFiles, tmp_path: Path) -> None:
    keep(files)
    for text in ("first", "second"):
        staging = attempt(files, text)
        files.publish_artifacts(JOB, staging)
        files.publish_log(JOB, staging)
        files.drop_staging(staging)
        assert files.markdown_path(JOB).read_text() == text
    assert list((tmp_path / "staging").iterdir()) == []
    assert {path.name for path in (tmp_path / "jobs" / JOB).iterdir()} == {"raw", "artifacts", "logs"}


def test_pins_come_and_go(files: StoredFiles) -> None:
    keep(files)
    for pinned in (True, True, False, False):
        files.set_pinned(JOB, pinned)
        assert files.is_pinned(JOB) is pinned


def test_what_nobody_owns_is_dropped_once_old(files: StoredFiles, tmp_path: Path) -> None:
    keep(files)
    fresh, old = files.new_upload_path(), files.new_upload_path()
    for path in (fresh, old):
        path.write_bytes(b"%PDF")
    running, dead = attempt(files, "running"), tmp_path / "staging" / f"{JOB}.dead"
    dead.mkdir()
    make_old(old, running, dead)
    assert files.drop_abandoned(AN_HOUR_AGO) == 2
    assert (fresh.exists(), old.exists(), running.exists(), dead.exists()) == (True, False, True, False)


def test_raw_uploads_are_listed_by_their_age(files: StoredFiles) -> None:
    keep(files)
    keep(files, "job_old")
    make_old(files.input_path("job_old"))
    assert files.list_raw_before(AN_HOUR_AGO) == ["job_old"]
    files.drop_raw("job_old")
    assert files.list_raw_before(AN_HOUR_AGO) == []


def test_a_new_root_is_for_its_account_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    for root, mode in ((tmp_path / "new", 0o700), (tmp_path / "old", 0o755)):
        StoredFiles(root).prepare()
        assert root.stat().st_mode & 0o777 == mode
        assert {folder.stat().st_mode & 0o777 for folder in root.iterdir()} == {0o700}


def test_a_full_or_missing_storage_is_service_unavailable(files: StoredFiles, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        files.keep_upload(JOB, tmp_path / "uploads" / "gone.pdf")
