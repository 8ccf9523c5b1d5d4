"""Every committed file of evidence is complete, says no more than its checks, and stands in the table that names it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gpu_acceptance_evidence import find_problems

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "evidence"
RECORDED = sorted(FOLDER.glob("*.json"))
NAME = re.compile(r"recorded_(\d{4}-\d{2}-\d{2})_([a-z0-9_]+)\.json")


def name_device(told: str) -> str:
    """As a file name has it: NVIDIA H200 is nvidia_h200."""
    return re.sub(r"[^a-z0-9]+", "_", told.lower()).strip("_")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def list_rows() -> dict[str, list[str]]:
    """The cells of each file's row in the README's table, by its name."""
    rows = re.findall(
        r"^\| \[([^\]]+)\]\(\1\) \|(.*)\|$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_every_recorded_file_is_whole_and_private() -> None:
    assert {path.name: problems for path in RECORDED if (problems := find_problems(read(path)))} == {}


def test_every_name_is_its_date_and_device() -> None:
    for path in RECORDED:
        evidence, named = read(path), NAME.fullmatch(path.name)
        assert named is not None, path.name
        assert evidence["started_at"].startswith(named[1]), path.name
        assert named[2].startswith(name_device(evidence["machine"]["device"])), path.name


def test_the_table_lists_every_file_and_nothing_else_with_what_it_says() -> None:
    rows = list_rows()
    assert sorted(rows) == [path.name for path in RECORDED]
    for path in RECORDED:
        evidence = read(path)
        told = [evidence["machine"]["device"], evidence["models"]["kind"], evidence["outcome"]]
        assert rows[path.name] == told
