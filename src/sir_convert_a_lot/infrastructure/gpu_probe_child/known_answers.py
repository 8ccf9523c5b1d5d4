"""The probe's computations on the device: each question of `numerics`, asked several times.

Runs in the probe's child alone. Owns how a question becomes operations of torch. Refuses to judge: it tells how far
each answer was off.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from sir_convert_a_lot.infrastructure.gpu_probe_child.numerics import (
    PADDING,
    STRIDE,
    Floats,
    Question,
    ask_all,
    compare,
)

REPEATS = 3
FAR_OFF = 1e30  # stands for infinity, which JSON has not


def answer_all(torch: Any, device: Any, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One entry a question. `say` is told which one is launched, before it is."""
    use_plain_arithmetic(torch)
    entries: list[dict[str, Any]] = []
    for question in ask_all():
        say(f"launching {question.op} in {question.dtype}")
        entries.append(answer_repeatedly(torch, device, question))
    return entries


def use_plain_arithmetic(torch: Any) -> None:
    """No TF32, no reductions in half types, no algorithm that varies: the tolerances presuppose it."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    products = torch.backends.cuda.matmul
    if hasattr(products, "allow_tf32"):  # the older way to say it, and the one that both kinds of readers agree with
        torch.backends.cudnn.allow_tf32 = False
        products.allow_tf32 = False
    else:
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        products.fp32_precision = "ieee"
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        if hasattr(products, name):
            setattr(products, name, False)


def answer_repeatedly(torch: Any, device: Any, question: Question) -> dict[str, Any]:
    """Worst of `REPEATS` answers, whether they were the same to the bit, and milliseconds of the first and the last."""
    comparisons, digests, times_ms = [], set(), []
    for _ in range(REPEATS):
        started = time.perf_counter()
        answer = compute(torch, device, question)
        times_ms.append((time.perf_counter() - started) * 1_000)
        digests.add(hashlib.sha256(answer.tobytes()).hexdigest())
        comparisons.append(compare(question, answer))
    return {
        "op": question.op,
        "dtype": question.dtype,
        "wrong_elements": max(comparison.wrong_elements for comparison in comparisons),
        "worst": min(max(comparison.worst for comparison in comparisons), FAR_OFF),
        "scale": min(max(comparison.scale for comparison in comparisons), FAR_OFF),
        "is_right": all(comparison.is_right for comparison in comparisons),
        "distinct_answers": len(digests),
        "cold_ms": round(times_ms[0], 3),
        "warm_ms": round(times_ms[-1], 3),
    }


def compute(torch: Any, device: Any, question: Question) -> Floats:
    """Copy the inputs up, compute, wait, copy the answer down; the conversion to float64 is the CPU's."""
    dtype = getattr(torch, question.dtype)
    inputs = [torch.from_numpy(values).to(dtype).to(device) for values in question.inputs]
    if question.op == "copy":
        answer = inputs[0].clone()
    elif question.op in {"gemm", "gemm_tall"}:
        answer = torch.matmul(*inputs)
    elif question.op == "convolution":
        answer = torch.nn.functional.conv2d(*inputs, stride=STRIDE, padding=PADDING)
    else:
        answer = inputs[0].sum(dim=1)
    synchronise(torch, device)
    found: Floats = answer.cpu().double().numpy()
    return found


def synchronise(torch: Any, device: Any) -> None:
    """Wait for the device; on the CPU there is nothing to wait for."""
    if torch.device(device).type != "cpu":
        torch.cuda.synchronize(device)
