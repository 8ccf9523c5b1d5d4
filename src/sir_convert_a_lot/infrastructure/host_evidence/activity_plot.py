"""The GPU's activity before and during a conversion, as one SVG.

Owns the drawing. A look whose figure could not be read leaves a gap in its line: it is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from sir_convert_a_lot.domain.host_check import GpuSample, HostActivity

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 50, 60, 40, 40
BUSY, POWER, REST = "#1f5fbf", "#c2571a", "#eef1f5"
GAP_S = 0.5  # between the two series, which were taken one after the other

Point = tuple[float, float | None]  # seconds, figure


def draw(activity: HostActivity) -> str:
    """Busy per cent on the left axis, watts on the right where they were read; the shaded part is the rest before."""
    idle, working = activity.idle.of(activity.pci_id), activity.working.of(activity.pci_id)
    shift_s = (idle[-1].at_s + GAP_S) if idle else 0.0
    span_s = max([shift_s, *(shift_s + sample.at_s for sample in working), 1.0])

    def points(figure: Callable[[GpuSample], float | None]) -> list[Point]:
        return [(s.at_s, figure(s)) for s in idle] + [(shift_s + s.at_s, figure(s)) for s in working]

    busy, power = points(lambda sample: sample.busy_percent), points(lambda sample: sample.power_w)
    most_power = max((watts for _, watts in power if watts is not None), default=None)
    rest_width = _x(shift_s, span_s) - LEFT
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{rest_width:.1f}" height="{_plot_height()}" fill="{REST}"/>',
        *_axes(span_s, most_power),
        *_line(busy, span_s, 100.0, BUSY),
        *(_line(power, span_s, most_power, POWER) if most_power else []),
        _text(LEFT, 20, f"GPU {activity.pci_id}, by {activity.working.source}"),
        _text(LEFT, 34, "busy, %", BUSY),
    ]
    if most_power:
        parts.append(_text(LEFT + 70, 34, "power, W", POWER))
    if not any(value is not None for _, value in busy):
        parts.append(_text(LEFT + 10, TOP + 20, "the busy counter could not be read"))
    body = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">\n  <title>GPU activity over the conversion</title>\n'
        f'  <rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n  {body}\n</svg>\n'
    )


def _axes(span_s: float, most_power: float | None) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="black"/>']
    parts += [_text(LEFT - 6, _y(percent, 100.0) + 4, str(percent), anchor="end") for percent in (0, 50, 100)]
    if most_power:
        parts.append(_text(right + 6, _y(most_power, most_power) + 4, f"{most_power:.0f} W", POWER))
    step = max(1, round(span_s / 8))
    seconds = range(0, int(span_s) + 1, step)
    return parts + [_text(_x(second, span_s), bottom + 16, f"{second} s", anchor="middle") for second in seconds]


def _line(points: Sequence[Point], span_s: float, most: float, colour: str) -> list[str]:
    """A line a run of readings, and a dot for each: a run may be one reading."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at_s, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((_x(at_s, span_s), _y(value, most)))
    parts = []
    for run in filter(None, runs):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}"/>' for x, y in run]
    return parts


def _text(x: float, y: float, words: str, colour: str = "black", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def _plot_height() -> int:
    return HEIGHT - TOP - BOTTOM


def _x(at_s: float, span_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_s / span_s


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - _plot_height() * min(value, most) / most
