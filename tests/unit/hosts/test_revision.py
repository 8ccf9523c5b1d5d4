"""Which revision a checkout has, read as git writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sir_convert_a_lot.infrastructure.revision import read_revision

pytestmark = pytest.mark.system("git")
WHO = ("-c", "user.name=made", "-c", "user.email=made@example.org")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *WHO, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "checkout"
    (checkout / "src" / "package").mkdir(parents=True)
    git(checkout, "init", "-q", "-b", "main")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "first")
    return checkout


def revision_of(checkout: Path) -> str | None:
    return read_revision(checkout / "src" / "package")


def test_a_branch_a_packed_branch_and_a_detached_head(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert revision_of(checkout) == head
    git(checkout, "pack-refs", "--all")
    assert revision_of(checkout) == head
    git(checkout, "checkout", "-q", "--detach")
    assert revision_of(checkout) == head


def test_a_worktree_of_its_own_branch(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "second")
    assert revision_of(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD") != revision_of(checkout)


def test_no_checkout_has_no_revision(tmp_path: Path) -> None:
    assert revision_of(tmp_path) is None


def test_a_package_inside_an_environment_inside_a_checkout_is_not_that_checkout(checkout: Path) -> None:
    assert read_revision(checkout / ".venv" / "lib" / "site-packages" / "package") is None


def test_what_git_does_not_write_is_no_revision(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").write_text("../../etc/passwd\n")
    assert revision_of(checkout) is None
