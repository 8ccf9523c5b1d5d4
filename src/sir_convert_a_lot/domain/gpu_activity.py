"""What a GPU was seen to do while a job ran, against the same GPU while the same process rested.

Owns the words and what follows from the readings. A figure that could not be read is None, with the reason beside it,
never zero. Refuses to read anything (`infrastructure/gpu_activity`) and to grade (`domain.receipt`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from sir_convert_a_lot.domain.gpu_facts import Fact, Present

T = TypeVar("T")

# What is kept of a job in its receipt: a long job is sampled as often as a short one, and its receipt stays small.
MAX_SAMPLES = 64

FIGURES = ("busy_percent", "process_busy_percent", "process_bytes", "device_bytes", "power_w")


@dataclass(frozen=True, slots=True)
class ReceiptDevice:
    """The device that a job was given, as torch and the driver tell it. None: not told."""

    device: str  # "cuda:N", also for ROCm
    pci_id: str | None = None  # domain:bus:device.function
    name: str | None = None
    arch: str | None = None  # gfx1100, sm_90
    vram_bytes: int | None = None
    driver: str | None = None  # version of the kernel's driver
    torch: str | None = None
    hip: str | None = None
    cuda: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the device: every figure, or why it could not be read. Units as in `ActivitySample`."""

    busy_percent: Fact[float]
    process_busy_percent: Fact[float]
    process_bytes: Fact[int]
    device_bytes: Fact[int]
    power_w: Fact[float]


@dataclass(frozen=True, slots=True)
class ActivitySample:
    """One look, kept. None: could not be read."""

    at_ms: float  # since the watch of the job, or the rest before it, began
    busy_percent: float | None = None  # the device's own counter, which any process moves
    process_busy_percent: float | None = None  # the same of this very process; `read_from` says what was counted
    process_bytes: int | None = None  # memory of the device held by this very process, as driver or kernel count it
    device_bytes: int | None = None  # memory of the device in use by everyone
    power_w: float | None = None


class BusyCounter(StrEnum):
    """What the device's busy counter is worth in this receipt."""

    USABLE = "usable"
    UNRELIABLE = "unreliable"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class GpuActivity:
    """`execution.activity`. Idle figures are the highest of the baseline, so that a peak above one rose above all.

    `baseline_age_ms` is the time between the last idle sample and the start of the job, None without a baseline.
    `simulated` is True when the figures came from a root other than `/` or from a stand-in of a library: then they are
    no evidence of anything.
    """

    source: str  # "nvml" | "amdgpu" | "none"
    pci_id: str | None
    simulated: bool
    baseline_age_ms: float | None
    baseline: tuple[ActivitySample, ...]  # idle, with the context and the models resident
    samples: tuple[ActivitySample, ...]  # during the job, thinned to at most MAX_SAMPLES
    samples_taken: int  # during the job, before thinning
    samples_kept: str  # how they were thinned
    read_from: dict[str, str]  # figure -> file or function it came from
    unavailable: dict[str, str]  # figure -> why it could not be read, always or sometimes
    busy_counter: BusyCounter
    busy_counter_reason: str
    busy_percent_idle: float | None
    busy_percent_peak: float | None
    process_busy_percent_idle: float | None
    process_busy_percent_peak: float | None
    process_bytes_idle: int | None
    process_bytes_peak: int | None
    power_w_idle: float | None
    power_w_peak: float | None

    @property
    def resident_bytes(self) -> int | None:
        """Device memory of this very process, as evidence; None when it could not be read or came from a stand-in."""
        return None if self.simulated else self.process_bytes_peak

    @property
    def device_was_busy(self) -> bool | None:
        """Whether the device's counter rose above what it showed at rest. None: it tells nothing."""
        if self.simulated or self.busy_counter is not BusyCounter.USABLE:
            return None
        return _is_above(self.busy_percent_peak, self.busy_percent_idle)


@dataclass(frozen=True, slots=True)
class Watched:
    """All that one watch took, as its sampler hands it over to be judged."""

    source: str
    pci_id: str | None
    simulated: bool = False
    baseline_age_ms: float | None = None
    baseline: Sequence[ActivitySample] = ()
    samples: Sequence[ActivitySample] = ()
    taken: int = 0  # samples during the job, also those that were not held
    read_from: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)  # figure -> the last reason why it could not be read
    stopped: str | None = None  # why sampling ended before the job did


class RunningWatch(Protocol):
    """A job's watch, while it is open and after it."""

    def activity(self) -> GpuActivity:
        """All that was seen; asked once the watch is closed."""
        ...


class DeviceWitness(Protocol):
    """Sees what a device does from beside the engine. No method raises for what could not be read."""

    def describe(self, device: str) -> ReceiptDevice:
        """`device` is torch's name for it, "cuda:N"."""
        ...

    def rest(self, device: str) -> None:
        """Take the baseline, once a device, while its models are loaded and nothing is asked of them."""
        ...

    def watch(self, device: str) -> AbstractContextManager[RunningWatch]:
        """Sample the device for as long as the context is open."""
        ...


def sample_of(reading: Reading, at_ms: float) -> ActivitySample:
    """The figures alone."""
    return ActivitySample(
        at_ms=round(at_ms, 1),
        busy_percent=_value(reading.busy_percent),
        process_busy_percent=_value(reading.process_busy_percent),
        process_bytes=_value(reading.process_bytes),
        device_bytes=_value(reading.device_bytes),
        power_w=_value(reading.power_w),
    )


def derive_activity(watched: Watched) -> GpuActivity:
    """What the readings say, with the samples thinned. Peaks come from all of them."""
    baseline, samples = tuple(watched.baseline), tuple(watched.samples)
    counter, reason = judge_busy_counter(_known(baseline, "busy_percent"), _known(samples, "busy_percent"))
    kept = thin(samples)
    return GpuActivity(
        source=watched.source,
        pci_id=watched.pci_id,
        simulated=watched.simulated,
        baseline_age_ms=watched.baseline_age_ms,
        baseline=baseline,
        samples=kept,
        samples_taken=watched.taken,
        samples_kept=_tell_kept(len(kept), watched.taken),
        read_from={
            figure: place
            for figure, place in watched.read_from.items()
            if _known(baseline, figure) or _known(samples, figure)
        },
        unavailable=_tell_missing(watched),
        busy_counter=counter,
        busy_counter_reason=reason,
        busy_percent_idle=_highest(baseline, "busy_percent"),
        busy_percent_peak=_highest(samples, "busy_percent"),
        process_busy_percent_idle=_highest(baseline, "process_busy_percent"),
        process_busy_percent_peak=_highest(samples, "process_busy_percent"),
        process_bytes_idle=_highest_bytes(baseline),
        process_bytes_peak=_highest_bytes(samples),
        power_w_idle=_highest(baseline, "power_w"),
        power_w_peak=_highest(samples, "power_w"),
    )


def judge_busy_counter(idle: Sequence[float], working: Sequence[float]) -> tuple[BusyCounter, str]:
    """Whether the counter can tell this job from rest, and why.

    Some GPUs read 100 % for any process that holds a context, some always 0 (gpu_busy_percent of amdgpu).
    """
    if not working:
        return BusyCounter.UNAVAILABLE, "it could not be read during the job"
    if not idle:
        return BusyCounter.UNAVAILABLE, "it could not be read at rest, so what it read during the job tells nothing"
    seen = f"in all {len(idle)} samples at rest and {len(working)} during the job"
    if {*idle, *working} == {0}:
        return BusyCounter.UNRELIABLE, f"it read 0 % {seen}: it does not follow the work, or the work was too short"
    if {*idle, *working} == {100}:
        return BusyCounter.UNRELIABLE, f"it read 100 % {seen}: it does not follow the work"
    if min(idle) >= 100:
        return BusyCounter.UNRELIABLE, f"it read 100 % in all {len(idle)} samples at rest: nothing can rise above that"
    return BusyCounter.USABLE, f"it read {_span(idle)} at rest and {_span(working)} during the job"


def thin(samples: Sequence[ActivitySample], limit: int = MAX_SAMPLES) -> tuple[ActivitySample, ...]:
    """At most `limit` of them, in their order: evenly spaced, with the first, the last and the peak of every figure.

    `limit` is at least the number of figures and two.
    """
    if len(samples) <= limit:
        return tuple(samples)
    peaks = {_index_of_peak(samples, figure) for figure in FIGURES if _known(samples, figure)}
    room = limit - len(peaks)
    last = len(samples) - 1
    chosen = peaks | {round(step * last / (room - 1)) for step in range(room)}
    return tuple(samples[index] for index in sorted(chosen))


def _tell_kept(kept: int, taken: int) -> str:
    if kept == taken:
        return "every sample"
    return f"{kept} of {taken}: spaced evenly, with the first, the last and the highest of every figure"


def _tell_missing(watched: Watched) -> dict[str, str]:
    missing = {}
    everything = [*watched.baseline, *watched.samples]
    for figure in FIGURES:
        known = len(_known(everything, figure))
        if known == len(everything) and known:
            continue
        reason = watched.reasons.get(figure) or watched.stopped or "no sample was taken"
        missing[figure] = f"{reason} (in {len(everything) - known} of {len(everything)} samples)" if known else reason
    if watched.stopped:
        missing["samples"] = watched.stopped
    return missing


def _value(fact: Fact[T]) -> T | None:
    return fact.value if isinstance(fact, Present) else None


def _known(samples: Iterable[ActivitySample], figure: str) -> list[float]:
    values = (getattr(sample, figure) for sample in samples)
    return [value for value in values if value is not None]


def _highest(samples: Sequence[ActivitySample], figure: str) -> float | None:
    return max(_known(samples, figure), default=None)


def _highest_bytes(samples: Sequence[ActivitySample]) -> int | None:
    return max((sample.process_bytes for sample in samples if sample.process_bytes is not None), default=None)


def _index_of_peak(samples: Sequence[ActivitySample], figure: str) -> int:
    values = [getattr(sample, figure) for sample in samples]
    return max((index for index, value in enumerate(values) if value is not None), key=values.__getitem__)


def _is_above(peak: float | None, idle: float | None) -> bool | None:
    return None if peak is None or idle is None else peak > idle


def _span(values: Sequence[float]) -> str:
    lowest, highest = min(values), max(values)
    return f"{lowest:g} %" if lowest == highest else f"{lowest:g} to {highest:g} %"
