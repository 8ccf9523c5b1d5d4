"""`host bundle` through a real sshd: all that a report needs is there, and nothing that is private on any machine."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_sshd import Account, kept_connection, running_sshd
from made_gpu_host import NAME, MadeHost, made_probe
from made_v1_service import MadeService, serving

from sir_convert_a_lot.interfaces.cli.app import run

pytestmark = [
    pytest.mark.system("/usr/sbin/sshd", "git"),
    pytest.mark.skipif(Path("/sys/module/amdgpu").exists(), reason="the sampler would read this machine's own GPU"),
]

API_KEY = "made-api-key-of-the-service"
HERE = "made-token-of-this-machine"
THERE = "made-token-of-the-host"
LOG = f"""\
2026-01-01T00:00:00 GET /v1/convert/jobs X-API-Key: {API_KEY}
2026-01-01T00:00:01 fetching with Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl
2026-01-01T00:00:02 from 192.0.2.17, by somebody@example.org
2026-01-01T00:00:03 reading /home/somebody/papers/x.pdf
2026-01-01T00:00:04 a caller sent {HERE}"""


@pytest.fixture
def host(account: Account) -> Iterator[MadeHost]:
    path = f"{{tools}}:/usr/bin:/bin SIR_CONVERT_A_LOT_API_KEY={API_KEY} HF_TOKEN={THERE} HIP_VISIBLE_DEVICES=0"
    with running_sshd(account, path) as sshd, kept_connection(sshd):
        host = MadeHost(sshd)
        sshd.add_tool("journalctl", f"cat <<'END'\n{LOG}\n2026 started by {account.name} in {account.home}/x\nEND")
        host.tell_probe(made_probe(evidence=[f"{THERE} in {account.home}/.cache, account {account.name}"]))
        settings = {"api_key": {"value": "********"}, "storage_root": {"value": f"{account.home}/storage"}}
        (sshd.folder / "settings.json").write_text(json.dumps({"settings": settings}))
        command = host.root / ".venv" / "bin" / "convert-a-lot"
        told = f'"config show") cat {sshd.folder}/settings.json ;;'
        command.write_text(command.read_text().replace('"gpu probe")', f'{told}\n"gpu probe")'))
        yield host


@pytest.fixture
def archive(host: MadeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MADE_TOKEN", HERE)
    service = MadeService(host.revision, on_work=lambda is_working: host.set_busy(87 if is_working else 2))
    target = tmp_path / "report.zip"
    with serving(service):
        hosts = host.write_hosts(tmp_path / "hosts.toml", service.port)
        assert run(["host", "bundle", "--host", NAME, "--hosts", str(hosts), "--output", str(target)]) == 0
    return target


def read(archive: Path) -> dict[str, str]:
    with zipfile.ZipFile(archive) as opened:
        return {name.removeprefix("report/"): opened.read(name).decode() for name in opened.namelist()}


def test_a_bundle_has_what_a_report_needs_and_nothing_private(archive: Path, host: MadeHost) -> None:
    files = read(archive)
    assert set(files) == {
        "README.txt", "verify.json", "probe.json", "settings.json", "packages.txt", "system.json", "os-release.txt",
        "revision.txt", "service.log", "repair.json",
    }  # fmt: skip
    assert json.loads(files["verify.json"])["schema_version"]
    assert json.loads(files["probe.json"])["evidence"] == ["<secret> in <home>/.cache, account <user>"]
    assert json.loads(files["settings.json"])["settings"]["storage_root"]["value"] == "<home>/storage"
    environment = json.loads(files["system.json"])["environment"]
    assert environment["HIP_VISIBLE_DEVICES"] == "0"
    assert environment["SIR_CONVERT_A_LOT_API_KEY"] == "<secret>"
    assert "HF_TOKEN" not in environment  # changes nothing here, so it does not leave at all
    assert host.revision in files["revision.txt"]
    assert files["service.log"].splitlines() == [
        "2026-01-01T00:00:00 GET /v1/convert/jobs X-API-Key: <secret>",
        "2026-01-01T00:00:01 fetching with Authorization: Bearer <secret>",
        "2026-01-01T00:00:02 from <address>, by <mail>",
        "2026-01-01T00:00:03 reading <home>/papers/x.pdf",
        "2026-01-01T00:00:04 a caller sent <secret>",
        "2026 started by <user> in <home>/x",
    ]
    account = host.sshd.account
    for private in (API_KEY, HERE, THERE, account.name, str(account.home), str(Path.home())):
        leaks = [name for name, text in files.items() if private in text]
        assert leaks == [], private
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


def test_what_a_host_does_not_have_is_told_in_its_place(archive: Path) -> None:
    files = read(archive)
    assert files["repair.json"].startswith("not there: ")
    assert "No module named pip" in files["packages.txt"]


def test_without_knowing_what_is_private_there_nothing_is_written(host: MadeHost, tmp_path: Path) -> None:
    real = host.sshd.tools / "python3"
    real.write_text(
        '#!/bin/sh\ncase "$*" in *getpass.getuser*) case "$*" in *bytes.fromhex*) ;; *) exit 3 ;; esac ;; esac\n'
        'exec /usr/bin/python3 "$@"\n'
    )
    real.chmod(0o755)
    hosts = host.write_hosts(tmp_path / "hosts.toml", 1)
    target = tmp_path / "report.zip"
    assert run(["host", "bundle", "--host", NAME, "--hosts", str(hosts), "--output", str(target)]) == 69
    assert not target.exists()


def test_a_folder_that_is_not_there_is_told(host: MadeHost, tmp_path: Path) -> None:
    hosts = host.write_hosts(tmp_path / "hosts.toml", 1)
    assert (
        run(["host", "bundle", "--host", NAME, "--hosts", str(hosts), "--output", str(tmp_path / "no" / "x.zip")]) == 1
    )
