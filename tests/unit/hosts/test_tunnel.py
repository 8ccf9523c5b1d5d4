"""A tunnel that cannot be made is told, and one that does not end is ended. The ssh is made by hand."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from sir_convert_a_lot.infrastructure.hosts.openssh import END_LIMIT_S, OpenSshHost

DEAF = """\
import signal, socket, sys
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(__file__).with_name("asked").write_text("\\n".join(sys.argv))
port = int(sys.argv[sys.argv.index("-L") + 1].split(":")[1])
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        server.accept()[0].close()
"""


def test_a_tunnel_that_does_not_listen_to_reason_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!{sys.executable}\n{DEAF}")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with OpenSshHost("made").forward(1):
        began = time.monotonic()
    assert END_LIMIT_S <= time.monotonic() - began < 3 * END_LIMIT_S
    assert "ExitOnForwardFailure=yes" in (tmp_path / "asked").read_text()
