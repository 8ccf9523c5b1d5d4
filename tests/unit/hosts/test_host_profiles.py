"""The hosts file: what may stand in it, where it is looked for, and what goes over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_profile import TorchPins
from sir_convert_a_lot.infrastructure.hosts.profiles import (
    HostProfileMissing,
    find_file,
    load_profile,
    this_machine,
)

MINIMAL = '[hosts.made]\nroot = "/srv/made"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "hosts.toml"
    path.write_text(text)
    return path


def test_hemma_is_the_example_that_is_shipped() -> None:
    hemma = load_profile("hemma", environ={"HOME": "/nowhere"})
    assert (hemma.ssh, hemma.root, hemma.runtime_kind) == ("hemma", "~/sir-convert-a-lot", RuntimeKind.ROCM)
    assert (hemma.service_port, hemma.evaluation_port) == (28085, 28086)
    assert hemma.command == ".venv/bin/convert-a-lot"


def test_the_environment_goes_over_the_file_for_hemma_alone(tmp_path: Path) -> None:
    environ = {"SIR_CONVERT_A_LOT_HEMMA_HOST": "me@elsewhere", "SIR_CONVERT_A_LOT_HEMMA_ROOT": "/srv/it"}
    hemma = load_profile("hemma", environ=environ)
    assert (hemma.ssh, hemma.root) == ("me@elsewhere", "/srv/it")
    made = load_profile("made", write(tmp_path, MINIMAL), environ)
    assert (made.ssh, made.root) == (None, "/srv/made")


def test_a_file_is_named_by_the_command_line_before_the_environment(tmp_path: Path) -> None:
    named, variable = tmp_path / "named.toml", {"SIR_CONVERT_A_LOT_HOSTS": str(tmp_path / "variable.toml")}
    assert find_file(named, variable) == named
    assert find_file(None, variable) == tmp_path / "variable.toml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[hosts.made]\nroot = "/srv"\nprot = 1\n', "hosts.made.prot"),
        ('[hosts.made]\nssh = "made"\n', "hosts.made.root"),
        ('[hosts.made]\nroot = "/srv"\nssh = "-oProxyCommand=true"\n', "hosts.made.ssh"),
        ('[hosts.made]\nroot = "/srv"\nservice_port = 0\n', "hosts.made.service_port"),
        ("[hosts.made\n", "cannot read"),
        (MINIMAL.replace("made", "other"), "it knows: other"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_by_name(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(HostProfileMissing, match=told):
        load_profile("made", write(tmp_path, text), {})


def test_a_host_may_pin_builds_of_its_own(tmp_path: Path) -> None:
    pins = '[hosts.made.torch]\nfamily = "rocm9.9"\npackages = { torch = "9.9.0+rocm9.9" }\n'
    made = load_profile("made", write(tmp_path, MINIMAL + pins), {})
    assert made.torch == TorchPins("rocm9.9", {"torch": "9.9.0+rocm9.9"})


def test_this_machine_is_the_checkout_with_the_python_that_runs(repository: Path) -> None:
    here = this_machine(1234)
    assert (here.ssh, here.root, here.service_port) == (None, str(repository), 1234)
    assert Path(here.command).name == "convert-a-lot"
