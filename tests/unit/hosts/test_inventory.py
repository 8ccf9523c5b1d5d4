"""What is installed is told by the files, and where files and metadata contradict each other that is told too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sir_convert_a_lot.infrastructure.host_repair.inventory import find_dependents, find_leftovers, read_installed

FAMILY = ["torch", "torchvision", "triton-rocm"]


def add(packages: Path, name: str, version: str, metadata: str = "") -> None:
    about = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Name: {name}\nVersion: {version}\n{metadata}\nThe long text.\nRequires-Dist: torch\n"
    )


def add_files(packages: Path, module: str, version: str) -> None:
    (packages / module).mkdir()
    (packages / module / "version.py").write_text(
        f"from typing import Optional\n__version__ = '{version}'\nhip = None\n"
    )


@pytest.mark.parametrize(
    ("metadata", "files", "version", "torn"),
    [
        (["2.10.0+rocm7.1"], "2.10.0+rocm7.1", "2.10.0+rocm7.1", []),
        (["2.15.0"], "2.15.0+cu130", "2.15.0+cu130", []),  # as the ordinary index has them
        (["2.10.0+rocm7.1"], "2.10.0+cpu", "2.10.0+cpu", ["torch"]),
        (["2.9.0"], "2.10.0", "2.10.0", ["torch"]),
        ([], "2.10.0+cpu", "2.10.0+cpu", ["torch"]),  # an uninstallation that was cut off
        (["2.10.0+cpu", "2.10.0+rocm7.1"], "2.10.0+rocm7.1", "2.10.0+rocm7.1", ["torch"]),
        (["2.10.0+rocm7.1"], None, "2.10.0+rocm7.1", []),
    ],
)
def test_the_version_is_that_of_the_files(
    tmp_path: Path, metadata: list[str], files: str | None, version: str, torn: list[str]
) -> None:
    for told in metadata:
        add(tmp_path, "torch", told)
    if files is not None:
        add_files(tmp_path, "torch", files)
    assert read_installed(tmp_path, FAMILY) == ({"torch": version}, torn)


def test_names_are_compared_as_packaging_does_and_leftovers_of_pip_are_no_packages(tmp_path: Path) -> None:
    add(tmp_path, "Triton_ROCm", "3.6.0")
    (tmp_path / "~orch-2.10.0.dist-info").mkdir()
    (tmp_path / "torch-2.10.0.dist-info").write_text("no folder")
    assert read_installed(tmp_path, FAMILY) == ({"triton-rocm": "3.6.0"}, [])


def test_dependents_are_what_asks_for_the_set_by_itself(tmp_path: Path) -> None:
    add(tmp_path, "docling-ibm-models", "3.10.0", "Requires-Dist: torch (<3,>=2.2.2)\nRequires-Dist: numpy\n")
    add(tmp_path, "accelerate", "1.9", "Requires-Dist: torch>=2; python_version >= '3.9'\n")
    add(tmp_path, "rapidocr", "3.10.0", "Requires-Dist: torch; extra == 'torch'\n")
    add(tmp_path, "torchvision", "0.25.0", "Requires-Dist: torch==2.10.0\n")
    add(tmp_path, "reader", "1.0", "Requires-Dist: torch-like\n")
    add(tmp_path, "own", "1.0", "Requires-Dist: torch\n")
    (tmp_path / "own-1.0.dist-info" / "direct_url.json").write_text("{}")
    assert find_dependents(tmp_path, FAMILY) == ["accelerate==1.9", "docling-ibm-models==3.10.0"]


def test_what_pip_cannot_take_away_is_named_path_by_path(tmp_path: Path) -> None:
    add(tmp_path, "torch", "2.10.0+cpu")
    add(tmp_path, "torch", "2.10.0+rocm7.1")
    add_files(tmp_path, "torch", "2.10.0+cpu")
    for name in ("triton-rocm", "torchvision"):
        add(tmp_path, name, "1.0")
    for about in tmp_path.glob("t*-*.dist-info"):
        if "torchvision" not in about.name:
            (about / "RECORD").write_text("")
    assert find_leftovers(tmp_path, FAMILY, ["torch"]) == {
        "torch": [
            str(tmp_path / name) for name in ("torch", "torch-2.10.0+cpu.dist-info", "torch-2.10.0+rocm7.1.dist-info")
        ],
        "torchvision": [str(tmp_path / "torchvision-1.0.dist-info")],
    }
