"""Jobs from submission to end, on the real engine."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.domain.errors import (
    ExitCode,
    JobNotCancelable,
    JobNotFound,
    RateLimited,
    ServiceCannotStart,
    ServiceUnavailable,
    ValidationError,
)
from sir_convert_a_lot.domain.job import JobRecord, JobStage, JobStatus


def test_a_job_succeeds_and_its_files_are_published(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.submit("ok")
            assert record.status in {JobStatus.QUEUED, JobStatus.RUNNING}
            ended = await client.end_of(record)
            assert ended.status is JobStatus.SUCCEEDED
            assert ended.attempt == 1
            assert ended.result is not None
            assert ended.result.backend_used == "builtin"
            _, markdown = await client.jobs.find_markdown(record.job_id)
            assert markdown.read_text("utf-8").startswith("# Converted")
        folder = tmp_path / "root" / "jobs" / record.job_id
        assert {path.name for path in folder.iterdir()} == {"raw", "artifacts", "logs", "manifest.json"}
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["status"] == "succeeded"
        digests = {name: entry["sha256"] for name, entry in manifest["artifacts"].items()}
        files = (folder / "artifacts").iterdir()
        assert digests == {file.name: sha256(file.read_bytes()).hexdigest() for file in files}
        assert json.loads((folder / "artifacts" / "execution.json").read_text())["engine"] == "builtin"
        assert "corr_test" in (folder / "logs" / "run.log").read_text()
        assert list((tmp_path / "root" / "staging").iterdir()) == []
        assert list((tmp_path / "root" / "uploads").iterdir()) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "code", "details"),
    [
        ("segfault", "worker_crashed", {"signal": "SIGSEGV"}),
        ("exit-7", "worker_crashed", {"exit_code": 7}),
        ("raise", "internal_error", {}),
        ("unreadable", "pdf_unreadable", {"reason": "damaged"}),
        ("memory", "worker_out_of_memory", {}),
        ("full", "service_unavailable", {"reason": "storage"}),
    ],
)
def test_a_failure_is_told_and_the_next_job_works(start: Any, name: str, code: str, details: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with start() as client:
            ended = await client.end_of(await client.submit(name))
            assert ended.status is JobStatus.FAILED
            assert ended.failure.code == code
            assert details.items() <= ended.failure.details.items()
            assert (await client.jobs.list_jobs(JobStatus.FAILED, 5, None)).records == (ended,)
            assert (await client.jobs.list_jobs(JobStatus.SUCCEEDED, 5, None)).records == ()
            after = await client.end_of(await client.submit("ok"))
            assert after.status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def test_a_worker_that_cannot_start_fails_its_job_and_not_the_service(start: Any) -> None:
    async def scenario() -> None:
        async with start(work="no_such_module:convert") as client:
            for _ in range(2):
                ended = await client.end_of(await client.submit("ok"))
                assert ended.failure.code == "worker_crashed"
                assert ended.failure.retryable
                assert ended.failure.details["reason"] == "start_failed"
                assert "no_such_module" in ended.failure.details["cause"]
            assert await client.service.is_healthy()

    asyncio.run(scenario())


def test_a_failed_job_keeps_its_log_and_a_manifest_but_no_markdown(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            ended = await client.end_of(await client.submit("raise"))
        folder = tmp_path / "root" / "jobs" / ended.job_id
        assert "KeyError: 'a bug'" in (folder / "logs" / "run.log").read_text()
        assert json.loads((folder / "manifest.json").read_text())["error"]["code"] == "internal_error"
        assert not (folder / "artifacts").exists()

    asyncio.run(scenario())


def test_a_manifest_is_there_from_admission_on_and_follows_the_job(start: Any, tmp_path: Path) -> None:
    def manifest_of(record: JobRecord) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((tmp_path / "root" / "jobs" / record.job_id / "manifest.json").read_text())
        return told

    async def until(record: JobRecord, status: str) -> dict[str, Any]:
        for _ in range(200):
            if (told := manifest_of(record))["status"] == status:
                return told
            await asyncio.sleep(0.02)
        raise AssertionError(told)

    async def scenario() -> None:
        async with start() as client:
            first, second = await client.submit("sleep-0.6"), await client.submit("ok", pin=True)
            waits = manifest_of(second)
            assert (waits["status"], waits["attempt"], waits["ended_at"]) == ("queued", 0, None)
            assert waits["retention"] == {"pinned": True, "expires_at": None}
            runs = await until(first, "running")
            assert (runs["attempt"], runs["ended_at"], runs["retention"]["pinned"]) == (1, None, False)
            await client.jobs.set_pinned(first.job_id, True)
            told = manifest_of(first)
            assert (told["status"], told["retention"]["pinned"]) == ("running", True)
            assert (await until(first, "succeeded"))["retention"]["pinned"] is True
            ended = await until(second, "succeeded")
            assert ended["ended_at"] is not None
            await client.jobs.set_pinned(second.job_id, False)
            unpinned = manifest_of(second)
            assert unpinned["retention"]["expires_at"] is not None
            assert unpinned | {"retention": None} == ended | {"retention": None}
            assert not list((tmp_path / "root" / "jobs").glob("*/.manifest-*"))

    asyncio.run(scenario())


def test_a_manifest_from_before_the_end_is_mended_at_the_next_start(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            ended = await client.end_of(await client.submit("ok"))
        manifest = tmp_path / "root" / "jobs" / ended.job_id / "manifest.json"
        whole = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(whole | {"status": "running"}))
        async with start():
            for _ in range(500):
                if json.loads(manifest.read_text()) == whole:
                    return
                await asyncio.sleep(0.02)
        raise AssertionError(manifest.read_text())

    asyncio.run(scenario())


def test_nobody_else_can_read_what_lies_under_the_root(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        old = tmp_path / "root" / "uploads"
        old.mkdir(parents=True, mode=0o755)
        (tmp_path / "root" / "ledger.sqlite").touch(mode=0o644)
        async with start() as client:
            await client.end_of(await client.submit("ok"))
            await client.end_of(await client.submit("raise"))
            below = list((tmp_path / "root").rglob("*"))
            assert len(below) > 15
            assert [path for path in below if path.exists() and path.stat().st_mode & 0o077] == []

    asyncio.run(scenario())


def test_a_manifest_that_a_kill_cut_off_is_written_at_the_next_start(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            ended = await client.end_of(await client.submit("ok"))
        manifest = tmp_path / "root" / "jobs" / ended.job_id / "manifest.json"
        before = json.loads(manifest.read_text())
        manifest.unlink()
        async with start():
            for _ in range(500):
                if manifest.exists():
                    break
                await asyncio.sleep(0.02)
        assert json.loads(manifest.read_text()) == before

    asyncio.run(scenario())


def test_progress_moves_while_a_document_is_converted(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.submit("pages-4")
            seen = []
            while not record.status.is_terminal:
                record = await client.jobs.wait_for_change(record, 5)
                if record.status is JobStatus.RUNNING and record.progress.stage is JobStage.LAYOUT_ANALYSIS:
                    assert record.progress.pages_total == 4
                    seen.append(record.progress.pages_processed)
            assert seen == sorted(seen)
            assert len(set(seen)) >= 3
            assert (record.progress.stage, record.progress.pages_processed) == (JobStage.DONE, 4)

    asyncio.run(scenario())


def test_high_priority_goes_first_and_equal_ones_in_order(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            blocker = await client.submit("sleep-0.8")
            await client.when(blocker, lambda record: record.status is JobStatus.RUNNING)
            normal = [await client.submit("ok") for _ in range(3)]
            high = [await client.submit("ok", priority="high") for _ in range(2)]
            waiting = [(await client.jobs.read(record.job_id)).progress.queued_ahead for record in [*high, *normal]]
            assert waiting == [0, 1, 2, 3, 4]
            expected = [record.job_id for record in [*high, *normal]]
            moments = []
            for job_id in expected:
                await client.end_of(await client.jobs.read(job_id))
                execution = tmp_path / "root" / "jobs" / job_id / "artifacts" / "execution.json"
                moments.append(execution.stat().st_mtime_ns)
            assert moments == sorted(moments)

    asyncio.run(scenario())


def test_a_waiting_job_is_queued_and_never_more_run_than_there_are_workers(start: Any) -> None:
    async def scenario() -> None:
        async with start(workers=2) as client:
            records = [await client.submit("sleep-0.3") for _ in range(6)]
            while not all(record.status.is_terminal for record in records):
                records = [await client.jobs.read(record.job_id) for record in records]
                assert sum(record.status is JobStatus.RUNNING for record in records) <= 2
                await asyncio.sleep(0.02)
            assert {record.status for record in records} == {JobStatus.SUCCEEDED}

    asyncio.run(scenario())


def test_forty_equal_keys_at_once_start_one_job(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            answers = await asyncio.gather(*(client.admit("sleep-0.2", key="one") for _ in range(40)))
            assert len({answer.record.job_id for answer in answers}) == 1
            assert sum(not answer.is_replay for answer in answers) == 1
            assert len((await client.jobs.list_jobs(None, 50, None)).records) == 1

    asyncio.run(scenario())


def test_forty_different_jobs_at_once_are_all_admitted_and_done(start: Any) -> None:
    async def scenario() -> None:
        async with start(workers=2) as client:
            records = await asyncio.gather(*(client.submit("ok") for _ in range(40)))
            ended = await asyncio.gather(*(client.end_of(record) for record in records))
            assert {record.status for record in ended} == {JobStatus.SUCCEEDED}
            assert {record.attempt for record in ended} == {1}

    asyncio.run(scenario())


def test_a_full_queue_is_429_and_stores_nothing(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start(max_queued_jobs=1) as client:
            blocker = await client.submit("sleep-30")
            await client.when(blocker, lambda record: record.status is JobStatus.RUNNING)
            await client.submit("ok")
            with pytest.raises(RateLimited):
                await client.submit("ok")
            assert len(list((tmp_path / "root" / "jobs").iterdir())) == 2
            assert list((tmp_path / "root" / "uploads").iterdir()) == []

    asyncio.run(scenario())


def test_listing_goes_through_every_job_once_newest_first(start: Any) -> None:
    async def scenario() -> None:
        async with start(workers=2) as client:
            submitted = [(await client.submit("ok")).job_id for _ in range(7)]
            listed: list[str] = []
            cursor = None
            while True:
                page = await client.jobs.list_jobs(None, 3, cursor)
                listed += [record.job_id for record in page.records]
                await client.submit("ok")  # newer than the cursor: it must not show
                if (cursor := page.next_cursor) is None:
                    break
            assert listed == submitted[::-1]
            with pytest.raises(ValidationError):
                await client.jobs.list_jobs(None, 3, "nonsense")

    asyncio.run(scenario())


def test_what_is_unknown_or_ended_cannot_be_canceled(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            with pytest.raises(JobNotFound):
                await client.jobs.cancel("job_00000000000000000000000000")
            ended = await client.end_of(await client.submit("ok"))
            with pytest.raises(JobNotCancelable):
                await client.jobs.cancel(ended.job_id)

    asyncio.run(scenario())


def test_a_broken_database_is_service_unavailable_and_the_service_says_it_is_not_healthy(
    start: Any, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.end_of(await client.submit("ok"))
            assert await client.service.is_healthy()
            for database in (tmp_path / "root").glob("jobs.sqlite*"):
                with database.open("r+b") as file:
                    file.write(b"garbage" * 1000)
            with pytest.raises(ServiceUnavailable):
                await client.jobs.read(record.job_id)
            with pytest.raises(ServiceUnavailable):
                await client.submit("ok")
            assert not await client.service.is_healthy()
            assert [folder.name for folder in (tmp_path / "root" / "jobs").iterdir()] == [record.job_id]

    asyncio.run(scenario())


def test_a_second_service_on_the_same_root_is_refused(start: Any, tmp_path: Path) -> None:
    from sir_convert_a_lot.infrastructure.job_engine.root_lock import RootLock

    async def scenario() -> None:
        async with start():
            with pytest.raises(ServiceCannotStart, match="another service") as caught:
                RootLock(tmp_path / "root").take()
            assert_operators_mistake(caught.value, "root_in_use")
        lock = RootLock(tmp_path / "root")
        lock.take()
        lock.release()

    asyncio.run(scenario())


def test_a_root_that_cannot_be_used_is_told_in_words(start: Any, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file, no folder")
    assert_operators_mistake(fail_to(start), "storage")


def test_a_lock_that_cannot_be_had_is_told_in_words(start: Any, tmp_path: Path) -> None:
    (tmp_path / "root" / "service.lock").mkdir(parents=True)
    assert_operators_mistake(fail_to(start), "storage")


@pytest.mark.parametrize("name", ["jobs.sqlite", "ledger.sqlite"])
def test_a_database_that_is_none_is_told_in_words(start: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / name).write_bytes(b"no database " * 1000)
    assert_operators_mistake(fail_to(start), "database")


def fail_to(start: Any) -> ServiceCannotStart:
    async def scenario() -> None:
        async with start():
            pass

    with pytest.raises(ServiceCannotStart) as caught:
        asyncio.run(scenario())
    return caught.value


def assert_operators_mistake(error: ServiceCannotStart, reason: str) -> None:
    assert (error.code, error.exit_code) == ("service_cannot_start", ExitCode.UNAVAILABLE)
    assert error.details["reason"] == reason
    assert any(
        "CONVERTER_STORAGE_ROOT" in remedy or "Let the account" in remedy for remedy in error.details["remediation"]
    )
