"""What is read of installed builds, and what is wrong with them against their pins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sir_convert_a_lot.domain.gpu_facts import Absent, Present, RuntimeKind, Unknown
from sir_convert_a_lot.domain.host_profile import TorchPins
from sir_convert_a_lot.infrastructure.host_checks.torch_builds import (
    SCRIPT,
    find_deviations,
    find_strangers,
    read_builds,
)
from sir_convert_a_lot.infrastructure.host_checks.torch_pins import parse_pins

PINS = TorchPins("rocm7.1", {"torch": "2.10.0+rocm7.1", "triton-rocm": "3.6.0"})


def test_the_project_pins_a_whole_family_for_rocm(repository: Path) -> None:
    pins = parse_pins((repository / "pyproject.toml").read_bytes(), RuntimeKind.ROCM)
    assert isinstance(pins, Present)
    assert next(iter(pins.value.packages)) == "torch"
    assert set(pins.value.packages) == {"torch", "torchvision", "torchaudio", "triton-rocm"}
    tagged = [version for name, version in pins.value.packages.items() if name != "triton-rocm"]
    assert all(version.endswith(f"+{pins.value.family}") for version in tagged)
    assert pins.value.index is not None
    assert pins.value.index.endswith(pins.value.family)


def test_the_cuda_pins_are_what_the_lock_installs(repository: Path) -> None:
    pins = parse_pins((repository / "pyproject.toml").read_bytes(), RuntimeKind.CUDA)
    assert isinstance(pins, Present)
    lock = (repository / "pdm.lock").read_text()
    for name, version in pins.value.packages.items():
        assert f'name = "{name}"\nversion = "{version}"\n' in lock


def test_pins_that_are_not_there_and_pins_that_are_no_pins_are_told_apart() -> None:
    assert isinstance(parse_pins(b"[project]\n", RuntimeKind.ROCM), Absent)
    assert isinstance(parse_pins(b"[tool.sir_convert_a_lot.rocm_runtime]\n", RuntimeKind.ROCM), Unknown)
    assert isinstance(parse_pins(b"\xff", RuntimeKind.ROCM), Unknown)


def told(**versions: str) -> dict[str, dict[str, str | None]]:
    return {name.replace("_", "-"): {"metadata": version} for name, version in versions.items()}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"metadata": "2.10.0+rocm7.1"}, RuntimeKind.ROCM),
        ({"metadata": "2.10.0", "__version__": "2.10.0+cu130", "cuda": "13.0"}, RuntimeKind.CUDA),
        ({"metadata": "2.10.0", "__version__": "2.10.0", "hip": "7.1"}, RuntimeKind.ROCM),
        ({"metadata": "2.10.0", "__version__": "2.10.0"}, RuntimeKind.NONE),
        ({"metadata": "2.10.0+cpu"}, RuntimeKind.NONE),
        ({"metadata": "2.10.0"}, None),
    ],
)
def test_what_torch_was_built_for_is_read_from_its_files_and_its_tag(
    said: dict[str, str], kind: RuntimeKind | None
) -> None:
    assert read_builds({"torch": said})["torch"].kind is kind


def test_a_sibling_of_another_family_is_a_stranger_and_one_without_a_tag_is_not() -> None:
    builds = read_builds(told(torch="2.10.0+rocm7.1", torchvision="0.25.0+rocm6.4", triton_rocm="3.6.0"))
    assert find_strangers(builds) == ["torchvision 0.25.0+rocm6.4"]


@pytest.mark.parametrize(
    ("installed", "wrong"),
    [
        (told(torch="2.10.0+rocm7.1", triton_rocm="3.6.0"), []),
        (told(torch="2.10.0+rocm7.1", triton_rocm="3.6.0+rocm7.1"), []),
        (told(torch="2.10.0", triton_rocm="3.6.0"), ["torch is 2.10.0, pinned is 2.10.0+rocm7.1"]),
        (told(torch="2.10.0+rocm7.1", triton_rocm="3.5.0"), ["triton-rocm is 3.5.0, pinned is 3.6.0"]),
        (told(torch="2.10.0+rocm7.1"), ["triton-rocm is not installed, pinned is 3.6.0"]),
        (
            told(torch="2.10.0+rocm7.1", triton_rocm="3.6.0+rocm6.4"),
            ["triton-rocm is 3.6.0+rocm6.4, and the family is rocm7.1"],
        ),
    ],
)
def test_every_package_that_is_not_as_pinned_is_told(
    installed: dict[str, dict[str, str | None]], wrong: list[str]
) -> None:
    assert find_deviations(read_builds(installed), PINS) == wrong


def test_the_script_for_the_host_reads_files_and_imports_nothing(tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('it must not be imported')\n")
    (package / "version.py").write_text("__version__ = '9.0+rocm9.9'\nhip: Optional[str] = '9.9'\ncuda = None\n")
    (tmp_path / "torch-9.0.dist-info").mkdir()
    (tmp_path / "torch-9.0.dist-info" / "METADATA").write_text("Name: torch\nVersion: 9.0\n")
    command = [sys.executable, "-S", "-", "torch", "no-such-package"]
    done = subprocess.run(command, input=SCRIPT, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True)
    assert json.loads(done.stdout) == {
        "torch": {"metadata": "9.0", "__version__": "9.0+rocm9.9", "hip": "9.9"},
        "no-such-package": {"metadata": None},
    }
