"""`host run` and the scripts over it: where a command runs, what reaches it, and what its exit code is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_sshd import ALIAS, Account, Sshd, kept_connection, running_sshd

pytestmark = pytest.mark.system("/usr/sbin/sshd", "git")

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "devops" / "run-hemma.sh"


class Hemma:
    """The script, and a host `hemma` that it finds."""

    def __init__(self, sshd: Sshd, hosts: Path) -> None:
        self.sshd, self.hosts = sshd, hosts
        self.root = sshd.folder / "project"
        self.root.mkdir()
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        sshd.give(self.root)
        self.hosts.write_text(f'[hosts.hemma]\nssh = "{ALIAS}"\nssh_config = "{sshd.ssh_config}"\nroot = "/not/used"\n')

    def run(self, *arguments: str, stdin: bytes = b"", root: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {
            "SIR_CONVERT_A_LOT_HOSTS": str(self.hosts),
            "SIR_CONVERT_A_LOT_HEMMA_ROOT": str(root or self.root),
        }
        return subprocess.run(
            [str(SCRIPT), *arguments], input=stdin, env=environment, capture_output=True, check=False, timeout=100
        )


@pytest.fixture(scope="module")
def hemma(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hemma]:
    with running_sshd(account) as sshd, kept_connection(sshd):
        yield Hemma(sshd, tmp_path_factory.mktemp("hosts") / "hosts.toml")


def test_a_command_runs_in_the_project_and_its_arguments_arrive(hemma: Hemma) -> None:
    awkward = ["two words", 'it\'s "quoted"', "$HOME", "a\nb", "--json", "ø"]
    program = "import json, os, sys; print(json.dumps([os.getcwd(), sys.argv[1:]]))"
    done = hemma.run("--", "python3", "-c", program, *awkward)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(hemma.root), awkward]


def test_a_script_over_stdin_runs_as_written_and_stops_at_its_first_failure(hemma: Hemma) -> None:
    done = hemma.run(stdin=b"word='a  b'\nprintf '<%s>' \"$word\"\nfalse\necho not reached\n")
    assert (done.returncode, done.stdout) == (1, b"<a  b>")


def test_a_command_with_an_equals_sign_in_its_name_is_a_command(hemma: Hemma) -> None:
    tool = hemma.root / "a=b"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)
    hemma.sshd.give(tool)
    done = hemma.run("--", "./a=b")
    tool.unlink()
    assert (done.returncode, done.stdout) == (0, b"ran\n")


def test_stdin_reaches_a_command(hemma: Hemma) -> None:
    assert hemma.run("cat", stdin=b"\0it\n").stdout == b"\0it\n"


def test_the_shell_is_clean(hemma: Hemma) -> None:
    names = {line.partition(b"=")[0] for line in hemma.run("env").stdout.splitlines()}
    assert {b"HOME", b"PATH"} <= names
    assert names <= {b"HOME", b"USER", b"LOGNAME", b"PATH", b"LC_ALL", b"TZ"}


@pytest.mark.parametrize("code", [0, 3, 66, 255])
def test_the_exit_code_is_the_commands(hemma: Hemma, code: int) -> None:
    assert hemma.run("sh", "-c", f"exit {code}").returncode == code


def test_a_signal_is_told_as_a_shell_tells_it(hemma: Hemma) -> None:
    assert hemma.run("sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_a_project_that_is_not_there_is_66(hemma: Hemma) -> None:
    done = hemma.run("true", root=hemma.sshd.folder / "gone")
    assert done.returncode == 66
    assert b"gone is not there" in done.stderr


def test_a_project_that_is_no_repository_is_67(hemma: Hemma) -> None:
    plain = hemma.sshd.folder / "plain"
    plain.mkdir(exist_ok=True)
    hemma.sshd.give(plain)
    assert hemma.run("true", root=plain).returncode == 67


def test_a_project_within_another_repository_is_68(hemma: Hemma) -> None:
    inner = hemma.root / "inner"
    inner.mkdir(exist_ok=True)
    hemma.sshd.give(inner)
    assert hemma.run("true", root=inner).returncode == 68


def test_a_root_in_the_home_of_the_account_is_found(hemma: Hemma) -> None:
    here = hemma.run("sh", "-c", "echo ~").stdout.decode().strip()
    if not hemma.root.is_relative_to(here):
        pytest.skip("the account is a person's, whose home is not the test's")
    assert hemma.run("pwd", root=Path("~") / hemma.root.relative_to(here)).stdout.decode() == f"{hemma.root}\n"


def test_a_command_that_takes_too_long_is_124(hemma: Hemma) -> None:
    command = [str(Path(sys.executable).with_name("convert-a-lot")), "host", "run", "--hosts", str(hemma.hosts)]
    environment = os.environ | {"SIR_CONVERT_A_LOT_HEMMA_ROOT": str(hemma.root)}
    done = subprocess.run(
        [*command, "--host", "hemma", "--timeout-seconds", "1", "--", "sleep", "60"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 124
    assert b"was killed" in done.stderr


def test_nothing_to_run_is_a_usage_error(hemma: Hemma) -> None:
    assert hemma.run().returncode == 64
