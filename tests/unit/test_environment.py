"""`scripts/environment.py` knows when the environment must be made again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import environment


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose environment looks made; the script's idea of where it is moves there."""
    (tmp_path / "pdm.lock").write_text("lock", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 1\n', encoding="utf-8")
    venv = tmp_path / ".venv"
    venv.mkdir()
    version = f"{sys.version_info.major}.{sys.version_info.minor}.0"
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n", encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", venv)
    environment.write_stamps("test")
    return tmp_path


def test_nothing_is_done_twice(checkout: Path) -> None:
    assert environment.is_current("test")
    assert environment.is_current("base")


def test_settings_of_tools_do_not_matter(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 2\n', encoding="utf-8")
    assert environment.is_current("base")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pdm.lock", "another lock"),
        ("pyproject.toml", '[project]\nname = "x"\ndependencies = ["y"]\n'),
        (".venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.1.0\n"),
    ],
)
def test_a_change_that_matters_is_seen(checkout: Path, name: str, content: str) -> None:
    (checkout / name).write_text(content, encoding="utf-8")
    assert not environment.is_current("base")


def test_a_checkout_that_moved_is_seen(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moved = tmp_path_factory.mktemp("moved") / "checkout"
    checkout.rename(moved)
    monkeypatch.setattr(environment, "ROOT", moved)
    monkeypatch.setattr(environment, "VENV", moved / ".venv")
    assert not environment.is_current("base")
    environment.drop_moved_venv()
    assert not environment.VENV.exists()


def test_an_environment_that_stayed_is_kept(checkout: Path) -> None:
    environment.drop_moved_venv()
    assert environment.is_current("base")


def test_the_failure_of_a_command_shows_its_words(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LOG", checkout / "log")
    with pytest.raises(environment.SetupError, match=r"something is wrong\n\nThis command failed"):
        environment.run_logged(["sh", "-c", "echo something is wrong; exit 3"])
