"""Reaching a host: every byte arrives, every end is told, nothing is left behind; here and through a real sshd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback_sshd import (
    ALIAS,
    Account,
    Sshd,
    kept_connection,
    running_sshd,
    somewhere_else,
    trust,
    write_client_configuration,
)

from sir_convert_a_lot.domain.gpu_facts import Absent, Present, Unknown
from sir_convert_a_lot.domain.host_access import Ending, HostCommand, HostCopyFailed, HostNotReached, HostProblem
from sir_convert_a_lot.infrastructure.hosts.launched import LaunchedHost
from sir_convert_a_lot.infrastructure.hosts.openssh import OpenSshHost

pytestmark = pytest.mark.system("/usr/sbin/sshd")

# Prints what it was given as JSON in ASCII, so that nothing on the way back can change it.
MIRROR = """\
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("MIRRORED"), sys.stdin.buffer.read().hex()]))
"""
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(TEXT, max_size=5), value=TEXT, stdin=st.binary(max_size=200))
def test_arguments_environment_and_stdin_arrive_unchanged(
    host: LaunchedHost, arguments: list[str], value: str, stdin: bytes
) -> None:
    done = host.run(HostCommand(["python3", "-c", MIRROR, *arguments], stdin, environment={"MIRRORED": value}))
    assert done.succeeded, done.error_text
    assert json.loads(done.stdout) == [arguments, value, stdin.hex()]


@pytest.mark.parametrize(
    "argument", ["two words", 'it\'s "quoted"', "$HOME `id` $(id)", "a\nb\\\n", "!event", "*", "~", "--", "ø ☃ 𝄞", ""]
)
def test_what_a_shell_would_change_arrives_unchanged(host: LaunchedHost, argument: str) -> None:
    assert host.run(HostCommand(["printf", "%s", argument])).stdout == argument.encode()


def test_a_script_over_stdin_runs_as_written(host: LaunchedHost) -> None:
    script = 'for word in "$@"; do\n  printf \'<%s>\' "$word"\ndone\n'
    done = host.run(HostCommand(["sh", "-s", "--", "a b", "$x"], script.encode()))
    assert done.text == "<a b><$x>"


def test_a_large_input_and_output_pass_whole(host: LaunchedHost) -> None:
    content = os.urandom(3_000_000)
    assert host.run(HostCommand(["cat"], content)).stdout == content


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_the_exit_code_is_the_commands_own(host: LaunchedHost, code: int) -> None:
    done = host.run(HostCommand(["sh", "-c", f"echo out; echo err >&2; exit {code}"]))
    assert (done.ending, done.exit_code, done.text, done.error_text) == (Ending.EXITED, code, "out\n", "err\n")
    assert done.succeeded is (code == 0)


def test_a_command_that_is_not_there_or_dies_is_told_apart(host: LaunchedHost) -> None:
    assert host.run(HostCommand(["no-such-program"])).ending is Ending.NOT_FOUND
    assert host.run(HostCommand(["/etc/passwd"])).ending is Ending.NOT_STARTED
    killed = host.run(HostCommand(["sh", "-c", "kill -9 $$"]))
    assert (killed.ending, killed.exit_code) == (Ending.SIGNALLED, -9)


def test_a_hang_is_killed_with_its_children_and_keeps_what_it_said(host: LaunchedHost, shared_folder: Path) -> None:
    pid_file = shared_folder / "pid"
    script = f"trap '' TERM; echo begun; sleep 300 & echo $! >{pid_file}; wait"
    done = host.run(HostCommand(["sh", "-c", script], timeout_s=0.5))
    assert (done.ending, done.exit_code, done.text) == (Ending.TIMED_OUT, None, "begun\n")
    assert 0.5 <= done.duration_s < 5
    assert is_gone(int(pid_file.read_text()))


def test_a_command_is_stopped_when_asked_and_may_say_its_last_words(host: LaunchedHost, sshd: Sshd) -> None:
    folder = Path(tempfile.mkdtemp(dir=sshd.folder))
    sshd.give(folder)
    stop = threading.Event()

    def stop_once_it_listens() -> None:
        wait_until((folder / "ready").exists)
        stop.set()

    threading.Thread(target=stop_once_it_listens, daemon=True).start()
    script = f"trap 'echo bye; exit' TERM; : >{folder}/ready; while :; do sleep 0.05; done"
    done = host.run(HostCommand(["sh", "-c", script]), stop)
    assert (done.ending, done.text) == (Ending.STOPPED, "bye\n")


def test_a_caller_that_is_killed_leaves_no_command_behind(sshd: Sshd) -> None:
    """The connection just breaks: nobody says goodbye."""
    folder = sshd.folder / "left"
    folder.mkdir()
    sshd.give(folder)
    program = f"""
from pathlib import Path
from sir_convert_a_lot.domain.host_access import HostCommand
from sir_convert_a_lot.infrastructure.hosts.openssh import OpenSshHost
host = OpenSshHost({ALIAS!r}, config_file=Path({str(sshd.ssh_config)!r}))
host.run(HostCommand(["sh", "-c", "echo $$ >{folder}/part; mv {folder}/part {folder}/pid; exec sleep 300"]))
"""
    caller = subprocess.Popen([sys.executable, "-c", program])
    wait_until((folder / "pid").exists)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert is_gone(int((folder / "pid").read_text()))


def test_the_callers_python_does_not_follow_a_command(host: LaunchedHost) -> None:
    done = host.run(HostCommand(["env"], environment={"OF_OURS": "1"}))
    names = {line.partition("=")[0] for line in done.text.splitlines()}
    assert {"PATH", "HOME", "LC_ALL", "OF_OURS"} <= names
    assert names.isdisjoint({"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "BASH_ENV"})


def test_a_command_runs_where_it_is_told(host: LaunchedHost) -> None:
    assert host.run(HostCommand(["pwd"], directory="/usr/bin")).text == "/usr/bin\n"
    home = host.run(HostCommand(["sh", "-c", "echo ~"])).text
    assert host.run(HostCommand(["pwd"])).text == home
    assert host.run(HostCommand(["pwd"], directory="~")).text == home
    assert host.run(HostCommand(["pwd"], directory="/no/such/place")).ending is Ending.NOT_FOUND


def test_files_go_there_whole_and_come_back(host: LaunchedHost, shared_folder: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", shared_folder / "deep" / "it's a name"
    source.write_bytes(os.urandom(200_000))
    host.copy_to(source, str(target), mode=0o640)
    assert host.read_file(str(target)) == Present(source.read_bytes())
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_that_is_not_there_and_one_that_cannot_be_read_are_told_apart(host: LaunchedHost) -> None:
    assert isinstance(host.read_file("/no/such/file"), Absent)
    assert isinstance(host.read_file("/etc"), Unknown)
    with pytest.raises(HostCopyFailed):
        host.copy_to(Path(__file__), "/proc/no/such/place")


def test_a_port_of_the_host_is_reached_while_it_is_forwarded(host: LaunchedHost) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with host.forward(server.server_port) as port:
            assert (port == server.server_port) is host.is_local
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10).read() == b"hello"
    finally:
        server.shutdown()
        server.server_close()


def test_a_connection_that_the_user_keeps_is_shared_and_holds_no_port_open(own_sshd: Sshd) -> None:
    with kept_connection(own_sshd):
        host = OpenSshHost(ALIAS, config_file=own_sshd.ssh_config)
        (own_sshd.folder / "authorized_keys").unlink()  # nobody new gets in
        assert host.run(HostCommand(["echo", "shared"])).text == "shared\n"
    with running_sshd(own_sshd.account) as sshd, kept_connection(sshd):
        with OpenSshHost(ALIAS, config_file=sshd.ssh_config).forward(sshd.port) as port:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_talkative_login_shell_spoils_nothing(own_sshd: Sshd) -> None:
    """Everyone's profile prints something one day."""
    keys = own_sshd.folder / "authorized_keys"
    keys.write_text(f'command="echo welcome; echo mail >&2; eval \\"$SSH_ORIGINAL_COMMAND\\"" {keys.read_text()}')
    done = OpenSshHost(ALIAS, config_file=own_sshd.ssh_config).run(HostCommand(["echo", "this"]))
    assert (done.text, done.error_text) == ("this\n", "")


# --- why a host could not be reached ---------------------------------------------------------------------------------


def test_nobody_listens(own_sshd: Sshd) -> None:
    assert problem_of(somewhere_else(own_sshd)) is HostProblem.UNREACHABLE


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(HostNotReached) as raised:
        OpenSshHost("no-such-host.invalid").run(HostCommand(["true"]))
    assert raised.value.problem is HostProblem.UNREACHABLE
    assert any("no-such-host.invalid" in line for line in raised.value.evidence)


def test_another_host_key_than_the_known_one(own_sshd: Sshd) -> None:
    trust(own_sshd, own_sshd.folder / "other_host_key.pub")
    assert problem_of(own_sshd) is HostProblem.HOST_KEY_CHANGED


def test_a_host_key_that_is_not_known(own_sshd: Sshd) -> None:
    own_sshd.known_hosts.write_text("")
    assert problem_of(own_sshd) is HostProblem.HOST_KEY_UNKNOWN
    assert own_sshd.known_hosts.read_text() == "", "nothing may trust a host for the user"


def test_a_key_that_the_host_does_not_take(own_sshd: Sshd) -> None:
    write_client_configuration(own_sshd, own_sshd.folder / "stranger_key")
    assert problem_of(own_sshd) is HostProblem.AUTH_DENIED


def test_a_host_without_python(account: Account) -> None:
    with running_sshd(account, path="{tools}") as sshd:
        assert problem_of(sshd) is HostProblem.PYTHON_MISSING


def test_a_host_that_forces_another_command(own_sshd: Sshd) -> None:
    keys = own_sshd.folder / "authorized_keys"
    keys.write_text(f'command="echo no shell for you" {keys.read_text()}')
    assert problem_of(own_sshd) is HostProblem.NOT_UNDERSTOOD


def test_a_destination_is_never_an_option() -> None:
    with pytest.raises(ValueError, match="no host"):
        OpenSshHost("-oProxyCommand=true")


def problem_of(sshd: Sshd) -> HostProblem:
    with pytest.raises(HostNotReached) as raised:
        OpenSshHost(ALIAS, config_file=sshd.ssh_config).run(HostCommand(["true"]))
    assert raised.value.evidence
    return raised.value.problem


def is_gone(pid: int) -> bool:
    """A process that was killed, or that only waits for its parent to notice, within a few seconds."""

    def is_dead() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return wait_until(is_dead)


def wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False
