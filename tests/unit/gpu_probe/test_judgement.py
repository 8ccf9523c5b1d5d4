"""The judges by themselves: what a shim cannot easily be made to say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_probe_child import runtime_library
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_failures import may_be_older
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import Found
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import KfdNode, name_address
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import describe_error, read_code, shorten
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import (
    ANSWERS_NEEDED,
    HostFacts,
    find_slowness,
    is_too_old,
    judge,
    runs_on,
)


@pytest.mark.parametrize(
    ("arch", "known", "runs"),
    [
        ("sm_90", ["sm_90"], True),
        ("sm_86", ["sm_80"], True),  # machine code runs on later minors of its major
        ("sm_80", ["sm_86"], False),
        ("sm_90", ["sm_80"], False),
        ("sm_90", ["compute_80"], True),  # PTX is compiled for whatever comes later
        ("sm_75", ["compute_80"], False),
        ("sm_90", ["sm_90a"], True),
        ("sm_103", ["sm_100a"], False),  # code for one architecture alone
        ("sm_103", ["sm_100f"], False),
        ("sm_120", ["sm_100", "compute_120"], True),
        ("sm_90", [], False),
        ("sm_90", ["gfx1100", "", "sm_"], False),
        ("gfx1100", ["sm_90"], False),
    ],
)
def test_which_code_runs_on_which_nvidia_gpu(arch: str, known: list[str], runs: bool) -> None:
    assert runs_on(arch, known) is runs


def right(**changes: Any) -> list[dict[str, Any]]:
    """Every answer as a healthy GPU gives it; `changes` spoil the first."""
    answers = [
        {
            "op": op,
            "dtype": dtype,
            "wrong_elements": 0,
            "worst": 0.5,
            "scale": 0.1,
            "distinct_answers": 1,
            "cold_ms": 9.0,
            "warm_ms": 1.0,
        }
        for op, dtype in sorted(ANSWERS_NEEDED)
    ]
    answers[0] |= changes
    return answers


def judge_answers(answers: list[dict[str, Any]]) -> tuple[RungState, Cause | None]:
    finding = judge(Rung.RESULT, Found({"answers": answers}), {}, HostFacts())
    return finding.state, finding.cause


def test_every_answer_right_passes() -> None:
    assert judge_answers(right()) == (RungState.PASSED, None)


@pytest.mark.parametrize(
    "changes",
    [{"wrong_elements": 1}, {"worst": 1.001}, {"worst": float("nan")}, {"scale": 1.1}, {"distinct_answers": 2}],
)
def test_one_thing_wrong_with_one_answer_fails(changes: dict[str, Any]) -> None:
    assert judge_answers(right(**changes)) == (RungState.FAILED, Cause.RESULT_MISMATCH)


def test_a_missing_answer_is_not_a_right_one() -> None:
    assert judge_answers(right()[1:]) == (RungState.UNKNOWN, Cause.PROBE_INCOMPLETE)
    assert judge_answers([]) == (RungState.UNKNOWN, Cause.PROBE_INCOMPLETE)


@pytest.mark.parametrize("answers", [None, "right", [{}], [{"op": "copy"}], 7])
def test_answers_that_cannot_be_read_refuse(answers: Any) -> None:
    assert judge_answers(answers) == (RungState.UNKNOWN, Cause.PROBE_INCOMPLETE)


def test_compiling_for_minutes_is_a_warning() -> None:
    slow = right(cold_ms=90_000.0, warm_ms=2.0)
    assert len(find_slowness({Rung.RESULT: {"answers": slow, "unwritable_caches": []}})) == 1
    assert find_slowness({Rung.RESULT: {"answers": right(), "unwritable_caches": []}}) == ()
    assert find_slowness({}) == ()
    assert judge_answers(slow) == (RungState.PASSED, None)


AMD_DEVICE = {"name": "a GPU", "pci_id": "0000:03:00.0", "arch": "gfx1100", "total_bytes": 2**34}
ARCH_FACTS = {"arch_list": ["gfx1100"], "tensile_place": True, "tensile_archs": ["gfx1100"]}


@pytest.mark.parametrize(
    ("nodes", "cause"),
    [
        ((KfdNode(1, "gfx1100", 128, "0000:03:00.0"),), None),
        ((KfdNode(1, "gfx1036", 129, "0000:0c:00.0"), KfdNode(2, "gfx1100", 128, "0000:03:00.0")), None),
        (
            (KfdNode(1, "gfx1100", 129, "0000:0c:00.0"), KfdNode(2, "gfx1030", 128, "0000:03:00.0")),
            Cause.GFX_OVERRIDE_IN_EFFECT,
        ),
        ((KfdNode(1, "gfx1030", 128, None),), Cause.GFX_OVERRIDE_IN_EFFECT),
        ((KfdNode(1, None, 128, None),), None),
    ],
)
def test_the_kernels_word_on_the_architecture_is_taken_for_the_same_gpu(
    nodes: tuple[KfdNode, ...], cause: Cause | None
) -> None:
    seen = {Rung.ENUMERATE: {"hip_version": "7.2", "devices": [AMD_DEVICE]}}
    assert judge(Rung.ARCH, Found(ARCH_FACTS), seen, HostFacts(kfd_nodes=nodes)).cause is cause


@pytest.mark.parametrize(
    ("properties", "address"),
    [
        ({"location_id": 768, "domain": 0}, "0000:03:00.0"),
        ({"location_id": 0xC501, "domain": 2}, "0002:c5:00.1"),
        ({"location_id": 0x0318}, "0000:03:03.0"),
        ({"location_id": 0}, None),
        ({}, None),
    ],
)
def test_where_a_kfd_node_is_on_the_bus(properties: dict[str, int], address: str | None) -> None:
    assert name_address(properties) == address


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized", 802),
        ("CUDA error (46): all devices busy", 46),
        ("hipError 209", None),  # a name, not the word
        ("HIP error code 999", 999),
        ("CUDA error: an illegal memory access was encountered", None),
        ("No CUDA GPUs are available", None),
        ("error 12345", None),
    ],
)
def test_a_number_is_read_where_it_is_told(text: str, code: int | None) -> None:
    assert read_code(text) == code


def test_the_runtimes_own_number_counts_before_the_text() -> None:
    error = RuntimeError("CUDA error: error 1: something")
    error.error_code = 700  # type: ignore[attr-defined]
    assert describe_error(error).code == 700


def test_what_differs_from_run_to_run_is_left_out() -> None:
    assert shorten("\n  at 0x7F00dead:\nmore") == "at 0x…:"
    assert len(shorten("x" * 9_999)) < 300


@pytest.mark.parametrize(
    ("module", "older"), [("6.12.12", True), ("7.2", False), ("10.1", False), (None, True), ("what", True)]
)
def test_an_old_module_is_one_of_an_earlier_major_release(module: str | None, older: bool) -> None:
    assert may_be_older(module, "7.2.26015") is older


@pytest.mark.parametrize(
    ("driver", "wheel", "too_old"),
    [(12_040, "13.0", True), (13_000, "13.0", False), (13_000, "13.2", False), (13_010, "12.8", False)],
)
def test_a_driver_serves_its_own_major_release_and_earlier_ones(driver: int, wheel: str, too_old: bool) -> None:
    assert is_too_old(driver, wheel) is too_old


def test_a_runtime_that_is_not_there_tells_nothing() -> None:
    assert runtime_library.open_library("libno-such-thing.so.1") is None
    assert runtime_library.open_library(None) is None
    assert runtime_library.list_mapped(re.compile(r"\S*/libno-such-thing\.so")) == []
    assert runtime_library.list_mapped(re.compile(r"\S*/libc\.so\S*"))


@pytest.mark.parametrize(
    "path",
    ["/opt/rocm/lib/libamdhip64.so.7", "/a/torch/lib/libamdhip64.so", "/b/libcudart-a1b2.so.12", "/c/libcudart.so.13"],
)
def test_the_runtimes_library_is_known_by_its_name(path: str) -> None:
    assert runtime_library.RUNTIME.findall(f"7f00-7f01 r-xp 0000 08:01 42   {path}\n") == [path]
