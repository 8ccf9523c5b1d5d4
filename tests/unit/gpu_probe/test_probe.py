"""What holds for every probe: it cannot be made to claim a GPU, to raise, to wait, or to import torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, Rung, snapshot_to_json
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import name_arch
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.package import read_family

CHANGING = {"probe_id", "taken_at", "timings_ms"}

# A package that would be noticed: importing it ends the process.
TRAP = "import os\nos._exit(41)\n"


def settle(snapshot: Any) -> dict[str, Any]:
    found = snapshot_to_json(snapshot)
    for report in found["rungs"]:
        del report["duration_ms"]
    return {name: value for name, value in found.items() if name not in CHANGING}


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_this_machine_can_be_probed_and_is_not_simulated() -> None:
    snapshot = probe()
    assert not snapshot.simulated
    assert snapshot.cause in set(Cause)
    assert snapshot.is_available is (snapshot.cause is None)
    assert tuple(report.rung for report in snapshot.rungs) == LADDER
    json.dumps(snapshot_to_json(snapshot))


@pytest.mark.parametrize("build", ["nothing", "amd", "nvidia"])
def test_the_same_host_gives_the_same_answer(build: str, host: Any) -> None:
    if build != "nothing":
        getattr(host, f"add_{build}")().add_rocm_torch()
    first, second = probe(host.root), probe(host.root)
    assert settle(first) == settle(second)
    assert first.probe_id != second.probe_id
    details = [snapshot.refusal_details("docling") | {"probe_id": None} for snapshot in (first, second)]
    assert json.dumps(details[0]) == json.dumps(details[1])


@pytest.mark.parametrize("root", ["//", "/proc/self/root", "/proc/1/root", "/usr/..", "/nowhere"])
def test_another_name_of_the_root_is_simulated(root: str) -> None:
    assert probe(Path(root)).simulated


def test_whatever_is_given_rather_than_found_is_simulated(tmp_path: Path) -> None:
    assert probe(tmp_path).simulated
    assert probe(site_packages=[tmp_path]).simulated
    assert probe(environ={}).simulated


def test_probing_never_imports_torch(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TRAP)
    (package / "version.py").write_text(TRAP + "__version__ = '2.15.0+cu130'\ncuda = '13.0'\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe\n"
        "print(probe().torch_version, 'torch' in sys.modules)"
    )
    seen = run_python(code, str(package.parent))
    assert (seen.returncode, seen.stdout.split()) == (0, ["2.15.0+cu130", "False"]), seen.stderr
    assert run_python("import sys; sys.path.insert(0, sys.argv[1]); import torch", str(package.parent)).returncode == 41


def test_probing_takes_less_than_half_a_second_in_a_fresh_process() -> None:
    code = (
        "import time; started = time.perf_counter()\n"
        "from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe\n"
        "probe(); print(time.perf_counter() - started)"
    )
    assert min(float(run_python(code).stdout) for _ in range(3)) < 0.5


def put_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def put_directory(path: Path, _: bytes) -> None:
    path.mkdir()


def put_pipe(path: Path, _: bytes) -> None:
    os.mkfifo(path)


def put_loop(path: Path, _: bytes) -> None:
    path.symlink_to(path.name)


def put_nothing(path: Path, _: bytes) -> None:
    """Leave it removed."""


SPOILERS: list[Callable[[Path, bytes], None]] = [put_bytes, put_directory, put_pipe, put_loop, put_nothing]
CONTENT = st.one_of(
    st.binary(max_size=80), st.sampled_from([b"9" * 5_000, b"0x" + b"f" * 5_000, b"(" * 9_000, b"\\d", b"\x00"])
)


@pytest.fixture
def whole_host(host: Any) -> Any:
    """A machine with everything, and with a place for what a test takes away."""
    (host.root / "aside").mkdir()
    return host.add_amd().add_nvidia().add_rocm_torch().add_package("triton-rocm", "3.6.0")


@contextmanager
def damage(root: Path, spoils: list[tuple[Path, Callable[[Path, bytes], None], bytes]]) -> Iterator[None]:
    """Put something else where these files and directories are, and put them back afterwards."""
    moved: list[tuple[Path, Path]] = []
    for path, spoil, content in spoils:
        if os.path.lexists(path):
            aside = root / "aside" / str(len(moved))
            path.rename(aside)
            moved.append((path, aside))
            spoil(path, content)
    try:
        yield
    finally:
        for path, aside in reversed(moved):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
            aside.rename(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_machine_is_refused_and_never_raises_or_blocks(data: st.DataObject, whole_host: Any) -> None:
    places = sorted(path for part in ("sys", "dev", "proc", "usr") for path in (whole_host.root / part).rglob("*"))
    numbers = data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1, max_size=4))
    spoils = [(places[n], data.draw(st.sampled_from(SPOILERS)), data.draw(CONTENT)) for n in sorted(numbers)]
    with damage(whole_host.root, spoils):
        snapshot, again = (probe(whole_host.root, last_rung=Rung.PACKAGE) for _ in range(2))
    assert not snapshot.is_available
    assert snapshot.cause in set(Cause)
    json.dumps(snapshot_to_json(snapshot)).encode()
    assert settle(snapshot) == settle(again)


def test_a_name_that_is_no_text_does_not_reach_the_answer(host: Any) -> None:
    (host.root / "sys/bus/pci/devices" / os.fsdecode(b"\xff")).mkdir()
    snapshot = probe(host.root)
    assert snapshot.cause is Cause.PROBE_INCOMPLETE
    json.dumps(snapshot_to_json(snapshot), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("number", "arch"), [(110_000, "gfx1100"), (90_010, "gfx90a"), (90_402, "gfx942"), (120_001, "gfx1201"), (0, None)]
)
def test_a_target_version_is_named_as_the_compiler_names_it(number: int, arch: str | None) -> None:
    assert name_arch(number) == arch


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ("2.14.1+rocm7.2", ("rocm", "7.2")),
        ("2.14.1+rocm7.2.0.git1a2b3c", ("rocm", "7.2")),
        ("2.15.0+cu130", ("cu", "130")),
        ("2.15.0+cpu", ("cpu", None)),
        ("2.15.0", None),
        ("2.15.0+mine", None),
    ],
)
def test_a_local_tag_is_read_as_its_index_writes_it(version: str, family: tuple[str, str | None] | None) -> None:
    assert read_family(version) == family
