"""Writes docs/converters/gpu_policy_matrix.md from the acceleration policy itself.

python scripts/make_policy_matrix.py            writes the file
python scripts/make_policy_matrix.py --check    exits 1 when the file is not what the policy says
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from policy_cells import (
    ADMISSION,
    READINESS,
    START,
    STATES,
    Answer,
    Box,
    Cell,
    State,
    admission_cells,
    all_values,
    drop_idle,
    group,
    name_installed,
    readiness_cells,
    start_cells,
)
from sir_convert_a_lot.domain.acceleration_policy import RunOnCpu, ServerRules, decide
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy
from sir_convert_a_lot.domain.receipt import Grade, acceleration_used_by
from sir_convert_a_lot.interfaces.cli.gpu import exit_code_of

PAGE = Path(__file__).parents[1] / "docs" / "converters" / "gpu_policy_matrix.md"
RUNBOOK = "../runbooks/gpu-causes.md"

ANY = "any"
# States that a fresh `gpu probe` of this machine cannot be in: it remembers nothing and reads no setting of a service.
UNPROBED = {"broken since an earlier look", "not looked yet", "stand-in", "claimed", "forbidden"}

HEAD = """# What a caller gets: every policy on every host

<!-- Made by scripts/make_policy_matrix.py from src/sir_convert_a_lot/domain/acceleration_policy.py. -->

The rows below are the policy's own answers to every question that it can be asked, {count:,} of them, with equal
answers joined into one row. `any`: the column changes nothing. `-`: it does not apply. *Not `proven`*: in every other
state. How the gate works, and how to read a refusal, is in
[the command line's reference](sir_convert_a_lot.md#the-gpu-gate).

Not one row runs `gpu_required` on the CPU, and only the state `proven` runs anything on the GPU.
"""


def write_page() -> str:
    """The whole file."""
    admission, readiness = list(admission_cells()), list(readiness_cells())
    start = asyncio.run(start_cells())
    head = HEAD.format(count=len(admission) + len(start) + len(readiness))
    parts = (
        head,
        write_states(),
        write_admission(admission),
        write_start(start),
        write_release(),
        write_readiness(readiness),
    )
    return "\n".join(parts)


def write_states() -> str:
    rows = [
        (f"`{state.name}`", state.meaning, tell_causes(state), tell_rung(state), tell_probe_exit(state))
        for state in STATES.values()
    ]
    lists = [
        f"- `{state.name}`: {', '.join(map(link, state.causes))}." for state in STATES.values() if len(state.causes) > 1
    ]
    warned = [link(cause) for cause, entry in CAUSES.items() if entry.is_warning_only]
    return f"""## The states of a host

{table(("host", "what it means", "`cause` of a refusal", "`rung`", "`gpu probe` exits"), rows)}

{chr(10).join(lists)}
- By no state of the host: {link(Cause.STAGE_FELL_BACK)}, which the receipt tells
  ([below](#when-the-result-is-to-be-released)), and {", ".join(warned)}, a warning for which nothing is refused.

`gpu probe` looks afresh, remembers nothing and reads no setting of a service: where it has `-`, it tells another state.
"""


def write_admission(cells: list[tuple[Cell, Answer]]) -> str:
    names, rows, values, idle = drop_idle(ADMISSION, group(cells), all_values(cells))
    assert names == ["policy", "backend", "host", "GPU lock", "docling installed", "pymupdf installed"], names  # noqa: S101
    shown = [
        (
            *(tell_values(box[axis], values[axis]) for axis in (0, 1)),
            tell_host(box[2], values[2]),
            tell_values(box[3], values[3], quoted=False),
            tell_installed(box[4], box[5]),
            *tell_answer(answer),
        )
        for box, answer in in_order(rows, values)
    ]
    header = ("policy", "backend", "host", "GPU lock", "installed", "answer", "reason", "cause", "runs", "`warnings`",
              "CLI exits")  # fmt: skip
    return f"""## At admission

{table(header, shown)}

- {tell_idle(idle)}
- A 503 is `gpu_not_available`: retryable, with `Retry-After` (`probe_ttl_s`, {ServerRules().retry_after_s} s where it
  is not set), and nothing of the request is stored. A 422 is `validation_error`.
- *The host's* cause is the one of the table above. Under `cpu_only` the GPU is not looked at, so there it is `null`.
- The warning reads: "{tell_warning()}"
- The exit code is that of `convert` with one document, whose job then succeeds where it was accepted. It is the same
  with `--local`.
- [What else can refuse a request](pdf_to_md_service_api_v1.md#create-a-job): before this table the form, the keys and
  `pymupdf` with OCR; after it missing models, the PDF and the queue.
"""


def write_start(cells: list[tuple[Cell, Answer]]) -> str:
    names, rows, values, idle = drop_idle(START, group(cells), all_values(cells))
    assert names == ["policy", "admitted for", "host", "GPU lock"], names  # noqa: S101
    shown = [
        (
            tell_values(box[0], values[0]),
            tell_values(box[1], values[1], quoted=False),
            tell_host(box[2], values[2]),
            tell_values(box[3], values[3], quoted=False),
            answer.status,
            *(quote(text) for text in (answer.code, answer.reason)),
            quote_cause(answer.cause),
            answer.runs,
            answer.warns,
            answer.exit_code,
        )
        for box, answer in in_order(rows, values)
    ]
    header = ("policy", "admitted for", "host", "GPU lock", "the job", "failure code", "reason", "cause", "runs",
              "`warnings`", "CLI exits")  # fmt: skip
    return f"""## When a worker takes the job

The host may have changed since admission, so the policy is asked again. A job that was admitted for the CPU stays
there: what its warnings say must stay true.

{table(header, shown)}

- {tell_idle(idle)}
- The warning is the one of admission, with the cause of now.
- A `gpu_required` job that was stored for the CPU is one that admission never makes; it is not run.
"""


def write_release() -> str:
    rows = [
        (
            f"`{grade.value}`" if grade else "`null`: no stage was asked to run on a GPU",
            f"`{acceleration_used_by(grade)}`",
            "cannot be: it has stages on the GPU" if grade is None else tell_release(acceleration_used_by(grade)),
        )
        for grade in (*Grade, None)
    ]
    return f"""## When the result is to be released

A job that ran on the GPU is held to its receipt, whichever policy sent it there.

{table(("`grade`", "`acceleration_used`", "a job that ran on the GPU"), rows)}
"""


def tell_release(acceleration_used: str) -> str:
    if acceleration_used == "cuda":
        return "succeeds"
    return f"fails: `gpu_not_available`, {link(Cause.STAGE_FELL_BACK)}, retryable; its output is withheld"


def write_readiness(cells: list[tuple[Cell, Answer]]) -> str:
    names, rows, values, _ = drop_idle(READINESS, group(cells), all_values(cells))
    assert names == list(READINESS), names  # noqa: S101
    shown = [
        (
            tell_host(box[0], values[0]),
            tell_values(box[1], values[1]),
            tell_values(box[2], values[2], quoted=False),
            quote(answer.status),
            quote(answer.runs),
            quote_cause(answer.cause),
            quote(answer.code),
        )
        for box, answer in in_order(rows, values)
    ]
    header = ("host", "`promised_device`", "GPU lock", "`/readyz`", "`gpu.state`", "`gpu.cause`", "error")
    return f"""## Readiness

{table(header, shown)}

While the job engine works; while it does not, `/readyz` is `503` `service_unavailable` whatever the GPU. `/healthz` is
`200` as long as the process lives.
"""


# --- words -----------------------------------------------------------------------------------------------------------


def tell_causes(state: State) -> str:
    if not state.causes:
        return "-"
    return link(state.causes[0]) if len(state.causes) == 1 else f"one of {len(state.causes)}, below"


def tell_rung(state: State) -> str:
    """The rung that a refusal names."""
    if not state.causes:
        return "-"
    rungs = {snapshot.rung.value if snapshot else "hardware" for snapshot in state.snapshots}
    return f"`{rungs.pop()}`" if len(rungs) == 1 else "the first that did not pass"


def tell_probe_exit(state: State) -> str:
    if state.name in UNPROBED:
        return "-"
    codes = {str(exit_code_of(snapshot).value) for snapshot in state.snapshots if snapshot}
    return ", ".join(sorted(codes))


def tell_answer(answer: Answer) -> tuple[str, ...]:
    return (quote(answer.status), quote(answer.reason), quote_cause(answer.cause), answer.runs, answer.warns,
            answer.exit_code)  # fmt: skip


def tell_host(box: frozenset[str], values: Sequence[str]) -> str:
    if box == frozenset(values) - {"proven"}:
        return "not `proven`"
    return tell_values(box, values)


def tell_installed(docling: frozenset[str], pymupdf: frozenset[str]) -> str:
    told = [
        ("" if has == {"yes"} else "no ") + f"`{name}`"
        for name, has in (("docling", docling), ("pymupdf", pymupdf))
        if len(has) == 1
    ]
    return ", ".join(told) or ANY


def tell_values(box: frozenset[str], values: Sequence[str], *, quoted: bool = True) -> str:
    if box == frozenset(values):
        return ANY
    return ", ".join(quote(value) if quoted else value for value in values if value in box)


def tell_idle(names: Iterable[str]) -> str:
    told = ", ".join(f"`{name}`" for name in names)
    return f"{told} changes no row, so it has no column." if told else "Every setting changes some row."


def tell_warning() -> str:
    """The policy's own sentence, with the cause and the engine as blanks."""
    state = STATES["no GPU"]
    decision = decide(
        AccelerationPolicy.GPU_PREFER,
        BackendStrategy.AUTO,
        state.snapshots[0],
        state.rules(),
        name_installed("no", "no"),
    )
    assert isinstance(decision, RunOnCpu)  # noqa: S101
    (sentence,) = decision.warnings
    return sentence.replace("no_gpu_hardware", "CAUSE").replace("`builtin`", "ENGINE").replace("`", "")


def link(cause: Cause) -> str:
    return f"[`{cause.value}`]({RUNBOOK}#{cause.value})"


def quote(text: str) -> str:
    return text if text == "-" else f"`{text}`"


def quote_cause(text: str) -> str:
    return f"`{text}`" if text == "null" else text


def in_order(rows: list[tuple[Box, Answer]], values: Sequence[Sequence[str]]) -> list[tuple[Box, Answer]]:
    """By the first value of each dimension, in the order of the code."""
    first: Callable[[Box], list[int]] = lambda box: [  # noqa: E731
        min(known.index(value) for value in part) for part, known in zip(box, values, strict=True)
    ]
    return sorted(rows, key=lambda row: first(row[0]))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str]) -> int:
    page = write_page()
    if arguments == ["--check"]:
        is_current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        print(f"{PAGE.name} is {'up to date' if is_current else 'not what the policy says: run this without --check'}")
        return 0 if is_current else 1
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
