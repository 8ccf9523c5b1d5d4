"""Which GPU: named by its PCI address, alone in sight of the worker that has it, and out of sight of all others."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from made_gpus import AMD, NVIDIA, SITE

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import MASKS, show_only
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.settings import MIB

SECOND = "0000:b3:00.0"
UUIDS = {NVIDIA: "5c6cd2c6-0000-4a54-8f1e-000000000001", SECOND: "5c6cd2c6-0000-4a54-8f1e-000000000002"}


def add_two_gpus(host: Any, build: str) -> str:
    """A host with two GPUs of a kind; returns the address of the one that torch counts first."""
    first = AMD if build == "amd" else NVIDIA
    getattr(host, f"add_working_{build}")()
    host.add_function(
        SECOND, vendor="0x1002" if build == "amd" else "0x10de", driver="amdgpu" if build == "amd" else "nvidia"
    )
    path = host.root / SITE / "torch/shim.json"
    config = json.loads(path.read_text())
    device = config["devices"][0]
    config["devices"] = [device | {"pci_id": address} for address in (first, SECOND)]
    if build == "nvidia":
        config["devices"] = [each | {"uuid": UUIDS[each["pci_id"]]} for each in config["devices"]]
    path.write_text(json.dumps(config))
    return first


@pytest.mark.parametrize("build", ["amd", "nvidia"])
def test_without_a_wish_the_first_gpu_is_proven_and_named_with_what_shows_it_alone(build: str, host: Any) -> None:
    first = add_two_gpus(host, build)
    snapshot = probe(host.root)
    assert (snapshot.cause, snapshot.pci_id) == (None, first), snapshot.evidence
    masks = {"amd": {"HIP_VISIBLE_DEVICES": "0"}, "nvidia": {"CUDA_VISIBLE_DEVICES": f"GPU-{UUIDS[NVIDIA]}"}}
    assert snapshot.masks == masks[build]


@pytest.mark.parametrize("build", ["amd", "nvidia"])
def test_a_gpu_that_is_not_the_first_is_proven_by_its_address(build: str, host: Any) -> None:
    add_two_gpus(host, build)
    snapshot = probe(host.root, wanted_pci_id=SECOND)
    assert (snapshot.cause, snapshot.pci_id) == (None, SECOND), snapshot.evidence
    assert all(report.state is RungState.PASSED for report in snapshot.rungs)
    masks = {"amd": {"HIP_VISIBLE_DEVICES": "1"}, "nvidia": {"CUDA_VISIBLE_DEVICES": f"GPU-{UUIDS[SECOND]}"}}
    assert snapshot.masks == masks[build]


@pytest.mark.parametrize(
    ("build", "environ", "masks"),
    [
        ("nvidia", {"CUDA_VISIBLE_DEVICES": "1,0"}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ("nvidia", {"CUDA_VISIBLE_DEVICES": f"GPU-{UUIDS[SECOND]}"}, {"CUDA_VISIBLE_DEVICES": f"GPU-{UUIDS[SECOND]}"}),
        ("amd", {"HIP_VISIBLE_DEVICES": "1"}, {"HIP_VISIBLE_DEVICES": "1"}),
        ("amd", {"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ("amd", {"ROCR_VISIBLE_DEVICES": "1"}, {"HIP_VISIBLE_DEVICES": "0"}),
    ],
)
def test_a_mask_of_the_operator_is_narrowed_to_one_of_its_own_entries(
    build: str, environ: dict[str, str], masks: dict[str, str], host: Any
) -> None:
    add_two_gpus(host, build)
    snapshot = probe(host.root, environ=environ, wanted_pci_id=SECOND)
    assert (snapshot.cause, snapshot.pci_id, snapshot.masks) == (None, SECOND, masks), snapshot.evidence


@pytest.mark.parametrize("build", ["amd", "nvidia"])
def test_a_gpu_that_the_operator_hid_is_not_brought_back(build: str, host: Any) -> None:
    add_two_gpus(host, build)
    name = "HIP_VISIBLE_DEVICES" if build == "amd" else "CUDA_VISIBLE_DEVICES"
    snapshot = probe(host.root, environ={name: "0"}, wanted_pci_id=SECOND)
    assert snapshot.cause is Cause.WRONG_DEVICE_SELECTED


def test_no_mask_ever_becomes_wider() -> None:
    values = [None, "", "1", "1,0", " 2 , 3", "GPU-x,1"]
    for is_rocm, index, uuid, *masks in itertools.product((True, False), (0, 1), ("GPU-u", None), *[values] * 3):
        names = MASKS[:3]
        environ = {name: value for name, value in zip(names, masks, strict=True) if value is not None}
        ((name, entry),) = show_only(index, environ, uuid=uuid, is_rocm=is_rocm).items()
        before = [part.strip() for part in environ.get(name, "").split(",") if part.strip()]
        assert "," not in entry
        assert entry in before if index < len(before) else entry in {uuid, str(index)}
        if is_rocm and environ.get("HIP_VISIBLE_DEVICES"):
            assert name == "HIP_VISIBLE_DEVICES"  # the other would be read by nobody
        assert name in {"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"}


def test_a_slice_of_a_gpu_goes_by_its_number_because_its_name_is_another(host: Any) -> None:
    host.add_working_nvidia()
    path = host.root / SITE / "torch/shim.json"
    config = json.loads(path.read_text())
    config["devices"][0] |= {"uuid": UUIDS[NVIDIA], "name": "NVIDIA H100 MIG 1g.10gb"}
    path.write_text(json.dumps(config))
    assert probe(host.root).masks == {"CUDA_VISIBLE_DEVICES": "0"}


ON_CPU: dict[str, Any] = {"device": "cpu", "pci_id": None, "masks": {}}


def run_all(tmp_path: Path, orders: list[dict[str, Any]], workers: int) -> list[dict[str, Any]]:
    """What the worker of each order told of itself, one order after the other."""

    async def run() -> list[dict[str, Any]]:
        pool = WorkerPool("made_gpu_work:tell", workers=workers, max_jobs=99, memory_limit_bytes=2048 * MIB)
        told = []
        try:
            for number, order in enumerate(orders):
                staging = tmp_path / str(number)
                staging.mkdir()
                async with pool.slot(order["pci_id"] or "cpu") as slot:
                    outcome = await slot.run(order, staging, 60, lambda _: None)
                assert outcome["ok"], outcome
                told.append(outcome["result"])
        finally:
            await pool.close()
        return told

    return asyncio.run(run())


@pytest.fixture
def orders(host: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """For each of two GPUs, the order of a job that was promised it."""
    first = add_two_gpus(host, "nvidia")
    monkeypatch.syspath_prepend(str(host.root / SITE))
    found = [probe(host.root, wanted_pci_id=address) for address in (first, SECOND)]
    return [{"device": "cuda:0", "pci_id": snapshot.pci_id, "masks": snapshot.masks} for snapshot in found]


def test_a_worker_sees_the_gpu_of_its_job_and_no_other(tmp_path: Path, orders: list[dict[str, Any]]) -> None:
    told = run_all(tmp_path, orders, workers=1)
    assert [each["sees"] for each in told] == [[NVIDIA], [SECOND]]
    assert told[0]["pid"] != told[1]["pid"]


@pytest.mark.usefixtures("orders")
def test_a_worker_of_the_cpu_sees_no_gpu_whatever_the_service_sees(tmp_path: Path) -> None:
    (told,) = run_all(tmp_path, [ON_CPU], workers=1)
    assert told["sees"] == []
    assert {told["masks"][name] for name in MASKS[:3]} == {"-1"}


def test_workers_stay_warm_for_their_device_and_only_a_wrong_one_is_replaced(
    tmp_path: Path, orders: list[dict[str, Any]]
) -> None:
    gpu, other = orders
    told = run_all(tmp_path, [ON_CPU, gpu, ON_CPU, gpu, ON_CPU, other, gpu], workers=2)
    pids = [each["pid"] for each in told]
    assert pids[0] == pids[2] == pids[4]
    assert pids[1] == pids[3]
    assert len(set(pids)) == 4  # the two wrong ones: `other` replaced one, and `gpu` one more
