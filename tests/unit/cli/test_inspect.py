"""`inspect` writes a picture and prints its path, or says why not and leaves no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli.app import run

EXAMPLES = Path(__file__).parents[3] / "examples"


def inspect(name: str, out: Path, *flags: str) -> int:
    return run(["inspect", str(EXAMPLES / name), "--out", str(out), *flags])


def test_the_picture_is_written_and_its_path_is_all_that_stdout_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "page.png"
    assert inspect("two_column.pdf", out, "--page", "2") == ExitCode.OK
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


@pytest.mark.parametrize(
    ("name", "flags", "code", "told"),
    [
        ("digital.pdf", ("--page", "4"), ExitCode.BAD_INPUT, "there is no page 4: the PDF has 3"),
        ("digital.pdf", ("--page", "0"), ExitCode.USAGE, "--page"),
        ("encrypted.pdf", (), ExitCode.BAD_INPUT, "encrypted"),
        ("damaged.pdf", (), ExitCode.BAD_INPUT, "damaged"),
        ("README.md", (), ExitCode.BAD_INPUT, "damaged"),
        ("missing.pdf", (), ExitCode.USAGE, "does not exist"),
        (".", (), ExitCode.USAGE, "is a directory"),
    ],
)
def test_what_cannot_be_drawn_is_told_and_no_file_is_left(
    name: str, flags: tuple[str, ...], code: ExitCode, *, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(name, tmp_path / "page.png", *flags) == code
    said = capsys.readouterr()
    assert told in " ".join(said.err.replace("│", " ").split())
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_picture_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    out = tmp_path / "page.png"
    out.write_bytes(b"before")
    assert inspect("damaged.pdf", out) == ExitCode.BAD_INPUT
    assert out.read_bytes() == b"before"
    assert inspect("tagged.pdf", out) == ExitCode.OK
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert inspect("tagged.pdf", tmp_path / "file" / "page.png") == ExitCode.FAILED
    assert "output_not_written" in capsys.readouterr().err


def test_the_limits_of_a_conversion_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIR_CONVERT_A_LOT_MAX_PAGES", "2")
    assert inspect("digital.pdf", tmp_path / "page.png") == ExitCode.BAD_INPUT
    assert "more pages than are accepted" in capsys.readouterr().err
    monkeypatch.setenv("SIR_CONVERT_A_LOT_MAX_PAGES", "3")
    monkeypatch.setenv("SIR_CONVERT_A_LOT_MAX_PAGE_PIXELS", "1000000")
    assert inspect("digital.pdf", tmp_path / "page.png") == ExitCode.OK
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width * picture.height < 1_100_000
