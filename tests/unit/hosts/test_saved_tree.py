"""An environment that was saved comes back as it was, whatever happened to it, and though that was cut off."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import pytest

from sir_convert_a_lot.infrastructure.host_repair import saved_tree
from sir_convert_a_lot.infrastructure.host_repair.saved_tree import SavedIncomplete, restore, save

STATE = ".state"
HELD = ["bin/python", "lib/torch"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    root = tmp_path / "venv"
    for name, text in {
        "bin/tool": "#!python\n",
        "lib/torch/version.py": "old",
        "lib/torch/empty/__init__.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "bin" / "tool").chmod(0o755)
    (root / "lib64").symlink_to("lib")
    (root / "bin" / "python").symlink_to("/usr/bin/python3")
    (root / STATE).mkdir()
    save(root, root / STATE / "saved", STATE)
    return root


def content(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        inner = str(path.relative_to(root))
        if inner.split("/", maxsplit=1)[0] == STATE:
            continue
        if path.is_symlink():
            found[inner] = ("link", str(path.readlink()))
        else:
            found[inner] = "folder" if path.is_dir() else (path.read_text(), path.stat().st_mode)
    return found


def spoil(root: Path) -> None:
    """What pip, and worse, can do: replace, remove, add, and put one kind of thing in another's place."""
    replace_file(root / "lib" / "torch" / "version.py", "new")
    (root / "lib" / "torch" / "empty" / "__init__.py").unlink()
    (root / "lib" / "torch" / "empty").rmdir()
    (root / "lib" / "torch" / "empty").write_text("a file now")
    (root / "bin" / "tool").unlink()
    (root / "bin" / "tool").mkdir()
    (root / "bin" / "tool" / "inner").write_text("")
    (root / "lib64").unlink()
    (root / "lib64").mkdir()
    (root / "lib" / "~orch").mkdir()
    (root / "lib" / "~orch" / "half.so").write_text("half")
    (root / "added").symlink_to("/nowhere")


def replace_file(path: Path, text: str) -> None:
    """As pip does: a new file in the old one's place."""
    part = path.with_name("part")
    part.write_text(text)
    part.replace(path)


def test_everything_comes_back(environment: Path) -> None:
    before = content(environment)
    spoil(environment)
    assert content(environment) != before
    assert restore(environment / STATE / "saved", environment, STATE, HELD) == []
    assert content(environment) == before


def test_putting_back_twice_changes_nothing(environment: Path) -> None:
    spoil(environment)
    restore(environment / STATE / "saved", environment, STATE, HELD)
    inodes = {path: path.lstat().st_ino for path in environment.rglob("*")}
    restore(environment / STATE / "saved", environment, STATE, HELD)
    assert {path: path.lstat().st_ino for path in environment.rglob("*")} == inodes


def test_saving_takes_no_room(environment: Path) -> None:
    one, other = environment / "bin" / "tool", environment / STATE / "saved" / "bin" / "tool"
    assert one.samefile(other)


def test_where_there_can_be_no_links_copies_do(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError("this file system has no links")

    monkeypatch.setattr(os, "link", no_link)
    saved = environment / STATE / "copied"
    save(environment, saved, STATE)
    before = content(environment)
    spoil(environment)
    assert restore(saved, environment, STATE, HELD) == []
    assert content(environment) == before


def test_the_state_of_the_repair_itself_is_neither_saved_nor_taken_away(environment: Path) -> None:
    journal = environment / STATE / "journal.json"
    journal.write_text("{}")
    assert not (environment / STATE / "saved" / STATE).exists()
    restore(environment / STATE / "saved", environment, STATE, HELD)
    assert journal.read_text() == "{}"


@pytest.mark.parametrize("lost", ["", "bin/python", "lib"])
def test_what_is_not_whole_takes_nothing_away(environment: Path, lost: str) -> None:
    before = content(environment)
    gone = environment / STATE / "saved" / lost
    gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)
    with pytest.raises(SavedIncomplete):
        restore(environment / STATE / "saved", environment, STATE, HELD)
    assert content(environment) == before


@pytest.mark.parametrize("name", ["agent", "inventory", "saved_tree"])
def test_what_is_sent_to_a_host_is_python_that_old_hosts_have(name: str) -> None:
    text = Path(saved_tree.__file__).with_name(f"{name}.py").read_text()
    ast.parse(text, feature_version=(3, 8))
