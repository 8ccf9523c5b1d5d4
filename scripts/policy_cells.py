"""Every question that the acceleration policy can be asked, with its answer, and equal answers grouped into few rows.

Owns the states a host can be in and the grouping. The answers are the policy's own: `decide` at admission, `recheck`
when a worker takes the job, `judge_readiness` for `/readyz`. Knows nothing of pages (`make_policy_matrix.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.application.recheck import recheck
from sir_convert_a_lot.domain.acceleration_policy import (
    CPU_ENGINES,
    Decision,
    RunOnCpu,
    RunOnGpu,
    ServerRules,
    decide,
    judge_readiness,
    refuse_readiness,
)
from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung, RungReport, RungState, RuntimeKind
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec

GPU_POLICIES = (AccelerationPolicy.GPU_REQUIRED, AccelerationPolicy.GPU_PREFER)
PROMISES: tuple[Literal["none", "gpu"], ...] = ("none", "gpu")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

HOST_CAUSE = "the host's"  # `details.cause` is what the state of the host says
NO_CAUSE = "null"


class Claim(ProbeSnapshot):
    """Says `is_available` whatever its rungs say, as a setting that could claim a GPU would."""

    @property
    def is_available(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class State:
    """One state of a host as the policy knows it: all snapshots that mean it, and whether a setting forbids the GPU."""

    name: str
    meaning: str
    snapshots: tuple[ProbeSnapshot | None, ...]
    is_forbidden: bool = False

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What a refusal names, in the order of the codes; empty where nothing is refused."""
        readiness = (judge_readiness(snapshot, self.rules()) for snapshot in self.snapshots)
        found = {judged.cause for judged in readiness}
        return tuple(cause for cause in Cause if cause in found)

    def rules(self, *, locked: bool = False, promised: Literal["none", "gpu"] = "none") -> ServerRules:
        return ServerRules(self.is_forbidden, locked, promised)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets. `-` stands for what does not apply."""

    status: str
    code: str = "-"
    reason: str = "-"
    cause: str = "-"
    runs: str = "nothing"
    warns: str = "-"
    exit_code: str = str(ExitCode.OK.value)


# One value of each dimension.
Cell = tuple[str, ...]
# The values of each dimension that share an answer.
Box = tuple[frozenset[str], ...]


def take_snapshot(stops_at: Rung | None = None, state: RungState = RungState.FAILED, **changes: Any) -> ProbeSnapshot:
    """A snapshot whose rungs passed up to `stops_at`."""
    stop = LADDER.index(stops_at) if stops_at else len(LADDER)
    states = [RungState.PASSED] * stop + [state] + [RungState.NOT_RUN] * len(LADDER)
    rungs = tuple(RungReport(rung, found, "seen") for rung, found in zip(LADDER, states, strict=False))
    values: dict[str, Any] = {
        "probe_id": "probe_1",
        "taken_at": NOW,
        "rungs": rungs,
        "cause": None,
        "evidence": ("seen",),
        "remediation": (),
        "runtime_kind": RuntimeKind.ROCM,
        "device_count": 1,
        "pci_id": "0000:03:00.0",
    }
    return ProbeSnapshot(**(values | changes))


def claim(snapshot: ProbeSnapshot) -> Claim:
    return Claim(**{name: getattr(snapshot, name) for name in ProbeSnapshot.__dataclass_fields__})


def stop_for(causes: Iterable[Cause]) -> tuple[ProbeSnapshot, ...]:
    """One for each cause, at one rung after the other: no answer may depend on the rung."""
    return tuple(take_snapshot(rung, cause=cause) for cause, rung in zip(causes, itertools.cycle(LADDER), strict=False))


def list_causes(*, told_without_torch: bool) -> list[Cause]:
    """The causes that one climb of the ladder can name, but for the two that are states of their own."""
    own = {Cause.NO_GPU_HARDWARE, Cause.PROBE_INCOMPLETE}
    return [
        cause
        for cause, entry in CAUSES.items()
        if not (cause in own or entry.teller or entry.is_warning_only)
        and entry.is_told_without_torch is told_without_torch
    ]


def list_remembered() -> list[Cause]:
    return [cause for cause, entry in CAUSES.items() if (entry.teller or "").startswith("The cached probe")]


def list_states() -> tuple[State, ...]:
    """Every state; the first is the only one in which anything may run on the GPU."""
    proven = take_snapshot()
    incomplete = (RungState.FAILED, RungState.UNKNOWN, RungState.NOT_RUN)
    seen = (
        State("proven", "every rung of the ladder passed, on this machine's own `/`", (proven,)),
        State("no GPU", "no GPU on the bus and no device node", stop_for([Cause.NO_GPU_HARDWARE])),
        State("broken, seen in files", "a rung without torch failed", stop_for(list_causes(told_without_torch=True))),
        State(
            "broken, seen in the child",
            "a rung failed in the process that imports torch and computes",
            stop_for(list_causes(told_without_torch=False)),
        ),
        State("broken since an earlier look", "it had worked; a fresh look tells", stop_for(list_remembered())),
        State(
            "could not tell",
            "a rung could not be read, or was not climbed",
            tuple(take_snapshot(r, s, cause=Cause.PROBE_INCOMPLETE) for r in LADDER for s in incomplete),
        ),
        State("not looked yet", "no probe has finished in this process", (None,)),
        State("stand-in", "every rung passed, on a root other than `/`", (take_snapshot(simulated=True),)),
        State(
            "claimed",
            "something says that a GPU is available; the rungs do not",
            (claim(proven), *(claim(take_snapshot(rung)) for rung in LADDER)),
        ),
    )
    everything = tuple(snapshot for state in seen for snapshot in state.snapshots)
    return (*seen, State("forbidden", "any of these, and the setting `gpu_forbidden` is on", everything, True))


STATES = {state.name: state for state in list_states()}


def name_installed(docling: str, pymupdf: str) -> frozenset[str]:
    """`builtin` is always there; the other two are extras."""
    return frozenset({"builtin"} | {name for name, has in (("docling", docling), ("pymupdf", pymupdf)) if has == "yes"})


def answer(decision: Decision, state: State) -> Answer:
    """The decision in the caller's words. Raises `ValueError` where a refusal names a cause that is not the state's."""
    if isinstance(decision, RunOnGpu):
        return Answer("202", runs=f"`{decision.engine}` on the GPU", warns="none")
    if isinstance(decision, RunOnCpu):
        return Answer(
            "202", runs=f"`{decision.engine}` on the CPU", warns="why not the GPU" if decision.warnings else "none"
        )
    return refuse(decision.error, state)


def refuse(error: SirConvertError, state: State) -> Answer:
    details = error.details
    cause = "-"
    if "cause" in details:
        cause = NO_CAUSE if details["cause"] is None else HOST_CAUSE
        if cause == HOST_CAUSE and details["cause"] not in state.causes:
            raise ValueError(f"{state.name}: a refusal names {details['cause']}")
    return Answer(str(error.status), error.code, str(details["reason"]), cause, exit_code=str(error.exit_code.value))


ADMISSION = ("policy", "backend", "host", "GPU lock", "promised_device", "docling installed", "pymupdf installed")


def admission_cells() -> Iterator[tuple[Cell, Answer]]:
    """The answer to every submission. One state with two different answers is two rows with one cell: `ValueError`."""
    yes_no = ("yes", "no")
    for policy, backend, state, locked, promised, docling, pymupdf in itertools.product(
        AccelerationPolicy, BackendStrategy, STATES.values(), (False, True), PROMISES, yes_no, yes_no
    ):
        rules = state.rules(locked=locked, promised=promised)
        installed = name_installed(docling, pymupdf)
        answers = {answer(decide(policy, backend, snapshot, rules, installed), state) for snapshot in state.snapshots}
        cell = (policy.value, backend.value, state.name, name_lock(locked), promised, docling, pymupdf)
        yield cell, only(answers, cell)


START = ("policy", "admitted for", "host", "GPU lock", "promised_device")


async def start_cells() -> list[tuple[Cell, Answer]]:
    """What becomes of an admitted job when a worker takes it, its engine still installed."""
    cells: list[tuple[Cell, Answer]] = []
    for policy, place in itertools.product(AccelerationPolicy, ("the GPU", "the CPU")):
        if policy is AccelerationPolicy.CPU_ONLY and place == "the GPU":
            continue  # the policy cannot decide that, whatever was stored
        requests = list(list_requests(policy, "cuda:0" if place == "the GPU" else "cpu"))
        for state, locked, promised in itertools.product(STATES.values(), (False, True), PROMISES):
            rules = state.rules(locked=locked, promised=promised)
            answers = {
                await take(request, Looked(snapshot), rules, state)
                for request in requests
                for snapshot in state.snapshots
            }
            cell = (policy.value, place, state.name, name_lock(locked), promised)
            cells.append((cell, only(answers, cell)))
    return cells


def list_requests(policy: AccelerationPolicy, device: str) -> Iterator[JobRequest]:
    """The jobs that admission makes of this policy for this device, one for each way to ask for it."""
    for backend in BackendStrategy:
        if policy in GPU_POLICIES and backend in CPU_ENGINES:
            continue
        on_cpu = {BackendStrategy.AUTO: "builtin"}.get(backend, backend.value)
        spec: dict[str, Any] = {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a.pdf"},
            "conversion": {"backend_strategy": backend, "ocr_mode": "off"},
            "execution": {"acceleration_policy": policy},
        }
        yield JobRequest(
            job_id="job_1",
            spec=JobSpec.model_validate(spec),
            pdf_sha256="0",
            size_bytes=1,
            pages_total=1,
            engine=on_cpu if device == "cpu" else "docling",
            device=device,
            probe_id=None,
            created_at=NOW,
            correlation_id="corr_1",
            owner="",
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """A probe that has this to say."""

    snapshot: ProbeSnapshot | None

    async def current(self) -> ProbeSnapshot | None:
        return self.snapshot


async def take(request: JobRequest, probe: Looked, rules: ServerRules, state: State) -> Answer:
    try:
        taken = await recheck(request, probe, rules, name_installed("yes", "yes"))  # type: ignore[arg-type]
    except SirConvertError as error:
        refused = refuse(error, state) if "reason" in error.details else Answer("-", error.code)
        return Answer("fails", refused.code, refused.reason, refused.cause, exit_code=str(error.exit_code.value))
    if request.device == "cpu":
        runs = "its engine on the CPU"
    else:
        runs = f"`{taken.engine}` on the {'CPU' if taken.device == 'cpu' else 'GPU'}"
    return Answer("runs", runs=runs, warns="why not the GPU" if taken.warnings else "none")


READINESS = ("host", "promised_device", "GPU lock")


def readiness_cells() -> Iterator[tuple[Cell, Answer]]:
    """`/readyz`, while the job engine works."""
    for state, promised, locked in itertools.product(STATES.values(), PROMISES, (False, True)):
        rules = state.rules(locked=locked, promised=promised)
        answers = {read_readiness(snapshot, rules, state) for snapshot in state.snapshots}
        cell = (state.name, promised, name_lock(locked))
        yield cell, only(answers, cell)


def read_readiness(snapshot: ProbeSnapshot | None, rules: ServerRules, state: State) -> Answer:
    judged = judge_readiness(snapshot, rules)
    cause = HOST_CAUSE if judged.cause in state.causes else NO_CAUSE
    if judged.is_ready:
        return Answer("200", cause=cause, runs=judged.state)
    refused = refuse(refuse_readiness(snapshot, rules), state)
    return Answer(refused.status, refused.code, refused.reason, cause, runs=judged.state)


def name_lock(locked: bool) -> str:
    return "on" if locked else "off"


def only(answers: set[Answer], cell: Cell) -> Answer:
    if len(answers) != 1:
        raise ValueError(f"{cell} has {len(answers)} answers")
    return next(iter(answers))


def group(cells: Iterable[tuple[Cell, Answer]]) -> list[tuple[Box, Answer]]:
    """Rows that hold every cell exactly once: boxes of equal answers, joined along one dimension after the other,
    the last dimension first.
    """
    rows: list[tuple[Box, Answer]] = [(tuple(frozenset({value}) for value in cell), found) for cell, found in cells]
    for axis in reversed(range(len(rows[0][0]))):
        joined: dict[tuple[Any, ...], frozenset[str]] = {}
        for box, found in rows:
            rest = (box[:axis], box[axis + 1 :], found)
            joined[rest] = joined.get(rest, frozenset()) | box[axis]
        rows = [((*rest[0], values, *rest[1]), rest[2]) for rest, values in joined.items()]
    return rows


def all_values(cells: Iterable[tuple[Cell, Answer]]) -> list[list[str]]:
    """The values of each dimension, in the order in which they come."""
    return [list(dict.fromkeys(values)) for values in zip(*(cell for cell, _ in cells), strict=True)]


def drop_idle(
    names: Sequence[str], rows: list[tuple[Box, Answer]], values: list[list[str]]
) -> tuple[list[str], list[tuple[Box, Answer]], list[list[str]], list[str]]:
    """Without the dimensions that change no answer, and the names of those."""
    idle = [axis for axis in range(len(names)) if all(box[axis] == frozenset(values[axis]) for box, _ in rows)]
    kept = [axis for axis in range(len(names)) if axis not in idle]
    thinner: list[tuple[Box, Answer]] = [(tuple(box[axis] for axis in kept), found) for box, found in rows]
    return [names[a] for a in kept], thinner, [values[a] for a in kept], [names[a] for a in idle]
