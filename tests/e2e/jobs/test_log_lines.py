"""The service's log lines about a job name it in fields that a machine can filter by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parent / "faults"

SCRIPT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from submissions import WORK, make_submission
from sir_convert_a_lot.bootstrap import build_service
from sir_convert_a_lot.interfaces.http_api.log_output import configure_logs
from sir_convert_a_lot.settings import Settings

async def main():
    configure_logs("info")
    settings = Settings(storage_root=Path(sys.argv[1]), workers=1, sweep_interval_s=0.05)
    async with build_service(settings, work=WORK) as service:
        for name in ("ok", "raise"):
            admitted = await service.admission.admit(make_submission(service, name))
            await service.jobs.wait_until_terminal(admitted.record, 60)
            print(admitted.record.job_id)
        await asyncio.sleep(0.2)  # a sweep comes by, which is no job's

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_every_line_about_a_job_has_its_id_and_the_correlation_id_as_fields(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "root"), str(FAULTS)], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    for job_id in done.stdout.split():
        about = [line for line in lines if job_id in line["event"]]
        assert len(about) == 2
        assert {(line.get("job_id"), line.get("correlation_id")) for line in about} == {(job_id, "corr_test")}
    others = [line for line in lines if line["event"].startswith("swept")]
    assert others
    assert not any("job_id" in line for line in others)
