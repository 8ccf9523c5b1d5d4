"""Questions whose answers are known: inputs, float64 references, and how far a right answer may be off.

Owns the tolerances and the comparison. Imports numpy and no torch, so every claim here is tested without a GPU. Refuses
to compute on a device (`known_answers`).

The tolerance of one element of a sum of K products, |got - exact|, is

    gamma_K(u_acc) * M  +  u_out * (|exact| + gamma_K(u_acc) * M)  +  eta,     gamma_K(u) = K u / (1 - K u),

with M the same sum over absolute values, u_acc the unit round-off of the accumulator, u_out that of the stored type (0
where it is the accumulator's own) and eta its smallest subnormal. It holds for any order of summation and with or
without fused multiply-add: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1. Half types are
accumulated in float32; matrix units may truncate there instead of rounding (Fasi, Higham, Mikaitis, Pranesh, Numerical
behavior of NVIDIA tensor cores, 2021), so their u_acc is twice float32's.

That bound is for the worst case of one element. A common factor on the whole answer is caught far below it: rounding
errors of different elements do not conspire, so the fitted scale <got, exact> / <exact, exact> must be within

    LAMBDA * sqrt(K) * u * ||M ∘ exact|| / ||exact||²

(Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41, 2019)
of 1, plus, for half types, the truncation's whole bias and LAMBDA * u_out * ||exact²|| / ||exact||² for storing. Half a
unit in the last place of float32 is always allowed. With LAMBDA = 8 a right answer is refused with a probability below
2 exp(-32), 3e-14.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

DTYPES = ("float32", "float16", "bfloat16")
STORED_ROUND_OFF = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SUM_ROUND_OFF = {"float32": 2.0**-24, "float16": 2.0**-23, "bfloat16": 2.0**-23}
SMALLEST = {"float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}
LAMBDA = 8.0
SLIGHT_BIAS = 2.0**-24  # half a unit in the last place of float32, which no scale is held closer to than

SEED = 20_261_124

# Odd and unequal, so that no tile size of a kernel divides them and a transposed answer has the wrong shape.
ROWS, TERMS, COLUMNS = 131, 97, 127
# More rows than 2^19, past which single-precision products were silently wrong (ROCm issue 6595 of the legacy builds).
TALL_ROWS, TALL_TERMS, TALL_COLUMNS = 2**19 + 3, 8, 3
TALL_BLOCK_ROWS = 4_099  # drawn once and repeated; a prime, so that a row 2^19 further on is another one
SUM_ROWS, SUM_TERMS = 517, 263
IMAGES, IN_CHANNELS, OUT_CHANNELS, HEIGHT, WIDTH = 2, 13, 17, 29, 31
# Stride 2: for it the libraries use direct or implicit-GEMM kernels, which the bound above holds for; the transforms
# of Winograd and FFT have other bounds.
KERNEL, STRIDE, PADDING = 3, 2, 1


@dataclass(frozen=True, slots=True)
class Question:
    """`inputs` are exact in `dtype`. `reference` and `tolerance` have the shape of the answer."""

    op: str  # copy | gemm | gemm_tall | convolution | reduction
    dtype: str
    inputs: tuple[Singles, ...]
    reference: Floats
    tolerance: Floats
    scale_tolerance: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer stands to its tolerance. `worst` is the largest error, in tolerances; inf: not finite."""

    wrong_elements: int
    worst: float
    scale: float  # |fitted scale - 1| in units of its tolerance

    @property
    def is_right(self) -> bool:
        return self.wrong_elements == 0 and self.scale <= 1.0


def ask_all(dtypes: tuple[str, ...] = DTYPES) -> Iterator[Question]:
    """Every question, in a fixed order; the same numbers in every process."""
    for dtype in dtypes:
        random = np.random.default_rng([SEED, DTYPES.index(dtype)])
        yield ask_copy(random, dtype)
        yield ask_gemm(random, dtype, "gemm", (ROWS, TERMS, COLUMNS))
        yield ask_convolution(random, dtype)
        yield ask_reduction(random, dtype)
    if "float32" in dtypes:
        random = np.random.default_rng([SEED, len(DTYPES)])
        yield repeat_rows(ask_gemm(random, "float32", "gemm_tall", (TALL_BLOCK_ROWS, TALL_TERMS, TALL_COLUMNS)))


def compare(question: Question, answer: Floats) -> Comparison:
    """Element by element and as a whole. A wrong shape is wrong in every element."""
    if answer.shape != question.reference.shape:
        return Comparison(question.reference.size, float("inf"), float("inf"))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(answer - question.reference)
        is_wrong = ~(error <= question.tolerance)  # also where the error is no number
        worst = np.where(error == 0.0, 0.0, error / question.tolerance)
        scale = np.sum((answer - question.reference) * question.reference) / np.sum(question.reference**2)
    if not np.all(np.isfinite(answer)):
        return Comparison(int(np.sum(is_wrong)), float("inf"), float("inf"))
    relative = float(abs(scale) / question.scale_tolerance) if question.scale_tolerance else 0.0
    return Comparison(int(np.sum(is_wrong)), float(np.max(worst)), relative)


def gamma(terms: int, round_off: float) -> float:
    """Higham's gamma_n."""
    product = terms * round_off
    if product >= 1.0:
        raise ValueError(f"{terms} terms at a round-off of {round_off} have no bound")
    return product / (1.0 - product)


def draw(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Singles:
    """Values from 1/8 to 2, one in four negative (so that nothing cancels to zero on the whole), exact in `dtype`."""
    size = random.uniform(0.125, 2.0, shape)
    return quantise(np.where(random.random(shape) < 0.25, -size, size), dtype)


def quantise(values: Floats, dtype: str) -> Singles:
    """To the nearest value of `dtype`, ties to even, held as float32."""
    single = values.astype(np.float32)
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        bits = single.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF_0000)).view(np.float32)
    return single


def ask_copy(random: np.random.Generator, dtype: str) -> Question:
    """There and back: not one bit may differ."""
    values = draw(random, (SUM_ROWS, SUM_TERMS), dtype)
    return Question("copy", dtype, (values,), values.astype(np.float64), np.zeros(values.shape), 0.0)


def ask_gemm(random: np.random.Generator, dtype: str, op: str, shape: tuple[int, int, int]) -> Question:
    rows, terms, columns = shape
    left, right = draw(random, (rows, terms), dtype), draw(random, (terms, columns), dtype)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    magnitude = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    return bound(op, dtype, (left, right), exact=exact, magnitude=magnitude, terms=terms)


def repeat_rows(question: Question) -> Question:
    """The same product with the rows of its left factor over and over, up to `TALL_ROWS`."""
    rows = np.arange(TALL_ROWS) % len(question.reference)
    return replace(
        question,
        inputs=(question.inputs[0][rows], question.inputs[1]),
        reference=question.reference[rows],
        tolerance=question.tolerance[rows],
    )


def ask_convolution(random: np.random.Generator, dtype: str) -> Question:
    images = draw(random, (IMAGES, IN_CHANNELS, HEIGHT, WIDTH), dtype)
    weights = draw(random, (OUT_CHANNELS, IN_CHANNELS, KERNEL, KERNEL), dtype)
    exact = convolve(images.astype(np.float64), weights.astype(np.float64))
    magnitude = convolve(np.abs(images).astype(np.float64), np.abs(weights).astype(np.float64))
    terms = IN_CHANNELS * KERNEL * KERNEL
    return bound("convolution", dtype, (images, weights), exact=exact, magnitude=magnitude, terms=terms)


def ask_reduction(random: np.random.Generator, dtype: str) -> Question:
    """Sums of rows."""
    values = draw(random, (SUM_ROWS, SUM_TERMS), dtype)
    wide = values.astype(np.float64)
    exact, magnitude = wide.sum(axis=1), np.abs(wide).sum(axis=1)
    return bound("reduction", dtype, (values,), exact=exact, magnitude=magnitude, terms=SUM_TERMS)


def convolve(images: Floats, weights: Floats) -> Floats:
    """What a convolution layer computes (a cross-correlation), written out: NCHW and OIHW in, NCHW out."""
    padded = np.pad(images, ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))
    answer: Floats = np.einsum("nchwij,ocij->nohw", windows[:, :, ::STRIDE, ::STRIDE], weights, optimize=True)
    return answer


def bound(
    op: str, dtype: str, inputs: tuple[Singles, ...], *, exact: Floats, magnitude: Floats, terms: int
) -> Question:
    """The question with both tolerances of the module's docstring."""
    growth, stored = gamma(terms, SUM_ROUND_OFF[dtype]), STORED_ROUND_OFF[dtype]
    tolerance = growth * magnitude + stored * (np.abs(exact) + growth * magnitude) + SMALLEST[dtype]
    length = float(np.sum(exact**2))
    scale = LAMBDA * np.sqrt(terms) * SUM_ROUND_OFF[dtype] * float(np.linalg.norm(magnitude * exact)) / length
    if stored:
        scale += growth * float(np.sum(magnitude * np.abs(exact))) / length
        scale += LAMBDA * stored * float(np.linalg.norm(exact**2)) / length
    return Question(op, dtype, inputs, exact, tolerance, max(scale, SLIGHT_BIAS))
