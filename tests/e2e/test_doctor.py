"""`doctor`: what it shows of this very installation, and what it advises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sir_convert_a_lot.interfaces.cli.app import run

NOBODY = "http://127.0.0.1:1"


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["doctor", "--service-url", NOBODY, *arguments]) == 0
    return capsys.readouterr().out


def test_it_tells_the_installation_as_json(capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    told = json.loads(doctor(capsys, "--json", "--skip-gpu"))
    assert "builtin" in told["engines"]
    assert told["service"]["state"] == "not_running"
    assert told["storage"]["free_bytes"] > 0
    assert told["gpu"] is None
    assert told["models"]["engine_installed"] is ("docling" in told["engines"])
    assert any("convert-a-lot serve" in line for line in told["next"])


def test_models_that_are_not_there_are_advised_where_the_engine_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'docling_artifacts_path = "{tmp_path}"\nstorage_root = "{tmp_path / "new" / "root"}"\n')
    told = json.loads(doctor(capsys, "--json", "--skip-gpu", "--config", str(config)))
    assert any("docling-layout-heron" in name for name in told["models"]["missing"])
    advised = any("models download" in line for line in told["next"])
    assert advised is told["models"]["engine_installed"]
    assert told["storage"] == {
        "root": str(tmp_path / "new" / "root"),
        "is_writable": True,
        "free_bytes": told["storage"]["free_bytes"],
    }


def test_a_person_reads_the_gpu_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    said = doctor(capsys)
    assert "GPU:" in said
    assert "next:     Convert: convert-a-lot convert" in said
