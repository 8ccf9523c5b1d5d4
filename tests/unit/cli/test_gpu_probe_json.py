"""`gpu probe --json` prints the domain's one form of a snapshot."""

from __future__ import annotations

import json
import subprocess
import sys

from sir_convert_a_lot.bootstrap import probe_gpu
from sir_convert_a_lot.domain.gpu_facts import snapshot_to_json


def test_the_probe_is_printed_as_the_domain_writes_it() -> None:
    command = [sys.executable, "-m", "sir_convert_a_lot", "gpu", "probe", "--json"]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    told, expected = json.loads(ended.stdout), snapshot_to_json(probe_gpu())
    assert set(told) == set(expected)
    assert (told["cause"], told["rung"], told["runbook"]) == (expected["cause"], expected["rung"], expected["runbook"])
    assert [rung["state"] for rung in told["rungs"]] == [rung["state"] for rung in expected["rungs"]]


def test_the_probe_tells_all_that_a_refusal_would() -> None:
    snapshot = probe_gpu()
    refusal = snapshot.refusal_details("docling")
    told = snapshot_to_json(snapshot)
    assert set(refusal) <= set(told)
    assert told["reason"] == (None if snapshot.is_available else "backend_gpu_runtime_unavailable")
