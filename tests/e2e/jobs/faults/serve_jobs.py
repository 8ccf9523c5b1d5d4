"""A service in a process of its own that a test can kill.

`serve_jobs.py ROOT submit NAME…` admits jobs and stays; `serve_jobs.py ROOT wait` ends when every job has. Prints one
JSON line for every job it knows: after `submit`, as it was admitted; after `wait`, as it ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from submissions import WORK, make_submission

from sir_convert_a_lot.bootstrap import Service, build_service
from sir_convert_a_lot.domain.job import JobRecord
from sir_convert_a_lot.settings import Settings


async def run(root: Path, command: str, names: list[str]) -> None:
    settings = Settings(storage_root=root, workers=2, shutdown_grace_s=0.2, max_recovery_attempts=2)
    async with build_service(settings, work=WORK) as service:
        if command == "submit":
            for name in names:
                tell((await service.admission.admit(make_submission(service, name))).record)
            sys.stdout.write("submitted\n")
            sys.stdout.flush()
            await asyncio.sleep(600)
        else:
            await wait_for_all(service)


async def wait_for_all(service: Service) -> None:
    page = await service.jobs.list_jobs(None, 100, None)
    for record in page.records:
        tell(await service.jobs.wait_until_terminal(record, 60))


def tell(record: JobRecord) -> None:
    code = record.failure.code if record.failure else None
    told = {"job_id": record.job_id, "status": record.status.value, "attempt": record.attempt, "code": code}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
