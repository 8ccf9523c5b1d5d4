"""What pyproject.toml, the lock and the Makefile promise to whoever installs from them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import environment


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_script_says_what_it_is_for(project: dict[str, Any]) -> None:
    assert [name for name, script in project["tool"]["pdm"]["scripts"].items() if not script.get("help")] == []


def test_every_file_that_a_script_runs_is_there(project: dict[str, Any], repository: Path) -> None:
    named = [re.findall(r"\S+\.py", script["cmd"]) for script in project["tool"]["pdm"]["scripts"].values()]
    assert [name for names in named for name in names if not (repository / name).is_file()] == []


def test_the_lock_names_no_host_and_no_place(repository: Path) -> None:
    lock = (repository / "pdm.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert not re.search(r"^(path|url|index|source) =", lock, flags=re.MULTILINE)


def test_every_group_that_is_installed_is_locked(project: dict[str, Any], repository: Path) -> None:
    lock = tomllib.loads((repository / "pdm.lock").read_text(encoding="utf-8"))
    locked = set(lock["metadata"]["groups"])
    assert set(project["dependency-groups"]) | set(project["project"]["optional-dependencies"]) <= locked
    for arguments in environment.INSTALL_ARGUMENTS.values():
        assert {group for group in arguments if not group.startswith("-")} <= locked


def test_the_base_holds_no_torch_and_no_docling(repository: Path) -> None:
    lock = tomllib.loads((repository / "pdm.lock").read_text(encoding="utf-8"))
    base = {package["name"] for package in lock["package"] if "default" in package["groups"]}
    assert {"fastapi", "typer", "httpx", "rapidocr"} <= base
    assert base.isdisjoint({"torch", "torchvision", "docling", "docling-core", "pymupdf", "transformers"})


def test_make_convert_starts_from_an_example_that_is_shipped(repository: Path) -> None:
    (default,) = re.findall(
        r"^PDF \?= (\S+)$", (repository / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert (repository / default).is_file()
