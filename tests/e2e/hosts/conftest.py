"""Hosts for the tests: a real sshd on loopback, and this machine by the same port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_sshd import ALIAS, Account, Sshd, made_account, running_sshd

from sir_convert_a_lot.infrastructure.hosts.launched import LaunchedHost
from sir_convert_a_lot.infrastructure.hosts.local import LocalHost
from sir_convert_a_lot.infrastructure.hosts.openssh import OpenSshHost


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    with made_account() as account:
        yield account


@pytest.fixture(scope="module")
def sshd(account: Account) -> Iterator[Sshd]:
    """One for the whole module: leave it as it was."""
    with running_sshd(account) as sshd:
        yield sshd


@pytest.fixture
def own_sshd(account: Account) -> Iterator[Sshd]:
    """One that a test may spoil."""
    with running_sshd(account) as sshd:
        yield sshd


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest) -> LaunchedHost:
    """This machine, and the same machine through sshd: what holds for one must hold for the other."""
    if request.param == "local":
        return LocalHost()
    sshd: Sshd = request.getfixturevalue("sshd")
    return OpenSshHost(ALIAS, config_file=sshd.ssh_config)


@pytest.fixture
def shared_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that this process and the account of the host may both write."""
    if "ssh" not in request.node.name:
        return tmp_path
    sshd: Sshd = request.getfixturevalue("sshd")
    folder = sshd.folder / tmp_path.name
    folder.mkdir()
    sshd.give(folder)
    return folder
