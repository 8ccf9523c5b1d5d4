"""What every command has in common: exit codes, streams, hidden secrets, lazy imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.job_spec import Conversion, Execution, Retention
from sir_convert_a_lot.interfaces.cli.app import app, run
from sir_convert_a_lot.settings import Settings

HEAVY = {"httpx", "fastapi", "dbos", "pypdfium2", "numpy", "torch", "docling", "rich.progress"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["convert"],
        ["convert", "a.pdf"],
        ["convert", "a.pdf", "-o", "out", "--ocr-mode", "loud"],
        ["convert", "a.pdf", "-o", "out", "--document-timeout-seconds", "7201"],
        ["list", "--limit", "many"],
        ["list", "--service-url", "ftp://example.org"],
        ["list", "--service-url", "http://127.0.0.1:port"],
        ["serve", "--port", "70000"],
    ],
)
def test_a_wrong_command_line_exits_64_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert "".join(capsys.readouterr())


def test_a_wrong_command_line_is_an_error_object_under_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "--limit", "many"]) == ExitCode.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "validation_error"
    assert "limit" in error["message"]


def test_help_exits_0_and_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert "convert" in out
    assert not err


def commands_of(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of the program, under the words that call it."""
    yield names, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands_of(command, (*names, name))


COMMANDS = dict(commands_of(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_a_summary_and_every_option_a_help_line(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*names, "--help"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert not err
    assert not [
        line for line in out.splitlines() if line.endswith("...") and "Usage" not in line and "SOURCE" not in line
    ]
    for parameter in COMMANDS[names].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("names", [names for names, command in COMMANDS.items() if hasattr(command, "commands")])
def test_a_group_without_a_command_shows_what_there_is(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(names) == ExitCode.USAGE
    told = "".join(capsys.readouterr())
    for name in COMMANDS[names].commands:
        assert f"  {name}  " in told


def test_the_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    told = capsys.readouterr().out.rpartition("Exit codes:")[2]
    assert {int(number) for number in re.findall(r"\d+", told)} == set(ExitCode)


@pytest.mark.parametrize(
    "flag",
    ["--service-url=http://h", "--api-key=k", "--concurrency=8", "--priority=high", "--pin", "--max-poll-seconds=1"],
)
def test_a_flag_for_a_service_is_refused_by_name_with_local(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "a.pdf", "-o", str(tmp_path / "out"), "--local", flag, "--json"]) == ExitCode.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["details"]["field"] == flag.partition("=")[0]
    assert not (tmp_path / "out").exists()


def test_convert_and_submit_have_the_options_of_a_job_spec_under_one_set_of_names() -> None:
    convert, submit = (
        {parameter.name: (parameter.opts, parameter.default) for parameter in COMMANDS[name,].params}
        for name in ("convert", "submit")
    )
    spec = {*Conversion.model_fields, *Execution.model_fields, *Retention.model_fields} - {"output_format"}
    assert spec <= set(convert)
    for name in spec:
        assert convert[name] == submit[name]


def test_version_is_data_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert told["packages"]["pypdfium2"]
    assert told["version"][0].isdigit()


def test_config_show_tells_every_setting_with_its_origin_and_hides_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIR_CONVERT_A_LOT_API_KEY", "hunter2")
    monkeypatch.setenv("CONVERTER_STORAGE_ROOT", "/srv/jobs")
    assert run(["config", "show", "--json"]) == ExitCode.OK
    out = capsys.readouterr().out
    settings = json.loads(out)["settings"]
    assert "hunter2" not in out
    assert set(settings) == {*Settings.model_fields, "service_url"}
    assert settings["api_key"]["origin"] == "env SIR_CONVERT_A_LOT_API_KEY"
    assert settings["storage_root"] == {"value": "/srv/jobs", "origin": "env CONVERTER_STORAGE_ROOT"}
    assert settings["port"] == {"value": 18085, "origin": "default"}
    assert run(["config", "show"]) == ExitCode.OK
    assert "hunter2" not in capsys.readouterr().out


def test_the_console_script_imports_nothing_until_it_is_called() -> None:
    """Spawned workers import it again, before every job they are made for."""
    code = "import sys; import sir_convert_a_lot.__main__; print([m for m in sys.modules if m.startswith('sir_')])"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "['sir_convert_a_lot', 'sir_convert_a_lot.__main__']"


def test_the_table_of_commands_loads_none_of_the_heavy_parts() -> None:
    code = "import sys; import sir_convert_a_lot.interfaces.cli.app; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(told.stdout.split())
