"""A real sshd on loopback as a host: its own keys, its own configuration, its own account.

Needs Debian's openssh-server. Started by root, it runs as, and lets in, an account made for it: root may read
everything, so nothing about permissions could be tested. Started by anyone else, it is that account.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

SSHD = "/usr/sbin/sshd"  # it insists on an absolute path
ALIAS = "made-host"


@dataclass(frozen=True)
class Account:
    """Who one is on the host. `home` is writable for it and readable for the test."""

    name: str
    uid: int
    gid: int
    home: Path


@dataclass(frozen=True)
class Sshd:
    """A running sshd. `tools` is the first folder of its PATH; `ssh_config` is a client's configuration of its own."""

    account: Account
    folder: Path
    tools: Path
    ssh_config: Path
    port: int

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def give(self, *paths: Path) -> None:
        """Make the account the owner of these files and folders and of what is in them."""
        for path in paths:
            for each in (path, *path.rglob("*")):
                os.chown(each, self.account.uid, self.account.gid, follow_symlinks=False)

    def add_tool(self, name: str, script: str) -> Path:
        """A program of the host: a shell script on its PATH."""
        tool = self.tools / name
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        return tool


@contextmanager
def made_account() -> Iterator[Account]:
    """An account of this machine, removed afterwards; the present one where only that can be used."""
    with tempfile.TemporaryDirectory(prefix="made-host-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        own = pwd.getpwuid(os.getuid())
        if own.pw_uid != 0:
            yield Account(own.pw_name, own.pw_uid, own.pw_gid, home)
            return
        name = f"made-host-{os.getpid()}"
        add = ["useradd", "--no-create-home", "--user-group", "--home-dir", folder, "--shell", "/bin/sh", name]
        subprocess.run(add, check=True)
        try:
            made = pwd.getpwnam(name)
            os.chown(home, made.pw_uid, made.pw_gid)
            yield Account(name, made.pw_uid, made.pw_gid, home)
        finally:
            subprocess.run(["userdel", name], check=True)


@contextmanager
def running_sshd(account: Account, path: str = "{tools}:/usr/bin:/bin") -> Iterator[Sshd]:
    """An sshd of the account's own, in a folder below its home. `path` is the PATH of its sessions."""
    folder = Path(tempfile.mkdtemp(prefix="sshd-", dir=account.home))
    folder.chmod(0o755)
    tools = folder / "tools"
    tools.mkdir()
    sshd = Sshd(account, folder, tools, folder / "client_config", find_free_port())
    make_keys(folder)
    write_configurations(sshd, path.format(tools=tools))
    sshd.give(folder)
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **({"user": account.uid, "group": account.gid, "extra_groups": []} if os.getuid() == 0 else {}),
        )
    try:
        wait_for(sshd, process)
        yield sshd
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


@contextmanager
def kept_connection(sshd: Sshd) -> Iterator[None]:
    """The user keeps a connection to the host open, which each command then shares: no new handshake."""
    control = sshd.folder / "control"
    with sshd.ssh_config.open("a") as config:
        config.write(f"  ControlPath {control}\n")
    master = subprocess.Popen(["ssh", "-F", str(sshd.ssh_config), "-M", "-N", ALIAS], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not control.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield
    finally:
        master.terminate()
        master.wait(10)


def make_keys(folder: Path) -> None:
    for name in ("host_key", "other_host_key", "user_key", "stranger_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(make, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")


def write_configurations(sshd: Sshd, path: str) -> None:
    folder = sshd.folder
    (folder / "sshd_config").write_text(
        f"""\
Port {sshd.port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv PATH={path}
"""
    )
    trust(sshd, folder / "host_key.pub")
    write_client_configuration(sshd, folder / "user_key")


def trust(sshd: Sshd, key: Path) -> None:
    """The client knows the host by this key."""
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {key.read_text()}")


def write_client_configuration(sshd: Sshd, identity: Path) -> None:
    sshd.ssh_config.write_text(
        f"""\
Host {ALIAS}
  HostName 127.0.0.1
  Port {sshd.port}
  User {sshd.account.name}
  IdentityFile {identity}
  IdentitiesOnly yes
  UserKnownHostsFile {sshd.known_hosts}
  GlobalKnownHostsFile /dev/null
"""
    )


def somewhere_else(sshd: Sshd) -> Sshd:
    """The same host under a port that nobody listens at."""
    elsewhere = replace(sshd, port=find_free_port())
    write_client_configuration(elsewhere, sshd.folder / "user_key")
    return elsewhere


def wait_for(sshd: Sshd, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", sshd.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"sshd did not start: {(sshd.folder / 'sshd.log').read_text()}")


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
