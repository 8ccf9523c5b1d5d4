"""What one rung of the probe found: the words that the rungs and the ladder share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import RungState


class Route(StrEnum):
    """A way from this process to a GPU. Each rung passes on the routes that are still open."""

    KFD = "kfd"  # AMD
    NVIDIA = "nvidia"
    WSL = "dxg"  # through Windows, either vendor


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is one line for the report, `evidence` all that was seen, in a fixed order."""

    state: RungState
    seen: str
    evidence: tuple[str, ...] = ()
    cause: Cause | None = None
    routes: tuple[Route, ...] = ()  # still open after this rung


def fail(cause: Cause, seen: str, evidence: tuple[str, ...] = ()) -> Finding:
    return Finding(RungState.FAILED, seen, (seen, *evidence), cause)


def give_up(reason: str, evidence: tuple[str, ...] = ()) -> Finding:
    """The rung could not tell, and that is a refusal."""
    return Finding(RungState.UNKNOWN, reason, (reason, *evidence), Cause.PROBE_INCOMPLETE)


def skip(seen: str, evidence: tuple[str, ...] = ()) -> Finding:
    """An earlier rung left nothing to look at."""
    return Finding(RungState.NOT_RUN, seen, evidence)


def settle(passed: dict[Route, str], stopped: dict[Route, Finding], evidence: tuple[str, ...] = ()) -> Finding:
    """One finding out of one per route: passed when any route is open, else the first route's failure.

    A route that could not be looked at counts before one that failed: what is unknown may have been the GPU.
    """
    failures = sorted(stopped.values(), key=lambda finding: finding.state is not RungState.UNKNOWN)
    lost = tuple(line for finding in stopped.values() for line in finding.evidence)
    if passed:
        lines = tuple(passed.values())
        return Finding(RungState.PASSED, "; ".join(lines), (*lines, *lost, *evidence), routes=tuple(passed))
    first = failures[0]
    rest = tuple(line for line in lost if line not in first.evidence)
    return Finding(first.state, first.seen, (*first.evidence, *rest, *evidence), first.cause)
