"""The tolerances of the known answers: a right computation is within them, a slightly wrong one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sir_convert_a_lot.infrastructure.gpu_probe_child.numerics import (
    DTYPES,
    KERNEL,
    PADDING,
    STORED_ROUND_OFF,
    STRIDE,
    Floats,
    Question,
    ask_all,
    compare,
    gamma,
    quantise,
)
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import ANSWERS_NEEDED

QUESTIONS = {(question.op, question.dtype): question for question in ask_all()}
COMPUTED = [key for key in QUESTIONS if key[0] != "copy"]


def compute(question: Question) -> Floats:
    """As a GPU does: in float32, stored in the type asked for. Term by term, the order with the largest error."""
    first = question.inputs[0]
    if question.op == "copy":
        return first.astype(np.float64)
    if question.op == "reduction":
        total = np.zeros(first.shape[0], np.float32)
        for column in first.T:
            total += column
    elif question.op == "convolution":
        weights = question.inputs[1]
        padded = np.pad(first, ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))[
            :, :, ::STRIDE, ::STRIDE
        ]
        total = np.zeros(question.reference.shape, np.float32)
        for channel in range(weights.shape[1]):
            for row in range(KERNEL):
                for column in range(KERNEL):
                    part = windows[:, channel, :, :, row, column]
                    total += part[:, None] * weights[None, :, channel, row, column, None, None]
    else:
        total = np.zeros(question.reference.shape, np.float32)
        for left, right in zip(question.inputs[0].T, question.inputs[1], strict=True):
            total += np.outer(left, right)
    return quantise(total.astype(np.float64), question.dtype).astype(np.float64)


ANSWERS = {key: compute(question) for key, question in QUESTIONS.items()}


def ulp(question: Question) -> float:
    """A unit in the last place, relative to the number."""
    return 2 * STORED_ROUND_OFF[question.dtype] or 2.0**-23


def test_the_parent_waits_for_every_answer() -> None:
    assert set(QUESTIONS) == ANSWERS_NEEDED


@pytest.mark.parametrize("key", QUESTIONS)
def test_an_honest_computation_in_the_worst_order_is_right(key: tuple[str, str]) -> None:
    found = compare(QUESTIONS[key], ANSWERS[key])
    assert found.is_right, found
    assert found.scale < 0.5  # far from a refusal by chance


@pytest.mark.parametrize("key", QUESTIONS)
def test_one_corrupted_element_is_wrong(key: tuple[str, str]) -> None:
    question, answer = QUESTIONS[key], ANSWERS[key].copy()
    place = np.unravel_index(answer.size * 2 // 3, answer.shape)
    answer[place] += max(2.0 * question.tolerance[place], ulp(question) * abs(answer[place]))
    assert compare(question, answer).wrong_elements == 1


@pytest.mark.parametrize("key", QUESTIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_element_that_is_no_number_is_wrong(key: tuple[str, str], value: float) -> None:
    answer = ANSWERS[key].copy()
    answer.flat[7] = value
    found = compare(QUESTIONS[key], answer)
    assert found.wrong_elements == 1
    assert not found.is_right


# Units in the last place by which the whole answer may be scaled before it is refused. The sum has more terms, and so a
# wider tolerance.
FEW_ULPS = {"gemm": 3, "convolution": 3, "gemm_tall": 3, "reduction": 8}


@pytest.mark.parametrize("key", COMPUTED)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_answer_scaled_by_a_few_units_in_the_last_place_is_wrong(key: tuple[str, str], sign: int) -> None:
    question = QUESTIONS[key]
    scaled = ANSWERS[key] * (1 + sign * FEW_ULPS[question.op] * ulp(question))
    assert not compare(question, scaled).is_right


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_transposed_a_shifted_and_an_empty_answer_are_wrong(key: tuple[str, str]) -> None:
    question, answer = QUESTIONS[key], ANSWERS[key]
    assert not compare(question, np.roll(answer, 1)).is_right
    assert not compare(question, np.zeros_like(answer)).is_right
    if answer.ndim > 1:
        assert not compare(question, np.swapaxes(answer, -1, -2)).is_right
    assert not compare(question, answer[:-1]).is_right


@pytest.mark.parametrize("op", ["gemm", "gemm_tall"])
def test_a_product_that_rounds_its_inputs_as_tf32_does_is_wrong(op: str) -> None:
    question = QUESTIONS[op, "float32"]
    short = [round_to_10_bits(values) for values in question.inputs]
    assert not compare(question, compute(replace(question, inputs=tuple(short)))).is_right


def round_to_10_bits(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFF_E000)).view(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_type_that_is_summed_in_itself_is_wrong(dtype: str) -> None:
    """Libraries may add up parts in the half type; the child tells them not to."""
    question = QUESTIONS["reduction", dtype]
    total = np.zeros(question.reference.shape)
    for column in question.inputs[0].T:
        total = quantise(total + column, dtype).astype(np.float64)
    assert not compare(question, total).is_right


def test_the_questions_are_the_same_in_every_process() -> None:
    again = {(question.op, question.dtype): question for question in ask_all()}
    for key, question in QUESTIONS.items():
        assert all(np.array_equal(one, two) for one, two in zip(question.inputs, again[key].inputs, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_are_exact_in_their_type_and_not_symmetric(dtype: str) -> None:
    for key, question in QUESTIONS.items():
        if key[1] == dtype:
            for values in question.inputs:
                assert np.array_equal(quantise(values.astype(np.float64), dtype), values)
                assert 0.2 < float(np.mean(values)) < 1.0


def test_gamma_is_highams_and_has_its_limit() -> None:
    assert gamma(97, 2.0**-24) == pytest.approx(97 * 2.0**-24 / (1 - 97 * 2.0**-24), rel=1e-15)
    with pytest.raises(ValueError, match="no bound"):
        gamma(2**24, 2.0**-24)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.0, 1.0), (1 + 2.0**-8, 1.0), (1 + 3 * 2.0**-8, 1 + 2 * 2.0**-7), (1 + 2.0**-8 + 2.0**-20, 1 + 2.0**-7)],
)
def test_bfloat16_rounds_to_nearest_and_ties_to_even(value: float, rounded: float) -> None:
    assert quantise(np.array([value]), "bfloat16")[0] == rounded
